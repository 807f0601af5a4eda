import COpenSSL
import Secrets

/// AES-256-GCM (NIST SP 800-38D) with 96-bit nonces and 128-bit tags on this thread's contexts.
enum GCM {
    static let nonceSize = 12
    static let tagSize = 16

    /// `out` takes the ciphertext and then the tag.
    static func encrypt(
        _ plaintext: UnsafeRawBufferPointer, key: UnsafeRawBufferPointer, nonce: UnsafeRawPointer,
        data: UnsafeRawBufferPointer, into out: UnsafeMutableRawPointer
    ) {
        let contexts = ThreadContexts.current
        let context = contexts.encryption
        contexts.willUse(context)
        defer { contexts.forget() }
        let out = out.assumingMemoryBound(to: UInt8.self)
        var written: Int32 = 0
        let isDone =
            EVP_EncryptInit_ex2(context, nil, pointer(key), nonce.assumingMemoryBound(to: UInt8.self), nil) == 1
            && (data.isEmpty || EVP_EncryptUpdate(context, nil, &written, pointer(data), Int32(data.count)) == 1)
            && (plaintext.isEmpty
                || EVP_EncryptUpdate(context, out, &written, pointer(plaintext), Int32(plaintext.count)) == 1)
            && EVP_EncryptFinal_ex(context, out + plaintext.count, &written) == 1
            && EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, Int32(tagSize), out + plaintext.count) == 1
        guard isDone else { fatalError("AES-256-GCM failed") }
    }

    /// False, and nothing of use in `out`, when the tag is wrong. `sealed` is the ciphertext and then the tag.
    static func decrypt(
        _ sealed: UnsafeRawBufferPointer, key: UnsafeRawBufferPointer, nonce: UnsafeRawPointer,
        data: UnsafeRawBufferPointer, into out: UnsafeMutableRawBufferPointer
    ) -> Bool {
        let contexts = ThreadContexts.current
        let context = contexts.decryption
        contexts.willUse(context)
        defer { contexts.forget() }
        let count = sealed.count - tagSize
        guard count >= 0, count == out.count, let source = sealed.baseAddress else { return false }
        let target = out.baseAddress?.assumingMemoryBound(to: UInt8.self)
        var written: Int32 = 0
        let tag = UnsafeMutableRawPointer(mutating: source + count)
        var rest: (UInt64, UInt64) = (0, 0)
        let isDone =
            EVP_DecryptInit_ex2(context, nil, pointer(key), nonce.assumingMemoryBound(to: UInt8.self), nil) == 1
            && (data.isEmpty || EVP_DecryptUpdate(context, nil, &written, pointer(data), Int32(data.count)) == 1)
            && (count == 0 || EVP_DecryptUpdate(context, target, &written, pointer(sealed), Int32(count)) == 1)
            && EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, Int32(tagSize), tag) == 1
            && withUnsafeMutableBytes(of: &rest) {
                EVP_DecryptFinal_ex(context, $0.baseAddress!.assumingMemoryBound(to: UInt8.self), &written) == 1
            }
        if !isDone { wipe(out) }
        return isDone
    }

    private static func pointer(_ bytes: UnsafeRawBufferPointer) -> UnsafePointer<UInt8>? {
        bytes.baseAddress?.assumingMemoryBound(to: UInt8.self)
    }
}
