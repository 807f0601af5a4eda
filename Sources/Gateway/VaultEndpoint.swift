import Broker
import Encoding
import FastCGI
import OAuth
import Providers
import Settings
import Vault

extension Gateway {
    func me(_ exchange: Exchange, _ now: Instant) throws -> Step<Reply> {
        let slot = try holder(exchange, at: now)
        let name = try broker.store.read { try $0.person(slot.person)?.name } ?? ""
        return .done(
            .json {
                $0.object {
                    $0.member("userId", slot.person.text)
                    $0.member("name", name)
                    $0.member("sessionId", slot.id.text)
                }
            })
    }

    func providers(_ exchange: Exchange, _ now: Instant) throws -> Step<Reply> {
        if case .nobody = try caller(exchange, at: now) { throw Refusal.notSignedIn }
        let all = settings.catalogue.providers.values.sorted { $0.id < $1.id }
        return .done(
            .json { writer in
                writer.object {
                    $0.array("providers", all) {
                        $0.member("provider", $1.id.json)
                        $0.member("name", $1.name)
                        $0.member("configured", $1.isConfigured)
                        $0.member("defaultScopes", $1.defaultScopes.names)
                    }
                }
            })
    }

    func connections(_ exchange: Exchange, _ now: Instant) throws -> Step<Reply> {
        let slot = try holder(exchange, at: now)
        let page = try Page(exchange)
        let after = try page.after.map { try Page.cursor(ConnectionCursor(parsing: $0)) }
        // Who looks at the first page has the vault open, and a moment.
        let ended = after == nil ? broker.endSpentReserve(slot, at: now) : .done(())
        return try ended.then(broker) { broker, _ in
            let list = try broker.connections(slot, after: after, limit: page.limit, at: now)
            return .done(
                .json { writer in
                    writer.object {
                        $0.array("connections", list) {
                            $0.connection($1, broker.settings.catalogue[$1.connection.provider])
                        }
                        $0.member("next", list.count == page.limit ? list.last?.connection.cursor.text : nil)
                    }
                })
        }
    }

    func change(_ exchange: Exchange, _ id: ConnectionID, _ now: Instant) throws -> Step<Reply> {
        let session = try person(deciding: exchange, at: now)
        let members = try Members(parsing: exchange, known: ["backgroundRefresh", "default", "paused", "label"])
        // Everything is read before anything is changed.
        let change = ConnectionChange(
            background: try members.flag("backgroundRefresh"), isDefault: try members.flag("default"),
            isPaused: try members.flag("paused"), label: try members.nameOrNothing("label"))
        guard change.background != nil || change.isDefault != nil || change.isPaused != nil || change.label != nil
        else {
            throw Refusal.invalidRequest([MemberError("body", "backgroundRefresh, default, paused or label")])
        }
        try broker.change(id, change, session: session, at: now)
        return .done(.noContent)
    }

    func removeConnection(_ exchange: Exchange, _ id: ConnectionID, _ now: Instant) throws -> Step<Reply> {
        try broker.remove(id, session: holder(exchange, at: now), at: now).then(broker) { _, result in
            .done(.json { $0.removal(result) })
        }
    }

    func sessions(_ exchange: Exchange, _ now: Instant) throws -> Step<Reply> {
        try slots(exchange, .session, "sessions", now)
    }

    func keys(_ exchange: Exchange, _ now: Instant) throws -> Step<Reply> { try slots(exchange, .apiKey, "keys", now) }

    private func slots(
        _ exchange: Exchange, _ kind: HolderKind, _ name: StaticString, _ now: Instant
    ) throws -> Step<Reply> {
        let slot = try holder(exchange, at: now)
        let page = try Page(exchange)
        let all = try broker.store.read { try $0.slots(of: slot.person, kind: kind, at: now) }
        let (list, next) = try page.cut(all) { Place($0.createdAt, $0.id) }
        return .done(
            .json { writer in
                writer.object {
                    $0.array(name, list) {
                        $0.member("id", $1.id.text)
                        $0.member("name", $1.name)
                        $0.member("createdAt", $1.createdAt.rfc3339)
                        $0.member("lastUsedAt", $1.lastUsedAt.rfc3339)
                        $0.member("current", $1.id == slot.id)
                    }
                    $0.member("next", next)
                }
            })
    }

