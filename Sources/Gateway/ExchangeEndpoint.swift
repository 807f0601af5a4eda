import Broker
import Encoding
import Envelope
import FastCGI
import OAuth
import Secrets
import Vault

/// RFC 8693 at `/token`: the same vend, for software that knows the standard and nothing of us.
extension Gateway {
    static let exchangeGrant = "urn:ietf:params:oauth:grant-type:token-exchange"
    private static let accessTokenType = "urn:ietf:params:oauth:token-type:access_token"

    func exchangeToken(_ exchange: Exchange, _ form: TokenForm, _ now: Instant) throws -> Step<Reply> {
        let token = try exchanger(exchange, form, at: now)
        var request = try vendRequest(form, isPlugin: token.kind.isOfPlugin)
        request.address = exchange.address
        do {
            return try broker.vend(request, with: token, at: now, render: Self.exchanged)
                .otherwise { _, error in try Self.refusal(error) }
        } catch {
            return .done(try Self.refusal(error))
        }
    }

    /// Whose token it will be: a plugin by its key, or the person whose key or command line is the subject.
    private func exchanger(_ exchange: Exchange, _ form: TokenForm, at now: Instant) throws -> Token {
        let credentials = try credentials(exchange, form)
        guard form["actor_token"] == nil, form["actor_token_type"] == nil else {
            throw OAuthError(.invalidRequest, "actor tokens are not taken")
        }
        if let secret = credentials.secret, let token = try? Token(parsing: secret), token.kind.isOfPlugin {
            guard form["subject_token"] == nil else {
                throw OAuthError(.invalidRequest, "a plugin names the person by userId and shows no subject_token")
            }
            guard credentials.method == .basic,
                let plugin = try broker.store.read({ try $0.openPlugin(token, at: now) }),
                plugin.id.text == credentials.clientID
            else {
                throw OAuthError(
                    .invalidClient, "the plugin is not known, or the key is not its key", triedBasic: true)
            }
            return token
        }
        if credentials.clientID != nil {
            // A client that anybody could have made is never handed a provider's token (V-2).
            let client = try broker.authenticate(credentials, at: now)
            guard client.kind == .builtIn else {
                throw OAuthError(.unauthorizedClient, "this client may not exchange tokens")
            }
        }
        guard try form.required("subject_token_type") == Self.accessTokenType else {
            throw OAuthError(.invalidRequest, "subject_token_type must be \(Self.accessTokenType)")
        }
        guard let token = try? Token(parsing: form.required("subject_token")) else { throw OAuthError.wrongSubject }
        switch token.kind {
        case .apiKey, .cli:
            guard try broker.isKnown(token, at: now) else { throw OAuthError.wrongSubject }
            return token
        case .access, .refresh:
            throw OAuthError(.unauthorizedClient, "a token of an OAuth client cannot be exchanged for a provider's")
        case .session, .plugin, .pluginPerson, .code, .device, .invitation, .recovery, .passkey:
            throw OAuthError.wrongSubject
        }
    }

    private func vendRequest(_ form: TokenForm, isPlugin: Bool) throws -> VendRequest {
        if let type = form["requested_token_type"], type != Self.accessTokenType {
            throw OAuthError(.invalidRequest, "requested_token_type must be \(Self.accessTokenType)")
        }
        let audiences = form.all("audience")
        guard form.all("resource").isEmpty, audiences.count == 1, let provider = try? ProviderID(parsing: audiences[0])
        else { throw OAuthError(.invalidTarget, "name one provider as audience, and no resource") }
        let names = (form["scope"] ?? "").split(separator: " ").map(String.init)
        guard let scopes = try? ScopeSet(tokens: names) else {
            throw OAuthError(.invalidScope, "scope must be RFC 6749 scope tokens, at most 200")
        }
        let (reason, tool) = (form["reason"] ?? "", form["tool"] ?? "")
        guard reason.isWithin(256), tool.isWithin(64), (form["account"] ?? "").isWithin(256) else {
            throw OAuthError(.invalidRequest, "reason may have 256 characters, tool 64, account 256")
        }
        if !isPlugin, form["userId"].map({ PersonID(parsing: $0) == nil }) ?? false {
            throw OAuthError(.invalidRequest, "userId is not a user id")
        }
        return VendRequest(
            userID: form["userId"], provider: provider, scopes: scopes, account: form["account"],
            reason: reason.withoutControls, tool: tool.withoutControls)
    }

    private static let exchanged: @Sendable (borrowing VendedToken) -> Reply = { token in
        var reply = Reply.json(secret: true) { writer in
            writer.beginObject()
            writer.key("access_token")
            writer.string(utf8: token.accessToken)
            writer.member("issued_token_type", accessTokenType)
            writer.member("token_type", token.tokenType)
            if let expiresIn = token.expiresIn { writer.member("expires_in", expiresIn) }
            writer.member("scope", token.scopes.text)
            writer.endObject()
        }
        reply.headers.append(("Pragma", "no-cache"))
        return reply
    }

    /// The refusals of a vend in the words of RFC 6749, with the members of the problem document. What is not about the
    /// request itself stays a problem document: there is no such word for it.
    private static func refusal(_ error: any Error) throws -> Reply {
        guard let refusal = error as? Refusal else { throw error }
        let problem = Problem(refusal)
        let (code, isClient): (String, Bool) =
            switch refusal {
            case .authorizationRequired: ("interaction_required", false)
            case .scopeDeclined: ("access_denied", false)
            case .invalidRequest, .accountChoice: ("invalid_request", false)
            case .ownerMismatch, .notPermitted: ("unauthorized_client", false)
            case .unknownProvider, .providerNotConfigured, .providerMisconfigured: ("invalid_target", false)
            case .invalidToken: ("invalid_client", true)
            default: throw error
            }
        var reply = Reply.json(isClient ? 401 : 400) {
            $0.object {
                $0.member("error", code)
                $0.member("error_description", problem.detail)
                problem.members(&$0)
            }
        }
        reply.headers.append(("Pragma", "no-cache"))
        reply.stranger = refusal.stranger
        return reply
    }
}
