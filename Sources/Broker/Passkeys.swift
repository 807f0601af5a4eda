import Assertions
import Encoding
import Envelope
import Secrets
import Settings
import Vault

/// What the browser is to ask an authenticator.
public struct PasskeyQuestion: Sendable {
    public let challenge: [UInt8]
    public let rpID: String
    /// The input of the PRF extension: the same for all, because a discoverable credential is not known before it answers.
    public let salt: [UInt8]
    public static let seconds: Int64 = 300
}

/// And who is to be registered with it.
public struct PasskeyOffer: Sendable {
    public let question: PasskeyQuestion
    public let person: Person
    /// Credentials that the person has already.
    public let known: [[UInt8]]
}

/// A new credential, as the browser reports it.
public struct OfferedPasskey: Sendable {
    public let credentialID, clientData, authenticatorData, spki: [UInt8]
    public let algorithm: Int64
    /// 32 bytes, where the authenticator derives secrets.
    public let output: [UInt8]?

    public init(
        credentialID: [UInt8], clientData: [UInt8], authenticatorData: [UInt8], spki: [UInt8], algorithm: Int64,
        output: [UInt8]?
    ) {
        (self.credentialID, self.clientData, self.authenticatorData) = (credentialID, clientData, authenticatorData)
        (self.spki, self.algorithm, self.output) = (spki, algorithm, output)
    }
}

/// An answer to a challenge, as the browser reports it.
public struct ShownPasskey: Sendable {
    public let credentialID, clientData, authenticatorData, signature: [UInt8]
    public let userHandle, output: [UInt8]?

    public init(
        credentialID: [UInt8], clientData: [UInt8], authenticatorData: [UInt8], signature: [UInt8],
        userHandle: [UInt8]?, output: [UInt8]?
    ) {
        (self.credentialID, self.clientData, self.authenticatorData) = (credentialID, clientData, authenticatorData)
        (self.signature, self.userHandle, self.output) = (signature, userHandle, output)
    }
}

extension Broker {
    // MARK: Asking

    /// A challenge, and what to give the browser so that only it can answer. Names nobody: the credential says who.
    public func askForPasskey(session: OpenSlot?, at now: Instant) throws -> (PasskeyQuestion, cookie: [UInt8]?) {
        let cookie = session == nil ? random.bytes(32) : nil
        let binding = session.map { .session($0.id) } ?? ChallengeBinding.browser(cookie: cookie ?? [])
        return (try ask(.signIn, binding, at: now), cookie)
    }

    /// The first one is possible without a fresh sign-in: it is how somebody who came by an invitation shows that it is
    /// them from then on.
    public func offerPasskey(_ session: OpenSlot, at now: Instant) throws -> PasskeyOffer {
        try requireFreshUnlessFirstProof(session, at: now)
        guard let person = try store.read({ try $0.person(session.person) }) else { throw Refusal.notSignedIn }
        let known = try store.read { try $0.passkeys(of: person.id) }
        guard known.count < 50 else { throw Refusal.rateLimited(retryAfter: 3_600) }
        return PasskeyOffer(
            question: try ask(.register, .session(session.id), at: now), person: person,
            known: known.map(\.credentialID))
    }

    private func ask(
        _ purpose: ChallengePurpose, _ binding: ChallengeBinding, at now: Instant
    ) throws -> PasskeyQuestion {
        let challenge = random.bytes(32)
        let expiry = now.adding(seconds: PasskeyQuestion.seconds)
        try store.write { try $0.issue(challenge, purpose, to: binding, expiresAt: expiry) }
        return PasskeyQuestion(
            challenge: challenge, rpID: settings.host, salt: sha256(Array("toolshed/v1/passkey.prf".utf8)))
    }

    // MARK: Answers

    /// Registers it, and replaces the session: an authenticator has just verified the person.
    public func addPasskey(
        _ offered: OfferedPasskey, name: String, session: OpenSlot, from browser: String, at now: Instant
    ) throws -> (passkey: StoredPasskey, opensVault: Bool, session: SignedIn) {
        try requireFreshUnlessFirstProof(session, at: now)
        let expected = try expectation(offered.clientData, .register, .session(session.id), at: now)
        let registration: Passkey.Registration
        do {
            registration = try Passkey.register(
                credentialID: offered.credentialID, clientData: offered.clientData,
                authenticatorData: offered.authenticatorData, spki: offered.spki, algorithm: offered.algorithm,
                expecting: expected)
        } catch {
            throw Refusal.invalidPasskey
        }
        let passkey = StoredPasskey(
            id: random.id(), person: session.person, name: name, credentialID: registration.credentialID,
            spki: registration.spki, algorithm: registration.algorithm.rawValue, counter: registration.counter,
            isSynced: registration.isSynced, createdAt: now)
        return try store.write { rows in
            try requireFreshUnlessFirstProof(session, rows, at: now)
            guard try rows.add(passkey) else { throw Refusal.invalidPasskey }
            if let output = offered.output {
                try rows.addSlot(of: passkey, output: output, to: session.vault, at: now)
            }
            try record(AuditRecord(.passkeyAdded, person: session.person, caller: session.id.text), at: now)
            return (passkey, offered.output != nil, try renew(session, by: .passkey, from: browser, rows, at: now))
        }
    }

