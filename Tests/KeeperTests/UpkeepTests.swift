import Encoding
import Foundation
import GRDB
import OAuth
import Secrets
import Synchronization
import Testing

@testable import Keeper
@testable import Vault

@Suite("Upkeep of the database")
struct UpkeepTests {
    private let shelf: Shelf
    private let start = Instant(milliseconds: 1_800_000_000_000)
    private let failures = Counter()

    private final class Counter: Sendable {
        let count = Atomic<Int>(0)
    }

    init() throws { shelf = try Shelf(Dice(31), at: start) }

    private var path: String { "\(shelf.folder)/toolshed.db" }

    private func upkeep() throws -> Upkeep {
        Upkeep(
            checkpointer: try Checkpointer(path: path), store: shelf.store, auditFolder: "\(shelf.folder)/audit",
            failed: { [failures] _ in failures.count.add(1, ordering: .relaxed) })
    }

    @Test("Records become activity, what has ended is swept out, and a while later it is in no file")
    func rounds() throws {
        let upkeep = try upkeep()
        let log = try AuditLog(folder: "\(shelf.folder)/audit", at: start)
        try log.record(
            AuditRecord(.vended, person: shelf.vault.person), id: Randomness.system.bytes(16), at: start)
        try shelf.store.write {
            _ = try $0.addSlot(.session, name: "an ended session", to: shelf.vault, lifetime: .session, at: start)
        }
        // Its name stays, for the record; what its secret could open does not.
        let salt = try shelf.store.read {
            try [UInt8](Data.fetchOne($0.db, sql: "SELECT salt FROM slot WHERE name = 'an ended session'") ?? Data())
        }
        #expect(salt.count >= 16)
        func isInFiles() throws -> Bool {
            try ["", "-wal"].contains { suffix in
                [UInt8](try Data(contentsOf: URL(fileURLWithPath: path + suffix))).ranges(of: salt).count > 0
            }
        }
        var moment = Moment(wall: start, uptime: Moment.now().uptime)
        upkeep.round(at: moment)
        #expect(try shelf.count("SELECT count(*) FROM activity") == 1)
        #expect(try shelf.count("SELECT count(*) FROM slot") == 1)
        #expect(try isInFiles())
        // A month later the session is over; nothing of it is left within a minute.
        moment.wall = start.adding(seconds: 31 * 86_400)
        moment.uptime += 60_001
        upkeep.round(at: moment)
        #expect(try shelf.count("SELECT count(*) FROM slot") == 0)
        moment.uptime += Upkeep.truncateEvery
        upkeep.round(at: moment)
        #expect(try !isInFiles())
        #expect(failures.count.load(ordering: .relaxed) == 0)
    }

