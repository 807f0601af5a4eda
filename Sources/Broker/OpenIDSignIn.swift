import Assertions
import Encoding
import Envelope
import OAuth
import Providers
import Secrets
import Settings
import Vault

/// Where a sign-in at another party leaves the browser, always at a page without a query.
public struct SignInArrival: Sendable {
    public let location: String
    public let signedIn: SignedIn?
    public let endsCookie: String?
}

extension Broker {
    /// Providers that the operator marked for sign-in, by name.
    public var signInProviders: [Provider] {
        catalogue.providers.values.filter { $0.signIn != nil && $0.isConfigured }.sorted { $0.id < $1.id }
    }

    private func forSignIn(_ id: ProviderID) throws -> (Provider, SignInRules) {
        guard let provider = catalogue[id], provider.isConfigured, let rules = provider.signIn else {
            throw Refusal.unknownProvider
        }
        return (provider, rules)
    }

    /// `POST /api/sign-in/{provider}/start`, from our own page: off to the provider. Only this browser can come back.
    public func startSignIn(_ id: ProviderID, session: OpenSlot?, at now: Instant) throws -> Step<Departure> {
        let (provider, _) = try forSignIn(id)
        guard session == nil else { throw Refusal.notPermitted(.signedIn) }
        return try leave(for: provider, confirming: nil, at: now)
    }

    /// `POST /api/sign-in/{provider}/confirm`: the same in a session, which the person comes back to. They are asked
    /// anew there, whoever is signed in at the provider.
    public func startConfirmation(_ id: ProviderID, session: OpenSlot, at now: Instant) throws -> Step<Departure> {
        let (provider, _) = try forSignIn(id)
        guard try proofs(session.person, at: now).providers.contains(where: { $0.id == id }) else {
            throw Refusal.unknownProvider
        }
        return try leave(for: provider, confirming: session.id, at: now)
    }

    private func leave(for provider: Provider, confirming slot: SlotID?, at now: Instant) throws -> Step<Departure> {
        try resolved(provider, at: now).then(self) { broker, provider in
            let (state, cookie) = (broker.random.bytes(32), broker.random.bytes(32))
            let redirectURI = broker.settings.signInCallbackURL(provider.id)
            try broker.store.write {
                try $0.beginSignIn(
                    at: provider.id, confirming: slot, state: state, cookie: cookie, redirectURI: redirectURI, at: now)
            }
            let text = Base64URL.encode(state)
            let url = try provider.signInURL(
                state: text, nonce: Self.derived("toolshed/v1/sign-in.nonce", from: cookie),
                codeChallenge: PKCE.challenge(
                    verifier: Self.derived("toolshed/v1/sign-in.verifier", from: cookie), sha256: { sha256($0) }),
                redirectURI: redirectURI, anew: slot != nil)
            let name = Self.transactionCookie(state: text)
            return .done(Departure(location: url, cookie: (name, Base64URL.encode(cookie))))
        }
    }

    /// Of 256 random bits that only the browser has; neither tells the other, nor the cookie.
    private static func derived(_ label: String, from cookie: [UInt8]) -> String {
        Base64URL.encode(sha256(Array(label.utf8) + cookie))
    }

