import OAuth

/// `sign_in` of a provider: the operator lets people sign in with it.
public struct SignInRules: Hashable, Sendable {
    public let newPeople: NewPeople

    init(reading fields: Fields) throws(CatalogueError) {
        var fields = fields
        newPeople = try NewPeople(reading: &fields)
        try fields.finish()
    }
}

extension Provider {
    /// The marked providers need an issuer, PKCE, and a place for its keys: with these an ID token can be checked.
    func checkSignIn(_ fields: Fields) throws(CatalogueError) {
        guard signIn != nil else { return }
        guard issuer != nil else { throw fields.missing("issuer", expected: "an issuer of ID tokens, for sign_in") }
        guard usesPKCE else { throw fields.wrong("authorize", expected: "pkce S256, for sign_in", found: "no PKCE") }
        guard needsDiscovery || endpoints.jwks != nil else {
            throw fields.missing("endpoints", expected: "jwks, for sign_in where authorize and token are given")
        }
    }

    /// Where a browser goes to sign in (OpenID Connect Core 1.0 §3.1.2.1): nothing is asked for but who it is.
    /// - Parameter anew: whoever is signed in there already is asked once more, and the answer says when.
    public func signInURL(
        state: String, nonce: String, codeChallenge: String, redirectURI: String, anew: Bool = false
    ) throws(ProviderError) -> String {
        guard let client else { throw .notConfigured }
        guard let template = endpoints.authorize, let endpoint = expand(template) else { throw .notDiscovered }
        var request = AuthorizationRequest(clientID: client.id, redirectURI: redirectURI, state: state)
        request.set("response_type", "code")
        request.set("scope", "openid profile")
        request.set("nonce", nonce)
        if anew {
            request.set("prompt", "login")
            // Makes `auth_time` a required claim. Not 0, which says no more than the line above: glewlwyd refuses it, and who
            // looks at it once more after the consent would ask for ever.
            request.set("max_age", "600")
        }
        request.set(codeChallenge: codeChallenge)
        return request.url(endpoint: endpoint)
    }

    /// For the issuer's keys.
    public func keySetCall() throws(ProviderError) -> ProviderCall {
        guard let template = endpoints.jwks, let url = expand(template) else { throw .notDiscovered }
        return ProviderCall(method: "GET", url: url, headers: Self.completed([]), limits: limits(total: 8_000))
    }
}
