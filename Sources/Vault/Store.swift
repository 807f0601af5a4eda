import CSQLite
import Encoding
import Envelope
import Foundation
import GRDB
import Secrets

/// Everything that outlives a request: one SQLite file, one read connection per thread, one write connection per
/// process. Opened after exec, never handed to a child.
public final class Store {
    public let keys: StoreKeys
    public let random: Randomness
    let reader: DatabaseQueue
    let writer: Writer

    /// The write connection, shared by the threads of one process; GRDB serializes on it.
    public final class Writer: Sendable {
        let queue: DatabaseQueue
        private let path: String
        private let walLimit: Int64

        /// - Parameter walLimit: bytes; 0: however long it is. For whom it is worse not to store what it has: the keeper
        ///   has tokens that a provider gave out once.
        public init(path: String, walLimit: Int64 = 0) throws(VaultError) {
            (self.path, self.walLimit) = (path, walLimit)
            queue = try Store.open(path, readonly: false)
        }

        /// As if the disk were full, before it is (SQLITE_FULL).
        func admit() throws(VaultError) {
            if walLimit > 0, Store.walBytes(path: path) > walLimit { throw .storage(code: 13) }
        }
    }

    public init(path: String, writer: Writer, keys: StoreKeys, random: Randomness) throws(VaultError) {
        self.keys = keys
        self.random = random
        self.writer = writer
        reader = try Store.open(path, readonly: true)
    }

    /// Reads without a transaction: each statement sees one state, several may not.
    public func read<T>(_ body: (Rows) throws -> T) throws -> T {
        try reader.unsafeRead { try body(Rows(db: $0, keys: keys, random: random)) }
    }

    /// BEGIN IMMEDIATE … COMMIT, durable when it returns. Never around a network call.
    public func write<T>(_ body: (Rows) throws -> T) throws -> T {
        try writer.admit()
        return try writer.queue.writeWithoutTransaction { db in
            var result: T?
            try db.inTransaction(.immediate) {
                result = try body(Rows(db: db, keys: keys, random: random))
                return .commit
            }
            guard let result else { throw VaultError.conflict }
            return result
        }
    }

    /// Debian's SQLite allocates a hundred times for a vend, and would count each under one lock for all threads. Too late
    /// where something else has opened a database before: then it counts.
    private static let hasNoStatistics = csqlite_without_memory_statistics() == 0

    /// WAL is set once, when the file is made: asking for it here would make GRDB lower `synchronous`.
    static func open(
        _ path: String, readonly: Bool, busySeconds: Double = 5
    ) throws(VaultError) -> DatabaseQueue {
        _ = hasNoStatistics
        var configuration = Configuration()
        configuration.readonly = readonly
        configuration.busyMode = .timeout(busySeconds)
        configuration.prepareDatabase { db in
            // SQLite 3.7.0–3.51.2 can lose pages when a passive checkpoint meets a commit that resets the WAL:
            // nobody but the keeper checkpoints (reliability.md §2.2).
            try db.execute(sql: "PRAGMA wal_autocheckpoint = 0")
            try db.execute(sql: "PRAGMA synchronous = FULL")
            try db.execute(sql: "PRAGMA foreign_keys = ON")
            try db.execute(sql: "PRAGMA temp_store = MEMORY")
            try db.execute(sql: "PRAGMA secure_delete = ON")
            // Readers look at pages where the kernel has them: a vend reads some eight, and each would be a system call
            // and a copy (docs/BENCHMARKS.md). A page that the disk cannot give kills the worker, which is replaced.
            if readonly { try db.execute(sql: "PRAGMA mmap_size = 1073741824") }
        }
        do {
            return try DatabaseQueue(path: path, configuration: configuration)
        } catch let error as DatabaseError {
            throw .storage(code: error.extendedResultCode.rawValue)
        } catch {
            throw .storage(code: 1)
        }
    }
}

/// The subkeys of `ENCRYPTION_KEY` that rows need; both roles have them.
public struct StoreKeys: Sendable {
    public let outer: OuterSeal
    public let tags: TagKey
    public let servicePublic: (id: UInt16, key: PublicKey)
    /// Of codes and other slots that live for minutes; a worker's comes from the keeper.
    public let minute: MinuteKey

    public init(_ keys: WorkerKeys, minute: MinuteKey = MinuteKey()) {
        (outer, tags, servicePublic) = (keys.outer, keys.tags, keys.servicePublic)
        self.minute = minute
    }

    public init(_ keys: KeeperKeys) {
        (outer, tags, servicePublic) = (keys.outer, keys.tags, keys.servicePublic)
        minute = MinuteKey()
    }
}

/// The statements, within one read or one write. Extended file by file, one concept each.
public struct Rows {
    let db: Database
    let keys: StoreKeys
    let random: Randomness

    /// All or nothing within one write: an error undoes what `body` did and leaves the rest of the write as it is.
    public func nested<T>(_ body: () throws -> T) throws -> T {
        var result: T?
        try db.inSavepoint {
            result = try body()
            return .commit
        }
        guard let result else { throw VaultError.conflict }
        return result
    }

    func changed(_ sql: String, _ arguments: StatementArguments) throws -> Int {
        try db.cachedStatement(sql: sql).execute(arguments: arguments)
        return db.changesCount
    }

    func row(_ sql: String, _ arguments: StatementArguments) throws -> Row? {
        try Row.fetchOne(try db.cachedStatement(sql: sql), arguments: arguments)
    }

    func rows(_ sql: String, _ arguments: StatementArguments) throws -> [Row] {
        try Row.fetchAll(try db.cachedStatement(sql: sql), arguments: arguments)
    }
}
