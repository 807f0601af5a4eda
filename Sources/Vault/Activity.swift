import Encoding
import Foundation
import GRDB
import Secrets

/// One line of the activity page, read from the table that the keeper fills.
public struct Activity: Sendable {
    public let id: [UInt8]
    public let at: Instant
    public let event: AuditEvent
    public let provider: String?
    public let connection: ConnectionID?
    public let caller: String?
    public let callerKind: String?
    public let scopes: String?
    /// Sealed under the log key of the connection; see `ActivityClaim`.
    public let claim: [UInt8]?
}

/// Which records are wanted; nil wants any.
public struct ActivityFilter: Sendable {
    public var provider: String?
    public var connection: ConnectionID?
    /// The id of a plugin, application or holder.
    public var caller: String?
    public var event: AuditEvent?
    public var from: Instant?
    /// The first moment that is not wanted.
    public var until: Instant?

    public init() {}

    var isSelective: Bool { provider != nil || connection != nil || caller != nil || event != nil }
}

/// Where a page of activity ended.
public struct ActivityCursor: Hashable, Sendable {
    public let at: Instant
    public let id: [UInt8]

    public init(at: Instant, id: [UInt8]) { (self.at, self.id) = (at, id) }
}

extension Activity {
    public var cursor: ActivityCursor { ActivityCursor(at: at, id: id) }
}

extension Rows {
    /// As many records are looked at for one page that wants only some: what is rare may lie far back.
    static let scannedAtOnce = 20_000

    /// Newest first, from after `after`; with where to go on, when there may be more. A page may have fewer than `limit`
    /// and still have more behind it.
    public func activity(
        of person: PersonID, _ filter: ActivityFilter = ActivityFilter(), after: ActivityCursor? = nil, limit: Int
    ) throws -> (page: [Activity], next: ActivityCursor?) {
        let latest = Instant(milliseconds: filter.until.map { $0.milliseconds - 1 } ?? .max)
        var from = ActivityCursor(at: latest, id: [UInt8](repeating: 0xFF, count: 17))
        if let after, after.at <= latest { from = after }
        let earliest = filter.from?.milliseconds ?? .min
        let range: StatementArguments = [person.blob, from.at.milliseconds, from.id.blob, earliest]
        // The index alone answers this one.
        let boundary =
            try !filter.isSelective
            ? nil
            : row(
                """
                SELECT at_ms, id FROM activity
                WHERE person = ?1 AND (at_ms, id) < (?2, ?3) AND at_ms >= ?4
                ORDER BY at_ms DESC, id DESC LIMIT 1 OFFSET \(Self.scannedAtOnce - 1)
                """, range
            ).map { ActivityCursor(at: $0.instant("at_ms"), id: $0.bytes("id")) }
        let callers = try filter.caller.map { try ids(ofCaller: $0) }
        let page = try rows(
            """
            SELECT id, at_ms, event, provider, connection, caller, caller_kind, scopes, claim FROM activity
            WHERE person = ?1 AND (at_ms, id) < (?2, ?3) AND (at_ms, id) >= (?4, ?5)
                AND (?6 IS NULL OR provider = ?6) AND (?7 IS NULL OR connection = ?7)
                AND (?8 IS NULL OR instr(?8, ' ' || caller || ' ') > 0) AND (?9 IS NULL OR event = ?9)
            ORDER BY at_ms DESC, id DESC LIMIT ?10
            """,
            [
                person.blob, from.at.milliseconds, from.id.blob, boundary?.at.milliseconds ?? earliest,
                (boundary?.id ?? []).blob, filter.provider, filter.connection?.blob, callers,
                filter.event?.rawValue, limit,
            ]
        ).map { row in
            Activity(
                id: row.bytes("id"), at: row.instant("at_ms"), event: try row.state("event"), provider: row["provider"],
                connection: row.optionalID("connection"), caller: row["caller"], callerKind: row["caller_kind"],
                scopes: row["scopes"], claim: row.optionalBytes("claim"))
        }
        return (page, page.count == limit ? page.last?.cursor : boundary)
    }