    /// Signs in; or, where there is a session of the same person, shows anew that it is them. A passkey that derives a
    /// secret opens the vault of its slot; without, or before it has a slot, the session gets a vault of its own.
    public func signIn(
        _ shown: ShownPasskey, session: OpenSlot?, superseded: OpenSlot?, cookie: [UInt8]?, from browser: String,
        at now: Instant
    ) throws -> SignedIn {
        let binding: ChallengeBinding
        if let session { binding = .session(session.id) } else { binding = .browser(cookie: cookie ?? []) }
        let passkey = try verify(shown, binding, at: now)
        if let session, session.person != passkey.person { throw Refusal.notPermitted(.signedIn) }
        let opened = try shown.output.flatMap { output in
            try store.read { try $0.openSlot(of: passkey, output: output, at: now) }
        }
        let kept = session ?? superseded.flatMap { $0.person == passkey.person ? $0 : nil }
        return try store.write { rows in
            let isNew = kept == nil && opened == nil
            let vault = try kept?.vault ?? opened?.vault ?? rows.makeVault(for: passkey.person, at: now)
            if passkey.slot == nil, let output = shown.output {
                try rows.addSlot(of: passkey, output: output, to: vault, at: now)
            }
            if let kept {
                let renewed = try renew(kept, by: .passkey, from: browser, rows, at: now)
                try offerLink(from: opened, to: renewed, of: kept.vault, rows, at: now)
                return renewed
            }
            return try signIn(to: vault, isExisting: !isNew, by: .passkey, from: browser, rows, at: now)
        }
    }

    /// The passkey whose signature this is, its challenge used up. Everything that is wrong is one refusal, so that nobody
    /// learns which credentials there are.
    func verify(_ shown: ShownPasskey, _ binding: ChallengeBinding, at now: Instant) throws -> StoredPasskey {
        let expected = try expectation(shown.clientData, .signIn, binding, at: now)
        guard let passkey = try store.read({ try $0.passkey(credentialID: shown.credentialID) }),
            let algorithm = SignatureAlgorithm(rawValue: passkey.algorithm),
            shown.userHandle == nil || shown.userHandle == passkey.person.bytes
        else { throw Refusal.invalidPasskey }
        let counter: UInt32
        do {
            counter = try Passkey.authenticate(
                clientData: shown.clientData, authenticatorData: shown.authenticatorData, signature: shown.signature,
                spki: passkey.spki, algorithm: algorithm, expecting: expected)
        } catch {
            throw Refusal.invalidPasskey
        }
        guard !Passkey.hasGoneBack(counter, stored: passkey.counter) else {
            try record(AuditRecord(.passkeySuspect, person: passkey.person), at: now)
            try store.write { try $0.markSuspect(passkey, at: now) }
            throw Refusal.notPermitted(.suspectPasskey)
        }
        // Lost to another sign-in with the same passkey at the same moment: the person tries again.
        guard try store.write({ try $0.use(passkey, counter: counter, at: now) }) else { throw Refusal.invalidPasskey }
        return passkey
    }

    /// The challenge is used up whatever else is wrong with the answer.
    private func expectation(
        _ clientData: [UInt8], _ purpose: ChallengePurpose, _ binding: ChallengeBinding, at now: Instant
    ) throws -> Passkey.Expectation {
        guard let challenge = Passkey.challenge(in: clientData),
            try store.write({ try $0.use(challenge, purpose, by: binding, at: now) })
        else { throw Refusal.invalidPasskey }
        return Passkey.Expectation(challenge: challenge, origin: settings.origin, rpID: settings.host)
    }

    /// The name of the cookie that came with the challenge which this answers.
    public static func challengeCookie(in clientData: [UInt8]) -> String? {
        Passkey.challenge(in: clientData).map { transactionCookie(state: Base64URL.encode($0)) }
    }

    // MARK: Keeping

    public func passkeys(_ session: OpenSlot) throws -> [StoredPasskey] {
        try store.read { try $0.passkeys(of: session.person) }
    }

    public func renamePasskey(_ id: PasskeyID, to name: String, session: OpenSlot) throws {
        guard try store.write({ try $0.rename(id, to: name, of: session.person) }) else { throw Refusal.notFound }
    }

    public func removePasskey(_ id: PasskeyID, session: OpenSlot, confirm: String?, at now: Instant) throws {
        let slot = try passkeys(session).first { $0.id == id }?.slot
        try takeAway(.slots(slot.map { [$0] } ?? []), by: session, confirm: confirm, at: now) { rows in
            guard try rows.removePasskey(id, of: session.person) else { throw Refusal.notFound }
            try record(AuditRecord(.passkeyRemoved, person: session.person, caller: session.id.text), at: now)
        }
    }
}
