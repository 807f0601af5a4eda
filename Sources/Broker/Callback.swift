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

    /// Something broke here; nothing is known to say more.
    public static let failed = Arrival(location: Broker.errorPage("failed"), endsCookie: nil)
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
            // A flow ends with the session that began it.
            return refuse(session == nil && cookies[cookieName] != nil ? "session-ended" : "invalid-link")
        }
        // A second delivery shows how the first one ended and exchanges nothing.
        if flow.isConsumed {
            guard let session, session.person == flow.person, let outcome = flow.outcome else {
                return refuse("already-used")
            }
            return .done(Arrival(location: Self.donePage(outcome), endsCookie: cookieName))
        }
        guard flow.expiresAt > now else { return refuse("expired") }
        let outcome = Outcome(
            id: random.id(), person: flow.person, provider: flow.provider, status: .working, request: flow.request,
            requester: try requesterName(of: flow), scopes: flow.asked, missing: .empty)
        let first = try store.write { rows in
            guard try rows.consume(flow, outcome: outcome.id, at: now) else { return false }
            try rows.store(outcome, at: now)
            return true
        }
        guard first else { return refuse("already-used") }

        guard let cookie = cookies[cookieName].flatMap({ Base64URL.decode($0) }), sha256(cookie) == flow.cookieHash,
            session == nil || (session?.id == flow.slot && session?.person == flow.person)
        else {
            try end(outcome, flow, failed: "wrong-browser", at: now)
            return refuse("wrong-browser")
        }
        guard let session else {
            try end(outcome, flow, failed: "session-ended", at: now)
            return refuse("session-ended")
        }
        let done = Arrival(location: Self.donePage(outcome.id), endsCookie: cookieName)
        guard flow.provider == id else {
            try end(outcome, flow, failed: "wrong-issuer", at: now)
            return .done(done)
        }
        let failed: @Sendable (Broker, any Error) throws -> Arrival = { broker, error in
            let isUnavailable = if case Refusal.providerUnavailable = error { true } else { false }
            try broker.end(
                outcome, flow, failed: isUnavailable ? "provider-unavailable" : "failed", at: Instant.now())
            return done
        }
        do {
            // The provider's own metadata says whether it names itself in the answer (RFC 9207).
            return try resolved(provider, at: now).then(self) { broker, provider in
                try broker.answered(
                    response,
                    Exchange(flow: flow, provider: provider, outcome: outcome, vault: session.vault, done: done),
                    at: Instant.now())
            }.otherwise(failed)
        } catch {
            return .done(try failed(self, error))
        }
    }

    private func answered(
        _ response: AuthorizationResponse, _ exchange: Exchange, at now: Instant
    ) throws -> Step<Arrival> {
        let (flow, provider) = (exchange.flow, exchange.provider)
        do {
            try response.checkIssuer(expected: provider.issuer, required: provider.authorize.requiresIssuer)
        } catch {
            try end(exchange.outcome, flow, failed: "wrong-issuer", at: now)
            return .done(exchange.done)
        }
        switch response.outcome {
        case .error(let code, _):
            try end(exchange.outcome, flow, failed: Self.message(for: provider.authorizationErrorClass(code)), at: now)
            return .done(exchange.done)
        case .code(let code):
            let verifier = try store.read { try $0.verifier(of: flow, state: response.state) }
            let call = try provider.codeExchange(code: code, verifier: verifier, redirectURI: flow.redirectURI)
            return .send(call) { try $0.exchanged(exchange, $1) }
        }
    }

    /// A code of the closed list for which the done page has words (nginx/site/words.js).
    private static func message(for errorClass: ErrorClass) -> String {
        switch errorClass {
        case .denied: "denied"
        case .config: "misconfigured"
        case .admin: "admin-needed"
        case .userAction: "action-at-provider"
        case .transient: "provider-unavailable"
        case .reauthorize, .replay: "expired"
        }
    }

    /// What the steps of one code exchange carry along.
    struct Exchange: Sendable {
        var flow: AuthorizationSession
        let provider: Provider
        let outcome: Outcome
        /// The approving session's vault: the destination is often this one.
        let vault: OpenVault
        /// What the person calls it from now on; empty for what they called it before.
        var label = ""
        let done: Arrival
        var isVaultCurrent = true

        var destination: Destination {
            flow.vault == vault.id && isVaultCurrent ? .open(vault) : .locked(flow.vault)
        }
    }

    private func exchanged(
        _ exchange: Exchange, _ result: Result<ProviderReply, TransportFailure>
    ) throws -> Step<Arrival> {
        let now = Instant.now()
        let reply: ProviderReply
        switch result {
        case .success(let answer): reply = answer
        case .failure(let failure):
            // A token endpoint that sends us elsewhere is not the one that was meant.
            let isElsewhere = if case .redirected = failure { true } else { false }
            let message = isElsewhere ? "misconfigured" : "provider-unavailable"
            tell("\(exchange.provider.id.json): no token for a code (\(shownCode(failure.code)))")
            try end(exchange.outcome, exchange.flow, failed: message, at: now)
            return .done(exchange.done)
        }
        switch exchange.provider.parseTokens(
            reply, for: .authorizationCode, requested: exchange.flow.sent, at: now)
        {
        case .tokens(let tokens): return try identify(exchange, tokens)
        case .refused(let code, let errorClass):
            // What only the operator can mend; the rest is the person's, and they are told.
            if errorClass == .config { tell("\(exchange.provider.id.json): no token for a code (\(shownCode(code)))") }
            try end(exchange.outcome, exchange.flow, failed: Self.message(for: errorClass), at: now)
        case .unknown(let code):
            tell("\(exchange.provider.id.json): no token for a code (\(shownCode(code)))")
            try end(exchange.outcome, exchange.flow, failed: "provider-unavailable", at: now)
        }
        return .done(exchange.done)
    }

    /// Whose account it is, by the first identity call that answers; a provider that tells nothing still connects. Each
    /// source names an account in its own way, and which can be asked depends on the scopes: before an account counts as
    /// another one than those that are here, all are asked.
    private func identify(
        _ exchange: Exchange, _ tokens: CredentialTokens, attempt: Int = 0, first: AccountIdentity? = nil
    ) throws -> Step<Arrival> {
        guard let call = try exchange.provider.identityCall(attempt, tokens: tokens) else {
            let told = exchange.provider.identity(in: tokens)
            let account = try told.flatMap { try isSettled($0, exchange) ? $0 : nil } ?? first ?? told
            return .done(try store(exchange, tokens, account: account, at: Instant.now()))
        }
        return .send(call) { broker, result in
            let account: AccountIdentity? =
                if case .success(let reply) = result {
                    exchange.provider.parseIdentity(attempt, reply: reply, tokens: tokens)
                } else { nil }
            if let account, try broker.isSettled(account, exchange) {
                return .done(try broker.store(exchange, tokens, account: account, at: Instant.now()))
            }
            return try broker.identify(exchange, tokens, attempt: attempt + 1, first: first ?? account)
        }
    }

    /// Whether asking further would change nothing: it is an account that is here, or there is none to take it for.
    private func isSettled(_ account: AccountIdentity, _ exchange: Exchange) throws -> Bool {
        guard case .open(let vault) = exchange.destination else { return true }
        return try store.read { rows in
            let here = try rows.connections(in: vault.id, provider: exchange.provider.id)
            let tag = try rows.accountTag(provider: exchange.provider.id, accountID: account.id, in: vault)
            return here.allSatisfy(\.hasUnknownAccount) || here.contains { $0.isAccount(tag) }
        }
    }

    func end(
        _ outcome: Outcome, _ flow: AuthorizationSession, failed message: String, at now: Instant
    ) throws {
        var changed = outcome
        changed.status = .failed
        changed.message = message
        let ended = changed
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
        guard let hash = flow.request, let request = try store.read({ try $0.request(hash: hash) }) else { return nil }
        do {
            return try requester(of: request).name
        } catch Refusal.requestExpired {
            return nil  // whoever asked is gone
        }
    }
}
