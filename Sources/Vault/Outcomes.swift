import Encoding
import GRDB
import OAuth

public enum OutcomeStatus: String, Sendable {
    case working, connected
    case connectedUnused = "connected-unused"
    case kept, removed, approved, declined, failed
}

/// How a consent ended, for the page that the person lands on. Readable by that person for a day.
public struct Outcome: Sendable {
    public let id: OutcomeID
    public let person: PersonID
    public let provider: ProviderID
    public var status: OutcomeStatus
    public var connection: ConnectionID?
    public var request: [UInt8]?
    public var requester: String?
    /// A code of the closed list that the page has words for.
    public var message: String?
    public var scopes: ScopeSet
    public var missing: ScopeSet
    /// The connection was there before.
    public var replaced: Bool

    public init(
        id: OutcomeID, person: PersonID, provider: ProviderID, status: OutcomeStatus, connection: ConnectionID? = nil,
        request: [UInt8]? = nil, requester: String? = nil, message: String? = nil, scopes: ScopeSet, missing: ScopeSet,
        replaced: Bool = false
    ) {
        (self.id, self.person, self.provider, self.status) = (id, person, provider, status)
        (self.connection, self.request, self.requester, self.message) = (connection, request, requester, message)
        (self.scopes, self.missing, self.replaced) = (scopes, missing, replaced)
    }
}

extension Rows {
    public func store(_ outcome: Outcome, at now: Instant) throws {
        _ = try changed(
            """
            INSERT INTO outcome (id, person, status, provider, connection, request, requester, message, scopes,
                missing_scopes, replaced, expires_at_ms)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
            ON CONFLICT (id) DO UPDATE SET status = excluded.status, connection = excluded.connection,
                message = excluded.message, scopes = excluded.scopes, missing_scopes = excluded.missing_scopes,
                replaced = excluded.replaced
            """,
            [
                outcome.id.blob, outcome.person.blob, outcome.status.rawValue, outcome.provider.json,
                outcome.connection?.blob, outcome.request?.blob, outcome.requester, outcome.message,
                outcome.scopes.text,
                outcome.missing.text, outcome.replaced, now.adding(seconds: 86_400).milliseconds,
            ])
    }

    public func outcome(_ id: OutcomeID, of person: PersonID) throws -> Outcome? {
        try row("SELECT * FROM outcome WHERE id = ? AND person = ?", [id.blob, person.blob]).map { row in
            Outcome(
                id: id, person: person, provider: try row.provider("provider"), status: try row.state("status"),
                connection: row.optionalID("connection"), request: row.optionalBytes("request"),
                requester: row["requester"], message: row["message"], scopes: row.scopes("scopes"),
                missing: row.scopes("missing_scopes"), replaced: row["replaced"])
        }
    }
}
