import Encoding
import Envelope
import Foundation
import GRDB
import Glibc
import Secrets

extension Store {
    /// Makes the file when there is none, and brings an older one up to date. Run by the keeper (or a command) before
    /// anybody else opens the file, because opening a WAL that needs recovery takes an exclusive lock.
    /// A damaged, foreign or newer file is refused and not touched.
    public static func prepare(path: String, keys: StoreKeys) throws(VaultError) {
        var status = stat()
        if stat(path, &status) == 0 {
            try refuseForeign(path, size: Int(status.st_size))
        } else {
            let descriptor = Glibc.open(path, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0o600)
            guard descriptor >= 0 else { throw .storage(code: 14) }
            close(descriptor)
        }
        let queue = try open(path, readonly: false)
        do {
            try queue.writeWithoutTransaction { db in
                let mode = try String.fetchOne(db, sql: "PRAGMA journal_mode = WAL")
                guard mode == "wal" else { throw VaultError.foreignFile("journal mode \(mode ?? "unknown")") }
                try migrate(db)
                try checkEncryptionKey(db, keys)
            }
            try queue.close()
        } catch let error as VaultError {
            throw error
        } catch let error as DatabaseError {
            throw .storage(code: error.extendedResultCode.rawValue)
        } catch {
            throw .storage(code: 1)
        }
    }

    /// Looks at the first hundred bytes before SQLite may write any: a file that is not a database of ours stays as it is.
    private static func refuseForeign(_ path: String, size: Int) throws(VaultError) {
        guard size > 0 else { return }
        let descriptor = Glibc.open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw .storage(code: 14) }
        defer { close(descriptor) }
        var header = [UInt8](repeating: 0, count: 100)
        guard Glibc.read(descriptor, &header, 100) == 100, header.prefix(15).elementsEqual("SQLite format 3".utf8)
        else {
            throw .foreignFile("it does not begin as an SQLite database does")
        }
        func number(at offset: Int) -> UInt32 { header[offset..<offset + 4].reduce(0) { $0 << 8 | UInt32($1) } }
        // The header may still be all zero while the first commits are in the WAL only.
        let application = number(at: 68)
        guard application == UInt32(bitPattern: Schema.applicationID) || application == 0 else {
            throw .foreignFile("it belongs to another application")
        }
        let found = Int(number(at: 60))
        guard found <= Schema.versions.count else { throw .newerSchema(found: found, known: Schema.versions.count) }
    }

    private static func migrate(_ db: Database) throws {
        try db.inTransaction(.immediate) {
            let application = try Int32.fetchOne(db, sql: "PRAGMA application_id") ?? 0
            let found = try Int.fetchOne(db, sql: "PRAGMA user_version") ?? 0
            let tables = try Int.fetchOne(db, sql: "SELECT count(*) FROM sqlite_master") ?? 0
            guard application == Schema.applicationID || (application == 0 && tables == 0) else {
                throw VaultError.foreignFile("it has tables of another program")
            }
            guard found <= Schema.versions.count else {
                throw VaultError.newerSchema(found: found, known: Schema.versions.count)
            }
            for version in found..<Schema.versions.count {
                try db.execute(sql: Schema.versions[version])
            }
            if found < Schema.versions.count || application == 0 {
                try db.execute(sql: "PRAGMA application_id = \(Schema.applicationID)")
                try db.execute(sql: "PRAGMA user_version = \(Schema.versions.count)")
            }
            return .commit
        }
    }

    /// One tag per `ENCRYPTION_KEY`: a wrong key is told before anything is sealed under it.
    private static func checkEncryptionKey(_ db: Database, _ keys: StoreKeys) throws {
        let data = AssociatedData("toolshed/v1/key-check")
        let stored = try Data.fetchAll(db, sql: "SELECT value FROM meta WHERE name LIKE 'key-check:%'").map {
            [UInt8]($0)
        }
        if stored.isEmpty || !stored.contains(where: { keys.tags.matches($0, data) }) {
            guard stored.isEmpty else { throw VaultError.wrongEncryptionKey }
        }
        let current = keys.tags.tag(data)
        let name = "key-check:\(current.prefix(2).map { String($0) }.joined(separator: "."))"
        try db.execute(
            sql: "INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT (name) DO NOTHING",
            arguments: [name, current.blob])
        let kept = try Data.fetchOne(db, sql: "SELECT value FROM meta WHERE name = ?", arguments: [name])
        guard kept.map({ keys.tags.matches([UInt8]($0), data) }) == true else { throw VaultError.wrongEncryptionKey }
    }
}
