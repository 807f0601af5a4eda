import Encoding
import Envelope
import OAuth
import Providers
import Vault

/// A connection as its person sees it.
public struct ConnectionSummary: Sendable {
    public let connection: Connection
    /// nil where this session cannot open the vault.
    public let names: (account: String, label: String)?
    /// What ends it at the provider could end another connection of this person's.
    public let sharesGrant: Bool
    public let usedBy: String?
    /// Who last used it is no more there.
    public let isUserGone: Bool
}

/// What a person changes about a connection; nil: not this.
public struct ConnectionChange: Sendable {
    public let background, isDefault, isPaused: Bool?
    /// Empty takes it away.
    public let label: String?

    public init(background: Bool?, isDefault: Bool?, isPaused: Bool?, label: String?) {
        (self.background, self.isDefault, self.isPaused, self.label) = (background, isDefault, isPaused, label)
    }
}

extension Broker {
    /// A page of the person's connections, of whichever vault.
    public func connections(
        _ session: OpenSlot, after: ConnectionCursor?, limit: Int, at now: Instant
    ) throws -> [ConnectionSummary] {
        try store.read { rows in
            let page = try rows.connections(of: session.person, after: after, limit: limit)
            let callers = try rows.callerNames(of: page.compactMap(\.lastUsedBy), in: session.person, at: now)
            return try page.map { connection in
                let isWide = catalogue[connection.provider].map { $0.revokesAtProvider && $0.revocationIsWide } ?? false
                return ConnectionSummary(
                    connection: connection, names: try names(of: connection, session: session, rows),
                    sharesGrant: try isWide && rows.mayShareGrant(connection),
                    usedBy: connection.lastUsedBy.map { callers[$0]?.name ?? $0 },
                    isUserGone: connection.lastUsedBy.map { callers[$0]?.isEnded ?? true } ?? false)
            }
        }
    }

    /// All of it or nothing, on record included.
    public func change(_ id: ConnectionID, _ change: ConnectionChange, session: OpenSlot, at now: Instant) throws {
        guard let found = try store.read({ try $0.connection(id) }), found.person == session.person,
            (change.label == nil && change.background == nil) || found.vault == session.vault.id
        else { throw Refusal.notFound }
        let switches = change.background != nil && change.background != found.background
        if switches, change.background == true { try requireFresh(session, at: now) }
        // The key that is about to be replaced is of no use to the keeper.
        if switches || change.isPaused == true { keeper.forget(.connection(id)) }
        try store.write { rows in
            guard let connection = try rows.connection(id), connection.status == found.status,
                connection.background == found.background
            else { throw Refusal.changed }
            // Until Keep it is nobody's, and what is in reserve is not used.
            if connection.status == .unused, change.isDefault != nil || change.background != nil {
                throw Refusal.changed
            }
            if let isDefault = change.isDefault, try !rows.setDefault(isDefault, id, of: session.person) {
                throw Refusal.notFound
            }
            if let isPaused = change.isPaused, try !rows.setPaused(isPaused, connection, at: now) {
                throw Refusal.changed
            }
            if let label = change.label { try rows.setLabel(label, of: connection, with: session.vault) }
            if switches, let on = change.background, let labelled = try rows.connection(id) {
                try switchBackground(on, of: labelled, rows, session: session, at: now)
            }
            // Last, so that nothing is on record that did not happen; a record that fails undoes the rest.
            for event in events(of: change, to: found, switches: switches) {
                try record(
                    AuditRecord(event, person: session.person, provider: found.provider.json, connection: id), at: now)
            }
        }
        if change.isPaused == true { keeper.forget(.connection(id)) }
    }

    private func events(
        of change: ConnectionChange, to found: Connection, switches: Bool
    ) -> [AuditEvent] {
        var events: [AuditEvent] = []
        if switches { events.append(change.background == true ? .backgroundOn : .backgroundOff) }
        if let isPaused = change.isPaused, (found.status == .paused) != isPaused {
            events.append(isPaused ? .paused : .resumed)
        }
        return events
    }

