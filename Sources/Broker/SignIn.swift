import Encoding
import Envelope
import OAuth
import Providers
import Secrets
import Settings
import Vault

/// A browser that is somebody now.
public struct SignedIn: Sendable {
    public let person: PersonID
    public let name: String
    public let cookie: SecretText
    /// Whether the vault is one that other holders open, too, or a new one of this session alone.
    public let opensExistingVault: Bool
    let session: SlotID
    /// How long the session can last.
    public let days: Int
}

/// By what somebody showed who they are; the record says it.
enum SignInWay: Sendable {
    case invitation, header, passkey
    case recovery
    case provider(ProviderID)

    var kind: String {
        switch self {
        case .invitation: "invitation"
        case .header: "header"
        case .passkey: "passkey"
        case .recovery: "recovery"
        case .provider: "provider"
        }
    }

    var provider: ProviderID? {
        if case .provider(let id) = self { id } else { nil }
    }
}

extension Broker {
    /// The session whose cookie this is, or nobody. An unknown cookie is ignored, never adopted (W-SESS-1).
    public func session(cookie: String?, at now: Instant) throws -> OpenSlot? {
        guard let cookie, let token = try? Token(parsing: cookie), token.kind == .session else { return nil }
        guard let session = try store.read({ try $0.openSlot(token, at: now) }) else { return nil }
        if session.succeeds { try store.write { try $0.settle(session) } }
        if now.milliseconds - session.lastUsedAt.milliseconds > 3_600_000 {
            try store.write { try $0.touchSlot(session, at: now) }
        }
        return try caughtUp(session, at: now)
    }

    /// The session that this cookie was of, where the answer with the one that came in its place was lost. It lets nobody
    /// in; who signs in goes on with its vault.
    public func superseded(cookie: String?, at now: Instant) throws -> OpenSlot? {
        guard let cookie, let token = try? Token(parsing: cookie), token.kind == .session else { return nil }
        return try store.read { try $0.openSuperseded(token, at: now) }
    }

    /// Makes a new person, once. Never signs anybody in whom the service knows already.
    public func acceptInvitation(
        _ code: String, session: OpenSlot?, from browser: String, at now: Instant
    ) throws -> SignedIn {
        guard session == nil else { throw Refusal.notPermitted(.signedIn) }
        guard let token = try? Token(parsing: code), token.kind == .invitation else { throw Refusal.invalidInvitation }
        return try store.write { rows in
            guard let vault = try rows.acceptInvitation(token, at: now) else { throw Refusal.invalidInvitation }
            return try signIn(to: vault, isExisting: false, by: .invitation, from: browser, rows, at: now)
        }
    }

    /// The user whom nginx vouches for, in a browser that has no session: signs in, with a vault of this session alone,
    /// because nothing that opens another one came along. Never makes an older sign-in fresh: no person took part in it.
    public func signIn(
        trustedUser user: String, session: OpenSlot?, superseded: OpenSlot?, from browser: String, at now: Instant
    ) throws -> SignedIn {
        guard let rules = settings.signIn.header else { throw Refusal.notFound }
        guard session == nil else { throw Refusal.notPermitted(.signedIn) }
        return try signIn(
            as: .header(user: user), by: .header, name: user, newPeople: rules.newPeople, superseded: superseded,
            from: browser, at: now)
    }

    /// Somebody whom another party names, as a new person where the operator's list says so.
    func signIn(
        as identity: Identity, by way: SignInWay, name: String, newPeople: NewPeople, superseded: OpenSlot?,
        from browser: String, at now: Instant
    ) throws -> SignedIn {
        try store.write { rows in
            let person: Person
            if let known = try rows.person(known: identity) {
                try rows.arrive(known.id)
                person = known
            } else {
                guard newPeople.admit(identity.subject) else { throw Refusal.notPermitted(.nobodyHere) }
                person = try rows.addPerson(name: name, at: now)
                guard try rows.add(identity, of: person.id, at: now) else { throw Refusal.unavailable }
            }
            if let superseded, superseded.person == person.id {
                return try renew(superseded, by: way, from: browser, rows, at: now)
            }
            return try signIn(
                to: rows.makeVault(for: person.id, at: now), isExisting: false, by: way, from: browser, rows, at: now)
        }
    }

    /// A recovery code opens its vault from any browser. Where there is a session of the same person, it shows anew that it
    /// is them, and the session keeps the vault that it has.
    public func recover(
        _ code: String, replacing session: OpenSlot?, superseded: OpenSlot?, from browser: String, at now: Instant
    ) throws -> SignedIn {
        guard let token = try? Token(parsing: code), token.kind == .recovery,
            let slot = try store.read({ try $0.openSlot(token, at: now) })
        else { throw Refusal.invalidInvitation }
        guard session == nil || session?.person == slot.person else { throw Refusal.notPermitted(.signedIn) }
        return try store.write { rows in
            // It did what it is for: whoever has it need not try it.
            try rows.noteUse(of: slot.id, at: now)
            if let kept = session ?? superseded, kept.person == slot.person {
                let renewed = try renew(kept, by: .recovery, from: browser, rows, at: now)
                try offerLink(from: slot, to: renewed, of: kept.vault, rows, at: now)
                return renewed
            }
            return try signIn(to: slot.vault, isExisting: true, by: .recovery, from: browser, rows, at: now)
        }
    }

