import Encoding
import Envelope
import Secrets

/// What a provider gave us for one connection, as it stands sealed under the connection key.
///
///     version 1 ‖ access token ‖ refresh token ‖ token type ‖ account id ‖ account label ‖ tenant ‖ log key ‖ label ‖
///     account claim
///
/// each a 32-bit length (big endian) and that many bytes; an absent field has length 0.
public struct Credential: Sendable {
    public var accessToken: SecretText
    public var refreshToken: SecretText?
    public var tokenType: String
    public var accountID: String
    public var accountLabel: String
    public var tenant: String
    /// What callers say is recorded under it: 32 bytes, new with every connection key (`withNewLogKey`). Empty before it
    /// is first stored.
    var logKey: SecretText
    /// What the person calls this connection. Sealed like the account, which it may well repeat.
    public var label: String
    /// The claim of a record of a use of which nothing was said: the account, sealed under the log key.
    var accountClaim: [UInt8]

    public init(
        accessToken: SecretText, refreshToken: SecretText?, tokenType: String, accountID: String, accountLabel: String,
        tenant: String, label: String = ""
    ) throws(SecureHeapError) {
        try self.init(
            accessToken: accessToken, refreshToken: refreshToken, tokenType: tokenType, accountID: accountID,
            accountLabel: accountLabel, tenant: tenant, logKey: SecretText(""), label: label, accountClaim: [])
    }

    private init(
        accessToken: SecretText, refreshToken: SecretText?, tokenType: String, accountID: String, accountLabel: String,
        tenant: String, logKey: SecretText, label: String, accountClaim: [UInt8]
    ) {
        self.accessToken = accessToken
        self.refreshToken = refreshToken
        self.tokenType = tokenType
        self.accountID = accountID
        self.accountLabel = accountLabel
        self.tenant = tenant
        self.logKey = logKey
        self.label = label
        self.accountClaim = accountClaim
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
                tenant: String(decoding: view.tenant, as: UTF8.self), logKey: try SecretText(copying: view.logKey),
                label: String(decoding: view.label, as: UTF8.self), accountClaim: Array(view.accountClaim))
        }
    }

    /// A provider that sends no refresh token with a later consent of an account means that the one it gave before goes on.
    /// Whose it was must be known: another account's would bring back another account's tokens.
    public func keepsRefreshToken(of old: Credential) -> Bool {
        refreshToken == nil && old.refreshToken != nil && !accountID.isEmpty && accountID == old.accountID
    }

    func withEncoded<R>(_ body: (UnsafeRawBufferPointer) throws -> R) throws -> R {
        let texts = [Array(tokenType.utf8), Array(accountID.utf8), Array(accountLabel.utf8), Array(tenant.utf8)]
        let count =
            1 + 9 * 4 + accessToken.count + (refreshToken?.count ?? 0) + texts.reduce(0) { $0 + $1.count }
            + logKey.count + label.utf8.count + accountClaim.count
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
            logKey.withUnsafeBytes { put($0) }
            Array(label.utf8).withUnsafeBytes { put($0) }
            accountClaim.withUnsafeBytes { put($0) }
        }
        return try encoded.withUnsafeBytes { try body($0) }
    }
}

/// The fields of an opened credential where they lie: what a vend reads, without copies.
public struct CredentialView {
    public let accessToken, refreshToken, tokenType, accountID, accountLabel, tenant, logKey,
        label, accountClaim: UnsafeRawBufferPointer

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
        logKey = try next()
        label = try next()
        accountClaim = try next()
    }
}
