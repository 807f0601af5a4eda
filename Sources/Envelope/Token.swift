import Encoding
import Secrets

/// A token of ours: which slot, and the 32 random bytes that open it. Never stored; it lives in a cookie, a header or on
/// paper.
public struct Token: ~Copyable, Sendable {
    public let kind: TokenKind
    public let id: SlotID
    /// `id 16 ‖ secret 32`: in one piece, as the text has them.
    private let body: SecretBytes

    public init(issuing kind: TokenKind, id: SlotID, _ random: Randomness) throws(TokenError) {
        body = try takingSecureMemory(orThrowing: TokenError.exhausted) { () throws(SecureHeapError) in
            try SecretBytes(count: TokenText.bodyByteCount) { out in
                out.copyBytes(from: id.bytes)
                random.fill(UnsafeMutableRawBufferPointer(rebasing: out[TokenText.idByteCount...]))
            }
        }
        (self.kind, self.id) = (kind, id)
    }

    /// The 32 bytes that a passkey evaluated for us (WebAuthn's PRF extension), in the place of a token's secret.
    public init(passkey id: SlotID, output: [UInt8]) throws(TokenError) {
        guard output.count == TokenText.bodyByteCount - TokenText.idByteCount else { throw .wrongLength }
        body = try takingSecureMemory(orThrowing: TokenError.exhausted) { () throws(SecureHeapError) in
            try SecretBytes(count: TokenText.bodyByteCount) { $0.copyBytes(from: id.bytes + output) }
        }
        (kind, self.id) = (.passkey, id)
    }

    public init(parsing text: UnsafeRawBufferPointer) throws(TokenError) {
        guard let kind = TokenText.kind(of: text) else { throw .unknownPrefix }
        guard text.count == TokenText.count else { throw .wrongLength }
        guard TokenText.isChecksumRight(text) else { throw .wrongChecksum }
        let digits = UnsafeRawBufferPointer(rebasing: text[TokenText.bodyRange])
        var isDecoded = false
        let body = try takingSecureMemory(orThrowing: TokenError.exhausted) { () throws(SecureHeapError) in
            try SecretBytes(count: TokenText.bodyByteCount) { isDecoded = Base64URL.decode(digits, into: $0) != nil }
        }
        guard isDecoded, let id = body.withUnsafeBytes({ TokenText.id(in: $0) })
        else { throw .malformed }
        (self.kind, self.id) = (kind, id)
        self.body = body
    }

    public init(parsing text: String) throws(TokenError) {
        guard text.utf8.count <= TokenText.count else { throw .wrongLength }
        let copy = try takingSecureMemory(orThrowing: TokenError.exhausted) { () throws(SecureHeapError) in
            try SecretBytes(count: text.utf8.count) { $0.copyBytes(from: text.utf8) }
        }
        self = try copy.withUnsafeBytes { (bytes) throws(TokenError) in try Token(parsing: bytes) }
    }

    public borrowing func text() throws(TokenError) -> SecretText {
        let text = try takingSecureMemory(orThrowing: TokenError.exhausted) { () throws(SecureHeapError) in
            try SecretBytes(count: TokenText.count) { out in
                body.withUnsafeBytes { TokenText.write(kind, body: $0, to: out) }
            }
        }
        return SecretText(text)
    }

    /// The key that the slot's private half is wrapped under. HKDF-SHA-256: extract with the slot's salt, expand with
    /// kind, slot and vault.
    public borrowing func derivedKey(salt: [UInt8], vault: VaultID?) throws(EnvelopeError) -> Key<DerivedRole> {
        try salt.span.withUnsafeBytes { (salt) throws(EnvelopeError) in try derivedKey(salt: salt, vault: vault) }
    }

    public borrowing func derivedKey(
        salt: UnsafeRawBufferPointer, vault: VaultID?
    ) throws(EnvelopeError) -> Key<DerivedRole> {
        var info = AssociatedData("toolshed/v1/derived")
        info.add(kind.rawValue)
        info.add(id)
        if let vault { info.add(vault) } else { info.add(bytes: []) }
        let pseudorandom = try withSecret { (secret) throws(EnvelopeError) in
            try Key<DerivedRole> { out in
                HKDF.extract(salt: salt, into: out.baseAddress!) { $0.update(secret) }
            }
        }
        return try pseudorandom.derive(DerivedRole.self, info: info)
    }

    /// The key of its own that a plugin's key gives for one person: HKDF-SHA-256 without salt, id and secret in one.
    public borrowing func forPerson(_ person: PersonID) throws(TokenError) -> Token {
        var info = AssociatedData("toolshed/v1/person-key")
        info.add(person.text)
        let body = try withSecret { (secret) throws(TokenError) in
            try takingSecureMemory(orThrowing: TokenError.exhausted) { () throws(SecureHeapError) in
                let pseudorandom = try SecretBytes(count: Digest.size) { out in
                    HKDF.extract(salt: UnsafeRawBufferPointer(start: nil, count: 0), into: out.baseAddress!) {
                        $0.update(secret)
                    }
                }
                return try SecretBytes(count: TokenText.bodyByteCount) { out in
                    pseudorandom.withUnsafeBytes { key in HKDF.expand(key, into: out) { $0.update(info) } }
                }
            }
        }
        return try Token(.pluginPerson, body)
    }

    private init(_ kind: TokenKind, _ body: consuming SecretBytes) throws(TokenError) {
        guard let id = body.withUnsafeBytes({ TokenText.id(in: $0) }) else { throw .malformed }
        (self.kind, self.id) = (kind, id)
        self.body = body
    }

    /// SHA-256 of the secret: how one-time codes are stored. 256 random bits need no salt.
    public borrowing func fingerprint() -> [UInt8] {
        withSecret { sha256($0) }
    }

    private borrowing func withSecret<Result: ~Copyable, Failure: Error>(
        _ use: (UnsafeRawBufferPointer) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try body.withUnsafeBytes { (bytes) throws(Failure) in
            try use(UnsafeRawBufferPointer(rebasing: bytes[TokenText.idByteCount...]))
        }
    }
}
