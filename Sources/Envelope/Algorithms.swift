import COpenSSL
import Glibc

/// What OpenSSL would otherwise look up at every operation, fetched once a process. A libcrypto without these is unusable.
enum Algorithms {
    nonisolated(unsafe) static let sha256 = fetched(EVP_MD_fetch(nil, "SHA2-256", nil))
    nonisolated(unsafe) static let aes256gcm = fetched(EVP_CIPHER_fetch(nil, "AES-256-GCM", nil))

    private static func fetched(_ algorithm: OpaquePointer?) -> OpaquePointer {
        guard let algorithm else { fatalError("libcrypto has no SHA-256 or no AES-256-GCM") }
        return algorithm
    }
}

/// OpenSSL contexts of one thread, made at its first use and freed with it. Between uses they hold no key and no state of
/// a message: every operation puts them back to their initial state.
final class ThreadContexts {
    let digest: OpaquePointer
    let encryption: OpaquePointer
    let decryption: OpaquePointer

    private init() {
        guard let digest = EVP_MD_CTX_new(), let encryption = EVP_CIPHER_CTX_new(),
            let decryption = EVP_CIPHER_CTX_new(),
            EVP_DigestInit_ex2(digest, Algorithms.sha256, nil) == 1,
            EVP_EncryptInit_ex2(encryption, Algorithms.aes256gcm, nil, nil, nil) == 1,
            EVP_DecryptInit_ex2(decryption, Algorithms.aes256gcm, nil, nil, nil) == 1
        else { fatalError("no memory for OpenSSL contexts") }
        (self.digest, self.encryption, self.decryption) = (digest, encryption, decryption)
    }

    deinit {
        EVP_MD_CTX_free(digest)
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
