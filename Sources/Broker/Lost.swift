import Encoding
import Envelope
import OAuth
import Providers
import Vault

/// What was lost: whoever has it can open what it opened, in every copy of the database.
public enum LostHolder: Sendable {
    case slot(SlotID)
    /// What a person allowed an OAuth client.
    case client(ClientGrantID)
    case passkey(PasskeyID)
    case plugin(PluginID)

    public init?(parsing text: String) {
        if let slot = SlotID(parsing: text) {
            self = .slot(slot)
        } else if let client = ClientGrantID(parsing: text) {
            self = .client(client)
        } else if let passkey = PasskeyID(parsing: text) {
            self = .passkey(passkey)
        } else if let plugin = PluginID(parsing: text) {
            self = .plugin(plugin)
        } else {
            return nil
        }
    }
}

/// What the tokens that may be known are still good for.
public enum LostTokens: Sendable {
    /// The provider has issued others, and the old ones are dead.
    case replaced
    /// Replaced, or not to be replaced; what is out there ends by itself.
    case expires(Instant)
    /// The provider offers nothing that would end them, short of revoking the connection there.
    case live
    /// The provider could not be asked yet; it is done as soon as it can be.
    case pending
    /// The provider had ended the grant before.
    case ended
}

extension LostTokens {
    /// In one word, without the time.
    fileprivate var kind: String {
        switch self {
        case .replaced: "replaced"
        case .expires: "expires"
        case .live: "live"
        case .pending: "pending"
        case .ended: "ended"
        }
    }

    fileprivate var end: Instant? { if case .expires(let at) = self { at } else { nil } }

    /// As it was said, except for what has been done since: never more than is known.
    fileprivate init(_ line: StoredLoss.Line, now connection: Connection) {
        switch line.tokens {
        case "replaced": self = .replaced
        case "ended": self = .ended
        case "pending" where connection.status == .reauthorize: self = .ended
        case "pending" where connection.renewPending: self = .pending
        case "live": self = .live
        default: self = line.endsAt.map(LostTokens.expires) ?? .live
        }
    }
}

public struct LossResult: Sendable {
    public struct Line: Sendable {
        public let connection: ConnectionID
        public let provider: ProviderID
        public let providerName: String
        public let account: String?
        public let tokens: LostTokens
        public let manageURL: String?
    }

    /// false: the vault is not open here. It is marked, and gets its new key first thing when it is.
    public let isDone: Bool
    public let connections: [Line]
    /// Holders that could not be given the new key.
    public let leftOut: Int
}

extension Broker {
    /// Beyond taking the holder's slot away: new keys for everything that it could open, and new tokens where the
    /// provider gives some. What is here is one transaction; the tokens follow, marked until they are renewed.
    public func revokeAsLost(
        _ lost: LostHolder, session: OpenSlot, confirm: String?, at now: Instant
    ) throws -> Step<LossResult> {
        if let before = try result(of: lost, session: session, at: now) { return .done(before) }
        return switch lost {
        case .slot(let id): try lose(id, session: session, confirm: confirm, at: now)
        case .plugin(let id): try lose(id, session: session, at: now)
        case .client(let id):
            if let grant = try store.read({ try $0.clientGrant(id) }),
                let slot = try store.read({ try $0.holder(of: id, person: session.person) })
            {
                try lose(
                    slot, as: LostName(id: id.text, kind: grant.kind.rawValue, name: grant.name), session: session,
                    confirm: confirm, at: now)
            } else {
                throw Refusal.notFound
            }
        case .passkey(let id):
            if let passkey = try passkeys(session).first(where: { $0.id == id }) {
                try lose(passkey, session: session, confirm: confirm, at: now)
            } else {
                throw Refusal.notFound
            }
        }
    }

    /// It also signs in, so it goes altogether. One that derives no secret opened nothing.
    private func lose(
        _ passkey: StoredPasskey, session: OpenSlot, confirm: String?, at now: Instant
    ) throws -> Step<LossResult> {
        let name = LostName(id: passkey.id.text, kind: "passkey", name: passkey.name)
        guard let slot = passkey.slot else {
            try record(AuditRecord(.lost, person: session.person, callerKind: "passkey"), at: now)
            try store.write { rows in
                _ = try rows.removePasskey(passkey.id, of: session.person)
                try note([], of: name, session, rows, at: now)
            }
            return .done(LossResult(isDone: true, connections: [], leftOut: 0))
        }
        return try lose(slot, with: passkey.id, as: name, session: session, confirm: confirm, at: now)
    }

