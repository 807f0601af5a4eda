import Encoding
import Envelope
import GRDB

/// Whom another party says that somebody is. An e-mail is none: it can change hands.
public struct Identity: Hashable, Sendable {
    public let issuer: String
    public let subject: String

    /// An OpenID provider's (`iss`, `sub`) pair.
    public init(issuer: String, subject: String) { (self.issuer, self.subject) = (issuer, subject) }

    /// The user of nginx's trusted header. No issuer of ID tokens is called this: theirs are URLs.
    public static let headerIssuer = "header"
    public static func header(user: String) -> Identity { Identity(issuer: headerIssuer, subject: user) }
}

extension Rows {
    public func person(known identity: Identity) throws -> Person? {
        try row(
            """
            SELECT person.id, person.name, person.status FROM identity JOIN person ON person.id = identity.person
            WHERE issuer = ? AND subject = ?
            """, [identity.issuer, identity.subject]
        ).map { Person(id: try $0.id("id"), name: $0.text("name"), status: try $0.state("status")) }
    }

    /// False when somebody has it already.
    public func add(_ identity: Identity, of person: PersonID, at now: Instant) throws -> Bool {
        let isNew =
            try changed(
                "INSERT INTO identity (issuer, subject, person, created_at_ms) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
                [identity.issuer, identity.subject, person.blob, now.milliseconds]) == 1
        if isNew { try noteProof(of: person) }
        return isNew
    }

    public func remove(_ identity: Identity) throws -> Bool {
        try changed("DELETE FROM identity WHERE issuer = ? AND subject = ?", [identity.issuer, identity.subject]) == 1
    }

    public func identities(of person: PersonID) throws -> [Identity] {
        try rows("SELECT issuer, subject FROM identity WHERE person = ? ORDER BY issuer, subject", [person.blob])
            .map { Identity(issuer: $0.text("issuer"), subject: $0.text("subject")) }
    }

    /// Somebody who came by another party's word, without an invitation.
    public func addPerson(name: String, at now: Instant) throws -> Person {
        let id: PersonID = random.id()
        _ = try changed(
            "INSERT INTO person (id, name, status, created_at_ms) VALUES (?, ?, 'active', ?)",
            [id.blob, name, now.milliseconds])
        return Person(id: id, name: name, status: .active)
    }

    /// Somebody who was invited and came by another way: their invitation ends unused.
    public func arrive(_ person: PersonID) throws {
        guard try changed("UPDATE person SET status = 'active' WHERE id = ? AND status = 'invited'", [person.blob]) == 1
        else { return }
        _ = try changed("DELETE FROM invitation WHERE person = ? AND used_at_ms IS NULL", [person.blob])
    }
}
