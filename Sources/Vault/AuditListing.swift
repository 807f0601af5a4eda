import Encoding
import Foundation
import GRDB

/// The table that people read, beside the files that it was filled from. Nothing seals the table, so it is worth no more
/// than its agreement with what is chained.
public final class AuditListing {
    private let database: DatabaseQueue
    /// Records from before were forgotten by the service itself.
    private let earliest: Int64
    private let folded: [String: Int64]
    /// In the table when this was made.
    private let records: Int64
    private var found: Int64 = 0

    /// The table as it is now. nil: there is no database.
    public init?(database path: String, keptSince earliest: Instant?) throws {
        guard FileManager.default.fileExists(atPath: path) else { return nil }
        database = try Store.open(path, readonly: true)
        self.earliest = earliest?.milliseconds ?? .min
        (folded, records) = try database.read { [earliest = self.earliest] db in
            let files = try Row.fetchAll(db, sql: "SELECT name, folded_bytes FROM audit_file")
            let count = try Int64.fetchOne(
                db, sql: "SELECT count(*) FROM activity WHERE at_ms >= ?", arguments: [earliest])
            return (
                Dictionary(uniqueKeysWithValues: files.map { ($0["name"] as String, $0["folded_bytes"] as Int64) }),
                count ?? 0
            )
        }
    }

    /// How much of a file the keeper has taken up.
    func foldedBytes(of file: String) -> Int { Int(folded[file] ?? 0) }

    /// The first of these that the table does not have, or has otherwise.
    func firstFault(
        among lines: [(record: Int64, line: AuditLine)]
    ) throws -> (fault: AuditFinding.Fault, record: Int64)? {
        try database.read { db in
            let statement = try db.cachedStatement(
                sql: """
                    SELECT event, provider, connection, caller, caller_kind, scopes, claim FROM activity
                    WHERE person = ? AND at_ms = ? AND id = ?
                    """)
            for (record, line) in lines where line.at >= earliest {
                let key: StatementArguments = [line.person.blob, line.at, line.idBlob]
                guard let row = try Row.fetchOne(statement, arguments: key) else { return (.notListed, record) }
                guard line.isListed(as: row) else { return (.listedOtherwise, record) }
                found += 1
            }
            return nil
        }
    }

    /// Asked when every line of every file was found: whether the table has records that are in none.
    var hasOthers: Bool { records > found }
}

extension AuditLine {
    fileprivate func isListed(as row: Row) -> Bool {
        event == row.text("event") && provider == row["provider"] && connection == row.optionalID("connection")
            && caller == row["caller"] && kind == row["caller_kind"] && scopes == row["scopes"]
            && claim == row.optionalBytes("claim")
    }
}

extension AuditFolder {
    /// Makes the table say what the files say: puts back what is not there, or there otherwise, and takes out what is in
    /// no file. The files must have been verified.
    public func foldAnew(keptSince earliest: Instant?, at now: Instant) throws -> (put: Int, removed: Int) {
        let earliest = earliest?.milliseconds ?? .min
        var put = 0
        try store.write { try $0.beginFoldingAnew() }
        for name in Self.names(in: folder) {
            var offset: Int64 = 0
            while let piece = read(name, from: offset) {
                let lines = piece.lines.filter { $0.at >= earliest }
                for start in stride(from: 0, to: lines.count, by: Rows.pruneAtOnce) {
                    put += try store.write {
                        try $0.foldAnew(lines[start..<min(start + Rows.pruneAtOnce, lines.count)])
                    }
                }
                offset = piece.end
                if piece.isLast { break }
            }
        }
        // What is being written now may be in the table and was not read here.
        let latest = now.milliseconds - 60_000
        var removed = 0
        while true {
            let some = try store.write { try $0.removeUnfolded(from: earliest, until: latest) }
            removed += some
            if some < Rows.pruneAtOnce { return (put, removed) }
        }
    }
}

extension Rows {
    fileprivate func beginFoldingAnew() throws {
        try db.execute(
            sql: """
                CREATE TEMP TABLE IF NOT EXISTS folded_anew
                    (person BLOB, at_ms INTEGER, id BLOB, PRIMARY KEY (person, at_ms, id)) WITHOUT ROWID
                """)
        try db.execute(sql: "DELETE FROM temp.folded_anew")
    }

    fileprivate func foldAnew(_ lines: ArraySlice<AuditLine>) throws -> Int {
        var put = 0
        for line in lines {
            put += try changed(
                """
                INSERT INTO activity (person, at_ms, id, event, provider, connection, caller, caller_kind, scopes, claim)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
                ON CONFLICT DO UPDATE SET event = excluded.event, provider = excluded.provider,
                    connection = excluded.connection, caller = excluded.caller, caller_kind = excluded.caller_kind,
                    scopes = excluded.scopes, claim = excluded.claim
                WHERE (event, provider, connection, caller, caller_kind, scopes, claim) IS NOT (excluded.event,
                    excluded.provider, excluded.connection, excluded.caller, excluded.caller_kind, excluded.scopes,
                    excluded.claim)
                """,
                [
                    line.person.blob, line.at, line.idBlob, line.event, line.provider, line.connection?.blob,
                    line.caller,
                    line.kind, line.scopes, line.claim?.blob,
                ])
            try db.cachedStatement(sql: "INSERT OR IGNORE INTO temp.folded_anew VALUES (?, ?, ?)").execute(
                arguments: [line.person.blob, line.at, line.idBlob])
        }
        return put
    }

    fileprivate func removeUnfolded(from earliest: Int64, until latest: Int64) throws -> Int {
        try changed(
            """
            DELETE FROM activity WHERE (person, at_ms, id) IN
                (SELECT person, at_ms, id FROM activity WHERE at_ms >= ? AND at_ms < ?
                    AND (person, at_ms, id) NOT IN (SELECT person, at_ms, id FROM temp.folded_anew) LIMIT ?)
            """, [earliest, latest, Self.pruneAtOnce])
    }
}
