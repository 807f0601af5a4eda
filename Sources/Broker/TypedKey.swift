import Encoding
import Envelope
import OAuth
import Providers
import Secrets
import Vault

/// An API key as a person typed or pasted it, and what they call it.
public struct TypedKey: Sendable {
    static let missing = MemberError("key", "1 to 4096 visible ASCII characters without spaces")

    let text: SecretText
    /// Empty for nothing: the connection that the key is for keeps the name that it has.
    let label: String

    /// What was pasted along at either end is not part of it.
    public init(_ text: String, label: String) throws {
        self.label = label
        let key = text.drop(while: \.isWhitespace)
        let end = key.lastIndex { !$0.isWhitespace }.map { key.index(after: $0) } ?? key.startIndex
        let bytes = key[..<end].utf8
        guard (1...4096).contains(bytes.count), bytes.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) else {
            throw Refusal.invalidRequest([Self.missing])
        }
        self.text = try SecretText(String(key[..<end]))
    }

    /// Before anything is decided: a key of another form is a slip, and nothing is sent anywhere.
    func check(_ provider: Provider) throws(Refusal) {
        guard let begins = provider.keyRules?.begins, !begins.isEmpty else { return }
        let fits = text.withUnsafeBytes { key in begins.contains { key.starts(with: $0.utf8) } }
        guard fits else {
            let known = begins.joined(separator: " or ")
            throw .invalidRequest([MemberError("key", "a key of \(provider.name), which begins with \(known)")])
        }
    }
}

extension Broker {
    /// The form's end: the key is checked with one call where the catalogue says how, then stored as what comes back
    /// from a provider's page is. Until the provider accepts it nothing is stored, and the link stays open.
    func takeKey(
        _ typed: TypedKey, _ consent: Consent, _ approved: ApprovedConsent, session: OpenSlot, at now: Instant
    ) throws -> Step<String> {
        let provider = consent.provider
        let tokens = CredentialTokens(
            accessToken: typed.text, refreshToken: nil, tokenType: provider.keyRules?.tokenType ?? "Bearer",
            expiresAt: nil, refreshExpiresAt: nil, scopes: consent.shown, metadata: [:])
        try record(
            AuditRecord(
                .consented, person: session.person, provider: provider.id.json, caller: consent.document.requester?.id,
                scopes: consent.shown.text), at: now)
        guard let call = try provider.identityCall(0, tokens: tokens) else {
            return .done(
                try keep(tokens, label: typed.label, account: nil, approved, consent, session: session, at: now))
        }
        return .send(call) { broker, result in
            guard case .success(let reply) = result else { throw Refusal.providerUnavailable(retryAfter: 5) }
            switch provider.judgeKey(reply, tokens: tokens) {
            case .refused:
                throw Refusal.invalidRequest([MemberError("key", "a key that \(provider.name) accepts")])
            case .unknown: throw Refusal.providerUnavailable(retryAfter: 10)
            case .accepted(let account):
                return .done(
                    try broker.keep(
                        tokens, label: typed.label, account: account, approved, consent, session: session,
                        at: Instant.now()))
            }
        }
    }

    /// Goes the way of a callback from here on: the same places, the same Keep for another account.
    private func keep(
        _ tokens: CredentialTokens, label: String, account: AccountIdentity?, _ approved: ApprovedConsent,
        _ consent: Consent,
        session: OpenSlot, at now: Instant
    ) throws -> String {
        let outcome = Outcome(
            id: random.id(), person: session.person, provider: approved.provider, status: .working,
            request: approved.request, requester: consent.document.requester?.name, scopes: approved.asked,
            missing: .empty)
        let flow = try store.write { rows in
            let (state, _) = try rows.begin(approved, by: session, verifier: nil, redirectURI: "", at: now)
            guard let flow = try rows.authorization(state: state),
                try rows.consume(flow, outcome: outcome.id, at: now)
            else { throw VaultError.conflict }
            try rows.store(outcome, at: now)
            try remember(consent, rows, at: now)
            if let request = approved.request { try rows.approve(request: request) }
            return flow
        }
        let arrival = Arrival(location: Self.donePage(outcome.id), endsCookie: nil)
        let exchange = Exchange(
            flow: flow, provider: consent.provider, outcome: outcome, vault: session.vault, label: label,
            done: arrival)
        return try store(exchange, tokens, account: account, at: now).location
    }
}
