import Encoding
import Envelope
import GRDB
import Secrets

public enum PersonStatus: String, Sendable { case invited, active }

public struct Person: Sendable {
    public let id: PersonID
    public let name: String
    public let status: PersonStatus
}

extension Rows {
    public func person(_ id: PersonID) throws -> Person? {
        try row("SELECT id, name, status FROM person WHERE id = ?", [id.blob]).map {
            Person(id: try $0.id("id"), name: $0.text("name"), status: try $0.state("status"))
        }
    }

    /// Whether there was ever anything but an invitation that shows who they are: whoever takes it away does not get back
    /// to where nothing is needed.
    public func hasEverProven(_ person: PersonID) throws -> Bool {
        try row("SELECT proven FROM person WHERE id = ?", [person.blob])?["proven"] ?? true
    }

    func noteProof(of person: PersonID) throws {
        _ = try changed("UPDATE person SET proven = 1 WHERE id = ? AND proven = 0", [person.blob])
    }

    /// A person to be: known by id so that a plugin can already ask, nobody until the invitation is accepted.
    public func invite(name: String, expiresAt: Instant, at now: Instant) throws -> (person: PersonID, code: SecretText)
    {
        let person: PersonID = random.id()
        _ = try changed(
            "INSERT INTO person (id, name, status, created_at_ms) VALUES (?, ?, 'invited', ?)",
            [person.blob, name, now.milliseconds])
        return (person, try issueInvitation(person, expiresAt: expiresAt))
    }

    /// A new code for someone who has not accepted yet; the old one ends. nil when there is no such person.
    public func renewInvitation(_ person: PersonID, expiresAt: Instant) throws -> SecretText? {
        guard try self.person(person)?.status == .invited else { return nil }
        _ = try changed("DELETE FROM invitation WHERE person = ?", [person.blob])
        return try issueInvitation(person, expiresAt: expiresAt)
    }

    private func issueInvitation(_ person: PersonID, expiresAt: Instant) throws -> SecretText {
        let token = try Token(issuing: .invitation, id: random.id(), random)
        _ = try changed(
            "INSERT INTO invitation (code_hash, person, expires_at_ms) VALUES (?, ?, ?)",
            [token.fingerprint().blob, person.blob, expiresAt.milliseconds])
        return try token.text()
    }

    /// Uses the code up and gives the person a vault. nil when it is unknown, used or expired.
    public func acceptInvitation(_ code: borrowing Token, at now: Instant) throws -> OpenVault? {
        let hash = code.fingerprint()
        let used = try changed(
            "UPDATE invitation SET used_at_ms = ? WHERE code_hash = ? AND used_at_ms IS NULL AND expires_at_ms > ?",
            [now.milliseconds, hash.blob, now.milliseconds])
        guard used == 1, let row = try row("SELECT person FROM invitation WHERE code_hash = ?", [hash.blob]) else {
            return nil
        }
        let person: PersonID = try row.id("person")
        guard try changed("UPDATE person SET status = 'active' WHERE id = ? AND status = 'invited'", [person.blob]) == 1
        else { return nil }
        return try makeVault(for: person, at: now)
    }

    public func makeVault(for person: PersonID, at now: Instant) throws -> OpenVault {
        let id: VaultID = random.id()
        let key = try Key<VaultRole>(random: random)
        let pair = try PrivateKey(random: random)
        let privateKey = try outerSeal(
            pair.wrap(under: key, Purpose.vaultPrivate(id, version: 1), random), "vault", id.bytes, "private_key")
        _ = try changed(
            """
            INSERT INTO vault (id, person, key_version, public_key, public_tag, private_key, created_at_ms)
            VALUES (?, ?, 1, ?, ?, ?, ?)
            """,
            [
                id.blob, person.blob, try pair.publicKey.bytes.blob,
                keys.tags.tag(Purpose.publicKey(of: "vault", id.bytes, try pair.publicKey)).blob, privateKey.blob,
                now.milliseconds,
            ])
        return OpenVault(id: id, person: person, version: 1, key: key)
    }

    /// Flows and holders whose time is over. Slots within the hour, as docs/KEYS.md says.
    public func sweep(at now: Instant) throws -> Int {
        var swept = 0
        for table in ["once", "authorization", "outcome", "link", "challenge", "sign_in", "loss"] {
            swept += try changed("DELETE FROM \(table) WHERE expires_at_ms <= ?", [now.milliseconds])
        }
        swept += try changed("DELETE FROM decline WHERE until_ms <= ?", [now.milliseconds])
        swept += try changed(
            "UPDATE request SET status = 'expired' WHERE status IN ('pending', 'approved') AND expires_at_ms <= ?",
            [now.milliseconds])
        // Ended requests are kept for a day so that their callers can read the end.
        swept += try changed("DELETE FROM request WHERE expires_at_ms <= ?", [now.milliseconds - 86_400_000])
        swept += try changed(
            "DELETE FROM invitation WHERE expires_at_ms <= ? AND used_at_ms IS NULL", [now.milliseconds])
        // Longer than any consent is under way.
        swept += try changed(
            "DELETE FROM vault WHERE merged_at_ms <= ?", [now.milliseconds - 86_400_000])
        swept += try changed(
            """
            DELETE FROM slot WHERE expires_at_ms <= ?1
                OR (idle_limit_ms IS NOT NULL AND last_used_at_ms + idle_limit_ms <= ?1)
            """, [now.milliseconds])
        swept += try sweepTakenBack(at: now)
        swept += try sweepLeft()
        swept += try sweepClientGrants(at: now)
        swept += try sweepClients(at: now)
        return swept
    }
}
