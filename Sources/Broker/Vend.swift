import Encoding
import Envelope
import OAuth
import Providers
import Secrets
import Vault

/// What a vend hands out, while it lasts: the token lies in wiped memory and is written from there to the answer.
public struct VendedToken {
    public let accessToken: UnsafeRawBufferPointer
    public let tokenType: String
    /// What stands before it in the header that carries it to the API.
    public let prefix: String
    public let expiresIn: Int64?
    public let validUntil: Instant?
    public let scopes: ScopeSet
    public let provider: ProviderID
    public let connection: ConnectionID
    public let account: UnsafeRawBufferPointer
    public let refreshed: Bool
}

extension Broker {
    /// The main story: who calls, what they may reach, is it fresh, on record, handed out. Anything else is a refusal
    /// or a step to the keeper, after which the story begins again with the row as it is then.
    public func vend<Answer>(
        _ request: VendRequest, with token: borrowing Token, through door: Door = .vend,
        after result: RefreshResult? = nil, isCaughtUp: Bool = false, at now: Instant,
        render: @escaping @Sendable (borrowing VendedToken) -> Answer
    ) throws -> Step<Answer> {
        let person = request.userID.flatMap { PersonID(parsing: $0) }
        let row = try vendStatement.find(
            slot: token.id, kind: token.kind, provider: request.provider.json, person: person)
        switch token.kind {
        case .session, .apiKey, .plugin, .pluginPerson, .cli: break
        case .access: guard door.isForAgents else { throw Refusal.notPermitted(.agentClient) }
        case .code, .refresh, .device, .invitation, .recovery, .passkey: throw Refusal.invalidToken
        }
        guard let row, let caller = try store.open(row, with: token, at: now) else {
            throw Refusal.invalidToken
        }
        if case .holder(let slot) = caller { keepOpened(slot) }
        // The operator's allow-list is the caller's; the person's own is asked when they are known to be meant.
        guard row.reach.operators?.names(request.provider) ?? true else { throw Refusal.unknownProvider }
        let owner = try authorize(caller, asking: request.userID, person: person)
        // A plugin is told the same of somebody who is not there, and as early, as of one who muted it.
        if row.candidates.isEmpty, caller.kind == .plugin { try requirePerson(owner) }
        try admit(caller, to: request.provider, of: owner, row.reach, at: now)
        let entry = try self.entry(request.provider)
        if !row.reach.hasNoLimits { try permit(door, at: entry, row.reach) }
        let choice: Choice
        do {
            choice =
                if let only = sole(row.candidates, for: request, entry, caller: caller, row.reach, at: now) {
                    .one(only)
                } else {
                    try choose(row.candidates, for: request, entry, caller: caller, row.reach, at: now)
                }
        } catch let Refusal.accountChoice(accounts) {
            // Of two connections one may be a consent that came back while the vault was locked, of the same account.
            guard !isCaughtUp, case .holder(let slot) = caller, try hasUnsettled(slot.vault.id) else {
                throw Refusal.accountChoice(accounts)
            }
            return try vendCaughtUp(
                slot, request, with: token, through: door, after: result, at: now, render: render)
        }
        switch choice {
        case .unmet(let need):
            throw try refusal(
                for: need, request, of: owner, entry, caller: caller, row.reach, at: now)
        case .one(let candidate):
            // Its key or its vault's was taken from somebody: nothing is handed out or renewed under it any more. Where
            // only connections are marked, the others of the vault wait for a request that is not measured.
            if candidate.rekeyPending, !isCaughtUp, case .holder(let slot) = caller {
                return try vendCaughtUp(
                    slot, request, with: token, through: door, after: result, at: now, render: render)
            }
            return try hand(
                candidate, for: request, entry, caller: caller, through: door, after: result, token: token,
                at: now, render: render)
        }
    }

    private func vendCaughtUp<Answer>(
        _ slot: OpenSlot, _ request: VendRequest, with token: borrowing Token, through door: Door,
        after result: RefreshResult?, at now: Instant, render: @escaping @Sendable (borrowing VendedToken) -> Answer
    ) throws -> Step<Answer> {
        _ = try caughtUp(slot, at: now)
        return try vend(
            request, with: token, through: door, after: result, isCaughtUp: true, at: now, render: render)
    }

    /// `userId` selects, it never authorizes (V-1).
    func authorize(_ caller: OpenCaller, asking userID: String?, person: PersonID?) throws -> PersonID {
        switch caller {
        case .holder(let slot):
            guard userID == nil || person == slot.person else { throw Refusal.ownerMismatch }
            return slot.person
        case .locked(let slot):
            guard userID == nil || person == slot.person else { throw Refusal.ownerMismatch }
            return slot.person
        case .plugin(let plugin):
            guard userID != nil else { throw Refusal.invalidRequest([MemberError("userId", "the id of the person")]) }
            if let only = plugin.person ?? plugin.owner {
                guard person == only else { throw Refusal.ownerMismatch }
            }
            guard let person else { throw Refusal.notPermitted(.unknownPerson) }
            return person
        }
    }

    @inline(never)
    private func requirePerson(_ id: PersonID) throws {
        guard try store.read({ try $0.person(id) }) != nil else { throw Refusal.notPermitted(.unknownPerson) }
    }

