import Encoding
import Envelope
import Foundation
import GRDB
import Glibc
import Secrets

extension Store {
    /// Makes the file when there is none, and brings an older one up to date. Run by the keeper (or a command) before
    /// anybody else opens the file, because opening a WAL that needs recovery takes an exclusive lock.
    /// A damaged, foreign or newer file is refused and not touched; so is none where `audit` has records.
    public static func prepare(path: String, audit folder: String? = nil, keys: StoreKeys) throws(VaultError) {
        var status = stat()
        if stat(path, &status) == 0 {
            try refuseForeign(path)
        } else {
            try refuseLost(path, audit: folder)
            try makeFirst(path, keys)
        }
        try bringUpToDate(path, journal: "wal", keys)
    }

    /// What a start would refuse, found without writing anything. A file that is not there yet is nothing to refuse.
    public static func examine(path: String, audit folder: String? = nil, keys: StoreKeys) throws(VaultError) {
        var status = stat()
        guard stat(path, &status) == 0 else { return try refuseLost(path, audit: folder) }
        try refuseForeign(path)
        try withReader(path) { db in
            let found = try Int.fetchOne(db, sql: "PRAGMA user_version") ?? 0
            guard found <= Schema.versions.count else {
                throw VaultError.newerSchema(found: found, known: Schema.versions.count)
            }
            guard try knowsKey(db, keys) else { throw VaultError.wrongEncryptionKey }
        }
    }

    /// Whether a file that is not there was there once: people's vaults must not seem never to have been.
    private static func refuseLost(_ path: String, audit folder: String?) throws(VaultError) {
        var status = stat()
        if stat(path + "-wal", &status) == 0, status.st_size > 0 {
            throw .damaged("there is no \(path), but its log")
        }
        if let folder, AuditFolder.hasRecords(folder) { throw .lost(path: path, audit: folder) }
    }

    /// Under another name until it is whole: a file of this name without anything in it is a database that was lost, and
    /// must not become a new one. Two who come first together make one.
    private static func makeFirst(_ path: String, _ keys: StoreKeys) throws(VaultError) {
        var status = stat()
        let making = path + ".first"
        let descriptor = Glibc.open(making, O_CREAT | O_RDWR | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw .storage(code: 14) }
        defer { close(descriptor) }
        // Whoever waited for it here finds the database made.
        guard flock(descriptor, LOCK_EX) == 0 else { throw .storage(code: 10) }
        guard stat(path, &status) != 0 else { return }
        // What a start that was killed left of it.
        guard ftruncate(descriptor, 0) == 0 else { throw .storage(code: 10) }
        try bringUpToDate(making, journal: "off", keys)
        guard rename(making, path) == 0 else { throw .storage(code: 10) }
        let folder = Glibc.open(
            String(path[..<(path.lastIndex(of: "/") ?? path.startIndex)]) + "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard folder >= 0 else { throw .storage(code: 14) }
        defer { close(folder) }
        guard fsync(folder) == 0 else { throw .storage(code: 10) }
    }

    private static func bringUpToDate(_ path: String, journal: String, _ keys: StoreKeys) throws(VaultError) {
        let queue = try open(path, readonly: false)
        do {
            try queue.writeWithoutTransaction { db in
                let mode = try String.fetchOne(db, sql: "PRAGMA journal_mode = \(journal)")
                guard mode == journal else { throw VaultError.foreignFile("journal mode \(mode ?? "unknown")") }
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
    private static func refuseForeign(_ path: String) throws(VaultError) {
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

    private static var keyCheck: AssociatedData { AssociatedData("toolshed/v1/key-check") }

    /// Whether one of the keys is one that the file was made with, or it was made with none so far.
    private static func knowsKey(_ db: Database, _ keys: StoreKeys) throws -> Bool {
        let stored = try Data.fetchAll(db, sql: "SELECT value FROM meta WHERE name LIKE 'key-check:%'")
        return stored.isEmpty || stored.contains { keys.tags.matches([UInt8]($0), keyCheck) }
    }

    /// One tag per `ENCRYPTION_KEY`: a wrong key is told before anything is sealed under it.
    private static func checkEncryptionKey(_ db: Database, _ keys: StoreKeys) throws {
        guard try knowsKey(db, keys) else { throw VaultError.wrongEncryptionKey }
        let data = keyCheck
        let current = keys.tags.tag(data)
        let name = "key-check:\(current.prefix(2).map { String($0) }.joined(separator: "."))"
        try db.execute(
            sql: "INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT (name) DO NOTHING",
            arguments: [name, current.blob])
        let kept = try Data.fetchOne(db, sql: "SELECT value FROM meta WHERE name = ?", arguments: [name])
        guard kept.map({ keys.tags.matches([UInt8]($0), data) }) == true else { throw VaultError.wrongEncryptionKey }
    }
}