    /// Between blanks: what a command line was given is one application to its person, and uses are recorded by its slots.
    private func ids(ofCaller caller: String) throws -> String {
        let slots = try ClientGrantID(parsing: caller).map { try holders(of: $0) } ?? []
        return " \(([caller] + slots.map(\.text)).joined(separator: " ")) "
    }
}

extension Rows {
    /// Takes records into the table. A record that is there already stays as it is: folding twice is folding once.
    func fold(_ lines: [AuditLine], of file: String, upTo bytes: Int64) throws {
        let insert = try BoundStatement(
            """
            INSERT INTO activity (person, at_ms, id, event, provider, connection, caller, caller_kind, scopes, claim)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING
            """, db)
        // In the order of the table: what belongs to one person then goes to one page. Places are sorted, not records.
        var places = lines.indices.map { (person: lines[$0].person, at: lines[$0].at, index: $0) }
        places.sort {
            ($0.person.high, $0.person.low, $0.at) < ($1.person.high, $1.person.low, $1.at)
        }
        for place in places {
            let line = lines[place.index]
            insert.bind(1, line.person)
            insert.bind(2, line.at)
            insert.bind(3, line.id.high, line.id.low)
            insert.bind(4, line.event)
            insert.bind(5, line.provider)
            insert.bind(6, line.connection)
            insert.bind(7, line.caller)
            insert.bind(8, line.kind)
            insert.bind(9, line.scopes)
            insert.bind(10, line.claim)
            try insert.run()
        }
        _ = try changed(
            """
            INSERT INTO audit_file (name, folded_bytes) VALUES (?, ?)
            ON CONFLICT (name) DO UPDATE SET folded_bytes = max(folded_bytes, excluded.folded_bytes)
            """, [file, bytes])
    }

    func moveLastUse(of used: RecentUses.Used, to use: RecentUses.Use) throws {
        switch used {
        case .connection(let connection):
            _ = try changed(
                """
                UPDATE connection SET last_used_at_ms = ?1, last_used_by = ?2
                WHERE id = ?3 AND (last_used_at_ms IS NULL OR last_used_at_ms < ?1)
                """, [use.at, use.by, connection.blob])
        case .plugin(let plugin, let person, let key):
            try moveKeyInUse(of: plugin, with: person, to: key, at: use.at)
        case .slot(let slot):
            _ = try changed(
                "UPDATE slot SET last_used_at_ms = ?1 WHERE id = ?2 AND last_used_at_ms < ?1", [use.at, slot.blob])
        }
    }

    /// One write is never long.
    static let pruneAtOnce = 2000

    /// Who comes after this person in the table, and since when they have records. The table is in this order, so all
    /// are found in as many looks as there are persons.
    func nextActive(after person: PersonID?) throws -> (person: PersonID, since: Instant)? {
        try row(
            "SELECT person, at_ms FROM activity WHERE person > ? ORDER BY person, at_ms LIMIT 1",
            [person?.blob ?? Data()]
        ).map { (try $0.id("person"), $0.instant("at_ms")) }
    }

    /// Forgets at most `pruneAtOnce` records of a person that are older than has to be kept.
    func pruneActivity(of person: PersonID, before: Instant) throws -> Int {
        try changed(
            """
            DELETE FROM activity WHERE (person, at_ms, id) IN
                (SELECT person, at_ms, id FROM activity WHERE person = ? AND at_ms < ? ORDER BY at_ms LIMIT ?)
            """,
            [person.blob, before.milliseconds, Self.pruneAtOnce])
    }

    func forgetAuditFile(_ name: String) throws { _ = try changed("DELETE FROM audit_file WHERE name = ?", [name]) }

    func foldedBytes() throws -> [String: Int64] {
        Dictionary(
            uniqueKeysWithValues: try rows("SELECT name, folded_bytes FROM audit_file", []).map {
                ($0.text("name"), $0["folded_bytes"] as Int64)
            })
    }
}
