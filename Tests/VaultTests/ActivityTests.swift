import Encoding
import Foundation
import GRDB
import Secrets
import Testing

@testable import Vault

@Suite("Activity")
struct ActivityTests {
    let kept: KeptVault
    let folder: String

    init() throws {
        kept = try KeptVault()
        folder = kept.folder + "/audit"
    }

    private func records(_ count: Int, by caller: String? = nil, of connection: ConnectionID? = nil) throws {
        let log = try AuditLog(folder: folder, at: kept.start)
        for index in 0..<count {
            try log.record(
                AuditRecord(
                    .vended, person: kept.person, provider: "acme", connection: connection, caller: caller,
                    callerKind: "session", scopes: "read"),
                id: Randomness.system.bytes(16), at: kept.start.adding(seconds: Int64(index)))
        }
    }

    @Test("Every record is folded once, however often and in whatever pieces")
    func once() throws {
        let id = try kept.connect()
        try records(40, by: "s_x", of: id)
        let folder = AuditFolder(store: kept.store, folder: folder, pieceBytes: 1000)
        var rounds = 0
        while try folder.fold().hasMore { rounds += 1 }
        #expect(rounds > 3)
        #expect(try folder.fold().records == 0)
        // Another keeper asks the table where it was.
        #expect(try AuditFolder(store: kept.store, folder: self.folder).fold().records == 0)
        // And a table that forgot how far it was takes nothing twice.
        try kept.store.write { _ = try $0.changed("DELETE FROM audit_file", []) }
        #expect(try AuditFolder(store: kept.store, folder: self.folder).fold().records == 40)
        #expect(try kept.scalar("SELECT count(*) FROM activity") == 40)
        let connection = try kept.state(id).connection
        #expect(connection.lastUsedAt == kept.start.adding(seconds: 39))
        #expect(connection.lastUsedBy == "s_x")
    }

    @Test("Half a line and foreign lines are not records, and hold up nothing")
    func halfLines() throws {
        try records(1)
        let name = try #require(try FileManager.default.contentsOfDirectory(atPath: folder).first)
        let file = try #require(FileHandle(forWritingAtPath: "\(folder)/\(name)"))
        try file.seekToEnd()
        try file.write(contentsOf: Data("nonsense\n{\"id\":\"AAAA\"}\n{\"id\":\"".utf8))
        let folder = AuditFolder(store: kept.store, folder: folder)
        #expect(try folder.fold().records == 1)
        #expect(try folder.fold().records == 0)
        try file.write(contentsOf: Data("x\"}\n".utf8))
        #expect(try folder.fold().records == 0)
        #expect(try kept.scalar("SELECT count(*) FROM activity") == 1)
    }