    /// It opened its vault, and those that were offered to it for linking.
    private func lose(
        _ id: SlotID, with passkey: PasskeyID? = nil, as name: LostName? = nil, session: OpenSlot,
        confirm: String?, at now: Instant
    ) throws -> Step<LossResult> {
        guard id != session.id else {
            throw Refusal.invalidRequest([MemberError("holder", "another one than the browser that asks")])
        }
        guard let (holder, vault) = try store.read({ try $0.holder(id, of: session.person) }) else {
            throw Refusal.notFound
        }
        let name = name ?? LostName(id: id.text, kind: holder.kind.rawValue, name: holder.name)
        keeper.forget(.vault(vault))
        let here = session.vault.id
        let (opened, rekeyed) = try takeAway(.holder(id), by: session, confirm: confirm, at: now) { rows in
            try record(
                AuditRecord(.lost, person: session.person, caller: id.text, callerKind: holder.kind.rawValue), at: now)
            let opened = try rows.removeLost(id, passkey, of: session.person)
            guard opened.contains(here) else {
                try note([], of: name, session, rows, isDone: false, at: now)
                return (opened, Rekeyed?.none)
            }
            let rekeyed = try rows.replaceKey(of: session.vault, covers: coverage, at: now)
            let all = try rows.connections(in: here).filter { $0.status != .unused }
            try note(
                all.map { asked($0, Self.fate(of: $0, now: $0, isRotated: false, at: catalogue[$0.provider])) },
                of: name, session, rows, isDone: opened == [here], leftOut: rekeyed.left, at: now)
            return (opened, rekeyed)
        }
        // A vend that was under way may have handed over a key of before.
        for vault in opened { keeper.forget(.vault(vault)) }
        guard let rekeyed else { return .done(LossResult(isDone: false, connections: [], leftOut: 0)) }
        let all = try store.read { try $0.connections(in: here).filter { $0.status != .unused } }
        return try renew(
            all, with: rekeyed.vault, leftOut: rekeyed.left, isDone: opened == [here], as: name, of: session, at: now)
    }

    /// A plugin holds the keys of the connections that were approved for it, and no vault's.
    private func lose(_ id: PluginID, session: OpenSlot, at now: Instant) throws -> Step<LossResult> {
        let name = LostName(id: id.text, kind: "plugin", name: try visible(id, to: session.person).name)
        try record(
            AuditRecord(.lost, person: session.person, caller: id.text, callerKind: "plugin"), at: now)
        let ids = try takeOut(id, isLost: true, session: session, at: now)
        let all = try store.write { rows in
            let all = try ids.compactMap { try rows.connection($0) }
            let open = all.filter { $0.vault == session.vault.id }
            try note(
                open.map { asked($0, Self.fate(of: $0, now: $0, isRotated: false, at: catalogue[$0.provider])) },
                of: name, session, rows, isDone: open.count == all.count, at: now)
            return all
        }
        let open = all.filter { $0.vault == session.vault.id }
        return try renew(
            open, with: session.vault, leftOut: 0, isDone: open.count == all.count, as: name, of: session, at: now)
    }

    // MARK: The same answer again

    /// What was said before, when what is named is gone already: whoever asks may never have got the answer.
    private func result(of lost: LostHolder, session: OpenSlot, at now: Instant) throws -> LossResult? {
        let (named, isThere): (String, Bool) =
            switch lost {
            case .slot(let id): (id.text, try store.read { try $0.holder(id, of: session.person) } != nil)
            case .client(let id): (id.text, try store.read { try $0.holder(of: id, person: session.person) } != nil)
            case .passkey(let id): (id.text, try passkeys(session).contains { $0.id == id })
            // The operator's stays; it may have been let in again since.
            case .plugin(let id): (id.text, try store.read { try $0.holds(id, of: session.person) })
            }
        guard !isThere else { return nil }
        return try store.read { rows in
            guard let loss = try rows.loss(of: named, person: session.person, at: now) else { return nil }
            let lines = try loss.lines.compactMap { try line($0, rows, session) }
            return LossResult(isDone: loss.isDone, connections: lines, leftOut: loss.leftOut)
        }
    }

