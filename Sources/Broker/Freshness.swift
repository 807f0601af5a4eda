import Encoding
import Providers
import Vault

/// How a person can show anew that it is them.
public enum Proof: String, CaseIterable, Sendable {
    case passkey
    case recovery
    /// A provider of the sign-in page that knows them asks them anew.
    case provider
    /// Nothing ever: adding the first passkey, or making the first recovery code and typing it, is how.
    case first
}

/// What a person has to show, and with which of them the browser goes elsewhere.
public struct Proofs: Sendable {
    /// None: what there was has been taken away, or is of no use for this.
    public let ways: [Proof]
    public let providers: [Provider]
}

extension Broker {
    public static let freshSeconds: Int64 = 600

    /// Making a holder, or opening more to one, wants a sign-in less than ten minutes old (W-SESS-2), an accepted invitation
    /// included.
    func requireFresh(_ session: OpenSlot, at now: Instant) throws {
        guard !isFresh(session, at: now) else { return }
        throw Refusal.freshSignInRequired(try proofs(session.person, at: now))
    }

    private func isFresh(_ session: OpenSlot, at now: Instant) -> Bool {
        now.milliseconds - session.signedInAt.milliseconds <= Self.freshSeconds * 1_000
    }

    /// The same, except for what a person who never had any proof has to do first: afterwards nobody else can do it, not
    /// even when it was taken away again.
    func requireFreshUnlessFirstProof(_ session: OpenSlot, at now: Instant) throws {
        guard try store.read({ try $0.hasEverProven(session.person) }) else { return }
        try requireFresh(session, at: now)
    }

    /// Once more in the transaction that adds the proof: of two first ones at once the second is none.
    func requireFreshUnlessFirstProof(_ session: OpenSlot, _ rows: Rows, at now: Instant) throws {
        guard try isFresh(session, at: now) || !rows.hasEverProven(session.person) else { throw Refusal.changed }
    }

    func proofs(_ person: PersonID, at now: Instant) throws -> Proofs {
        let (hasEver, passkey, recovery, identities) = try store.read {
            (
                try $0.hasEverProven(person),
                try $0.hasPasskey(person), try !$0.slots(of: person, kind: .recovery, at: now).isEmpty,
                try $0.identities(of: person)
            )
        }
        let issuers = Set(identities.map(\.issuer))
        let providers = signInProviders.filter { $0.issuer.map(issuers.contains) ?? false }
        let ways = [
            passkey ? Proof.passkey : nil, recovery ? .recovery : nil, providers.isEmpty ? nil : .provider,
        ].compactMap { $0 }
        return Proofs(ways: hasEver ? ways : [.first], providers: providers)
    }

    /// The same browser and vault under a new session id (W-SESS-1), signed in just now. What the session has under way at
    /// a provider goes on.
    func renew(
        _ session: OpenSlot, by way: SignInWay, from browser: String, _ rows: Rows, at now: Instant
    ) throws -> SignedIn {
        let signedIn = try signIn(to: session.vault, isExisting: true, by: way, from: browser, rows, at: now)
        try rows.hand(session, over: signedIn.session)
        // A session that was ended meanwhile stays so.
        guard try rows.supersede(session.id, by: signedIn.session) else { throw Refusal.notSignedIn }
        return signedIn
    }
}
