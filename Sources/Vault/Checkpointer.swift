import Encoding
import Envelope
import GRDB

/// The one place that copies the WAL back into the database; the keeper has the only one.
///
/// SQLite 3.7.0–3.51.2 can lose committed pages when a passive checkpoint reads the WAL's header while a commit resets
/// the WAL (sqlite.org/wal.html, "The WAL-Reset Bug"). A reset happens under the write lock, so the checkpoint runs on one
/// connection while another holds that lock and writes nothing.
///
/// `wal_checkpoint(TRUNCATE)` cannot be had in that way: it wants the write lock for itself, and where it does not get it
/// it falls back, silently, to the unprotected passive kind. So the file is cut by a third connection's ordinary commit:
/// with everything copied back, the first commit begins the WAL anew, and `journal_size_limit = 0` makes that commit cut
/// off what lies beyond it. It is a writer's reset under the write lock, in the one thread that also checkpoints: the two
/// never overlap.
public final class Checkpointer {
    private let lock: DatabaseQueue
    private let worker: DatabaseQueue
    private let cutter: DatabaseQueue
    private var copiedVersion: Int64?
    private var cutVersion: Int64?

    public init(path: String) throws(VaultError) {
        lock = try Store.open(path, readonly: false, busySeconds: 0.05)
        worker = try Store.open(path, readonly: false, busySeconds: 0.05)
        cutter = try Store.open(path, readonly: false, busySeconds: 0.05)
        do {
            try cutter.unsafeRead { try $0.execute(sql: "PRAGMA journal_size_limit = 0") }
        } catch {
            throw VaultError(storage: error)
        }
    }

    /// What a checkpoint left, in frames.
    public struct Progress: Hashable, Sendable {
        public let inWAL: Int
        public let copied: Int
        public var isComplete: Bool { inWAL == copied }
    }

    /// Copies what was committed since the last time. nil: nothing was, or the write lock was not to be had just now.
    @discardableResult
    public func checkpoint() throws(VaultError) -> Progress? {
        do {
            let version = try dataVersion()
            guard version != copiedVersion else { return nil }
            guard let progress = try copyUnderLock() else { return nil }
            // Frames that a reader still needs are left for the next time.
            if progress.isComplete { copiedVersion = version }
            return progress
        } catch {
            throw VaultError(storage: error)
        }
    }

    /// Copies everything and cuts the WAL, so that what was deleted or replaced is in no file. False: somebody was always
    /// reading or writing, try again soon. Does nothing when nothing was committed since the last cut.
    public func truncate(at now: Instant) throws(VaultError) -> Bool {
        do {
            guard try dataVersion() != cutVersion else { return true }
            for _ in 0..<5 {
                // Between the copy and our commit another may commit, and then it is the one that begins the WAL anew.
                guard let progress = try copyUnderLock(), progress.isComplete else { continue }
                try cutter.unsafeRead { db in
                    try db.execute(sql: "BEGIN IMMEDIATE")
                    try db.execute(
                        sql: """
                            INSERT INTO meta (name, value) VALUES ('wal-cut-at', ?)
                            ON CONFLICT (name) DO UPDATE SET value = excluded.value
                            """, arguments: ["\(now.milliseconds)".utf8.map { $0 }.blob])
                    try db.execute(sql: "COMMIT")
                }
                // What is left then are the frames of that one row.
                guard let after = try copyUnderLock(), after.inWAL <= 4 else { continue }
                cutVersion = try dataVersion()
                copiedVersion = cutVersion
                return true
            }
            return false
        } catch {
            throw VaultError(storage: error)
        }
    }

    /// Changes whenever another connection of any process commits.
    private func dataVersion() throws -> Int64? {
        try worker.unsafeRead { try Int64.fetchOne($0, sql: "PRAGMA data_version") }
    }

    private func copyUnderLock() throws -> Progress? {
        try lock.unsafeRead { holder in
            do {
                try holder.execute(sql: "BEGIN IMMEDIATE")
            } catch let error as DatabaseError where error.resultCode == .SQLITE_BUSY {
                return nil
            }
            defer { try? holder.execute(sql: "ROLLBACK") }
            return try worker.unsafeRead { db in
                guard let row = try Row.fetchOne(db, sql: "PRAGMA wal_checkpoint(PASSIVE)") else { return nil }
                return Progress(inWAL: row[1], copied: row[2])
            }
        }
    }
}

extension VaultError {
    /// SQLite's extended result code, where it was SQLite that failed.
    public var storageCode: Int32? {
        if case .storage(let code) = self { code } else { nil }
    }

    init(storage error: any Error) {
        switch error {
        case let error as VaultError: self = error
        case let error as EnvelopeError: self = .envelope(error)
        case let error as DatabaseError: self = .storage(code: error.extendedResultCode.rawValue)
        default: self = .storage(code: 1)
        }
    }
}
