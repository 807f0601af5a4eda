import Encoding
import OAuth
import Providers
import Secrets
import Settings
import Vault

/// Why none of the caller's connections will do.
struct Need {
    let reason: AuthorizationRequired.Reason
    let missing: ScopeSet
    let granted: ScopeSet
}

enum Choice {
    case one(VendCandidate)
    case unmet(Need)
}

extension Broker {
    /// For a plugin the answer depends only on its own approvals: what else the person has is not there for it.
    func choose(
        _ candidates: [VendCandidate], for request: VendRequest, provider: Provider, caller: OpenCaller,
        _ reach: PluginReach = .unlimited, at now: Instant
    ) throws -> Choice {
        let asked = provider.canonical(request.scopes)
        guard reach.covers(asked, provider) else { throw Refusal.notPermitted(.beyondLimits) }
        var reachable = candidates
        if case .holder(let slot) = caller, let client = slot.client {
            let allowed = try store.read { try $0.connectionsAllowed(for: client) }
            reachable = reachable.filter { allowed.contains($0.id) }
        }
        if let account = request.account {
            // An id needs no look inside; names are sealed.
            let byID = reachable.filter { $0.id.text == account }
            reachable =
                try byID.isEmpty
                ? reachable.filter { try isNamed(account, $0, provider: provider, caller: caller) } : byID
        }
        let wanted = asked.isEmpty ? reach.defaults(provider) : asked
        guard !wanted.isEmpty || reach.ceilings(at: provider.id).isEmpty else {
            throw Refusal.notPermitted(.beyondLimits)
        }
        if case .locked = caller { return .unmet(Need(reason: .vaultLocked, missing: wanted, granted: .empty)) }
        guard !reachable.isEmpty else {
            return .unmet(Need(reason: .notConnected, missing: wanted, granted: .empty))
        }
        let approved = caller.kind == .plugin ? reachable.filter { $0.isApproved(provider) } : reachable
        let live = approved.filter { $0.status == .active && !$0.isDead(at: now) }
        let working = live.filter { reach.covers($0.scopes, provider) }
        // Approved, but limited since then: no link would change that.
        guard live.isEmpty || !working.isEmpty else { throw Refusal.notPermitted(.beyondLimits) }
        let sufficient = working.filter { candidate in
            provider.missing(from: candidate.scopes, for: asked).isEmpty
                || request.alternatives.contains {
                    provider.missing(from: candidate.scopes, for: provider.canonical($0)).isEmpty
                }
        }
        if sufficient.count == 1 { return .one(sufficient[0]) }
        if sufficient.count > 1 {
            let preferred = sufficient.filter(\.isDefault)
            if preferred.count == 1 { return .one(preferred[0]) }
            throw Refusal.accountChoice(
                try sufficient.map {
                    AccountChoice(
                        connection: $0.id, account: try names(of: $0, provider: provider, caller: caller).account)
                })
        }
        // Where several reasons hold, the first of api.md's order is said.
        if caller.kind == .plugin, let outgrown = reachable.first(where: { !$0.isApproved(provider) }), working.isEmpty
        {
            // Withdrawn: nothing is left of it. Outgrown: what the token came to carry, and what is asked now.
            let left = outgrown.approval == .withdrawn ? ScopeSet.empty : outgrown.approvedScopes
            let carried = outgrown.approval == .withdrawn ? wanted : outgrown.scopes.union(wanted)
            return .unmet(
                Need(reason: .pluginNotApproved, missing: provider.missing(from: left, for: carried), granted: left))
        }
        if working.isEmpty, let dead = approved.first {
            return .unmet(
                Need(
                    reason: .reauthorizationRequired,
                    missing: asked.isEmpty && reach.covers(dead.scopes, provider) ? dead.scopes : wanted,
                    granted: .empty))
        }
        let best = working.max { $0.scopes.count < $1.scopes.count }
        let granted = best?.scopes ?? .empty
        return .unmet(
            Need(
                reason: .insufficientScope, missing: provider.missing(from: granted, for: asked), granted: granted))
    }

