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
        public let connections: [(id: ConnectionID, provider: ProviderID, scopes: ScopeSet, status: ApprovalStatus)]
    }

    public func pluginSummaries(_ session: OpenSlot) throws -> [PluginSummary] {
        try store.read { rows in
            let connections = try rows.connections(of: session.person)
            return try rows.plugins(visibleTo: session.person).map { plugin in
                let approvals = try rows.approvals(of: plugin.id, person: session.person)
                return PluginSummary(
                    plugin: plugin,
                    connections: approvals.compactMap { approval in
                        connections.first { $0.id == approval.connection }.map {
                            ($0.id, $0.provider, approval.scopes, approval.status)
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
