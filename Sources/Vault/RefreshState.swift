import Encoding
import Envelope
import GRDB
import OAuth
import Secrets

/// What is known about a request that may be under way (docs/ARCHITECTURE.md, refresh).
public enum RefreshIntent: Hashable, Sendable {
    case none
    /// Written down before the first byte is sent. Whoever finds it without its owner cannot know how far it came.
    case armed(since: Instant)
    /// It may have reached the provider, and no answer was read.
    case ambiguous(since: Instant)
}

/// A connection as the refresh engine sees it, unopened.
public struct RefreshState: Sendable {
    public let connection: Connection
    public let intent: RefreshIntent
    public let nextRefreshAt: Instant?
    /// After a failure: not to be tried again before, whoever asks.
    public let notBefore: Instant?
    public let failures: Int64
    /// What ended the latest attempt: a code of the provider or of our own.
    public let lastCode: String?
    /// Somebody else may have its tokens: renewed as soon as it can be, however new they are.
    public let renewPending: Bool
    let leaseEpoch: Int64
    let leaseOwner: String?
    let leaseUntil: Instant?

    init(_ row: Row) throws {
        connection = try Connection(row)
        let since = row.instant("intent_at_ms")
        intent =
            switch row.text("intent") {
            case "none": .none
            case "armed": .armed(since: since)
            case "ambiguous": .ambiguous(since: since)
            default: throw VaultError.damaged("intent")
            }
        nextRefreshAt = row.optionalInstant("next_refresh_at_ms")
        notBefore = row.optionalInstant("not_before_ms")
        failures = row["failures"]
        lastCode = row["last_code"]
        renewPending = row["renew_pending"]
        leaseEpoch = row["lease_epoch"]
        leaseOwner = row["lease_owner"]
        leaseUntil = row.optionalInstant("lease_until_ms")
    }

    /// Somebody holds the lease and its time is not over.
    public func isLeased(at now: Instant) -> Bool {
        guard leaseOwner != nil, let leaseUntil else { return false }
        return leaseUntil > now
    }

    static let columns = """
        \(Connection.columns), connection.intent_at_ms, connection.next_refresh_at_ms,
        connection.not_before_ms, connection.failures, connection.last_code, connection.lease_epoch,
        connection.lease_owner, connection.lease_until_ms
        """
}

extension Rows {
    public func refreshState(of id: ConnectionID) throws -> RefreshState? {
        try row("SELECT \(RefreshState.columns) FROM connection WHERE id = ?", [id.blob]).map(RefreshState.init)
    }

    /// What its owners opted in and whose time has come, longest waiting first.
    public func due(_ provider: ProviderID, before: Instant, limit: Int) throws -> [RefreshState] {
        try rows(
            """
            SELECT \(RefreshState.columns) FROM connection
            WHERE provider = ? AND background = 1 AND status = 'active' AND next_refresh_at_ms IS NOT NULL
                AND next_refresh_at_ms <= ?
            ORDER BY next_refresh_at_ms LIMIT ?
            """, [provider.json, before.milliseconds, limit]
        ).map(RefreshState.init)
    }

    /// When the next one of this provider is due.
    public func nextDue(_ provider: ProviderID) throws -> Instant? {
        try row(
            """
            SELECT next_refresh_at_ms FROM connection
            WHERE provider = ? AND background = 1 AND status = 'active' AND next_refresh_at_ms IS NOT NULL
            ORDER BY next_refresh_at_ms LIMIT 1
            """, [provider.json])?.optionalInstant("next_refresh_at_ms")
    }

    /// The connection key of a connection with background refresh on. nil: it is off.
    public func openServiceKey(of connection: Connection, with keys: KeeperKeys) throws -> ConnectionKey? {
        guard connection.background, let sealed = connection.serviceKey else { return nil }
        let purpose = Purpose.serviceKey(connection.id, version: connection.keyVersion)
        return try keys.withServicePrivate(id: BoxHeader(parsing: sealed).keyID) { (pair) throws(EnvelopeError) in
            ConnectionKey(try HPKE.openKey(sealed, as: ConnectionRole.self, with: pair, info: purpose, purpose))
        }
    }
}