    private func hand<Answer>(
        _ candidate: VendCandidate, for request: VendRequest, _ entry: Catalogue.Entry, caller: OpenCaller,
        through door: Door, after result: RefreshResult?, token: borrowing Token, at now: Instant,
        render: @escaping @Sendable (borrowing VendedToken) -> Answer
    ) throws -> Step<Answer> {
        let (key, wasSealed) = try store.openKey(of: candidate, for: caller)
        // As in `keepOpened`.
        if wasSealed { try? store.write { try $0.replaceSealedForm(of: candidate, key: key, for: caller) } }

        let end = candidate.end(entry, planHolds: result != .unchanged)
        if result == nil, candidate.needsRefresh(minTTL: request.minTTL, before: end, at: now) {
            guard entry.provider.isConfigured else {
                throw Refusal.providerNotConfigured(entry.provider.name)
            }
            keeper.hold(candidate.id, candidate.generation, key, true)
            let secret = try token.text()
            return .refresh(candidate.id, generation: candidate.generation) { broker, answer in
                try broker.vend(
                    request, afterRefresh: answer, of: candidate, with: secret, through: door, entry,
                    render: render)
            }
        }
        if let expiry = candidate.expiresAt, expiry <= now {
            throw result == .unchanged ? Refusal.refreshInProgress : Refusal.providerUnavailable(retryAfter: 5)
        }
        return .done(
            try withCredential(of: candidate, provider: request.provider, key) { buffer in
                let view = try CredentialView(buffer)
                try record(
                    AuditRecord(
                        .vended, person: candidate.person, provider: request.provider.json, connection: candidate.id,
                        caller: caller.text, callerKind: caller.recordedKind, scopes: candidate.scopes.text,
                        claim: try ActivityClaim.sealed(
                            reason: request.reason, tool: request.tool, with: view, connection: candidate.id, random)),
                    at: now)
                if candidate.refreshable { keeper.hold(candidate.id, candidate.generation, key, false) }
                return render(
                    VendedToken(
                        accessToken: view.accessToken, tokenType: entry.provider.keyRules?.tokenType ?? "Bearer",
                        prefix: entry.provider.keyRules?.prefix ?? "Bearer ",
                        expiresIn: end.map { max(0, now.seconds(until: $0)) },
                        validUntil: end, scopes: candidate.scopes, provider: request.provider,
                        connection: candidate.id, account: view.accountLabel, refreshed: result == .renewed))
            })
    }

    // An entry is taken apart only where the straight way ends: a copy of it costs as much as a box.

    @inline(never)
    private func permit(_ door: Door, at entry: Catalogue.Entry, _ reach: PluginReach) throws {
        try permit(door, at: entry.provider, reach)
    }

    @inline(never)
    private func choose(
        _ candidates: [VendCandidate], for request: VendRequest, _ entry: Catalogue.Entry, caller: OpenCaller,
        _ reach: PluginReach, at now: Instant
    ) throws -> Choice {
        try choose(candidates, for: request, provider: entry.provider, caller: caller, reach, at: now)
    }

    @inline(never)
    private func refusal(
        for need: Need, _ request: VendRequest, of person: PersonID, _ entry: Catalogue.Entry, caller: OpenCaller,
        _ reach: PluginReach, at now: Instant
    ) throws -> Refusal {
        try refusal(for: need, request, of: person, provider: entry.provider, caller: caller, reach, at: now)
    }

    private func withCredential<R>(
        of candidate: VendCandidate, provider: ProviderID, _ key: ConnectionKey,
        _ body: (UnsafeRawBufferPointer) throws -> R
    ) throws -> R {
        let opened = try store.openCredential(of: candidate, provider: provider, with: key)
        return try opened.withUnsafeBytes(body)
    }

    /// Back from the keeper, on whichever thread: the row is read again with the caller's key.
    private func vend<Answer>(
        _ request: VendRequest, afterRefresh answer: RefreshAnswer, of candidate: VendCandidate,
        with secret: SecretText, through door: Door, _ entry: Catalogue.Entry,
        render: @escaping @Sendable (borrowing VendedToken) -> Answer
    ) throws -> Step<Answer> {
        let now = Instant.now()
        let stillValid = candidate.expiresAt.map { $0 > now } ?? true
        var result = RefreshResult.unchanged
        switch answer {
        case .refreshed: result = .renewed
        case .reauthorize: break
        // A failed refresh leaves a token that is still valid usable until its end (A-REF-6).
        case .retryLater(let seconds):
            if !stillValid { throw Refusal.providerUnavailable(retryAfter: max(1, seconds)) }
        case .misconfigured:
            if !stillValid { throw Refusal.providerMisconfigured(entry.provider.name) }
        case .unavailable:
            if !stillValid { throw Refusal.refreshInProgress }
        }
        let token = try secret.withUnsafeBytes { try Token(parsing: $0) }
        return try vend(request, with: token, through: door, after: result, at: now, render: render)
    }
}

/// What the keeper said before the story began again. It is asked once.
public enum RefreshResult: Sendable { case renewed, unchanged }

extension VendCandidate {
    /// A token with less than `minTTL` left is refreshed first, unless less than half of its life has passed: then a
    /// refresh would give no more than it has.
    func needsRefresh(minTTL: Int64, before end: Instant?, at now: Instant) -> Bool {
        guard refreshable, let end else { return false }
        let left = end.milliseconds - now.milliseconds
        guard left > 0 else { return true }
        return left < minTTL * 1000 && now.milliseconds - obtainedAt.milliseconds >= left
    }

    /// The earlier of expiry and a planned refresh that would kill the token. `planHolds`: false after a refresh that
    /// brought nothing, when the token that there is lives on.
    func end(_ entry: Catalogue.Entry, planHolds: Bool) -> Instant? {
        guard planHolds, entry.oldAccessDies, refreshable, let planned = nextRefreshAt else { return expiresAt }
        return expiresAt.map { min($0, planned) } ?? planned
    }
}
