import Encoding
import GRDB

// What those were called who did something once and are gone: the record of what they did is of no use without.

extension Schema {
    /// Triggers, because holders end in many ways: revoked, signed out, lost, stopped, expired, with their vault or grant. The
    /// clock is the database's; it says when somebody was last there, and when the name may be forgotten.
    static let former = """

        CREATE TABLE former (
            id BLOB PRIMARY KEY,                -- of a plugin, a client's grant or a slot
            kind TEXT NOT NULL
                CHECK (kind IN ('plugin', 'client', 'cli', 'session', 'api-key', 'recovery', 'passkey')),
            name TEXT NOT NULL,
            -- NULL: a plugin of the operator's, which anybody's record may be about
            person BLOB REFERENCES person (id) ON DELETE CASCADE,
            ended_at_ms INTEGER NOT NULL
        ) STRICT;
        CREATE INDEX former_person ON former (person, ended_at_ms, id);
        CREATE INDEX former_ended ON former (ended_at_ms);

        -- Codes and tokens of a client are told by its grant.
        CREATE TRIGGER slot_ends AFTER DELETE ON slot
        WHEN old.kind IN ('session', 'superseded', 'api-key', 'cli', 'recovery', 'passkey')
        BEGIN
            INSERT INTO former (id, kind, name, person, ended_at_ms)
            SELECT old.id, replace(old.kind, 'superseded', 'session'), old.name, id,
                CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)
            FROM person WHERE id = old.person ON CONFLICT DO NOTHING;
        END;
        CREATE TRIGGER client_grant_ends AFTER DELETE ON client_grant
        BEGIN
            INSERT INTO former (id, kind, name, person, ended_at_ms)
            SELECT old.id, 'client', old.name, id, CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)
            FROM person WHERE id = old.person ON CONFLICT DO NOTHING;
        END;
        CREATE TRIGGER plugin_ends AFTER DELETE ON plugin
        WHEN old.owner IS NULL OR EXISTS (SELECT 1 FROM person WHERE id = old.owner)
        BEGIN
            INSERT INTO former (id, kind, name, person, ended_at_ms)
            VALUES (old.id, 'plugin', old.name, old.owner, CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER))
            ON CONFLICT DO NOTHING;
        END;
        """
}

/// What somebody is called whose id stands in a record.
public struct CallerName: Sendable, Equatable {
    public let name: String
    /// No more there, or expired.
    public let isEnded: Bool
}

/// Somebody whom a person's record may be about, and who is gone.
public struct FormerCaller: Sendable {
    public let id: String
    public let kind: String
    public let name: String
    public let endedAt: Instant
    public let cursor: FormerCursor
}

public struct FormerCursor: Sendable {
    public let endedAt: Instant
    public let id: [UInt8]

    public init(endedAt: Instant, id: [UInt8]) { (self.endedAt, self.id) = (endedAt, id) }
}

extension Rows {
    /// What those are or were called whose ids stand in records of this person: one question, however many they are.
    public func callerNames(
        of ids: some Sequence<String>, in recordsOf: PersonID, at now: Instant
    ) throws -> [String: CallerName] {
        let wanted = Set(ids)
        let asked = Set(wanted.compactMap(Self.callerBytes))
        guard !asked.isEmpty else { return [:] }
        let found = try rows(
            """
            WITH RECURSIVE place (n) AS (SELECT 1 UNION ALL SELECT n + 16 FROM place WHERE n + 16 < length(?1)),
                asked (id) AS (SELECT substr(?1, n, 16) FROM place)
            SELECT id, kind, name, 1 AS ended FROM asked JOIN former USING (id) WHERE person = ?2 OR person IS NULL
            UNION ALL SELECT id, 'plugin', name, 0 FROM asked JOIN plugin USING (id) WHERE owner = ?2 OR owner IS NULL
            UNION ALL SELECT id, kind, name, coalesce(expires_at_ms <= ?3, 0)
                    OR coalesce(last_used_at_ms + idle_limit_ms <= ?3, 0)
                FROM asked JOIN slot USING (id) WHERE person = ?2
            UNION ALL SELECT id, 'client', name, expires_at_ms <= ?3 FROM asked JOIN client_grant USING (id)
                WHERE person = ?2
            """, [asked.flatMap { $0 }.blob, recordsOf.blob, now.milliseconds])
        var names: [String: CallerName] = [:]
        for row in found {
            let id = try row.callerID()
            if wanted.contains(id) { names[id] = CallerName(name: row.text("name"), isEnded: row["ended"]) }
        }
        return names
    }

    private static func callerBytes(_ id: String) -> [UInt8]? {
        PluginID(parsing: id)?.bytes ?? SlotID(parsing: id)?.bytes ?? ClientGrantID(parsing: id)?.bytes
    }

    /// Who is gone and may stand in this person's record, the last to go first. Of the operator's plugins those that do, as
    /// far as one looks back for a choice.
    public func formerCallers(
        of person: PersonID, after: FormerCursor? = nil, limit: Int
    ) throws -> [FormerCaller] {
        let from = after ?? FormerCursor(endedAt: Instant(milliseconds: .max), id: [UInt8](repeating: 0xFF, count: 17))
        func asked(_ whose: PersonID?, _ count: Int) throws -> [Row] {
            try rows(
                """
                SELECT id, kind, name, ended_at_ms FROM former WHERE person IS ?1 AND (ended_at_ms, id) < (?2, ?3)
                ORDER BY ended_at_ms DESC, id DESC LIMIT ?4
                """, [whose?.blob, from.endedAt.milliseconds, from.id.blob, count])
        }
        var found = try asked(person, limit)
        // They are as many as operators end by hand.
        let operators = try asked(nil, -1)
        if !operators.isEmpty {
            let seen = try callersOfLate(person)
            found += try operators.filter { seen.contains(try $0.callerID()) }
        }
        return try found.map(FormerCaller.init).sorted {
            $0.endedAt == $1.endedAt
                ? $1.cursor.id.lexicographicallyPrecedes($0.cursor.id) : $0.endedAt > $1.endedAt
        }.prefix(limit).map { $0 }
    }

    private func callersOfLate(_ person: PersonID) throws -> Set<String> {
        Set(
            try rows(
                """
                SELECT DISTINCT caller FROM (SELECT caller FROM activity WHERE person = ? ORDER BY at_ms DESC
                    LIMIT \(Self.scannedAtOnce)) WHERE caller IS NOT NULL
                """, [person.blob]
            ).map { $0.text("caller") })
    }

    /// Forgets at most `pruneAtOnce` names of which no record is left: a day later than those, which are folded later
    /// than they are written.
    func pruneFormer(before: Instant) throws -> Int {
        try changed(
            "DELETE FROM former WHERE id IN (SELECT id FROM former WHERE ended_at_ms < ? ORDER BY ended_at_ms LIMIT ?)",
            [before.adding(seconds: -86_400).milliseconds, Self.pruneAtOnce])
    }
}

extension FormerCaller {
    fileprivate init(_ row: Row) throws {
        kind = row.text("kind")
        name = row.text("name")
        endedAt = row.instant("ended_at_ms")
        cursor = FormerCursor(endedAt: endedAt, id: row.bytes("id"))
        id = try row.callerID()
    }
}

extension Row {
    /// As records have it: `id` by `kind`.
    fileprivate func callerID() throws -> String {
        switch text("kind") {
        case "plugin": (try id("id") as PluginID).text
        case "client": (try id("id") as ClientGrantID).text
        default: (try id("id") as SlotID).text
        }
    }
}