    @Test("A line says the same whether it is as we write it or any other JSON")
    func lines() throws {
        let id = Base64URL.encode(Randomness.system.bytes(16))
        func line(_ event: String, _ name: String, _ space: String = "") -> [UInt8] {
            let members = [
                "\"id\":\(space)\"\(id)\"", "\"at\":\(space)1700000000123", "\"event\":\"\(event)\"",
                "\"person\":\"\(kept.person.text)\"", "\"scopes\":\"\(name)\"", "\"claim\":\"AQID\"", "\"new\":7",
            ]
            return Array("{\(members.joined(separator: "," + space))}".utf8)
        }
        for text in [line("vended", "a b"), line("vended", "a b", " "), line("vend\\u0065d", "a\\u0020b")] {
            let line = try #require(AuditLine(parsing: text))
            #expect(line.at == 1_700_000_000_123 && line.event == "vended" && line.person == kept.person)
            #expect(line.scopes == "a b" && line.claim == [1, 2, 3])
            #expect(withUnsafeBytes(of: (line.id.high.bigEndian, line.id.low.bigEndian)) { Base64URL.encode($0) } == id)
        }
        #expect(AuditLine(parsing: line("vended", "ä"))?.scopes == "ä")
        #expect(AuditLine(parsing: line("eaten", "a")) == nil)
        let whole = line("vended", "a")
        for cut in 0..<whole.count { #expect(AuditLine(parsing: Array(whole[..<cut])) == nil) }
        for extra in ["x", "}", ",", " x"] { #expect(AuditLine(parsing: whole + Array(extra.utf8)) == nil) }
    }

    @Test("What is old is forgotten of every person, and nothing else")
    func old() throws {
        let days: Int64 = 86_400
        var log = try AuditLog(folder: folder, at: kept.start)
        for person in 1...5 {
            for day in 0..<Int64(10) {
                try log.record(
                    AuditRecord(.vended, person: PersonID(high: 0, low: UInt64(person))),
                    id: Randomness.system.bytes(16), at: kept.start.adding(seconds: day * days))
            }
        }
        let folder = AuditFolder(store: kept.store, folder: folder)
        while try folder.fold().hasMore {}
        log = try AuditLog(folder: self.folder, at: kept.start)
        _ = try folder.prune(before: kept.start.adding(seconds: 7 * days))
        #expect(try kept.scalar("SELECT count(*) FROM activity") == 15)
        #expect(
            try kept.scalar("SELECT min(at_ms) FROM activity")
                == Int(kept.start.adding(seconds: 7 * days).milliseconds))
    }

    @Test("Forgetting looks only at what it forgets: no step of it reads a table from end to end")
    func plans() throws {
        func plan(_ work: (Rows) throws -> Void) throws -> [String] {
            try kept.store.write { rows in
                var statements: Set<String> = []
                rows.db.trace(options: .statement) { event in
                    if case .statement(let statement) = event { statements.insert(statement.sql) }
                }
                try work(rows)
                rows.db.trace(options: [])
                return try statements.filter { !$0.hasPrefix("--") }.flatMap { sql in
                    let statement = try rows.db.makeStatement(sql: "EXPLAIN QUERY PLAN \(sql)")
                    statement.setUncheckedArguments([])
                    return try Row.fetchAll(statement).map { $0["detail"] as String }
                }
            }
        }
        let steps = try [
            plan { _ = try $0.pruneActivity(of: kept.person, before: kept.start) },
            plan { _ = try $0.pruneLogKeys(before: kept.start) },
            plan { _ = try $0.nextActive(after: kept.person) },
            plan { _ = try $0.activity(of: kept.person, limit: 10) },
        ]
        for step in steps {
            #expect(!step.isEmpty)
            // A list that a step made for itself may be gone through.
            #expect(
                step.allSatisfy { !$0.hasPrefix("SCAN") || $0.hasPrefix("SCAN (") || $0.hasPrefix("SCAN CONSTANT") })
        }
        #expect(steps[0].contains { $0.contains("PRIMARY KEY (person=? AND at_ms<?)") }, "\(steps[0])")
        #expect(steps[1].contains { $0.contains("log_key_ended") }, "\(steps[1])")
        // The test would notice.
        #expect(try plan { _ = try $0.changed("DELETE FROM activity WHERE at_ms < ?", [0]) } == ["SCAN activity"])
    }

    @Test("A session that is used stays: its slot's last use moves on")
    func slots() throws {
        let slot = try kept.store.write {
            try $0.addSlot(.session, name: "laptop", to: kept.vault, lifetime: .session, at: kept.start).id
        }
        try records(5, by: slot.text)
        _ = try AuditFolder(store: kept.store, folder: folder).fold()
        let seconds = kept.start.adding(seconds: 4).milliseconds
        #expect(try kept.scalar("SELECT last_used_at_ms FROM slot") == Int(seconds))
    }

