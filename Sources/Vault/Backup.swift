import Encoding
import Envelope
import GRDB
import Glibc
import OAuth

/// Copies of the database, for `toolshedd backup` and `restore`.
extension Store {
    /// Writes the database as it is at one moment to a new file, while others write on. What was deleted is left out
    /// (`VACUUM INTO`). By a connection that only reads: any other one may checkpoint, which is the keeper's alone.
    public static func copy(path: String, to target: String) throws(VaultError) {
        try withReader(path) { try $0.execute(sql: "VACUUM INTO ?", arguments: [target]) }
        guard chmod(target, 0o600) == 0 else { throw .storage(code: 14) }
        try verify(path: target)
    }

    /// Reads a whole file that nobody else has open: every page, index and reference is as it must be.
    public static func verify(path: String) throws(VaultError) {
        try withReader(path) { db in
            let found = try String.fetchAll(db, sql: "PRAGMA integrity_check(1)")
            guard found == ["ok"] else { throw VaultError.damaged(found.first ?? "integrity_check") }
            guard try Row.fetchOne(db, sql: "PRAGMA foreign_key_check") == nil else {
                throw VaultError.damaged("a row refers to one that is not there")
            }
        }
    }

    /// In a copy that is put in the place of the database: a provider may have been shown any of its refresh tokens since it
    /// was made, and nobody here knows. That is the doubt in which a lost answer leaves a connection, and it ends as that
    /// does: what may be spent is shown late where that could hurt, and a refusal is named a loss. Not where refresh tokens
    /// stay what they are.
    public static func doubt(path: String, butNotOf steady: [ProviderID]) throws(VaultError) {
        let queue = try open(path, readonly: false)
        do {
            try queue.write { db in
                try db.execute(
                    sql: """
                        UPDATE connection SET intent = 'ambiguous', intent_at_ms = obtained_at_ms,
                            intent_generation = generation
                        WHERE refreshable = 1 AND intent = 'none'
                            AND provider NOT IN (\(steady.map { _ in "?" }.joined(separator: ", ")))
                        """, arguments: StatementArguments(steady.map(\.json)))
            }
            try queue.close()
        } catch {
            throw VaultError(storage: error)
        }
    }

    /// Of the log beside a database; 0 where there is none.
    public static func walBytes(path: String) -> Int64 {
        var status = stat()
        return stat(path + "-wal", &status) == 0 ? Int64(status.st_size) : 0
    }

    static func withReader(_ path: String, _ body: (Database) throws -> Void) throws(VaultError) {
        let queue = try open(path, readonly: true)
        do {
            try queue.unsafeRead(body)
            try queue.close()
        } catch let error as VaultError {
            throw error
        } catch {
            throw VaultError(storage: error)
        }
    }
}

/// What an operator wants to know of a database, by a connection that only reads.
public struct StoreSummary: Sendable {
    /// The file's, and the one that this program makes of it at the next start.
    public let schema: (found: Int, known: Int)
    public let bytes: Int64
    public let walBytes: Int64
    public let people: Int
    public let vaults: Int
    public let plugins: Int
    /// By status, those that there are none of included.
    public let connections: [(status: ConnectionStatus, count: Int)]

    /// nil: there is no file.
    public init?(path: String) throws(VaultError) {
        var status = stat()
        guard stat(path, &status) == 0 else { return nil }
        bytes = Int64(status.st_size)
        walBytes = Store.walBytes(path: path)
        var schema = 0
        var counts: [String: Int] = [:]
        var byStatus: [String: Int] = [:]
        try Store.withReader(path) { db in
            guard try Int32.fetchOne(db, sql: "PRAGMA application_id") == Schema.applicationID else {
                throw VaultError.foreignFile("it belongs to another application")
            }
            schema = try Int.fetchOne(db, sql: "PRAGMA user_version") ?? 0
            guard schema <= Schema.versions.count else {
                throw VaultError.newerSchema(found: schema, known: Schema.versions.count)
            }
            for table in ["person", "vault", "plugin"] {
                counts[table] = try Int.fetchOne(db, sql: "SELECT count(*) FROM \(table)")
            }
            for row in try Row.fetchAll(db, sql: "SELECT status, count(*) AS n FROM connection GROUP BY status") {
                byStatus[row["status"]] = row["n"]
            }
        }
        self.schema = (schema, Schema.versions.count)
        (people, vaults, plugins) = (counts["person"] ?? 0, counts["vault"] ?? 0, counts["plugin"] ?? 0)
        connections = ConnectionStatus.allCases.map { ($0, byStatus[$0.rawValue] ?? 0) }
    }
}