    private func switchBackground(
        _ on: Bool, of connection: Connection, _ rows: Rows, session: OpenSlot, at now: Instant
    ) throws {
        guard !on else { return try rows.switchBackgroundOn(connection, with: session.vault) }
        // Whoever has a copy made while it was on keeps what is in it; nothing made from now on opens with that key.
        try rows.rekey(connection, with: session.vault, background: false, at: now) { [coverage] in
            coverage(connection.provider, $0, $1)
        }
    }

    public struct PluginSummary: Sendable {
        public let plugin: Plugin
        public let connections: [Reach]
        public let standing: PluginStanding
        /// Of a plugin of one's own; how the operator's are kept is the operator's.
        public let keys: [PluginKey]
        public let keyInUse: PluginKeyInUse
        /// nil: never, or by the general key of a plugin that knows no other.
        public let keyUsedAt: Instant?
    }

    /// One connection that a plugin was let in to.
    public struct Reach: Sendable {
        public let connection: ConnectionID
        public let provider: ProviderID
        /// nil where this session cannot open the vault.
        public let account: String?
        public let scopes: ScopeSet
        public let status: ApprovalStatus
        /// Withdrawn: what the token that the plugin was handed is still good for; nil: it has none that lives.
        public let held: TokenFate?
    }

    /// Of a plugin's connections, as many as anybody reads.
    private static let reachShown = 100

    public func pluginSummaries(_ session: OpenSlot, at now: Instant) throws -> [PluginSummary] {
        try store.read { rows in
            return try rows.plugins(visibleTo: session.person).map { plugin in
                let approvals = try rows.approvals(
                    of: plugin.id, person: session.person, limit: Self.reachShown)
                let used = try rows.keyInUse(plugin.id, with: session.person)
                return PluginSummary(
                    plugin: plugin,
                    connections: try approvals.compactMap { approval in
                        try rows.connection(approval.connection).map {
                            Reach(
                                connection: $0.id, provider: $0.provider,
                                account: try account(of: $0, session: session, rows), scopes: approval.scopes,
                                status: approval.status, held: TokenFate(heldBy: approval, of: $0, at: now))
                        }
                    }, standing: try rows.standing(of: plugin.id, with: session.person),
                    keys: plugin.owner == nil ? [] : try rows.keys(of: plugin.id, at: now),
                    keyInUse: used?.key ?? .general, keyUsedAt: used?.at)
            }
        }
    }

    public struct ClientSummary: Sendable {
        public let grant: ClientGrant
        public let isUnverified: Bool
        /// Whether it is the one that asks.
        public let isCaller: Bool
        /// What it may use; of a vault that this session cannot open, without the account.
        public let connections: [(connection: Connection, account: String?)]
    }

    /// OAuth clients and command lines that hold something.
    public func clientSummaries(_ session: OpenSlot, at now: Instant) throws -> [ClientSummary] {
        try store.read { rows in
            let connections = try rows.connections(of: session.person)
            let caller = try rows.clientGrant(holding: session.id)
            return try rows.clientGrants(of: session.person, at: now).map { grant in
                let allowed = grant.kind == .mcp ? try rows.connectionsAllowed(for: grant.id) : []
                let client = try rows.client(grant.client, at: now)
                return ClientSummary(
                    grant: grant, isUnverified: client?.kind == .registered, isCaller: grant.id == caller,
                    connections: try connections.filter { allowed.contains($0.id) }.map {
                        ($0, try account(of: $0, session: session, rows))
                    })
            }
        }
    }

    /// All that it was given ends at once.
    public func removeClient(_ id: ClientGrantID, session: OpenSlot, confirm: String?, at now: Instant) throws {
        let grant = try store.read { try $0.clientGrant(id) }
        guard let grant, grant.person == session.person else { throw Refusal.notFound }
        try takeAway(.client(id), by: session, confirm: confirm, at: now) { rows in
            try end(grant, because: .clientRevoked, rows, at: now)
        }
    }

    /// Whether the caller is one of ours at all, for answers that would otherwise teach a stranger the form.
    public func isKnown(_ token: borrowing Token, at now: Instant) throws -> Bool {
        try store.read { rows in
            token.kind.isOfPlugin
                ? try rows.openPlugin(token, at: now) != nil : try rows.openSlot(token, at: now) != nil
        }
    }
}
