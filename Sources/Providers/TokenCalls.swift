import OAuth
import Secrets

extension Provider {
    /// RFC 6749 section 4.1.3, RFC 7636 section 4.5. Never sent twice: codes are used once.
    public func codeExchange(
        code: SecretText, verifier: SecretText?, redirectURI: String
    ) throws(ProviderError) -> ProviderCall {
        var fields = RequestFields()
        for (name, value) in token.parameters { fields.set(name, value) }
        fields.set("grant_type", GrantType.authorizationCode.rawValue)
        fields.set("code", code)
        if token.sendsRedirectURI { fields.set("redirect_uri", redirectURI) }
        if usesPKCE, let verifier { fields.set("code_verifier", verifier) }
        return try tokenCall(endpoints.token, fields)
    }

    /// RFC 6749 section 6. `scope` is not sent unless the provider needs it.
    public func refreshCall(
        _ refreshToken: SecretText, scopes: ScopeSet = .empty, redirectURI: String? = nil
    ) throws(ProviderError) -> ProviderCall {
        var fields = RequestFields()
        for (name, value) in refresh.parameters { fields.set(name, value) }
        fields.set("refresh_token", refreshToken)
        if refresh.sendsScope, !scopes.isEmpty {
            fields.set("scope", scopes.names.joined(separator: authorize.scopeSeparator))
        }
        if refresh.sendsRedirectURI, let redirectURI { fields.set("redirect_uri", redirectURI) }
        return try tokenCall(endpoints.refresh ?? endpoints.token, fields)
    }

    private func tokenCall(_ template: String?, _ given: RequestFields) throws(ProviderError) -> ProviderCall {
        var fields = given
        var headers: [ProviderCall.Header] = []
        try authenticate(token.authentication ?? .body, &fields, &headers)
        headers += self.headers(token.headers)
        guard let template, let url = expand(template) else { throw .notDiscovered }
        return try call("POST", url, fields, as: token.body, headers)
    }

    /// Adds the client to a request (RFC 6749 section 2.3): in one way, never in both.
    func authenticate(
        _ way: ClientAuthentication, _ fields: inout RequestFields, _ headers: inout [ProviderCall.Header]
    ) throws(ProviderError) {
        guard let client else { throw .notConfigured }
        switch way {
        case .basic:
            headers.append(.init("Authorization", try Self.inSecureMemory { try client.basicAuthorization() }))
        case .body:
            fields.set("client_id", client.id)
            if let secret = client.secret { fields.set("client_secret", secret) }
        case .none:
            fields.set("client_id", client.id)
        }
    }

    func call(
        _ method: String, _ url: String, _ fields: RequestFields, as body: TokenRules.Body,
        _ headers: [ProviderCall.Header]
    ) throws(ProviderError) -> ProviderCall {
        let type = body == .form ? "application/x-www-form-urlencoded" : "application/json"
        let text = try Self.inSecureMemory { try body == .form ? fields.form() : fields.json() }
        let common = [ProviderCall.Header("Content-Type", type)]
        return ProviderCall(
            method: method, url: url, headers: Self.completed(headers + common), body: text, limits: limits())
    }

    /// Headers of the entry, with `${user_agent}` and the variables filled in.
    func headers(_ given: [(name: String, value: String)]) -> [ProviderCall.Header] {
        given.compactMap { name, value in
            let filled = Template.expand(value) { $0 == "user_agent" ? ProviderCall.userAgent : variables[$0]?.value }
            return filled.map { ProviderCall.Header(name, $0) }
        }
    }

    /// The headers that every call carries, unless the entry has its own.
    static func completed(_ headers: [ProviderCall.Header]) -> [ProviderCall.Header] {
        var all = headers
        let defaults = [("Accept", "application/json"), ("User-Agent", ProviderCall.userAgent)]
        for (name, value) in defaults where !all.contains(where: { $0.name.lowercased() == name.lowercased() }) {
            all.append(.init(name, value))
        }
        return all
    }

    static func inSecureMemory<R>(_ make: () throws -> R) throws(ProviderError) -> R {
        do {
            return try make()
        } catch {
            throw .secureMemory
        }
    }
}
