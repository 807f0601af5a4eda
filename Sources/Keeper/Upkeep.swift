import Encoding
import Glibc
import Synchronization
import Vault

/// What the database needs again and again, on a thread of its own: commits are copied out of the WAL, audit records
/// become activity, what has ended is swept out, and what was swept out leaves the files.
final class Upkeep {
    static let checkpointEvery: Int64 = 250
    static let foldEvery: Int64 = 1_000
    /// At most one part in so many of a processor's time goes into folding.
    static let foldShare: Int64 = 20
    static let sweepEvery: Int64 = 60_000
    static let pruneEvery: Int64 = 3_600_000
    /// Well within the minute that docs/KEYS.md gives what was deleted.
    static let truncateEvery: Int64 = 20_000

    private let checkpointer: Checkpointer
    private let store: Store
    private let folder: AuditFolder
    private let failed: @Sendable (any Error) -> Void
    private var foldAt: Int64 = 0
    private var sweepAt: Int64 = 0
    private var pruneAt: Int64 = 0
    /// How far vaults were looked at for those that are left over.
    private var lookedAt: VaultID?
    private let keepDays: Int64
    private let said: @Sendable (String) -> Void
    private var truncateAt: Int64
    private var watch: WALWatch?
    /// The wall clock less the time since boot; nil: times are still to be looked at.
    private var clockOffset: Int64?

    init(
        checkpointer: Checkpointer, store: Store, watch: WALWatch? = nil, auditFolder: String, auditKeepDays: Int64 = 0,
        said: @escaping @Sendable (String) -> Void = { _ in }, failed: @escaping @Sendable (any Error) -> Void
    ) {
        (self.checkpointer, self.store, self.watch, self.failed) = (checkpointer, store, watch, failed)
        (keepDays, self.said) = (auditKeepDays, said)
        folder = AuditFolder(store: store, folder: auditFolder)
        truncateAt = Moment.now().uptime + Self.truncateEvery
    }

    func run(until stop: UpkeepStop) {
        repeat { round(at: .now()) } while !stop.wait(milliseconds: Self.checkpointEvery)
        // The next keeper need not do it.
        attempt { while try folder.fold().hasMore {} }
        foldAt = .max
        round(at: .now())
    }

    /// What is due now. What fails is tried again in its next turn.
    func round(at moment: Moment) {
        mendClock(at: moment)
        let folds = moment.uptime >= foldAt
        let before = Self.processorMilliseconds()
        if folds { attempt { _ = try folder.fold(at: moment.wall) } }
        if moment.uptime >= sweepAt {
            sweepAt = moment.uptime + Self.sweepEvery
            attempt {
                try store.write { rows in
                    _ = try rows.sweep(at: moment.wall)
                    _ = try rows.sweepJournal(at: moment.wall)
                }
            }
            attempt {
                let found = try store.read { try $0.leftVaults(after: lookedAt, at: moment.wall) }
                if !found.left.isEmpty { _ = try store.write { try $0.removeLeft(found.left, at: moment.wall) } }
                lookedAt = found.next
            }
        }
        if keepDays > 0, moment.uptime >= pruneAt {
            pruneAt = moment.uptime + Self.pruneEvery
            attempt {
                let gone = try folder.prune(before: moment.wall.adding(seconds: -keepDays * 86_400))
                for name in gone { said(AuditCheckpoint.removal(of: name)) }
            }
        }
        attempt { _ = try checkpointer.checkpoint() }
        if folds {
            // Where vends come by the ten thousand, records are taken together in larger numbers instead of keeping one
            // processor from those who vend: a record that waits with many of its person costs a fraction. Waiting for
            // the disk keeps nobody from anything.
            let took = Self.processorMilliseconds() - before
            foldAt = moment.uptime + max(Self.foldEvery, took * Self.foldShare)
        }
        if moment.uptime >= truncateAt {
            truncateAt = moment.uptime + 1_000
            attempt {
                if try checkpointer.truncate(at: moment.wall) { truncateAt = moment.uptime + Self.truncateEvery }
            }
        }
        watch?.look(at: moment.uptime)
    }

    /// When the wall clock was set back: since the latest round, or since a process before this one began a file.
    private func mendClock(at moment: Moment) {
        let offset = moment.wall.milliseconds - moment.uptime
        // Steps that are too small one by one add up.
        let latest =
            clockOffset ?? (AuditFolder.newestBegan(in: folder.folder) ?? moment.wall).milliseconds - moment.uptime
        guard offset < latest - Rows.clockStepSeconds * 1000 else {
            clockOffset = max(offset, latest)
            return
        }
        attempt {
            _ = try store.write { try $0.mendFutureTimes(at: moment.wall) }
            clockOffset = offset
        }
    }

    /// Of this thread.
    private static func processorMilliseconds() -> Int64 {
        var time = timespec()
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
        return Int64(time.tv_sec) * 1000 + Int64(time.tv_nsec) / 1_000_000
    }

    private func attempt(_ body: () throws -> Void) {
        do { try body() } catch { failed(error) }
    }
}

/// Tells the upkeep to end.
final class UpkeepStop: Sendable {
    private let mailbox = Mailbox<Bool>()
    private let isAsked = Atomic<Bool>(false)

    func ask() {
        isAsked.store(true, ordering: .releasing)
        mailbox?.put(true)
    }

    /// True when it was asked for.
    func wait(milliseconds: Int64) -> Bool {
        if let mailbox { _ = mailbox.take(within: milliseconds) } else { usleep(UInt32(milliseconds) * 1000) }
        return isAsked.load(ordering: .acquiring)
    }
}
