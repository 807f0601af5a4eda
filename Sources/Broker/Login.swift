import Encoding
import Envelope
import OAuth
import Providers
import Secrets
import Settings
import Vault

extension Broker {
    public struct Departure: Sendable {
        public let location: String
        /// Name and value of the transaction cookie, one per attempt so that several tabs can work.
        public let cookie: (name: String, value: String)?
    }

    /// `GET /api/auth/{provider}/login`: with the one-time approval of a click, off to the provider; without, whoever
    /// sent the browser here, to the page where a person can decide.
    public func login(
        _ id: ProviderID, userID: String?, scope: String, approval: String?, session: OpenSlot?, at now: Instant
    ) throws -> Step<Departure> {
        let provider = try configured(id)
        if let userID, let session, PersonID(parsing: userID) != session.person { throw Refusal.ownerMismatch }
        guard let scopes = try? ScopeSet(parsing: scope) else {
            throw Refusal.invalidRequest([MemberError("scope", "scopes separated by spaces or commas")])
        }
        let asked = provider.canonical(scopes.isEmpty ? provider.defaultScopes : scopes)
        let consentPage = Departure(location: connectURL(provider: id, scopes: asked, request: nil), cookie: nil)
        guard let approval, let session else { return .done(consentPage) }
        let approved = try store.write { try $0.useApproval(approval, slot: session.id, at: now) }
        guard let approved, approved.provider == id, approved.asked == asked else { return .done(consentPage) }
        return try reached(provider, at: now).then(self) { broker, known in
            // A person is waiting for a page, and the link is still good.
            guard let known else {
                return .done(Departure(location: Self.errorPage("provider-unavailable"), cookie: nil))
            }
            return .done(try broker.depart(known, approved, session: session, at: now))
        }
    }

    private func depart(
        _ provider: Provider, _ approved: ApprovedConsent, session: OpenSlot, at now: Instant
    ) throws -> Departure {
        let verifier = provider.usesPKCE ? PKCE.verifier(random: random.bytes(32)) : nil
        let redirectURI = settings.callbackURL(provider.id)
        let (state, cookie) = try store.write {
            try $0.begin(approved, by: session, verifier: verifier, redirectURI: redirectURI, at: now)
        }
        let url = try provider.authorizationURL(
            state: state, codeChallenge: verifier.map { PKCE.challenge(verifier: $0, sha256: { sha256($0) }) },
            scopes: approved.sent, redirectURI: redirectURI, loginHint: nil)
        return Departure(location: url, cookie: (Self.transactionCookie(state: state), cookie))
    }

    /// `__Host-tx-` and the first eight hex digits of the state's hash (A-STATE-5).
    public static func transactionCookie(state: String) -> String {
        let hash = sha256(Base64URL.decode(state) ?? Array(state.utf8))
        return "__Host-tx-\(Hex.encode(Array(hash.prefix(4))))"
    }
}
