import Encoding
import Envelope
import OAuth
import Vault

extension Broker {
    /// Account names, nil where this session cannot open the vault.
    public func accounts(of connections: [Connection], session: OpenSlot) throws -> [String?] {
        try store.read { rows in try connections.map { try account(of: $0, session: session, rows) } }
    }

    public struct PluginSummary: Sendable {
        public let plugin: Plugin
        public let connections: [Reach]
    }

    /// One connection that a plugin was let in to.
    public struct Reach: Sendable {
        public let connection: ConnectionID
        public let provider: ProviderID
        /// nil where this session cannot open the vault.
        public let account: String?
        public let scopes: ScopeSet
        public let status: ApprovalStatus
    }

    public func pluginSummaries(_ session: OpenSlot) throws -> [PluginSummary] {
        try store.read { rows in
            let connections = try rows.connections(of: session.person)
            return try rows.plugins(visibleTo: session.person).map { plugin in
                let approvals = try rows.approvals(of: plugin.id, person: session.person)
                return PluginSummary(
                    plugin: plugin,
                    connections: try approvals.compactMap { approval in
                        try connections.first { $0.id == approval.connection }.map {
                            Reach(
                                connection: $0.id, provider: $0.provider,
                                account: try account(of: $0, session: session, rows), scopes: approval.scopes,
                                status: approval.status)
                        }
                    })
            }
        }
    }

    /// Whether the caller is one of ours at all, for answers that would otherwise teach a stranger the form.
    public func isKnown(_ token: borrowing Token, at now: Instant) throws -> Bool {
        try store.read { rows in
            token.kind == .plugin ? try rows.openPlugin(token) != nil : try rows.openSlot(token, at: now) != nil
        }
    }
}
