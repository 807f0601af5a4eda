import Encoding
import Foundation
import GRDB
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
