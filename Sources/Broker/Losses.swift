import Encoding
import Vault

/// A *Revoke as lost* of the last weeks, for a person who left the page before they had got round to what it said.
public struct LossSummary: Sendable {
    public enum Keys: String, Sendable {
        case done
        /// A vault that it could open still waits for its new key.
        case pending
        /// It has got it since; what became of its tokens is said of each connection.
        case later
    }

    public let holder: LostName
    public let at: Instant
    public let keys: Keys
    public let leftOut: Int
    public let connections: [LossResult.Line]
    /// Further connections, of which less is to be done.
    public let others: Int
}

extension Broker {
    private static let lossesShown = 50
    private static let linesShown = 100

    /// The last first; of each what is still to be done first.
    public func losses(_ session: OpenSlot, at now: Instant) throws -> [LossSummary] {
        try store.read { rows in
            let waits = try rows.awaitsKeys(session.person)
            return try rows.losses(of: session.person, at: now, limit: Self.lossesShown).map { loss in
                let isOver = { (line: StoredLoss.Line) in
                    line.tokens == "replaced" || line.tokens == "expires" && line.endsAt.map { $0 <= now } ?? false
                }
                // Each is a look into the vault: of ten thousand the first are enough.
                let sorted = loss.lines.filter { !isOver($0) } + loss.lines.filter(isOver)
                let shown = try sorted.prefix(Self.linesShown).compactMap { try line($0, rows, session) }
                return LossSummary(
                    holder: loss.holder, at: loss.at, keys: loss.isDone ? .done : waits ? .pending : .later,
                    leftOut: loss.leftOut, connections: shown, others: max(0, sorted.count - Self.linesShown))
            }
        }
    }

    /// The person has done what was to be done.
    public func putAwayLoss(_ holder: String, session: OpenSlot) throws {
        guard try store.write({ try $0.putAway(holder, of: session.person) }) else { throw Refusal.notFound }
    }

    /// What plugins that are gone may still hold: the person replaces it as with one that was withdrawn.
    public func leftTokens(_ session: OpenSlot, at now: Instant) throws -> [LeftReach] {
        try store.read { rows in
            let left = try rows.leftTokens(of: session.person, limit: Self.linesShown)
            let names = try rows.callerNames(of: left.map(\.plugin.text), in: session.person, at: now)
            return try left.compactMap { token in
                guard let connection = try rows.connection(token.connection),
                    let fate = TokenFate(held: token.generation, of: connection, at: now)
                else { return nil }
                return LeftReach(
                    plugin: token.plugin, name: names[token.plugin.text]?.name,
                    reach: Reach(
                        connection: connection.id, provider: connection.provider,
                        account: try account(of: connection, session: session, rows), scopes: token.scopes,
                        status: .withdrawn, held: fate))
            }
        }
    }

    public struct LeftReach: Sendable {
        public let plugin: PluginID
        /// nil: forgotten with the records about it.
        public let name: String?
        public let reach: Reach
    }
}
