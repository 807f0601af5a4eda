import Encoding
import Providers
import Vault

/// How a person can show anew that it is them.
public enum Proof: String, CaseIterable, Sendable {
    case passkey
    case recovery
    /// A provider of the sign-in page that knows them asks them anew.
    case provider
    /// Nothing yet: adding the first passkey, or making the first recovery code and typing it, is how.
    case first
}

/// What a person has to show, and with which of them the browser goes elsewhere.
public struct Proofs: Sendable {
    public let ways: [Proof]
    public let providers: [Provider]
}

extension Broker {
    public static let freshSeconds: Int64 = 600

    /// Making a holder, or opening more to one, wants a sign-in less than ten minutes old (W-SESS-2), an accepted invitation
    /// included.
    func requireFresh(_ session: OpenSlot, at now: Instant) throws {
        guard now.milliseconds - session.signedInAt.milliseconds > Self.freshSeconds * 1_000 else { return }
        throw Refusal.freshSignInRequired(try proofs(session.person, at: now))
    }

    /// The same, except for what a person without any proof has to do first: afterwards nobody else can do it.
    func requireFreshUnlessFirstProof(_ session: OpenSlot, at now: Instant) throws {
        guard try proofs(session.person, at: now).ways != [.first] else { return }
        try requireFresh(session, at: now)
    }

    func proofs(_ person: PersonID, at now: Instant) throws -> Proofs {
        let (passkey, recovery, identities) = try store.read {
            (
                try $0.hasPasskey(person), try !$0.slots(of: person, kind: .recovery, at: now).isEmpty,
                try $0.identities(of: person)
            )
        }
        let issuers = Set(identities.map(\.issuer))
        let providers = signInProviders.filter { $0.issuer.map(issuers.contains) ?? false }
        let ways = [
            passkey ? Proof.passkey : nil, recovery ? .recovery : nil, providers.isEmpty ? nil : .provider,
        ].compactMap { $0 }
        return Proofs(ways: ways.isEmpty ? [.first] : ways, providers: providers)
    }

    /// The same browser and vault under a new session id (W-SESS-1), signed in just now. What the session has under way at
    /// a provider goes on.
    func renew(
        _ session: OpenSlot, by way: SignInWay, from browser: String, _ rows: Rows, at now: Instant
    ) throws -> SignedIn {
        let signedIn = try signIn(to: session.vault, isExisting: true, by: way, from: browser, rows, at: now)
        try rows.hand(session, over: signedIn.session)
        // A session that was ended meanwhile stays so.
        guard try rows.removeSlot(session.id, of: session.person, kinds: [.session]) else { throw Refusal.notSignedIn }
        return signedIn
    }
}
