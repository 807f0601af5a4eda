import COpenSSL
import Glibc

/// What OpenSSL would otherwise look up at every operation, fetched once a process. A libcrypto without these is unusable.
enum Algorithms {
    nonisolated(unsafe) static let aes256gcm = fetched(EVP_CIPHER_fetch(nil, "AES-256-GCM", nil))

    private static func fetched(_ algorithm: OpaquePointer?) -> OpaquePointer {
        guard let algorithm else { fatalError("libcrypto has no AES-256-GCM") }
        return algorithm
    }
}

/// Runs one request: the thread's cipher contexts forget their last key when it is over, not after each box. Elsewhere
/// they forget it at once.
public func forgettingKeysAfterwards<Result, Failure: Error>(
    _ body: () throws(Failure) -> Result
) throws(Failure) -> Result {
    let contexts = ThreadContexts.current
    contexts.requests += 1
    defer {
        contexts.requests -= 1
        contexts.forget()
    }
    return try body()
}

/// OpenSSL contexts of one thread, made at its first use and freed with it. Between requests they hold no key.
final class ThreadContexts {
    let encryption: OpaquePointer
    let decryption: OpaquePointer
    /// Requests that this thread is in the middle of.
    var requests = 0
    private var encryptionHasKey = false
    private var decryptionHasKey = false

    /// They live in ordinary memory for as long as their thread, and an expanded key begins with the key itself.
    func willUse(_ context: OpaquePointer) {
        if context == encryption { encryptionHasKey = true } else { decryptionHasKey = true }
    }

    func forget() {
        guard requests == 0 else { return }
        if encryptionHasKey { Self.forgetKey(encryption) }
        if decryptionHasKey { Self.forgetKey(decryption) }
        (encryptionHasKey, decryptionHasKey) = (false, false)
    }

    private static func forgetKey(_ context: OpaquePointer) {
        guard EVP_CipherInit_ex2(context, nil, zeroKey, zeroKey, -1, nil) == 1 else {
            fatalError("AES-256-GCM failed")
        }
    }

    private static let zeroKey = [UInt8](repeating: 0, count: 32)

    private init() {
        guard let encryption = EVP_CIPHER_CTX_new(),
            let decryption = EVP_CIPHER_CTX_new(),
            EVP_EncryptInit_ex2(encryption, Algorithms.aes256gcm, nil, nil, nil) == 1,
            EVP_DecryptInit_ex2(decryption, Algorithms.aes256gcm, nil, nil, nil) == 1
        else { fatalError("no memory for OpenSSL contexts") }
        (self.encryption, self.decryption) = (encryption, decryption)
    }

    deinit {
        EVP_CIPHER_CTX_free(encryption)
        EVP_CIPHER_CTX_free(decryption)
    }

    static var current: ThreadContexts {
        if let stored = pthread_getspecific(slot) {
            return Unmanaged<ThreadContexts>.fromOpaque(stored).takeUnretainedValue()
        }
        let contexts = ThreadContexts()
        pthread_setspecific(slot, Unmanaged.passRetained(contexts).toOpaque())
        return contexts
    }

    private static let slot: pthread_key_t = {
        var key = pthread_key_t()
        let made = pthread_key_create(&key) { stored in
            guard let stored else { return }
            Unmanaged<ThreadContexts>.fromOpaque(stored).release()
        }
        guard made == 0 else { fatalError("no thread-specific key left") }
        return key
    }()
}
