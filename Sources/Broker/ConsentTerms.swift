import OAuth
import Providers

/// What there is already when a person is asked.
struct ConsentBasis {
    let granted: ScopeSet
    /// The provider honours it, as far as is known.
    let isLive: Bool
    /// The provider is asked whatever is granted: the person reconnects.
    let mustAsk: Bool
}

/// What a consent to some scopes comes to: which are new, whether the provider has to be asked, what the token carries.
struct ConsentTerms {
    let missing: ScopeSet
    let needsProvider: Bool
    let shown: ScopeSet

    init(asked: ScopeSet, _ basis: ConsentBasis, _ provider: Provider) {
        missing = provider.missing(from: basis.isLive ? basis.granted : .empty, for: asked)
        needsProvider = basis.mustAsk || !basis.isLive || !missing.isEmpty
        shown =
            needsProvider
            ? provider.canonical(provider.requestScopes(asked: asked, granted: basis.granted)).union(asked)
            : basis.granted
    }
}

extension Consent {
    /// The same consent without what the person left out. What they were shown as optional they may leave out, and
    /// nothing else; not everything.
    func leaving(_ left: ScopeSet) throws(Refusal) -> Consent {
        guard !left.isEmpty else { return self }
        let optional = ScopeSet(document.scopes.filter(\.isOptional).map(\.scope))
        guard left.isSubset(of: optional) else { throw .changed }
        var narrowed = self
        narrowed.left = left
        narrowed.asked = asked.subtracting(left)
        guard !narrowed.asked.isEmpty else {
            throw .invalidRequest([MemberError("scopes", "at least one of those shown, or the decision decline")])
        }
        let terms = ConsentTerms(asked: narrowed.asked, basis, provider)
        narrowed.document.needsProvider = terms.needsProvider
        narrowed.shown = terms.shown.union(narrowed.asked)
        return narrowed
    }
}