    func removeHolder(_ exchange: Exchange, _ id: SlotID, _ kinds: [HolderKind], _ now: Instant) throws -> Step<Reply> {
        try broker.removeHolder(
            id, kinds: kinds, session: holder(exchange, at: now), confirm: Query(exchange)["confirm"], at: now)
        return .done(.noContent)
    }

    func plugins(_ exchange: Exchange, _ now: Instant) throws -> Step<Reply> {
        let slot = try holder(exchange, at: now)
        let page = try Page(exchange)
        let (list, next) = try page.cut(broker.pluginSummaries(slot, at: now)) {
            Place($0.plugin.createdAt, $0.plugin.id)
        }
        return .done(
            .json { writer in
                writer.object {
                    $0.array("plugins", list) { writer, entry in
                        writer.member("id", entry.plugin.id.text)
                        writer.member("name", entry.plugin.name)
                        writer.member("addedBy", entry.plugin.owner == nil ? "operator" : "you")
                        writer.member("createdAt", entry.plugin.createdAt.rfc3339)
                        writer.member("muted", entry.standing.isMuted)
                        writer.limits("limits", entry.standing.limits)
                        writer.limits("operatorLimits", entry.plugin.limits)
                        writer.array("keys", entry.keys) {
                            $0.member("createdAt", $1.createdAt.rfc3339)
                            $0.member("endsAt", $1.endsAt)
                        }
                        writer.member("keyInUse", entry.keyInUse == .own ? "own" : "general")
                        writer.member("keyUsedAt", entry.keyUsedAt)
                        writer.array("connections", entry.connections) { reach($1, &$0) }
                    }
                    $0.member("next", next)
                }
            })
    }

    func reach(_ reach: Broker.Reach, _ writer: inout JSONWriter) {
        writer.member("id", reach.connection.text)
        writer.member("provider", reach.provider.json)
        writer.member("providerName", settings.catalogue[reach.provider]?.name ?? reach.provider.json)
        writer.member("account", reach.account)
        writer.member("scopes", reach.scopes.names)
        writer.member("status", reach.status.rawValue)
        writer.member("tokens", reach.held?.words)
    }
}

extension JSONWriter {
    mutating func removal(_ result: RemovalResult) {
        object {
            $0.member("local", "removed")
            $0.member("provider", result.atProvider.rawValue)
            if result.isShared { $0.member("shared", true) }
            $0.member("manageUrl", result.manageURL)
        }
    }

    fileprivate mutating func connection(_ summary: ConnectionSummary, _ provider: Provider?) {
        let connection = summary.connection
        member("id", connection.id.text)
        member("provider", connection.provider.json)
        member("providerName", provider?.name ?? connection.provider.json)
        member("account", summary.names?.account)
        member("label", summary.names.flatMap { $0.label.isEmpty ? nil : $0.label })
        member("scopes", connection.scopes.names)
        scopeTexts("scopeTexts", connection.scopes, provider)
        member("status", summary.names == nil ? "locked" : connection.status.word)
        member("unused", connection.status == .unused)
        member("supersededBy", connection.supersededBy?.text)
        member("renewalPending", connection.renewPending)
        member("default", connection.isDefault)
        member("backgroundRefresh", connection.background)
        member("createdAt", connection.createdAt.rfc3339)
        member("lastUsedAt", connection.lastUsedAt)
        member("lastUsedBy", summary.usedBy)
        member("lastUserGone", summary.isUserGone)
        member("expiresAt", connection.expiresAt)
        member("revocation", provider?.revocationWord ?? "none")
        member("sharesGrant", summary.sharesGrant)
        member("separable", provider?.connectsSeparately ?? false)
        member("manageUrl", provider?.manageURL)
    }
}

extension Provider {
    /// How far taking back at the provider reaches.
    var revocationWord: String {
        revokesAtProvider ? revocationEffect?.rawValue ?? "unknown" : "none"
    }
}

extension ConnectionStatus {
    /// As the contract says it; the column's word is ours.
    fileprivate var word: String { self == .reauthorize ? "reauthorization-required" : rawValue }
}