    @Test("What was stored while the clock was ahead is mended when it is set back, and at the start, and only that")
    func clockSetBack() throws {
        let provider = try ProviderID(parsing: "acme")
        func connect(at now: Instant, life: Int64 = 3600) throws -> ConnectionID {
            try shelf.connect(
                shelf.grant(
                    provider, access: "a", refresh: "r", at: now, life: life, nextRefreshAt: now.adding(seconds: 2700)),
                background: false)
        }
        let day: Int64 = 86_400
        let upkeep = try upkeep()
        var moment = Moment(wall: start, uptime: 1_000_000_000)
        let before = try connect(at: start)
        // What came in the future before this keeper began, by a clock that is right again.
        let earlier = try connect(at: start.adding(seconds: 10 * day))
        let name = "\(start.adding(seconds: 10 * day).milliseconds)-1.jsonl"
        let folder = "\(shelf.folder)/audit"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        try Data().write(to: URL(filePath: "\(folder)/\(name)"))
        upkeep.round(at: moment)
        #expect(try shelf.state(earlier).connection.expiresAt == start)
        // Ahead by a day, for a minute.
        (moment.wall, moment.uptime) = (start.adding(seconds: day), moment.uptime + 1_000)
        upkeep.round(at: moment)
        let ahead = try connect(at: moment.wall)
        let failed = try connect(at: start)
        try shelf.store.write {
            _ = try $0.changed(
                """
                UPDATE connection SET not_before_ms = ?1, failures = 9, intent = 'ambiguous', intent_at_ms = ?1,
                    checked_at_ms = ?1 WHERE id = ?2
                """, [moment.wall.adding(seconds: 600).milliseconds, failed.blob])
        }
        moment.uptime += 60_000
        upkeep.round(at: Moment(wall: start.adding(seconds: day + 60), uptime: moment.uptime))
        #expect(try shelf.state(ahead).connection.expiresAt == start.adding(seconds: day + 3600))
        moment = Moment(wall: start.adding(seconds: 61), uptime: moment.uptime + 1_000)
        upkeep.round(at: moment)
        let mended = try shelf.state(ahead)
        #expect(mended.connection.expiresAt == moment.wall && mended.connection.obtainedAt == moment.wall)
        #expect(mended.nextRefreshAt == moment.wall)
        let free = try shelf.state(failed)
        #expect(free.notBefore == nil && free.intent == .ambiguous(since: Instant(milliseconds: 1)))
        #expect(free.connection.expiresAt == start.adding(seconds: 3600))
        #expect(try shelf.state(before).connection.expiresAt == start.adding(seconds: 3600))
        // Small steps are no news.
        let present = try connect(at: moment.wall.adding(seconds: 100))
        upkeep.round(at: Moment(wall: moment.wall.adding(seconds: -100), uptime: moment.uptime + 250))
        #expect(try shelf.state(present).connection.expiresAt == moment.wall.adding(seconds: 3700))
        #expect(failures.count.load(ordering: .relaxed) == 0)
    }

    @Test("A second keeper waits for the first, and is refused while it stays")
    func lock() throws {
        let path = "\(shelf.folder)/keeper.lock"
        do {
            let first = try KeeperLock(path: path)
            #expect(throws: Keeper.Failure.another(path: path)) {
                _ = try KeeperLock(path: path, patienceMilliseconds: 40)
            }
            _ = consume first
        }
        _ = try KeeperLock(path: path, patienceMilliseconds: 0)
    }

    @Test("A WAL that stays long is said once, and said to be over")
    func wal() throws {
        let said = Mutex<[String]>([])
        var watch = WALWatch(database: path, limit: 64 << 10) { line in said.withLock { $0.append(line) } }
        let lines = { said.withLock { $0 } }
        var uptime: Int64 = 1_000_000
        watch.look(at: uptime)
        // Somebody reads: from then on nothing can be cut off.
        let reader = try DatabaseQueue(path: path)
        let checkpointer = try Checkpointer(path: path)
        try reader.unsafeRead { db in
            try db.execute(sql: "BEGIN")
            _ = try Int.fetchOne(db, sql: "SELECT count(*) FROM slot")
            for _ in 0..<40 {
                try shelf.store.write {
                    _ = try $0.addSlot(.session, name: "a session", to: shelf.vault, lifetime: .session, at: start)
                }
            }
            #expect(Store.walBytes(path: path) > 64 << 10)
            for _ in 0..<5 {
                _ = try checkpointer.truncate(at: start)
                watch.look(at: uptime)
                uptime += WALWatch.patience / 5
            }
            #expect(lines().isEmpty, "a burst is no alarm")
            uptime += 1
            watch.look(at: uptime)
            watch.look(at: uptime + 250)
            #expect(lines().count == 1 && lines().first?.hasPrefix("the WAL has been longer than") == true)
            watch.look(at: uptime + WALWatch.repeatEvery)
            #expect(lines().count == 2, "it goes on")
            try db.execute(sql: "ROLLBACK")
        }
        #expect(try checkpointer.truncate(at: start))
        watch.look(at: uptime + WALWatch.repeatEvery + 250)
        #expect(lines().count == 3 && lines().last?.hasPrefix("the WAL is short again") == true)
        watch.look(at: uptime + 2 * WALWatch.repeatEvery)
        #expect(lines().count == 3)
        var off = WALWatch(database: path, limit: 0) { _ in Issue.record("it is off") }
        off.look(at: 0)
    }
}