    /// `GET /api/sign-in/{provider}/callback`. The state is used up before anything is sent.
    public func finishSignIn(
        _ id: ProviderID, query: String, cookies: [String: String], session: OpenSlot?, superseded: OpenSlot?,
        from browser: String, at now: Instant
    ) throws -> Step<SignInArrival> {
        let (provider, rules) = try forSignIn(id)
        guard let response = try? AuthorizationResponse(parsing: query), let state = Base64URL.decode(response.state)
        else { return .done(Self.refused("invalid-link")) }
        let name = Self.transactionCookie(state: response.state)
        func refuse(_ code: String) -> Step<SignInArrival> { .done(Self.refused(code, endsCookie: name)) }
        guard let flow = try store.write({ try $0.endSignIn(state: state) }) else { return refuse("already-used") }
        guard flow.expiresAt > now else { return refuse("expired") }
        guard flow.provider == id else { return refuse("wrong-issuer") }
        guard let cookie = cookies[name].flatMap({ Base64URL.decode($0) }), flow.began(with: cookie) else {
            return refuse("wrong-browser")
        }
        // Somebody signed in here meanwhile: nobody is replaced unasked, and nobody confirmed in another's place.
        if let slot = flow.slot {
            guard session?.id == slot else { return refuse("session-ended") }
        } else if session != nil {
            return refuse("signed-in-already")
        }
        let failed: @Sendable (Broker, any Error) throws -> SignInArrival = { _, error in
            Self.refused(Self.code(for: error), endsCookie: name)
        }
        do {
            return try resolved(provider, at: now).then(self) { broker, provider in
                try response.checkIssuer(expected: provider.issuer, required: provider.authorize.requiresIssuer)
                guard case .code(let code) = response.outcome else { throw SignInFailure.denied }
                let verifier = try SecretText(Self.derived("toolshed/v1/sign-in.verifier", from: cookie))
                let call = try provider.codeExchange(code: code, verifier: verifier, redirectURI: flow.redirectURI)
                return .send(call) { broker, result in
                    guard case .success(let reply) = result else { throw Refusal.providerUnavailable(retryAfter: 10) }
                    guard reply.status == 200, let token = reply.fields?["id_token"]?.string else {
                        throw SignInFailure.refused
                    }
                    return .send(try provider.keySetCall()) { broker, result in
                        let identified = try broker.identify(
                            token, keys: result, provider,
                            nonce: Self.derived("toolshed/v1/sign-in.nonce", from: cookie),
                            askedSince: session == nil ? nil : flow.beganAt)
                        if let session {
                            let confirmed = try broker.confirm(
                                session, as: identified.identity, of: id, from: browser, at: .now())
                            return .done(
                                SignInArrival(location: "/sign-in#confirmed", signedIn: confirmed, endsCookie: name))
                        }
                        let signedIn = try broker.signIn(
                            as: identified.identity, by: .provider(id), name: identified.name,
                            newPeople: rules.newPeople, superseded: superseded, from: browser, at: .now())
                        let page = signedIn.opensExistingVault ? "/sign-in#confirmed" : "/sign-in#own"
                        return .done(SignInArrival(location: page, signedIn: signedIn, endsCookie: name))
                    }
                }
            }.otherwise(failed)
        } catch {
            return .done(try failed(self, error))
        }
    }

    enum SignInFailure: Error { case denied, refused, another }

    /// Whoever came back must be the person whose session it is.
    private func confirm(
        _ session: OpenSlot, as identity: Identity, of provider: ProviderID, from browser: String, at now: Instant
    ) throws -> SignedIn {
        try store.write { rows in
            guard try rows.person(known: identity)?.id == session.person else { throw SignInFailure.another }
            return try renew(session, by: .provider(provider), from: browser, rows, at: now)
        }
    }

    private func identify(
        _ token: String, keys: Result<ProviderReply, TransportFailure>, _ provider: Provider, nonce: String,
        askedSince: Instant?
    ) throws -> (identity: Identity, name: String) {
        guard case .success(let reply) = keys, reply.status == 200, let set = KeySet(parsing: reply.body) else {
            throw Refusal.providerUnavailable(retryAfter: 10)
        }
        guard let issuer = provider.issuer, let client = provider.client else { throw SignInFailure.refused }
        let verified = try IDToken(
            verifying: token, with: set,
            expecting: IDToken.Expectation(
                issuer: issuer, clientID: client.id, nonce: nonce, askedSince: askedSince), at: .now())
        let name = String((verified.name ?? "").withoutControls.prefix(80))
        let shown = name.contains { !$0.isWhitespace } ? name : String(verified.subject.prefix(80))
        return (Identity(issuer: issuer, subject: verified.subject), shown)
    }

    private static func refused(_ code: String, endsCookie: String? = nil) -> SignInArrival {
        SignInArrival(location: errorPage(code), signedIn: nil, endsCookie: endsCookie)
    }

    /// A code of the closed list for which the error page has words (nginx/site/error.html).
    private static func code(for error: any Error) -> String {
        switch error {
        case Refusal.providerUnavailable: "provider-unavailable"
        case Refusal.notPermitted(.nobodyHere): "not-a-person-here"
        case SignInFailure.denied: "denied"
        case SignInFailure.another: "confirmed-by-another"
        case IDToken.Flaw.notAskedAnew: "not-asked-anew"
        case Refusal.notSignedIn: "session-ended"
        case is IDToken.Flaw, SignInFailure.refused: "sign-in-refused"
        case is IssuerMismatch: "wrong-issuer"
        default: "failed"
        }
    }
}
