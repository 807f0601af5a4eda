import Secrets

/// RFC 9180, base mode, one message an encapsulation: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM.
/// Box: `0x01 ‖ 0x02 ‖ key id ‖ enc 32 ‖ ciphertext ‖ tag 16`. `info` says what for; the associated data binds the header too.
public enum HPKE {
    static let overhead = BoxHeader.count + PublicKey.size + GCM.tagSize

    public static func seal(
        _ plaintext: UnsafeRawBufferPointer, to recipient: PublicKey, info: AssociatedData, _ data: AssociatedData,
        keyID: UInt16 = 0, _ random: Randomness
    ) throws(EnvelopeError) -> [UInt8] {
        let ephemeral = try PrivateKey(random: random).agreement()
        let encapsulated = ephemeral.publicKey
        let message = try HPKESchedule(
            own: ephemeral, peer: recipient, encapsulated: encapsulated, recipient: recipient, info: info.bytes)
        return message.key.withUnsafeBytes { key in
            [UInt8](unsafeUninitializedCapacity: overhead + plaintext.count) { out, count in
                let base = out.baseAddress!
                BoxHeader(.hpke, keyID: keyID).write(to: base)
                (base + BoxHeader.count).update(from: encapsulated.bytes, count: PublicKey.size)
                data.withBytes(behind: UnsafeRawBufferPointer(start: base, count: BoxHeader.count)) {
                    GCM.encrypt(
                        plaintext, key: key, nonce: message.nonce, data: $0,
                        into: base + BoxHeader.count + PublicKey.size)
                }
                count = overhead + plaintext.count
            }
        }
    }

    public static func open(
        _ box: [UInt8], with recipient: borrowing PrivateKey, info: AssociatedData, _ data: AssociatedData
    ) throws(EnvelopeError) -> SecretBytes {
        _ = try BoxHeader(parsing: box, expecting: .hpke)
        guard box.count >= overhead,
            let encapsulated = PublicKey(bytes: Array(box[BoxHeader.count..<BoxHeader.count + PublicKey.size]))
        else { throw .malformed }
        let own = try recipient.agreement()
        let message = try HPKESchedule(
            own: own, peer: encapsulated, encapsulated: encapsulated, recipient: own.publicKey, info: info.bytes)
        var isOpen = false
        let plaintext = try takingSecureMemory { () throws(SecureHeapError) in
            try SecretBytes(count: box.count - overhead) { out in
                isOpen = box.withUnsafeBytes { box in
                    message.key.withUnsafeBytes { key in
                        data.withBytes(behind: UnsafeRawBufferPointer(rebasing: box[..<BoxHeader.count])) {
                            GCM.decrypt(
                                UnsafeRawBufferPointer(rebasing: box[(BoxHeader.count + PublicKey.size)...]), key: key,
                                nonce: message.nonce, data: $0, into: out)
                        }
                    }
                }
            }
        }
        guard isOpen else { throw .doesNotOpen }
        return plaintext
    }

    public static func sealKey<Role>(
        _ key: borrowing Key<Role>, to recipient: PublicKey, info: AssociatedData, _ data: AssociatedData,
        keyID: UInt16 = 0, _ random: Randomness
    ) throws(EnvelopeError) -> [UInt8] {
        try key.withUnsafeBytes { (bytes) throws(EnvelopeError) in
            try seal(bytes, to: recipient, info: info, data, keyID: keyID, random)
        }
    }

    public static func openKey<Role>(
        _ box: [UInt8], as role: Role.Type, with recipient: borrowing PrivateKey, info: AssociatedData,
        _ data: AssociatedData
    ) throws(EnvelopeError) -> Key<Role> {
        try Key(open(box, with: recipient, info: info, data))
    }
}

/// RFC 9180 §4.1 and §5.1 for sender and recipient: they differ only in whose private key meets whose public key.
struct HPKESchedule: ~Copyable {
    enum SharedSecret {}
    enum MessageKey {}
    private enum Pseudorandom {}

    let key: Key<MessageKey>
    /// `base_nonce`, which is the nonce of the first and only message (§5.2). Not a secret.
    let nonce: [UInt8]

