import Encoding
import Envelope
import Secrets

/// What a provider gave us for one connection, as it stands sealed under the connection key.
///
///     version 1 ‖ access token ‖ refresh token ‖ token type ‖ account id ‖ account label ‖ tenant ‖ log keys ‖ label
///
/// each a 32-bit length (big endian) and that many bytes; an absent field has length 0.
public struct Credential: Sendable {
    public var accessToken: SecretText
    public var refreshToken: SecretText?
    public var tokenType: String
    public var accountID: String
    public var accountLabel: String
    public var tenant: String
    /// What callers say is recorded under the first of these, 32 bytes each, newest first. They outlive the connection
    /// key, so that activity stays readable; and with every new connection key comes a new one, so that whoever has an
    /// old connection key reads nothing of what is recorded from then on.
    public var logKeys: SecretText
    /// What the person calls this connection. Sealed like the account, which it may well repeat.
    public var label: String

    public init(
        accessToken: SecretText, refreshToken: SecretText?, tokenType: String, accountID: String, accountLabel: String,
        tenant: String, logKeys: SecretText, label: String = ""
    ) {
        self.accessToken = accessToken
        self.refreshToken = refreshToken
        self.tokenType = tokenType
        self.accountID = accountID
        self.accountLabel = accountLabel
        self.tenant = tenant
        self.logKeys = logKeys
        self.label = label
    }

    public init(decoding sealed: borrowing SecretBytes) throws {
        self = try sealed.withUnsafeBytes { buffer in
            let view = try CredentialView(buffer)
            return Credential(
                accessToken: try SecretText(copying: view.accessToken),
                refreshToken: view.refreshToken.isEmpty ? nil : try SecretText(copying: view.refreshToken),
                tokenType: String(decoding: view.tokenType, as: UTF8.self),
                accountID: String(decoding: view.accountID, as: UTF8.self),
                accountLabel: String(decoding: view.accountLabel, as: UTF8.self),
                tenant: String(decoding: view.tenant, as: UTF8.self), logKeys: try SecretText(copying: view.logKeys),
                label: String(decoding: view.label, as: UTF8.self))
        }
    }

    /// A provider that sends no refresh token with a later consent of an account means that the one it gave before goes on.
    /// Whose it was must be known: another account's would bring back another account's tokens.
    public func keepsRefreshToken(of old: Credential) -> Bool {
        refreshToken == nil && old.refreshToken != nil && !accountID.isEmpty && accountID == old.accountID
    }

    private static let logKeySize = 32
    private static let mostLogKeys = 16

    /// For a new connection key: what is said from now on is recorded under a new log key. Beyond the limit the oldest
    /// is forgotten, and what was recorded under it stays closed.
    func withNewLogKey(_ random: Randomness) throws -> Credential {
        let kept = min(logKeys.count, (Self.mostLogKeys - 1) * Self.logKeySize)
        var renewed = self
        renewed.logKeys = SecretText(
            try SecretBytes(count: Self.logKeySize + kept) { out in
                random.fill(UnsafeMutableRawBufferPointer(rebasing: out[..<Self.logKeySize]))
                logKeys.withUnsafeBytes {
                    UnsafeMutableRawBufferPointer(rebasing: out[Self.logKeySize...])
                        .copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[..<kept]))
                }
            })
        return renewed
    }

    func withEncoded<R>(_ body: (UnsafeRawBufferPointer) throws -> R) throws -> R {
        let texts = [Array(tokenType.utf8), Array(accountID.utf8), Array(accountLabel.utf8), Array(tenant.utf8)]
        let count =
            1 + 8 * 4 + accessToken.count + (refreshToken?.count ?? 0) + texts.reduce(0) { $0 + $1.count }
            + logKeys.count + label.utf8.count
        let encoded = try SecretBytes(count: count) { target in
            var offset = 1
            target[0] = 1
            func put(_ source: UnsafeRawBufferPointer) {
                target.storeBytes(of: UInt32(source.count).bigEndian, toByteOffset: offset, as: UInt32.self)
                UnsafeMutableRawBufferPointer(rebasing: target[(offset + 4)...]).copyMemory(from: source)
                offset += 4 + source.count
            }
            accessToken.withUnsafeBytes { put($0) }
            if let refreshToken {
                refreshToken.withUnsafeBytes { put($0) }
            } else {
                put(UnsafeRawBufferPointer(start: nil, count: 0))
            }
            for text in texts { text.withUnsafeBytes { put($0) } }
            logKeys.withUnsafeBytes { put($0) }
            Array(label.utf8).withUnsafeBytes { put($0) }
        }
        return try encoded.withUnsafeBytes { try body($0) }
    }
}

/// The fields of an opened credential where they lie: what a vend reads, without copies.
public struct CredentialView {
    public let accessToken, refreshToken, tokenType, accountID, accountLabel, tenant, logKeys,
        label: UnsafeRawBufferPointer

    public init(_ buffer: UnsafeRawBufferPointer) throws(VaultError) {
        guard buffer.first == 1 else { throw .damaged("credential version") }
        var offset = 1
        func next() throws(VaultError) -> UnsafeRawBufferPointer {
            guard buffer.count - offset >= 4 else { throw .damaged("credential") }
            let length = Int(UInt32(bigEndian: buffer.loadUnaligned(fromByteOffset: offset, as: UInt32.self)))
            guard buffer.count - offset - 4 >= length else { throw .damaged("credential") }
            defer { offset += 4 + length }
            return UnsafeRawBufferPointer(rebasing: buffer[(offset + 4)..<(offset + 4 + length)])
        }
        accessToken = try next()
        refreshToken = try next()
        tokenType = try next()
        accountID = try next()
        accountLabel = try next()
        tenant = try next()
        logKeys = try next()
        label = try next()
    }
}
