import Encoding
import OAuth
import Providers
import Settings
import Vault

extension Broker {
    /// Who can use it besides, or could be let in. What can anyway is ticked and fixed: who asked, keys of the vault that
    /// it is in, and agents and plugins that were let in before; they are taken out on the vault's page. The other agents
    /// and plugins have a box each, unticked: they ask at their first use.
    func others(
        requester: ConsentDocument.Requester?, connection: Connection?, shown: ScopeSet, provider: Provider,
        in vault: VaultID, session: OpenSlot, at now: Instant
    ) throws -> [ConsentDocument.Other] {
        let asking = requester.map {
            ConsentDocument.Other(
                id: $0.id, name: $0.name, kind: $0.kind, addedBy: $0.kind == "plugin" ? $0.addedBy : nil,
                asks: true, ticked: true, locked: true)
        }
        let all = try store.read { rows in
            let keys = try [HolderKind.apiKey, .cli]
                .flatMap { try rows.slots(of: session.person, kind: $0, in: vault, at: now) }
                .map {
                    ConsentDocument.Other(
                        id: $0.id.text, name: $0.name, kind: $0.kind.rawValue, addedBy: nil, ticked: true, locked: true)
                }
            let agents = try rows.clientGrants(of: session.person, at: now)
                .filter { try $0.kind == .mcp && rows.holds($0.id, a: vault) }
                .map { grant in
                    let isIn =
                        try connection.map { try rows.connectionsAllowed(for: grant.id).contains($0.id) } ?? false
                    return ConsentDocument.Other(
                        id: grant.id.text, name: grant.name, kind: "mcp", addedBy: nil, ticked: isIn, locked: isIn)
                }
            return try keys + agents
                + plugins(
                    connection, shown: shown, provider: provider, in: vault, session, rows)
        }
        return [asking].compactMap { $0 } + all.filter { $0.id != requester?.id }
    }

    /// Those that may have it at all. A plugin is given the connection's key, so where this session does not open the
    /// vault only those are shown that have it.
    private func plugins(
        _ connection: Connection?, shown: ScopeSet, provider: Provider, in vault: VaultID, _ session: OpenSlot,
        _ rows: Rows
    ) throws -> [ConsentDocument.Other] {
        let approvals = try connection.map { try rows.approvals(of: $0.id) } ?? []
        return try rows.plugins(of: vault, person: session.person).compactMap { plugin in
            let reach = try rows.reach(of: plugin.id, to: session.person)
            guard !reach.isMuted, reach.names(provider.id), reach.covers(shown, provider) else { return nil }
            let isIn = approvals.contains {
                $0.plugin == plugin.id && $0.status == .live && provider.missing(from: $0.scopes, for: shown).isEmpty
            }
            guard isIn || vault == session.vault.id else { return nil }
            return ConsentDocument.Other(
                id: plugin.id.text, name: plugin.name, kind: "plugin", addedBy: addedBy(plugin), ticked: isIn,
                locked: isIn)
        }
    }

    /// What follows "added by" after a plugin's name.
    func addedBy(_ plugin: Plugin) -> String {
        plugin.owner == nil
            ? "the operator of \(settings.host)" : "you on \(plugin.createdAt.rfc3339.prefix(10))"
    }
}
