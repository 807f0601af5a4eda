import OAuth
import Secrets

/// What revoking at the provider came to.
public enum RevocationResult: String, Hashable, Sendable {
    /// It is gone, now or already.
    case revoked
    /// The provider cannot, or the operator did not switch it on.
    case unsupported
    case failed
}

extension Provider {
    public var revokesAtProvider: Bool { revoke.isOn && revocationStyle != .none && revocationEndpoint != nil }

    private var revocationEndpoint: String? {
        revoke.target == .grant ? endpoints.revokeGrant : endpoints.revoke
    }

    /// How far the call reaches; `nil`: it is not documented.
    public var revocationEffect: RevokeRules.Effect? { revoke.target == .grant ? .grant : revoke.effect }

    /// Whether the call may end what another connection of the same account stands on.
    public var revocationIsWide: Bool { sharesGrant || revocationEffect != .token }

    /// Whether ending the refresh token may leave its access token alive.
    public var revokesEachToken: Bool {
        revocationStyle == .rfc7009 && revoke.which == .refresh && revocationEffect != .grant
    }

    /// Whether the same account can be connected a second time with fewer scopes: not where the provider merges what
    /// was ever granted, nor where a new authorization ends the one before.
    public var connectsSeparately: Bool { incremental != .additive && !singleGrantPerUser }

    public var revocationStyle: RevokeRules.Style { revoke.style ?? (endpoints.revoke == nil ? .none : .rfc7009) }

    /// Where the person can end the grant; `nil` where the provider has no such page.
    public var manageURL: String? { keyRules?.page ?? endpoints.managePage.flatMap { expand($0) } }

    /// The call that ends the grant as far as the provider can (RFC 7009, or its own way); `nil`: unsupported.
    public func revocationCall(
        accessToken: SecretText?, refreshToken: SecretText?
    ) throws(ProviderError) -> ProviderCall? {
        guard revokesAtProvider, let template = revocationEndpoint else { return nil }
        let refreshFirst = revoke.which == .refresh
        guard let secret = refreshFirst ? refreshToken ?? accessToken : accessToken ?? refreshToken else { return nil }
        let isRefresh = refreshFirst ? refreshToken != nil : accessToken == nil
        // Where the token alone is enough, it is taken back by a service that has no client there any more.
        guard let url = expand(template) else { throw client == nil ? .notConfigured : .notDiscovered }
        var headers: [ProviderCall.Header] = []
        var fields = RequestFields()
        switch revocationStyle {
        case .none: return nil
        case .rfc7009:
            fields.set(revoke.tokenField, secret)
            if let hint = revoke.hintField { fields.set(hint, isRefresh ? "refresh_token" : "access_token") }
            let way = revoke.authentication ?? token.authentication ?? .body
            // For some the token alone is enough; then even the client's id would be an unknown field.
            if revoke.authentication != ClientAuthentication.none { try authenticate(way, &fields, &headers) }
            return try call("POST", url, fields, as: revoke.body, headers)
        case .deleteBasicJSON:
            fields.set(revoke.tokenField, secret)
            try authenticate(.basic, &fields, &headers)
            return try call("DELETE", url, fields, as: .json, headers)
        case .bearer, .bearerGet:
            headers.append(try authorization(secret))
            guard revocationStyle == .bearer, let text = revoke.fixedBody else {
                let method = revocationStyle == .bearer ? "POST" : "GET"
                return ProviderCall(method: method, url: url, headers: Self.completed(headers), limits: limits())
            }
            let body = try Self.inSecureMemory { try SecretText(text) }
            headers.append(.init("Content-Type", "application/json"))
            return ProviderCall(
                method: "POST", url: url, headers: Self.completed(headers), body: body, limits: limits())
        }
    }

    /// RFC 7009 section 2.2: an unknown token is as good as a revoked one.
    public func parseRevocation(_ reply: ProviderReply) -> RevocationResult {
        guard revokesAtProvider else { return .unsupported }
        if revoke.gone.contains(reply.status) { return .revoked }
        if let path = revoke.successPath {
            guard let fields = reply.fields else { return .failed }
            if fields.value(at: path) == .bool(true) { return .revoked }
            let code = fields.value(at: response.error)?.text ?? ""
            return revoke.goneCodes.contains(code) ? .revoked : .failed
        }
        guard revoke.success.contains(reply.status) else { return .failed }
        // Some answer 200 with an error; an empty or unreadable body is no error.
        if let code = reply.fields?.value(at: response.error)?.text {
            return revoke.goneCodes.contains(code) ? .revoked : .failed
        }
        return .revoked
    }
}
