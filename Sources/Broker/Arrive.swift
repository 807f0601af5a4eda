import Encoding
import Envelope
import OAuth
import Providers
import Secrets
import Vault

extension Broker {
    /// The end of a consent: credential sealed, plugins given their key, the waiting request completed, all in one
    /// transaction. Another account than the one meant is kept aside until the person says Keep, and so is what they took
    /// back meanwhile.
    func store(
        _ exchange: Exchange, _ tokens: CredentialTokens, account: AccountIdentity?, at now: Instant
    ) throws -> Arrival {
        for _ in 0..<3 {
            do {
                return try storeOnce(try upToDate(exchange), tokens, account: account, at: now)
            } catch VaultError.conflict {
                // The connection or the vault moved on meanwhile; what the provider issued must find its place.
            }
        }
        throw VaultError.conflict
    }

    /// While the provider was asked the vault may have become part of another one, or have been given a new key.
    private func upToDate(_ exchange: Exchange) throws -> Exchange {
        var exchange = exchange
        try store.read { rows in
            exchange.flow = try rows.authorization(outcome: exchange.outcome.id) ?? exchange.flow
            exchange.isVaultCurrent = try rows.isCurrent(exchange.vault)
        }
        return exchange
    }

    private func storeOnce(
        _ exchange: Exchange, _ tokens: CredentialTokens, account: AccountIdentity?, at now: Instant
    ) throws -> Arrival {
        let flow = exchange.flow
        let provider = exchange.provider
        let existing = try flow.extends.flatMap { id in try store.read { try $0.connection(id) } }
        let placement = try place(exchange, existing: existing, account: account, tokens)
        let grant = try self.grant(exchange, tokens, account: account, replacing: placement.replaces, at: now)
        var outcome = exchange.outcome
        outcome.scopes = grant.scopes
        outcome.missing = provider.missing(from: grant.scopes, for: flow.asked)
        outcome.replaced = placement.replaces != nil
        let id = placement.replaces?.id ?? random.id()
        // Nothing is on record as connected that is not, and nothing connected that is not on record.
        try record(
            AuditRecord(
                .connected, person: flow.person, provider: provider.id.json, connection: id,
                scopes: grant.scopes.text), at: now)
        let covers: (ScopeSet, ScopeSet) -> Bool = { provider.missing(from: $0, for: $1).isEmpty }
        let ended = outcome
        try store.write { rows in
            var ended = ended
            let admission = Admission(
                of: flow, since: try rows.takenBack(since: flow), isNew: placement.replaces == nil)
            let isUnused = placement.isUnused || admission.asks
            if let connection = placement.replaces {
                let isPaused = try rows.connection(connection.id).map(admission.takenBack.leavesPaused) ?? false
                try rows.replace(
                    connection, with: grant, in: exchange.destination, isPaused: isPaused, covers: covers)
                ended.message = isPaused ? "paused" : nil
            } else {
                _ = try rows.insert(
                    grant, into: exchange.destination, of: flow.person, status: isUnused ? .unused : .active,
                    as: id, mayBeKnown: !flow.separate)
            }
            if !isUnused {
                try allow(id, admission, rows, at: now)
                try self.share(id, exchange, admission, rows, at: now)
                try answer(ended, admission, with: exchange.vault, rows, at: now)
            }
            ended.status = isUnused ? .connectedUnused : .connected
            ended.message = try said(admission, rows) ?? ended.message
            ended.connection = id
            try rows.store(ended, at: now)
        }
        return exchange.done
    }

    /// The request got what was granted. What the person left out at the provider's own page is a no to the caller that
    /// asked, as what they leave out on ours is; or it would be given a link to the same page again and again.
    func answer(_ outcome: Outcome, with vault: OpenVault, _ rows: Rows, at now: Instant) throws {
        guard let hash = outcome.request else { return }
        try rows.answer(hash, as: .completed, with: vault, at: now)
        guard !outcome.missing.isEmpty, let request = try rows.request(hash: hash) else { return }
        try rows.decline(
            outcome.missing, caller: request.caller, person: request.person, provider: outcome.provider,
            until: now.adding(seconds: Rows.declineLifetime))
    }

    /// Agents that the person let in may use it; they hold the vault's key already.
    func allow(_ id: ConnectionID, _ admission: Admission, _ rows: Rows, at now: Instant) throws {
        let flow = admission.flow
        for client in admission.clients { try allow(client, id, of: flow.person, flow.provider, rows, at: now) }
    }

    func allow(
        _ client: ClientGrantID, _ id: ConnectionID, of person: PersonID, _ provider: ProviderID, _ rows: Rows,
        at now: Instant
    ) throws {
        try rows.allow(id, for: client, of: person)
        try record(
            AuditRecord(
                .clientAllowed, person: person, provider: provider.json, connection: id, caller: client.text,
                callerKind: "mcp"), at: now)
    }

    /// The connection key to every plugin that the person let in. It was made a moment ago, so a session that has the
    /// vault open finds it there; for a vault that is locked here the plugin's approval waits for the person's next visit.
    func share(
        _ id: ConnectionID, _ exchange: Exchange, _ admission: Admission, _ rows: Rows, at now: Instant
    ) throws {
        guard let connection = try rows.connection(id) else { return }
        guard connection.vault == exchange.vault.id, try rows.isCurrent(exchange.vault) else {
            return try approveWhenOpen(admission, for: connection, rows, at: now)
        }
        let key = try rows.openKey(of: connection, with: exchange.vault)
        try approve(admission, for: connection, key: key, rows, at: now)
    }

