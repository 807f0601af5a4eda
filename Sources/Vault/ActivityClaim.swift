import Encoding
import Envelope
import Secrets

/// What a record says that only its person may read: why, for which tool, and of whose account. Sealed under the log key
/// that the connection has at that time: reason ‖ 0 ‖ tool ‖ 0 ‖ account.
public struct ActivityClaim: Hashable, Sendable {
    public let reason: String
    public let tool: String
    public let account: String

    init(reason: String, tool: String, account: String) {
        (self.reason, self.tool, self.account) = (reason, tool, account)
    }

    /// Of a vend, out of the credential that it has open. Where nothing was said, what there is to seal was sealed when the
    /// credential was stored.
    public static func sealed(
        reason: String, tool: String, with credential: CredentialView, connection: ConnectionID, _ random: Randomness
    ) throws -> [UInt8]? {
        guard !(reason.isEmpty && tool.isEmpty) else {
            return credential.accountClaim.isEmpty ? nil : Array(credential.accountClaim)
        }
        let key = try Key<LogRole>(copying: credential.logKey)
        return try text(reason, tool, credential.accountLabel).withUnsafeBytes {
            try AEAD.seal($0, under: key, Purpose.claim(connection), random)
        }
    }

    /// Before it is sealed. None of the three has a control character in it.
    static func text(_ reason: String, _ tool: String, _ account: some Collection<UInt8>) -> [UInt8] {
        var text: [UInt8] = []
        text.reserveCapacity(reason.utf8.count + tool.utf8.count + account.count + 2)
        text.append(contentsOf: reason.utf8)
        text.append(0)
        text.append(contentsOf: tool.utf8)
        text.append(0)
        text.append(contentsOf: account)
        return text
    }

    init(opening claim: [UInt8], under key: borrowing Key<LogRole>, connection: ConnectionID) throws {
        let opened = try AEAD.open(claim, under: key, Purpose.claim(connection))
        let parts = opened.withUnsafeBytes { String(decoding: $0, as: UTF8.self) }
            .split(separator: "\u{0}", maxSplits: 2, omittingEmptySubsequences: false).map(String.init)
        guard parts.count == 3 else { throw VaultError.damaged("claim") }
        self.init(reason: parts[0], tool: parts[1], account: parts[2])
    }
}

/// What was said of one connection, key after key.
public struct ActivityLog: Sendable {
    /// From one new key to the next. Nobody's account changes in between: every consent brings a new one.
    final class Era: Sendable {
        let key: LogKey
        let since: Instant
        let account: String?

        init(_ key: LogKey, since: Instant, account: [UInt8], of connection: ConnectionID) {
            (self.key, self.since) = (key, since)
            self.account = try? ActivityClaim(opening: account, under: key.key, connection: connection).account
        }
    }

    let connection: ConnectionID
    /// Some of its keys came while the vault was closed; see `wrapLogKeys`.
    public let hasSealed: Bool
    /// Newest first.
    let eras: [Era]

    /// What a record says. Without a claim, or with one that does not open, whose account it was at that time. nil: nothing
    /// of this connection can be read here.
    public func read(_ claim: [UInt8]?, at: Instant) -> ActivityClaim? {
        let then = eras.firstIndex { $0.since <= at } ?? eras.indices.last
        guard let then else { return nil }
        if let claim {
            // A use that was under way when the key changed was recorded just after it.
            for index in [then] + eras.indices.filter({ $0 != then }) {
                let key = eras[index].key
                if let read = try? ActivityClaim(opening: claim, under: key.key, connection: connection) { return read }
            }
        }
        return eras[then].account.map { ActivityClaim(reason: "", tool: "", account: $0) }
    }
}
