import OAuth

extension Provider {
    /// The scopes to send: the granted ones too where the provider would otherwise drop them. Canonical names.
    public func requestScopes(asked: ScopeSet, granted: ScopeSet) -> ScopeSet {
        let merges: Bool
        switch incremental {
        case .replace: merges = false
        // Merging by parameter takes in what the person gave to the client's siblings: only where switched on.
        case .param: merges = authorize.use.contains("incremental")
        case .additive: merges = true
        }
        let wanted = merges ? asked : asked.union(granted)
        let extra = authorize.extraScopes + authorize.use.flatMap { authorize.options[$0]?.addScopes ?? [] }
        return canonical(wanted).union(canonical(ScopeSet(extra)))
    }

    /// Where the browser goes (RFC 6749 section 4.1.1). `scopes` come from `requestScopes`.
    public func authorizationURL(
        state: String, codeChallenge: String?, scopes: ScopeSet, redirectURI: String, loginHint: String? = nil
    ) throws(ProviderError) -> String {
        guard let client else { throw .notConfigured }
        guard let template = endpoints.authorize, let endpoint = expand(template) else { throw .notDiscovered }
        var request = AuthorizationRequest(clientID: client.id, redirectURI: redirectURI, state: state)
        for (name, value) in authorize.parameters { request.set(name, value) }
        for (name, option) in authorize.options.sorted(by: { $0.key < $1.key }) {
            try apply(option, isOn: authorize.use.contains(name), to: &request, scopes: scopes, loginHint: loginHint)
        }
        if let parameter = authorize.scopeParameter, !scopes.isEmpty {
            request.set(parameter, scopes.names.joined(separator: authorize.scopeSeparator))
        }
        if usesPKCE, let codeChallenge { request.set(codeChallenge: codeChallenge) }
        return request.url(endpoint: endpoint)
    }

    private func apply(
        _ option: AuthorizeRules.Option, isOn: Bool, to request: inout AuthorizationRequest, scopes: ScopeSet,
        loginHint: String?
    ) throws(ProviderError) {
        let takesHint = option.parameters.contains { $0.value.contains("${login_hint}") }
        guard isOn || (takesHint && loginHint != nil) else { return }
        let forbidden = scopes.intersection(canonical(ScopeSet(option.forbidsScopes)))
        guard forbidden.isEmpty else { throw .forbiddenScopes(forbidden) }
        for (name, value) in option.parameters {
            let filled = Template.expand(value) { $0 == "login_hint" ? loginHint : variables[$0]?.value }
            if let filled { request.set(name, filled) }
        }
    }
}
