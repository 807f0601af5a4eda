import Encoding
import GRDB
import OAuth

// Between Approve and the provider's answer lie minutes, and until Keep there may lie more. What a person takes back
// meanwhile is numbered in the order in which they did; an approval carries the number of the last one before it. When
// what was approved arrives, everything with a higher number wins: the credential is stored, and nobody is let in by it
// who was sent away since.

/// What is taken back, for approvals that are under way.
enum TakingBack {
    case everything
    /// Withdrawn, lost or muted.
    case plugin(PluginID)
    /// A connection there was revoked. By its provider: what is under way may be for a connection that is still to be.
    case connection(at: ProviderID)
    /// Paused.
    case use(of: ConnectionID)

    fileprivate var columns: (kind: String, what: [UInt8]) {
        switch self {
        case .everything: ("everything", [])
        case .plugin(let id): ("plugin", id.bytes)
        case .connection(let provider): ("connection", Array(provider.json.utf8))
        case .use(let id): ("use", id.bytes)
        }
    }
}

/// What was taken back since an approval was given.
public struct TakenBack: Sendable {
    public let isEverything: Bool
    /// The session that approved has ended, and what it had begun with it.
    public let isSessionOver: Bool
    /// Of the same provider's connections some were revoked.
    public let isRevoked: Bool
    private let paused: Set<[UInt8]>
    /// Plugins and OAuth clients.
    private let callers: Set<[UInt8]>

    /// Whether what arrives as a connection of its own waits for Keep.
    public var asksAboutNew: Bool { isEverything || isSessionOver || isRevoked }

    public func letsIn(_ plugin: PluginID, isNew: Bool) -> Bool { letsIn(plugin.bytes, isNew: isNew) }
    public func letsIn(_ client: ClientGrantID, isNew: Bool) -> Bool { letsIn(client.bytes, isNew: isNew) }

    /// A plugin or client by the id that a request has of it. `isNew`: to a connection that was not there before.
    public func letsIn(_ caller: [UInt8], isNew: Bool) -> Bool {
        !isEverything && !isSessionOver && !(isNew && isRevoked) && !callers.contains(caller)
    }

    /// Resumed since, it is active.
    public func leavesPaused(_ connection: Connection) -> Bool {
        connection.status != .active && (isEverything || paused.contains(connection.id.bytes))
    }

    fileprivate init(
        _ taken: [(kind: String, what: [UInt8])], provider: ProviderID, isSessionOver: Bool, declined: [UInt8]?
    ) {
        func those(_ kind: String) -> Set<[UInt8]> { Set(taken.filter { $0.kind == kind }.map(\.what)) }
        self.isSessionOver = isSessionOver
        isEverything = !those("everything").isEmpty
        isRevoked = those("connection").contains(Array(provider.json.utf8))
        paused = those("use")
        callers = those("plugin").union(declined.map { [$0] } ?? [])
    }
}

extension Rows {
    func note(_ taking: TakingBack, by person: PersonID, at now: Instant) throws {
        let (kind, what) = taking.columns
        _ = try changed(
            "INSERT INTO taken_back (person, kind, what, at_ms) VALUES (?, ?, ?, ?)",
            [person.blob, kind, what.blob, now.milliseconds])
    }

    /// The number that an approval of now carries.
    public func lastTakenBack() throws -> Int64 {
        try row("SELECT coalesce(max(number), 0) AS last FROM taken_back", [])?["last"] ?? 0
    }

    /// Asked in the transaction that stores what was approved.
    public func takenBack(since flow: AuthorizationSession) throws -> TakenBack {
        let taken = try rows(
            "SELECT kind, what FROM taken_back WHERE person = ? AND number > ?", [flow.person.blob, flow.approvedAfter]
        ).map { (kind: $0.text("kind"), what: $0.bytes("what")) }
        let isThere = try row("SELECT 1 FROM authorization WHERE state_hash = ?", [flow.stateHash.blob]) != nil
        // The same link, declined in another window.
        let request = try flow.request.flatMap { try self.request(hash: $0) }
        return TakenBack(
            taken, provider: flow.provider, isSessionOver: !isThere,
            declined: request?.status == .declined ? request?.caller : nil)
    }

    /// Longer than any approval is under way, Keep included.
    func sweepTakenBack(at now: Instant) throws -> Int {
        try changed("DELETE FROM taken_back WHERE at_ms <= ?", [now.milliseconds - 2 * 86_400_000])
    }
}