    /// A new session, with a new id, whatever there was before (W-SESS-1).
    func signIn(
        to vault: OpenVault, isExisting: Bool, by way: SignInWay, from browser: String, _ rows: Rows, at now: Instant
    ) throws -> SignedIn {
        let lifetime = SlotLifetime(idleDays: settings.signIn.idleDays, days: settings.signIn.days)
        let made = try rows.addSlot(.session, name: browser, to: vault, lifetime: lifetime, at: now)
        guard let person = try rows.person(vault.person) else { throw Refusal.invalidInvitation }
        try record(
            AuditRecord(
                .signedIn, person: person.id, provider: way.provider?.json, caller: made.id.text, callerKind: way.kind),
            at: now)
        return SignedIn(
            person: person.id, name: person.name, cookie: made.secret, opensExistingVault: isExisting,
            session: made.id, days: settings.signIn.days)
    }

    public func signOut(_ session: OpenSlot, confirm: String?, at now: Instant) throws {
        try takeAway(.slots([session.id]), by: session, confirm: confirm, at: now) { rows in
            try record(
                AuditRecord(.signedOut, person: session.person, caller: session.id.text, callerKind: "session"),
                at: now)
            _ = try rows.removeSlot(session.id, of: session.person, kinds: [.session])
        }
    }

    /// A new code; the one before ends.
    public func makeRecoveryCode(_ session: OpenSlot, at now: Instant) throws -> SecretText {
        try requireFreshUnlessFirstProof(session, at: now)
        try record(AuditRecord(.recoveryMade, person: session.person, caller: session.id.text), at: now)
        return try store.write { rows in
            try requireFreshUnlessFirstProof(session, rows, at: now)
            try rows.removeSlots(of: .recovery, in: session.vault.id)
            return try rows.addSlot(
                .recovery, name: "Recovery code", to: session.vault, lifetime: .untilRevoked, at: now
            ).secret
        }
    }

    /// As many API keys, and as many plugins of their own, one person may have at a time: far more than somebody can keep
    /// apart, and few enough for every list.
    static let mostOfAKind = 100

    public func makeKey(name: String, session: OpenSlot, at now: Instant) throws -> (id: SlotID, key: SecretText) {
        try requireFresh(session, at: now)
        return try store.write { rows in
            guard try rows.slots(of: session.person, kind: .apiKey, at: now).count < Self.mostOfAKind else {
                throw Refusal.tooMany(Self.mostOfAKind)
            }
            let made = try rows.addSlot(.apiKey, name: name, to: session.vault, lifetime: .untilRevoked, at: now)
            try record(
                AuditRecord(.keyMade, person: session.person, caller: made.id.text, callerKind: "api-key"), at: now)
            return (made.id, made.secret)
        }
    }

    public func removeHolder(
        _ id: SlotID, kinds: [HolderKind], session: OpenSlot, confirm: String?, at now: Instant
    ) throws {
        try takeAway(.slots([id]), by: session, confirm: confirm, at: now) { rows in
            guard try rows.removeSlot(id, of: session.person, kinds: kinds) else { throw Refusal.notFound }
            try record(AuditRecord(.keyRemoved, person: session.person, caller: id.text), at: now)
        }
    }

    /// A person's own plugin: it may ask them only.
    public func makePlugin(name: String, session: OpenSlot, at now: Instant) throws -> (id: PluginID, key: SecretText) {
        guard PluginName.isFit(name) else {
            throw Refusal.invalidRequest([
                MemberError("name", "1 to 80 visible characters, letters or digits among them")
            ])
        }
        try requireFresh(session, at: now)
        // What the consent page says in its own voice.
        let reserved =
            catalogue.providers.values.flatMap { [$0.name, $0.id.bridge] } + ["Toolshed", "Operator", settings.host]
        let folded = Set(reserved.map(PluginName.folded))
        do {
            return try store.write { rows in
                guard try rows.ownPlugins(of: session.person) < Self.mostOfAKind else {
                    throw Refusal.tooMany(Self.mostOfAKind)
                }
                let made = try rows.addPlugin(name: name, owner: session.person, reserved: folded, at: now)
                try record(
                    AuditRecord(.keyMade, person: session.person, caller: made.id.text, callerKind: "plugin"), at: now)
                return (made.id, made.secret)
            }
        } catch VaultError.nameTaken {
            throw Refusal.nameTaken
        }
    }
}