    init(
        own: borrowing Agreement, peer: PublicKey, encapsulated: PublicKey, recipient: PublicKey, info: [UInt8]
    ) throws(EnvelopeError) {
        let shared = try Self.sharedSecret(own: own, peer: peer, context: encapsulated.bytes + recipient.bytes)
        var key = try takingSecureMemory { () throws(SecureHeapError) in
            try SecretBytes(count: Key<MessageKey>.size) { _ in }
        }
        var nonce = [UInt8](repeating: 0, count: GCM.nonceSize)
        try key.withUnsafeMutableBytes { (key) throws(EnvelopeError) in
            try nonce.withUnsafeMutableBufferPointer { (nonce) throws(EnvelopeError) in
                try Self.expand(
                    shared, info: info, suite: .hpke, key: key, nonce: UnsafeMutableRawBufferPointer(nonce))
            }
        }
        self.key = try Key(key)
        self.nonce = nonce
    }

    /// `ExtractAndExpand` of §4.1.
    static func sharedSecret(
        own: borrowing Agreement, peer: PublicKey, context: [UInt8]
    ) throws(EnvelopeError) -> Key<SharedSecret> {
        let suite = HPKESuite.kem
        var agreement = try takingSecureMemory { () throws(SecureHeapError) in try SecretBytes(count: 32) { _ in } }
        try agreement.withUnsafeMutableBytes { (out) throws(EnvelopeError) in try own.agree(with: peer, into: out) }
        let extracted: Key<Pseudorandom> = try agreement.withUnsafeBytes { (agreement) throws(EnvelopeError) in
            try suite.extract(salt: UnsafeRawBufferPointer(start: nil, count: 0), "eae_prk", agreement)
        }
        return try Key { suite.expand(extracted, "shared_secret", context, into: $0) }
    }

    /// `KeySchedule` of §5.1 in base mode; the sizes of `key` and `nonce` are those of the suite's AEAD.
    static func expand(
        _ shared: borrowing Key<SharedSecret>, info: [UInt8], suite: HPKESuite, key: UnsafeMutableRawBufferPointer,
        nonce: UnsafeMutableRawBufferPointer
    ) throws(EnvelopeError) {
        let secret: Key<Pseudorandom> = try shared.withUnsafeBytes { (shared) throws(EnvelopeError) in
            try suite.extract(salt: shared, "secret", UnsafeRawBufferPointer(start: nil, count: 0))
        }
        let context = [HPKESuite.baseMode] + suite.hash("psk_id_hash", []) + suite.hash("info_hash", info)
        suite.expand(secret, "key", context, into: key)
        suite.expand(secret, "base_nonce", context, into: nonce)
    }
}

/// The labeled functions of RFC 9180 §4, under one `suite_id`.
struct HPKESuite {
    static let baseMode: UInt8 = 0
    /// "KEM" ‖ DHKEM(X25519, HKDF-SHA256).
    static let kem = HPKESuite(id: Array("KEM".utf8) + [0x00, 0x20])
    /// "HPKE" ‖ DHKEM(X25519, HKDF-SHA256) ‖ HKDF-SHA256 ‖ AES-256-GCM.
    static let hpke = HPKESuite(id: Array("HPKE".utf8) + [0x00, 0x20, 0x00, 0x01, 0x00, 0x02])

    let id: [UInt8]

    func extract<Role>(
        salt: UnsafeRawBufferPointer, _ label: StaticString, _ material: UnsafeRawBufferPointer
    ) throws(EnvelopeError) -> Key<Role> {
        try Key { out in extract(salt: salt, label, material, into: out.baseAddress!) }
    }

    /// LabeledExtract without salt, of what is not secret.
    func hash(_ label: StaticString, _ material: [UInt8]) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: Digest.size) { out, count in
            material.withUnsafeBytes {
                extract(salt: UnsafeRawBufferPointer(start: nil, count: 0), label, $0, into: out.baseAddress!)
            }
            count = Digest.size
        }
    }

    func expand<Role>(
        _ key: borrowing Key<Role>, _ label: StaticString, _ info: [UInt8], into out: UnsafeMutableRawBufferPointer
    ) {
        key.withUnsafeBytes { key in
            HKDF.expand(key, into: out) { digest in
                digest.update(UInt8(out.count >> 8))
                digest.update(UInt8(out.count & 0xFF))
                digest.update("HPKE-v1")
                digest.update(id)
                digest.update(label)
                digest.update(info)
            }
        }
    }

    private func extract(
        salt: UnsafeRawBufferPointer, _ label: StaticString, _ material: UnsafeRawBufferPointer,
        into out: UnsafeMutableRawPointer
    ) {
        HKDF.extract(salt: salt, into: out) { digest in
            digest.update("HPKE-v1")
            digest.update(id)
            digest.update(label)
            digest.update(material)
        }
    }
}