    /// Mostly there is one connection, it carries by their names what is asked, and no limit has a say: what `choose`
    /// would find, without a list for each condition. nil: `choose` has to look.
    func sole(
        _ candidates: [VendCandidate], for request: VendRequest, _ entry: Catalogue.Entry, caller: OpenCaller,
        _ reach: PluginReach, at now: Instant
    ) -> VendCandidate? {
        guard candidates.count == 1, entry.namesAreCanonical, reach.hasNoLimits, request.account == nil,
            !request.scopes.isEmpty
        else { return nil }
        let candidate = candidates[0]
        switch caller {
        case .locked: return nil
        case .holder(let slot):
            guard slot.client == nil else { return nil }
        case .plugin:
            guard candidate.approval == .live, candidate.scopes.isSubset(of: candidate.approvedScopes) else {
                return nil
            }
        }
        guard candidate.status == .active, !candidate.isDead(at: now), request.scopes.isSubset(of: candidate.scopes)
        else { return nil }
        return candidate
    }

    private func isNamed(
        _ account: String, _ candidate: VendCandidate, provider: Provider, caller: OpenCaller
    ) throws -> Bool {
        guard candidate.hasKey else { return false }
        let names = try names(of: candidate, provider: provider, caller: caller)
        return names.account == account || (names.label == account && !account.isEmpty)
    }

    private func names(
        of candidate: VendCandidate, provider: Provider, caller: OpenCaller
    ) throws -> (account: String, label: String) {
        let (key, _) = try store.openKey(of: candidate, for: caller)
        let opened = try store.openCredential(of: candidate, provider: provider.id, with: key)
        return try opened.withUnsafeBytes {
            let view = try CredentialView($0)
            return (String(decoding: view.accountLabel, as: UTF8.self), String(decoding: view.label, as: UTF8.self))
        }
    }

    /// Turns a need into the answer the caller can act on: a link, or the person's earlier no.
    func refusal(
        for need: Need, _ request: VendRequest, of person: PersonID, provider: Provider, caller: OpenCaller,
        _ reach: PluginReach = .unlimited, at now: Instant
    ) throws -> Refusal {
        guard provider.isConfigured else { return .providerNotConfigured(provider.name) }
        let declined = try store.read {
            try $0.declined(caller: caller.id, person: person, provider: provider.id, at: now)
        }
        let blocking = declined.filter { need.missing.contains($0.scope) }
        if let until = blocking.map(\.until).max() {
            return .scopeDeclined(scopes: ScopeSet(blocking.map(\.scope)), until: until)
        }
        // The link asks for what the task needs; what is granted already is shown as such on the page.
        let asked = provider.canonical(request.scopes)
        let wanted =
            asked.isEmpty ? (need.missing.isEmpty ? provider.canonical(provider.defaultScopes) : need.missing) : asked
        // What the caller can do without is left out where the person said no to it, or a limit does.
        let optional = ScopeSet(
            provider.canonical(request.optional).subtracting(wanted).names.filter { name in
                !declined.contains { $0.scope == name } && reach.covers(ScopeSet([name]), provider)
            })
        let shown = wanted.union(optional)
        guard shown.text.utf8.count < ConnectLink.scopeBytes else {
            return .invalidRequest([MemberError("scopes", "scope tokens that fit into a link: together at most 1 KiB")])
        }
        let claim = RequestClaim(
            reason: request.reason, tool: request.tool, account: request.account ?? "", address: request.address)
        let open = try store.write {
            try $0.request(
                for: caller, person: person, provider: provider.id, scopes: shown, optional: optional, claim: claim,
                at: now)
        }
        guard let open else { return .rateLimited(retryAfter: 60) }
        return .authorizationRequired(
            AuthorizationRequired(
                reason: need.reason,
                url: need.reason == .vaultLocked
                    ? unlockURL(open.id) : connectURL(provider: provider.id, scopes: shown, request: open.id),
                requestID: open.id, statusURL: "\(settings.origin)/api/requests/\(open.id.text)",
                expiresIn: max(0, now.seconds(until: open.request.expiresAt)), interval: open.request.interval,
                matchCode: Request.matchCode(of: open.id), missing: need.missing,
                granted: need.granted))
    }
}

extension VendCandidate {
    /// Approved, and the token carries no more than was approved.
    func isApproved(_ provider: Provider) -> Bool {
        approval == .live && provider.missing(from: approvedScopes, for: scopes).isEmpty
    }

    /// Expired with nothing to renew it.
    func isDead(at now: Instant) -> Bool { !refreshable && (expiresAt.map { $0 <= now } ?? false) }
}