    /// nil: gone since; what became of it then was said then.
    func line(_ line: StoredLoss.Line, _ rows: Rows, _ session: OpenSlot) throws -> LossResult.Line? {
        guard let connection = try rows.connection(line.connection) else { return nil }
        let provider = catalogue[connection.provider]
        return LossResult.Line(
            connection: connection.id, provider: connection.provider,
            providerName: provider?.name ?? connection.provider.json,
            account: try rows.accountName(of: connection, in: session.vault),
            tokens: LostTokens(line, now: connection), manageURL: provider?.manageURL)
    }

    private func asked(_ connection: Connection, _ tokens: LostTokens) -> StoredLoss.Line {
        StoredLoss.Line(connection: connection.id, tokens: tokens.kind, endsAt: tokens.end ?? connection.expiresAt)
    }

    private func note(
        _ lines: [StoredLoss.Line], of name: LostName, _ session: OpenSlot, _ rows: Rows, isDone: Bool = true,
        leftOut: Int = 0, at now: Instant
    ) throws {
        try rows.note(
            StoredLoss(of: name, isDone: isDone, leftOut: leftOut, lines: lines, at: now), of: session.person)
    }

    // MARK: New tokens

    /// How long the answer waits for providers; what is not done by then the keeper goes on with.
    private static let patience: Int64 = 5_000

    private func renew(
        _ connections: [Connection], with vault: OpenVault, leftOut: Int, isDone: Bool = true, as name: LostName,
        of session: OpenSlot, at now: Instant
    ) throws -> Step<LossResult> {
        for connection in connections where connection.refreshable && connection.status == .active {
            let key = try store.read { ConnectionKey(try $0.openKey(of: connection, with: vault)) }
            keeper.hold(connection.id, connection.generation, key, true)
        }
        let until = Instant(milliseconds: now.milliseconds + Self.patience)
        let ends = Dictionary(uniqueKeysWithValues: connections.map { ($0.id, $0.expiresAt) })
        return try renew(connections[...], done: [], with: vault, until: until).then(self) { broker, lines in
            try broker.store.write { rows in
                let said = lines.map {
                    StoredLoss.Line(
                        connection: $0.connection, tokens: $0.tokens.kind,
                        endsAt: $0.tokens.end ?? ends[$0.connection].flatMap { $0 })
                }
                try broker.note(said, of: name, session, rows, isDone: isDone, leftOut: leftOut, at: now)
            }
            return .done(LossResult(isDone: isDone, connections: lines, leftOut: leftOut))
        }
    }

    private func renew(
        _ rest: ArraySlice<Connection>, done: [LossResult.Line], with vault: OpenVault, until: Instant
    ) throws -> Step<[LossResult.Line]> {
        var done = done
        var rest = rest
        while let connection = rest.popFirst() {
            let canBeAsked = connection.refreshable && connection.status == .active
            guard canBeAsked, Instant.now() < until else {
                done.append(try line(connection, refreshToken: nil, vault))
                continue
            }
            let old = try store.read { try $0.refreshTokenHash(of: connection, in: vault) }
            let (before, left) = (done, rest)
            return .refresh(connection.id, generation: connection.generation) { broker, _ in
                let line = try broker.line(connection, refreshToken: old, vault)
                return try broker.renew(left, done: before + [line], with: vault, until: until)
            }
        }
        return .done(done)
    }

    /// - Parameter old: the hash of the refresh token that may be known; nil when it was not looked at.
    private func line(
        _ before: Connection, refreshToken old: [UInt8]?, _ vault: OpenVault
    ) throws -> LossResult.Line {
        let provider = catalogue[before.provider]
        return try store.read { rows in
            let now = try rows.connection(before.id)
            let new = try now.flatMap { try rows.refreshTokenHash(of: $0, in: vault) }
            return LossResult.Line(
                connection: before.id, provider: before.provider, providerName: provider?.name ?? before.provider.json,
                account: try now.flatMap { try rows.accountName(of: $0, in: vault) },
                tokens: Self.fate(of: before, now: now, isRotated: old != nil && new != old, at: provider),
                manageURL: provider?.manageURL)
        }
    }

    /// Told by what the provider did, not by what it is said to do.
    private static func fate(
        of before: Connection, now: Connection?, isRotated: Bool, at provider: Provider?
    ) -> LostTokens {
        guard let now, now.status != .reauthorize else { return .ended }
        let own = before.expiresAt.map(LostTokens.expires) ?? .live
        guard before.refreshable else { return own }
        guard now.generation > before.generation else { return .pending }
        // A refresh token that stays the same stays good for whoever has it.
        guard isRotated else { return .live }
        return provider?.refresh.oldAccessDies == true ? .replaced : own
    }
}
