import Encoding
import Envelope
import GRDB

/// A credential of WebAuthn: it says who somebody is, and where the authenticator derives secrets its slot opens a vault.
public struct StoredPasskey: Sendable {
    public let id: PasskeyID
    public let person: PersonID
    public let name: String
    public let credentialID: [UInt8]
    /// SubjectPublicKeyInfo.
    public let spki: [UInt8]
    public let algorithm: Int64
    public let counter: UInt32
    /// May be on several devices.
    public let isSynced: Bool
    public let slot: SlotID?
    public let createdAt: Instant
    public let lastUsedAt: Instant?
    /// When its counter went back, if ever.
    public let suspectAt: Instant?

    public init(
        id: PasskeyID, person: PersonID, name: String, credentialID: [UInt8], spki: [UInt8], algorithm: Int64,
        counter: UInt32, isSynced: Bool, createdAt: Instant
    ) {
        (self.id, self.person, self.name, self.credentialID) = (id, person, name, credentialID)
        (self.spki, self.algorithm, self.counter, self.isSynced) = (spki, algorithm, counter, isSynced)
        self.createdAt = createdAt
        (slot, lastUsedAt, suspectAt) = (nil, nil, nil)
    }

    init(_ row: Row) throws {
        (id, person) = (try row.id("id"), try row.id("person"))
        (name, credentialID, spki) = (row.text("name"), row.bytes("credential_id"), row.bytes("public_key"))
        (algorithm, counter) = (row["algorithm"], UInt32(truncatingIfNeeded: row["counter"] as Int64))
        isSynced = row["synced"]
        slot = row.optionalID("slot")
        createdAt = row.instant("created_at_ms")
        (lastUsedAt, suspectAt) = (row.optionalInstant("last_used_at_ms"), row.optionalInstant("suspect_at_ms"))
    }

    static let columns = """
        id, person, name, credential_id, public_key, algorithm, counter, synced, slot, created_at_ms, last_used_at_ms,
        suspect_at_ms
        """
}

extension Rows {
    public func passkeys(of person: PersonID) throws -> [StoredPasskey] {
        try rows(
            "SELECT \(StoredPasskey.columns) FROM passkey WHERE person = ? ORDER BY created_at_ms, id", [person.blob]
        ).map(StoredPasskey.init)
    }

    public func hasPasskey(_ person: PersonID) throws -> Bool {
        try row("SELECT 1 FROM passkey WHERE person = ? LIMIT 1", [person.blob]) != nil
    }

    public func passkey(credentialID: [UInt8]) throws -> StoredPasskey? {
        try row("SELECT \(StoredPasskey.columns) FROM passkey WHERE credential_id = ?", [credentialID.blob])
            .map(StoredPasskey.init)
    }

    /// False when the credential is registered already.
    public func add(_ passkey: StoredPasskey) throws -> Bool {
        let isNew =
            try changed(
                """
                INSERT INTO passkey (id, person, name, credential_id, public_key, algorithm, counter, synced, created_at_ms)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING
                """,
                [
                    passkey.id.blob, passkey.person.blob, passkey.name, passkey.credentialID.blob, passkey.spki.blob,
                    passkey.algorithm, Int64(passkey.counter), passkey.isSynced, passkey.createdAt.milliseconds,
                ]) == 1
        if isNew { try noteProof(of: passkey.person) }
        return isNew
    }

    /// Gives the vault one more holder: what the passkey evaluated.
    public func addSlot(
        of passkey: StoredPasskey, output: [UInt8], to vault: OpenVault, at now: Instant
    ) throws {
        let token = try Token(passkey: random.id(), output: output)
        try addSlot(token, name: passkey.name, to: vault, lifetime: .untilRevoked, at: now)
        _ = try changed("UPDATE passkey SET slot = ? WHERE id = ?", [token.id.blob, passkey.id.blob])
    }