    /// What the person let in for what the page showed. A token that came back with more is for nobody until they have
    /// seen it: such a plugin gets no key.
    func approve(
        _ admission: Admission, for connection: Connection, key: borrowing Key<ConnectionRole>, _ rows: Rows,
        at now: Instant
    ) throws {
        let flow = admission.flow
        let provider = try provider(flow.provider)
        let covered = provider.missing(from: flow.shown, for: connection.scopes).isEmpty
        for plugin in admission.plugins where try rows.plugin(plugin) != nil {
            if covered {
                try rows.approve(plugin, for: connection, key: key, scopes: flow.shown, at: now)
                try recordApproval(of: plugin, flow, for: connection, at: now)
            } else {
                try rows.noteOutgrown(plugin, for: connection, scopes: flow.shown, at: now)
            }
        }
    }

    func approveWhenOpen(
        _ admission: Admission, for connection: Connection, _ rows: Rows, at now: Instant
    ) throws {
        let flow = admission.flow
        for plugin in admission.plugins where try rows.plugin(plugin) != nil {
            try rows.approveWhenOpen(plugin, for: connection, scopes: flow.shown, at: now)
            try recordApproval(of: plugin, flow, for: connection, at: now)
        }
    }

    private func recordApproval(
        of plugin: PluginID, _ flow: AuthorizationSession, for connection: Connection, at now: Instant
    ) throws {
        try record(
            AuditRecord(
                .pluginApproved, person: flow.person, provider: flow.provider.json, connection: connection.id,
                caller: plugin.text, callerKind: "plugin", scopes: flow.shown.text), at: now)
    }

    private struct Placement {
        let replaces: Connection?
        let isUnused: Bool
    }

    /// The same account again keeps its connection. Told by a tag that only the open vault can make, so for a locked
    /// vault the account counts as another one and waits for Keep.
    private func place(
        _ exchange: Exchange, existing: Connection?, account: AccountIdentity?, _ tokens: CredentialTokens
    ) throws -> Placement {
        let siblings = try store.read {
            try $0.connections(in: exchange.flow.vault, provider: exchange.provider.id)
        }
        if let named = exchange.flow.namedAccount {
            let vault = exchange.vault
            let isNamed =
                try account.map { account in
                    try store.read { rows in
                        try rows.namedAccountTag(
                            provider: exchange.provider.id, name: account.label.withoutControls, in: vault)
                    }
                } == named
            guard isNamed else { return Placement(replaces: nil, isUnused: true) }
        }
        guard let account else {
            guard exchange.provider.tellsAccount(tokens) else {
                // This provider never says whose it is: a reconnection stays what it was.
                return Placement(replaces: exchange.flow.separate ? nil : existing, isUnused: false)
            }
            // It did not say so now. Beside what is there already it may be anybody's.
            return Placement(replaces: nil, isUnused: existing != nil || !siblings.isEmpty)
        }
        guard case .open(let vault) = exchange.destination else {
            return Placement(replaces: nil, isUnused: !siblings.isEmpty)
        }
        let tag = try store.read { try $0.accountTag(provider: exchange.provider.id, accountID: account.id, in: vault) }
        if exchange.flow.separate {
            let isMeant = existing.map { $0.isAccount(tag) || $0.hasUnknownAccount } ?? siblings.isEmpty
            return Placement(replaces: nil, isUnused: !isMeant)
        }
        if let existing {
            if existing.isAccount(tag) || existing.hasUnknownAccount {
                return Placement(replaces: existing, isUnused: false)
            }
            return Placement(replaces: nil, isUnused: true)
        }
        if let same = siblings.first(where: { $0.isAccount(tag) }) {
            // What it can do already is not taken from it by a consent that was about another account.
            let covers = exchange.provider.missing(from: tokens.scopes, for: same.scopes).isEmpty
            return Placement(replaces: covers ? same : nil, isUnused: !covers)
        }
        return Placement(replaces: nil, isUnused: !siblings.isEmpty)
    }

    private func grant(
        _ exchange: Exchange, _ tokens: CredentialTokens, account: AccountIdentity?, replacing: Connection?,
        at now: Instant
    ) throws -> Grant {
        var credential = try Credential(
            accessToken: tokens.accessToken, refreshToken: tokens.refreshToken, tokenType: tokens.tokenType,
            accountID: account?.id ?? "", accountLabel: (account?.label ?? "").withoutControls,
            tenant: account?.tenant ?? "")
        var refreshExpiresAt = tokens.refreshExpiresAt
        if let replacing, case .open(let vault) = exchange.destination {
            let old = try store.read { rows in
                try rows.openCredential(of: replacing, with: try rows.openKey(of: replacing, with: vault))
            }
            // The person's name for it stays: it is the connection's.
            credential.label = old.label
            if credential.keepsRefreshToken(of: old), !replacing.isUnderWay {
                credential.refreshToken = old.refreshToken
                refreshExpiresAt = replacing.refreshExpiresAt
            }
        }
        if !exchange.label.isEmpty { credential.label = exchange.label }
        return Grant(
            provider: exchange.provider.id, credential: credential, scopes: tokens.scopes, obtainedAt: now,
            expiresAt: tokens.expiresAt, refreshExpiresAt: refreshExpiresAt,
            nextRefreshAt: credential.refreshToken == nil
                ? nil : exchange.provider.plannedRefresh(obtainedAt: now, expiresAt: tokens.expiresAt))
    }
}

extension Provider {
    /// The first plan; the keeper spreads later ones with jitter.
    func plannedRefresh(obtainedAt: Instant, expiresAt: Instant?) -> Instant? {
        guard let expiresAt else { return nil }
        let life = expiresAt.milliseconds - obtainedAt.milliseconds
        let lead = min(Int64(refresh.refreshBeforeSeconds) * 1000, life / 4)
        return Instant(milliseconds: expiresAt.milliseconds - lead)
    }
}