    @Test("Pages follow one another without gap or repetition, and show one person's records only")
    func pages() throws {
        try records(23)
        let log = try AuditLog(folder: folder, at: kept.start.adding(seconds: 1))
        try log.record(
            AuditRecord(.declined, person: PersonID(high: 1, low: 2)), id: Randomness.system.bytes(16), at: kept.start)
        _ = try AuditFolder(store: kept.store, folder: folder).fold()
        var seen: [Activity] = []
        while true {
            let page = try kept.store.read {
                try $0.activity(of: kept.person, after: seen.last?.cursor, limit: 5).page
            }
            if page.isEmpty { break }
            seen += page
        }
        #expect(seen.count == 23)
        #expect(Set(seen.map(\.id)).count == 23)
        #expect(seen.map(\.at) == seen.map(\.at).sorted(by: >))
        #expect(seen.allSatisfy { $0.event == .vended && $0.provider == "acme" })
    }

    @Test("A choice finds what is rare however far back it lies, a bounded piece at a time")
    func choice() throws {
        let id = try kept.connect()
        try records(1, by: "s_rare", of: id)
        _ = try AuditFolder(store: kept.store, folder: folder).fold()
        try kept.store.write {
            _ = try $0.changed(
                """
                WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 50000)
                INSERT INTO activity (id, person, at_ms, event, provider)
                SELECT randomblob(16), ?, ? + i / 3, 'refreshed', 'other' FROM n
                """, [kept.person.blob, kept.start.milliseconds])
        }
        func pages(_ change: (inout ActivityFilter) -> Void) throws -> [[Activity]] {
            var filter = ActivityFilter()
            change(&filter)
            var (pages, after): ([[Activity]], ActivityCursor?) = ([], nil)
            repeat {
                let found = try kept.store.read { try $0.activity(of: kept.person, filter, after: after, limit: 500) }
                pages.append(found.page)
                after = found.next
            } while after != nil
            return pages
        }
        for change: (inout ActivityFilter) -> Void in [
            { $0.provider = "acme" }, { $0.connection = id }, { $0.caller = "s_rare" }, { $0.event = .vended },
        ] {
            let pages = try pages(change)
            #expect(pages.count == 3)
            #expect(pages.flatMap { $0 }.map(\.caller) == ["s_rare"])
        }
        let all = try pages { $0.event = .refreshed }.flatMap { $0 }
        #expect(all.count == 50_000 && Set(all.map(\.id)).count == 50_000)
        let second = try pages {
            $0.from = kept.start.adding(seconds: 1)
            $0.until = kept.start.adding(seconds: 2)
        }.flatMap { $0 }
        #expect(second.count == 3000)
        let latest = kept.start.adding(seconds: 2).milliseconds - 1
        #expect(second.first?.at.milliseconds == latest && second.last?.at == kept.start.adding(seconds: 1))
    }

    @Test("A connection in steady use is written once a minute, and its last use is not lost")
    func lastUse() throws {
        let id = try kept.connect()
        let log = try AuditLog(folder: folder, at: kept.start)
        let folder = AuditFolder(store: kept.store, folder: folder)
        func use(_ seconds: Int64) throws -> Instant? {
            let now = kept.start.adding(seconds: seconds)
            try log.record(
                AuditRecord(.vended, person: kept.person, connection: id, caller: "s_x"),
                id: Randomness.system.bytes(16), at: now)
            _ = try folder.fold(at: now)
            return try kept.state(id).connection.lastUsedAt
        }
        #expect(try use(0) == kept.start)
        #expect(try use(30) == kept.start)
        #expect(try use(61) == kept.start.adding(seconds: 61))
        #expect(try use(90) == kept.start.adding(seconds: 61))
        // Nothing new, but a minute later.
        _ = try folder.fold(at: kept.start.adding(seconds: 121))
        #expect(try kept.state(id).connection.lastUsedAt == kept.start.adding(seconds: 90))
        #expect(try use(125) == kept.start.adding(seconds: 90))
        _ = try folder.fold()
        #expect(try kept.state(id).connection.lastUsedAt == kept.start.adding(seconds: 125))
    }
}