    /// What the passkey evaluated, tried on its slot.
    public func openSlot(of passkey: StoredPasskey, output: [UInt8], at now: Instant) throws -> OpenSlot? {
        guard let slot = passkey.slot else { return nil }
        return try openSlot(Token(passkey: slot, output: output), at: now)
    }

    /// False when it was used with a higher counter meanwhile, or removed.
    public func use(_ passkey: StoredPasskey, counter: UInt32, at now: Instant) throws -> Bool {
        try changed(
            "UPDATE passkey SET counter = ?, last_used_at_ms = ? WHERE id = ? AND counter = ?",
            [Int64(counter), now.milliseconds, passkey.id.blob, Int64(passkey.counter)]) == 1
    }

    public func markSuspect(_ passkey: StoredPasskey, at now: Instant) throws {
        _ = try changed("UPDATE passkey SET suspect_at_ms = ? WHERE id = ?", [now.milliseconds, passkey.id.blob])
    }

    /// As a holder of its vault it goes by the same name. False when it is gone, or another's.
    public func rename(_ id: PasskeyID, to name: String, of person: PersonID) throws -> Bool {
        _ = try changed(
            "UPDATE slot SET name = ? WHERE id = (SELECT slot FROM passkey WHERE id = ? AND person = ?)",
            [name, id.blob, person.blob])
        return try changed("UPDATE passkey SET name = ? WHERE id = ? AND person = ?", [name, id.blob, person.blob]) == 1
    }

    /// With its slot.
    public func removePasskey(_ id: PasskeyID, of person: PersonID) throws -> Bool {
        _ = try changed(
            "DELETE FROM slot WHERE id = (SELECT slot FROM passkey WHERE id = ? AND person = ?)",
            [id.blob, person.blob])
        return try changed("DELETE FROM passkey WHERE id = ? AND person = ?", [id.blob, person.blob]) == 1
    }
}

/// Who has to answer a challenge: a session, or the browser that got this cookie.
public enum ChallengeBinding: Sendable {
    case session(SlotID)
    case browser(cookie: [UInt8])

    fileprivate var slot: SlotID? { if case .session(let slot) = self { slot } else { nil } }
    fileprivate var cookieHash: [UInt8]? { if case .browser(let cookie) = self { sha256(cookie) } else { nil } }
}

public enum ChallengePurpose: String, Sendable {
    case register
    case signIn = "sign-in"
}

extension Rows {
    public func issue(
        _ challenge: [UInt8], _ purpose: ChallengePurpose, to binding: ChallengeBinding, expiresAt: Instant
    ) throws {
        _ = try changed(
            "INSERT INTO challenge (hash, purpose, slot, cookie_hash, expires_at_ms) VALUES (?, ?, ?, ?, ?)",
            [
                sha256(challenge).blob, purpose.rawValue, binding.slot?.blob, binding.cookieHash?.blob,
                expiresAt.milliseconds,
            ])
    }

    /// False: never issued, used, expired, for something else, or for somebody else.
    public func use(
        _ challenge: [UInt8], _ purpose: ChallengePurpose, by binding: ChallengeBinding, at now: Instant
    ) throws -> Bool {
        try changed(
            """
            DELETE FROM challenge WHERE hash = ? AND purpose = ? AND slot IS ? AND cookie_hash IS ? AND expires_at_ms > ?
            """,
            [
                sha256(challenge).blob, purpose.rawValue, binding.slot?.blob, binding.cookieHash?.blob,
                now.milliseconds,
            ]) == 1
    }

    /// What a session has under way goes on in the one that replaces it.
    public func hand(_ old: OpenSlot, over to: SlotID) throws {
        _ = try changed("UPDATE authorization SET slot = ? WHERE slot = ?", [to.blob, old.id.blob])
        _ = try changed("UPDATE sign_in SET slot = ? WHERE slot = ?", [to.blob, old.id.blob])
        try handLinks(of: old, over: to)
    }
}
