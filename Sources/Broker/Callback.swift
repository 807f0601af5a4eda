import Encoding
import Envelope
import OAuth
import Providers
import Secrets
import Vault

/// Where a callback sends the browser, always a page without a query.
public struct Arrival: Sendable {
    public let location: String
    /// The transaction cookie to drop.
    public let endsCookie: String?
}

extension Broker {
    /// `GET /api/auth/{provider}/callback`. The order of the checks is standards.md §1.5; the state is used up before
    /// anything is sent, and whatever fails later, nothing that was stored before is touched.
    public func callback(
        _ id: ProviderID, query: String, cookies: [String: String], session: OpenSlot?, at now: Instant
    ) throws -> Step<Arrival> {
        guard let provider = catalogue[id] else {
            return .done(Arrival(location: Self.errorPage("invalid-link"), endsCookie: nil))
        }
        let response: AuthorizationResponse
        do {
            response = try AuthorizationResponse(parsing: query, names: provider.authorize.callback)
        } catch {
            return .done(Arrival(location: Self.errorPage("invalid-link"), endsCookie: nil))
        }
        let cookieName = Self.transactionCookie(state: response.state)
        func refuse(_ code: String) -> Step<Arrival> {
            .done(Arrival(location: Self.errorPage(code), endsCookie: cookieName))
        }
        guard let flow = try store.read({ try $0.authorization(state: response.state) }) else {
            return refuse("invalid-link")
        }
        // A second delivery shows how the first one ended and exchanges nothing.
        if flow.isConsumed {
            guard let session, session.person == flow.person, let outcome = flow.outcome else {
                return refuse("already-used")
            }
            return .done(Arrival(location: Self.donePage(outcome), endsCookie: cookieName))
        }
        guard flow.expiresAt > now else { return refuse("expired") }
        var outcome = Outcome(
            id: random.id(), person: flow.person, provider: flow.provider, status: .working, request: flow.request,
            requester: try requesterName(of: flow), scopes: flow.asked, missing: .empty)
        let first = try store.write { rows in
            guard try rows.consume(flow, outcome: outcome.id, at: now) else { return false }
            try rows.store(outcome, at: now)
            return true
        }
        guard first else { return refuse("already-used") }

        guard let cookie = cookies[cookieName].flatMap({ Base64URL.decode($0) }), sha256(cookie) == flow.cookieHash,
            let session, session.id == flow.slot, session.person == flow.person
        else {
            try end(&outcome, flow, failed: "wrong-browser", at: now)
            return refuse("wrong-browser")
        }
        let done = Arrival(location: Self.donePage(outcome.id), endsCookie: cookieName)
        guard flow.provider == id,
            (try? response.checkIssuer(expected: provider.issuer, required: provider.authorize.requiresIssuer)) != nil
        else {
            try end(&outcome, flow, failed: "wrong-issuer", at: now)
            return .done(done)
        }
        switch response.outcome {
        case .error(let code, _):
            let isDenied = provider.authorizationErrorClass(code) == .denied
            try end(&outcome, flow, failed: isDenied ? "denied" : "provider-refused", at: now)
            return .done(done)
        case .code(let code):
            let verifier = try store.read { try $0.verifier(of: flow, state: response.state) }
            let started = outcome
            return try resolved(provider, at: now).then(self) { _, provider in
                let call = try provider.codeExchange(code: code, verifier: verifier, redirectURI: flow.redirectURI)
                let exchange = Exchange(
                    flow: flow, provider: provider, outcome: started, vault: session.vault, done: done)
                return .send(call) { try $0.exchanged(exchange, $1) }
            }
        }
    }

    /// What the steps of one code exchange carry along.
    struct Exchange: Sendable {
        let flow: AuthorizationSession
        let provider: Provider
        let outcome: Outcome
        /// The approving session's vault: the destination is often this one.
        let vault: OpenVault
        let done: Arrival

        var destination: Destination { flow.vault == vault.id ? .open(vault) : .locked(flow.vault) }
    }

    private func exchanged(
        _ exchange: Exchange, _ result: Result<ProviderReply, TransportFailure>
    ) throws -> Step<Arrival> {
        var outcome = exchange.outcome
        let now = Instant.now()
        guard case .success(let reply) = result else {
            try end(&outcome, exchange.flow, failed: "provider-unavailable", at: now)
            return .done(exchange.done)
        }
        switch exchange.provider.parseTokens(reply, requested: exchange.flow.sent, at: now) {
        case .tokens(let tokens): return try identify(exchange, tokens, attempt: 0)
        case .refused(_, let errorClass):
            let message: String =
                switch errorClass {
                case .denied: "denied"
                case .config: "misconfigured"
                case .admin: "admin-needed"
                case .userAction: "action-at-provider"
                case .transient: "provider-unavailable"
                case .reauthorize, .replay: "expired"
                }
            try end(&outcome, exchange.flow, failed: message, at: now)
        case .unknown:
            try end(&outcome, exchange.flow, failed: "provider-unavailable", at: now)
        }
        return .done(exchange.done)
    }

    /// Whose account it is, by the first identity call that answers; a provider that tells nothing still connects.
    private func identify(_ exchange: Exchange, _ tokens: CredentialTokens, attempt: Int) throws -> Step<Arrival> {
        guard let call = try exchange.provider.identityCall(attempt, tokens: tokens) else {
            let account = exchange.provider.identity(in: tokens)
            return .done(try store(exchange, tokens, account: account, at: Instant.now()))
        }
        return .send(call) { broker, result in
            if case .success(let reply) = result,
                let account = exchange.provider.parseIdentity(attempt, reply: reply, tokens: tokens)
            {
                return .done(try broker.store(exchange, tokens, account: account, at: Instant.now()))
            }
            return try broker.identify(exchange, tokens, attempt: attempt + 1)
        }
    }

    func end(
        _ outcome: inout Outcome, _ flow: AuthorizationSession, failed message: String, at now: Instant
    ) throws {
        outcome.status = .failed
        outcome.message = message
        let ended = outcome
        try store.write { rows in
            try rows.store(ended, at: now)
            // The person may try again from the same link while it is open; only a no at the provider ends it.
            guard let request = flow.request else { return }
            switch message {
            case "denied": _ = try rows.end(request, as: .declined, because: message)
            // Trying again would end the same way until somebody else has acted.
            case "misconfigured", "admin-needed": _ = try rows.end(request, as: .failed, because: message)
            default: break
            }
        }
    }

    private func requesterName(of flow: AuthorizationSession) throws -> String? {
        guard let hash = flow.request, let request = try store.read({ try $0.request(hash: hash) }),
            request.callerKind == .plugin, let id = PluginID(bytes: request.caller)
        else { return nil }
        return try store.read { try $0.plugin(id)?.name }
    }
}
