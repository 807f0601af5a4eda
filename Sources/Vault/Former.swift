import Encoding
import GRDB

// What those were called who opened a vault once and are gone: the record of what they did is of no use without.

extension Schema {
    /// Triggers, because holders end in many ways: revoked, signed out, lost, stopped, expired, with their vault or grant. The
    /// clock is the database's; it only says when the name may be forgotten.
    static let former = """

        CREATE TABLE former (
            person BLOB NOT NULL REFERENCES person (id) ON DELETE CASCADE,
            id BLOB NOT NULL,                   -- of a slot or a client's grant
            name TEXT NOT NULL,
            ended_at_ms INTEGER NOT NULL,
            PRIMARY KEY (person, id)
        ) STRICT, WITHOUT ROWID;
        CREATE INDEX former_ended ON former (ended_at_ms);

        -- Codes and tokens of a client are told by its grant.
        CREATE TRIGGER slot_ends AFTER DELETE ON slot
        WHEN old.kind IN ('session', 'api-key', 'cli', 'recovery', 'passkey')
        BEGIN
            INSERT INTO former (person, id, name, ended_at_ms)
            SELECT id, old.id, old.name, CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)
            FROM person WHERE id = old.person ON CONFLICT DO NOTHING;
        END;
        CREATE TRIGGER client_grant_ends AFTER DELETE ON client_grant
        BEGIN
            INSERT INTO former (person, id, name, ended_at_ms)
            SELECT id, old.id, old.name, CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)
            FROM person WHERE id = old.person ON CONFLICT DO NOTHING;
        END;
        """
}

extension Rows {
    /// What one was called whose id stands in a record of this person: no more a holder, or one that has expired.
    public func formerName(_ id: String, of person: PersonID) throws -> String? {
        guard let bytes = SlotID(parsing: id)?.blob ?? ClientGrantID(parsing: id)?.blob else { return nil }
        return try row(
            """
            SELECT name FROM former WHERE person = ?1 AND id = ?2
            UNION ALL SELECT name FROM slot WHERE id = ?2 AND person = ?1
            UNION ALL SELECT name FROM client_grant WHERE id = ?2 AND person = ?1 LIMIT 1
            """, [person.blob, bytes])?["name"]
    }

    /// Forgets at most `pruneAtOnce` names of which no record is left.
    func pruneFormer(before: Instant) throws -> Int {
        try changed(
            """
            DELETE FROM former WHERE (person, id) IN
                (SELECT person, id FROM former WHERE ended_at_ms < ? ORDER BY ended_at_ms LIMIT ?)
            """, [before.milliseconds, Self.pruneAtOnce])
    }
}
