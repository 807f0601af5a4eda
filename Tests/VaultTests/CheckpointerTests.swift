import Encoding
import Foundation
import GRDB
import Secrets
import Synchronization
import Testing

@testable import Vault

@Suite("Durability settings and checkpoints")
struct CheckpointerTests {
    let kept: KeptVault
    init() throws { kept = try KeptVault() }

    private func wal() -> [UInt8] { [UInt8](FileManager.default.contents(atPath: kept.path + "-wal") ?? Data()) }
    private func database() -> [UInt8] { [UInt8](FileManager.default.contents(atPath: kept.path) ?? Data()) }

    private func put(_ name: String, _ value: [UInt8]) throws {
        try kept.store.write {
            _ = try $0.changed(
                "INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                [name, value.blob])
        }
    }

    @Test("Every kind of connection is durable, checks references, and never checkpoints by itself")
    func pragmas() throws {
        let checkpointer = try Checkpointer(path: kept.path)
        var queues = [kept.store.reader, kept.store.writer.queue]
        queues += Mirror(reflecting: checkpointer).children.compactMap { $0.value as? DatabaseQueue }
        #expect(queues.count == 5)
        for queue in queues {
            try queue.unsafeRead { (db: Database) throws in
                func value(_ pragma: String) throws -> Int? { try Int.fetchOne(db, sql: "PRAGMA \(pragma)") }
                #expect(try value("wal_autocheckpoint") == 0)
                #expect(try value("synchronous") == 2)
                #expect(try value("foreign_keys") == 1)
                #expect(try value("temp_store") == 2)
                #expect(try value("secure_delete") == 1)
                let timeout = try value("busy_timeout")
                #expect(timeout ?? 0 > 0)
                #expect(try String.fetchOne(db, sql: "PRAGMA journal_mode") == "wal")
            }
        }
    }

    @Test("No other source than the checkpointer's names a checkpoint, and none but the keeper makes one")
    func oneCheckpointer() throws {
        let sources = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().appendingPathComponent("Sources")
        let files = try #require(FileManager.default.enumerator(at: sources, includingPropertiesForKeys: nil))
        var read = 0
        for case let file as URL in files where file.pathExtension == "swift" {
            let text = try String(contentsOf: file, encoding: .utf8)
            read += 1
            if file.lastPathComponent != "Checkpointer.swift" {
                #expect(!text.contains("wal_checkpoint"), "\(file.path)")
                #expect(!text.contains(".checkpoint(.") && !text.contains("DatabasePool"), "\(file.path)")
            }
            if text.contains("Checkpointer(path:") {
                #expect(file.deletingLastPathComponent().lastPathComponent == "Keeper", "\(file.path)")
            }
        }
        #expect(read > 20)
    }

    @Test("Commits stay in the WAL until the checkpointer copies them")
    func copies() throws {
        let checkpointer = try Checkpointer(path: kept.path)
        let before = database().count
        for index in 0..<50 { try put("row-\(index)", [UInt8](repeating: 7, count: 4000)) }
        #expect(database().count == before)
        let progress = try #require(try checkpointer.checkpoint())
        #expect(progress.isComplete)
        #expect(progress.copied >= 50)
        #expect(database().count > before)
        #expect(try checkpointer.checkpoint() == nil)
    }

    @Test("While somebody writes, nothing is checkpointed")
    func waitsForTheLock() throws {
        let checkpointer = try Checkpointer(path: kept.path)
        try put("a", [1])
        let during = try kept.store.write { _ in try checkpointer.checkpoint() }
        #expect(during == nil)
        #expect(try checkpointer.checkpoint() != nil)
    }

    @Test("What was replaced is in no file after the cut; before, it is")
    func cut() throws {
        let checkpointer = try Checkpointer(path: kept.path)
        let canary = Array("canary-\(UUID().uuidString)".utf8)
        let long = [UInt8](repeating: 1, count: 9000) + canary
        try put("old", long)
        try kept.store.write { _ = try $0.changed("DELETE FROM meta WHERE name = 'old'", []) }
        #expect(wal().ranges(of: canary).count > 0)
        let full = wal().count
        #expect(try checkpointer.truncate(at: kept.start))
        #expect(wal().ranges(of: canary).isEmpty)
        #expect(database().ranges(of: canary).isEmpty)
        #expect(wal().count < full)
        let cut = wal()
        #expect(try checkpointer.truncate(at: kept.start))
        #expect(wal() == cut)
    }

    @Test("A reader that stays holds up the cut and loses nothing")
    func readerInTheWay() throws {
        let checkpointer = try Checkpointer(path: kept.path)
        try put("a", [1])
        let reader = try Store.open(kept.path, readonly: true)
        try reader.read { db in
            #expect(try Int.fetchOne(db, sql: "SELECT count(*) FROM meta") != nil)
            try put("b", [2])
            #expect(try !checkpointer.truncate(at: kept.start))
            #expect(try Int.fetchOne(db, sql: "SELECT count(*) FROM meta WHERE name = 'b'") == 0)
        }
        try put("c", [3])
        #expect(try checkpointer.truncate(at: kept.start))
        #expect(try kept.scalar("SELECT count(*) FROM meta WHERE name IN ('a', 'b', 'c')") == 3)
    }

    @Test("Two writers, a reader and the checkpointer in a hurry: every commit is there and the file is whole")
    func hurry() throws {
        let checkpointer = try Checkpointer(path: kept.path)
        let path = kept.path
        let running = Atomic<Int>(2)
        let failures = Atomic<Int>(0)
        let cuts = Atomic<Int>(0)
        let written = Atomic<Int>(0)
        let threads = (0..<2).map { writer in
            Thread {
                do {
                    let queue = try Store.open(path, readonly: false)
                    // On until the file was cut under them at least once; only then has anything been tested.
                    var index = 0
                    while index < 300 || (cuts.load(ordering: .acquiring) == 0 && index < 20_000) {
                        defer { index += 1 }
                        try queue.writeWithoutTransaction { db in
                            try db.inTransaction(.immediate) {
                                try db.execute(
                                    sql: "INSERT INTO meta (name, value) VALUES (?, ?)",
                                    arguments: ["\(writer)-\(index)", Data(repeating: 3, count: index % 300 * 11)])
                                return .commit
                            }
                        }
                        written.add(1, ordering: .relaxed)
                    }
                } catch {
                    failures.add(1, ordering: .relaxed)
                }
                running.subtract(1, ordering: .releasing)
            }
        }
        for thread in threads { thread.start() }
        var rounds: Int64 = 0
        while running.load(ordering: .acquiring) > 0 {
            rounds += 1
            try checkpointer.checkpoint()
            if try checkpointer.truncate(at: kept.start.adding(seconds: rounds)) {
                cuts.add(1, ordering: .releasing)
            }
            _ = try kept.scalar("SELECT count(*) FROM meta")
        }
        #expect(failures.load(ordering: .relaxed) == 0)
        #expect(try checkpointer.truncate(at: kept.start))
        #expect(cuts.load(ordering: .acquiring) > 0)
        let stored = try kept.scalar("SELECT count(*) FROM meta WHERE name LIKE '%-%' AND name NOT LIKE '%c%'")
        #expect(stored == written.load(ordering: .acquiring))
        let check = try kept.store.read { try String.fetchOne($0.db, sql: "PRAGMA integrity_check") }
        #expect(check == "ok")
    }
}
