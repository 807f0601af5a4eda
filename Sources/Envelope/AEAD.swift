import COpenSSL
import Secrets

/// Boxes under a symmetric key: `0x01 ‖ 0x01 ‖ key id ‖ nonce 12 ‖ ciphertext ‖ tag 16`. Four verbs: seal and open for data,
/// wrap and unwrap for keys.
public enum AEAD {
    static let overhead = BoxHeader.count + GCM.nonceSize + GCM.tagSize

    public static func seal<Role>(
        _ plaintext: UnsafeRawBufferPointer, under key: borrowing Key<Role>, _ data: AssociatedData,
        _ random: Randomness
    ) throws(EnvelopeError) -> [UInt8] {
        seal(plaintext, under: key, keyID: 0, data, random)
    }

    public static func open<Role>(
        _ box: [UInt8], under key: borrowing Key<Role>, _ data: AssociatedData
    ) throws(EnvelopeError) -> SecretBytes {
        try key.withUnsafeBytes { (key) throws(EnvelopeError) in
            try box.span.withUnsafeBytes { (box) throws(EnvelopeError) in try open(box, key: key, data) }
        }
    }

    public static func open<Role>(
        _ box: UnsafeRawBufferPointer, under key: borrowing Key<Role>, _ data: AssociatedData
    ) throws(EnvelopeError) -> SecretBytes {
        try key.withUnsafeBytes { (key) throws(EnvelopeError) in try open(box, key: key, data) }
    }

    /// Not generic, so that it is one piece of code for every role.
    private static func open(
        _ box: UnsafeRawBufferPointer, key: UnsafeRawBufferPointer, _ data: AssociatedData
    ) throws(EnvelopeError) -> SecretBytes {
        let header = try BoxHeader(parsing: box, expecting: .aes256gcm)
        guard header.keyID == 0 else { throw .unknownKey(header.keyID) }
        guard box.count >= overhead else { throw .malformed }
        var isOpen = false
        let plaintext = try takingSecureMemory { () throws(SecureHeapError) in
            try SecretBytes(count: box.count - overhead) { isOpen = open(box, key: key, data, into: $0) }
        }
        guard isOpen else { throw .doesNotOpen }
        return plaintext
    }

    public static func wrap<Inner, Role>(
        _ inner: borrowing Key<Inner>, under key: borrowing Key<Role>, _ data: AssociatedData, _ random: Randomness
    ) throws(EnvelopeError) -> [UInt8] {
        inner.withUnsafeBytes { seal($0, under: key, keyID: 0, data, random) }
    }

    public static func unwrap<Inner, Role>(
        _ box: [UInt8], as role: Inner.Type, under key: borrowing Key<Role>, _ data: AssociatedData
    ) throws(EnvelopeError) -> Key<Inner> {
        try Key(open(box, under: key, data))
    }

    public static func unwrap<Inner, Role>(
        _ box: UnsafeRawBufferPointer, as role: Inner.Type, under key: borrowing Key<Role>, _ data: AssociatedData
    ) throws(EnvelopeError) -> Key<Inner> {
        try Key(open(box, under: key, data))
    }

    // MARK: For every key id

    static func seal<Role>(
        _ plaintext: UnsafeRawBufferPointer, under key: borrowing Key<Role>, keyID: UInt16, _ data: AssociatedData,
        _ random: Randomness
    ) -> [UInt8] {
        key.withUnsafeBytes { key in
            [UInt8](unsafeUninitializedCapacity: overhead + plaintext.count) { out, count in
                let base = out.baseAddress!
                BoxHeader(.aes256gcm, keyID: keyID).write(to: base)
                let nonce = base + BoxHeader.count
                random.fill(UnsafeMutableRawBufferPointer(start: nonce, count: GCM.nonceSize))
                data.withBytes(behind: UnsafeRawBufferPointer(start: base, count: BoxHeader.count)) {
                    GCM.encrypt(plaintext, key: key, nonce: nonce, data: $0, into: nonce + GCM.nonceSize)
                }
                count = overhead + plaintext.count
            }
        }
    }

    /// `box` has a header and at least `overhead` bytes; `out` has the room for its plaintext.
    static func open(
        _ box: UnsafeRawBufferPointer, key: UnsafeRawBufferPointer, _ data: AssociatedData,
        into out: UnsafeMutableRawBufferPointer
    ) -> Bool {
        let nonceEnd = BoxHeader.count + GCM.nonceSize
        return data.withBytes(behind: UnsafeRawBufferPointer(rebasing: box[..<BoxHeader.count])) {
            GCM.decrypt(
                UnsafeRawBufferPointer(rebasing: box[nonceEnd...]), key: key,
                nonce: box.baseAddress! + BoxHeader.count, data: $0, into: out)
        }
    }
}
