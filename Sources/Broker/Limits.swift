import Encoding
import OAuth
import Providers
import Vault

extension Broker {
    /// What a caller's limits say before anything of the person is looked at: its allow-list, the mute, the rate. In
    /// api.md's order: the caller is known, the person is named.
    public func admit(
        _ caller: OpenCaller, to provider: ProviderID, of person: PersonID, _ reach: PluginReach, at now: Instant
    ) throws(Refusal) {
        guard case .plugin(let plugin) = caller else { return }
        // The same words as for a person who does not exist: a mute is nobody's business.
        guard !reach.isMuted else { throw .notPermitted(.unknownPerson) }
        guard reach.names(provider) else { throw .unknownProvider }
        var allowances: [(key: RateTable.Key, perMinute: Int64)] = []
        if let rate = reach.operators?.ratePerMinute { allowances.append((RateTable.Key(plugin.id.bytes), rate)) }
        if let rate = reach.persons?.ratePerMinute {
            allowances.append((RateTable.Key(plugin.id.bytes, person.bytes), rate))
        }
        guard !allowances.isEmpty, let wait = rates.take(allowances, at: now) else { return }
        throw .rateLimited(retryAfter: wait)
    }
}

extension Broker {
    /// Rules for calls would mean nothing to who has the token itself: a plugin that has some gets no token of this
    /// provider into its hands, only into the calls that they permit.
    func permit(_ door: Door, at provider: Provider, _ reach: PluginReach) throws(Refusal) {
        guard reach.limitsCalls(at: provider.id) else { return }
        guard let call = door.call,
            reach.permits(
                call.method.rawValue, call.target.path, isBundle: provider.bundles(call.target.segments),
                at: provider.id)
        else { throw .notPermitted(.beyondLimits) }
    }
}

extension PluginReach {
    /// Whether a token that carries these may be handed over.
    func covers(_ scopes: ScopeSet, _ provider: Provider) -> Bool {
        ceilings(at: provider.id).allSatisfy { provider.missing(from: provider.canonical($0), for: scopes).isEmpty }
    }

    /// What to ask for when the caller named nothing: the defaults, as far as they are permitted.
    func defaults(_ provider: Provider) -> ScopeSet {
        let all = provider.canonical(provider.defaultScopes)
        let ceilings = ceilings(at: provider.id).map { provider.canonical($0) }
        return ceilings.reduce(all) { wanted, ceiling in
            wanted.subtracting(provider.missing(from: ceiling, for: wanted))
        }
    }
}
