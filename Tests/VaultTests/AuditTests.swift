import Encoding
import Envelope
import Foundation
import Secrets
import Synchronization
import Testing

@testable import Vault

/// What somebody with a text editor, or with the process, can do to the record, and what verifying says to it.
@Suite("The audit record")
struct AuditTests {
    let vault: TestVault
    let folder: String
    let now: Instant
    let said = Said()

    final class Said: Sendable {
        private let lines = Mutex<[String]>([])
        func add(_ line: String) { lines.withLock { $0.append(line) } }
        var log: [Substring] { lines.withLock { $0 }.map { $0[...] } }
    }

    init() throws {
        vault = try TestVault()
        folder = vault.folder + "/audit"
        now = vault.now
    }

    private func log(_ options: AuditOptions = AuditOptions()) throws -> AuditLog {
        try AuditLog(folder: folder, options: options, at: now) { [said] in said.add("toolshedd: \($0)") }
    }

    private func record(_ count: Int, to log: AuditLog) throws {
        for index in 0..<count {
            try log.record(
                AuditRecord(.vended, person: PersonID(high: 1, low: 1), caller: "s_\(index)"),
                id: Randomness.system.bytes(16), at: now)
        }
    }

    /// A closed file with its head (record 0), `count` records and its end.
    private func written(_ count: Int = 10, _ options: AuditOptions = AuditOptions()) throws -> String {
        let log = try log(options)
        try record(count, to: log)
        log.finish(at: now)
        return try #require(try FileManager.default.contentsOfDirectory(atPath: folder).first)
    }

    private func lines(_ name: String) throws -> [String] {
        try String(contentsOfFile: "\(folder)/\(name)", encoding: .utf8).split(separator: "\n").map(String.init)
    }

    private func write(_ lines: [String], to name: String) throws {
        try Data(lines.map { $0 + "\n" }.joined().utf8).write(to: URL(fileURLWithPath: "\(folder)/\(name)"))
    }

    private func verify(checkpoints: Bool = true, key: AuditKeyPair? = nil) throws -> [AuditFileReport] {
        try AuditVerifier(log: checkpoints ? said.log : [], key: key).verify(folder: folder)
    }

    private func finding(checkpoints: Bool = true, key: AuditKeyPair? = nil) throws -> AuditFinding? {
        try verify(checkpoints: checkpoints, key: key).compactMap(\.finding).first
    }

    @Test("What was written verifies, and a closed file is known to be whole")
    func whole() throws {
        _ = try written()
        let report = try #require(try verify().first)
        #expect(report.finding == nil && report.isAuthenticated)
        #expect(report.records == 12)
        #expect(report.end == .closed)
        #expect(said.log.count == 2)
    }

    @Test("A changed record is named, wherever it is")
    func edited() throws {
        let name = try written()
        let original = try lines(name)
        for index in original.indices {
            var lines = original
            let at = try #require(lines[index].range(of: #""at":1"#))
            lines[index].replaceSubrange(at, with: #""at":2"#)
            try write(lines, to: name)
            #expect(
                try finding(checkpoints: false)
                    == AuditFinding(file: name, record: Int64(index), fault: .changed))
        }
    }

    @Test("A record that was taken out, put in, doubled or moved is named")
    func shuffled() throws {
        let name = try written()
        let original = try lines(name)
        var lines = original
        lines.remove(at: 4)
        try write(lines, to: name)
        #expect(try finding(checkpoints: false) == AuditFinding(file: name, record: 4, fault: .missing))
        lines = original
        lines.insert(original[4], at: 5)
        try write(lines, to: name)
        #expect(try finding(checkpoints: false) == AuditFinding(file: name, record: 5, fault: .changed))
        lines = original
        lines.swapAt(4, 5)
        try write(lines, to: name)
        #expect(try finding(checkpoints: false) == AuditFinding(file: name, record: 4, fault: .missing))
        lines = original + [original[4]]
        try write(lines, to: name)
        #expect(try finding(checkpoints: false) == AuditFinding(file: name, record: 12, fault: .changed))
        lines = original
        lines[3] = "nonsense"
        try write(lines, to: name)
        #expect(try finding(checkpoints: false) == AuditFinding(file: name, record: 3, fault: .changed))
    }

    @Test("An end that was cut off shows at the next checkpoint, and only there")
    func truncated() throws {
        let name = try written()
        try write(Array(try lines(name).prefix(7)), to: name)
        #expect(try finding(checkpoints: false) == nil)
        #expect(try verify(checkpoints: false).first?.end == .abrupt)
        #expect(try finding() == AuditFinding(file: name, record: 7, fault: .truncated))
        try write([], to: name)
        #expect(try finding()?.record == 0)
        try FileManager.default.removeItem(atPath: "\(folder)/\(name)")
        #expect(try finding() == AuditFinding(file: name, record: 0, fault: .fileMissing))
    }

    @Test("A whole file written anew, by somebody who has its first key, is not the one of the checkpoints")
    func restamped() throws {
        let name = try written()
        let lines = try lines(name)
        let head = try JSONSerialization.jsonObject(with: Data(lines[0].utf8)) as? [String: Any]
        let first = try #require((head?["key"] as? String).flatMap { Base64URL.decode($0) })
        var chain = AuditChain(try EvolvingKey(SecretBytes(count: first.count) { $0.copyBytes(from: first) }))
        var forged: [String] = []
        for (index, line) in lines.enumerated() {
            let text = index == 4 ? line.replacingOccurrences(of: "s_3", with: "s_9") : line
            let parts = try #require(AuditChain.split(Array(text.utf8)[...]))
            let value = chain.next(parts.text)
            chain.advance(to: value)
            let mac = Base64URL.encode(Array(value[..<AuditChain.macSize]))
            forged.append(String(decoding: parts.text, as: UTF8.self) + #","mac":"\#(mac)"}"#)
        }
        #expect(forged != lines && forged.count == lines.count)
        try write(forged, to: name)
        // Without what was kept elsewhere nobody could tell; the checkpoint of the start, 1 line, still holds.
        #expect(try finding(checkpoints: false) == nil)
        #expect(try finding() == AuditFinding(file: name, record: 1, fault: .rewritten))
    }

    @Test("With the operator's key, the first key is for its holder alone, and nobody else can forge even the newest")
    func sealed() throws {
        let pair = try AuditKeyPair(random: .system)
        let name = try written(10, AuditOptions(publicKey: pair.publicKey))
        #expect(try lines(name)[0].contains("sealedKey") && !lines(name)[0].contains(#""key""#))
        #expect(try verify(key: pair).first?.isAuthenticated == true)
        #expect(try finding(key: pair) == nil)
        // Without it only numbers and checkpoints are looked at, and it is said.
        #expect(try verify().first?.isAuthenticated == false)
        #expect(try finding() == nil)
        let other = try AuditKeyPair(random: .system)
        #expect(try verify(key: other).first?.isAuthenticated == false)
        var lines = try lines(name)
        lines[4] = lines[4].replacingOccurrences(of: "s_3", with: "s_9")
        try write(lines, to: name)
        #expect(try finding(checkpoints: false, key: pair) == AuditFinding(file: name, record: 4, fault: .changed))
    }

    @Test("Half a line of a process that died is the end of the record, not a forgery")
    func torn() throws {
        let name: String
        do {
            let log = try log()
            try record(3, to: log)
            name = try #require(try FileManager.default.contentsOfDirectory(atPath: folder).first)
            #expect(try verify().first?.end == .open)
        }
        let file = try #require(FileHandle(forWritingAtPath: "\(folder)/\(name)"))
        try file.seekToEnd()
        try file.write(contentsOf: Data(#"{"id":"hal"#.utf8))
        let report = try #require(try verify().first)
        #expect(report.finding == nil)
        #expect(report.end == .abrupt && report.tornBytes == 10 && report.records == 4)
    }

    @Test("A file that is long or old is followed by another, which vouches for its end")
    func rotation() throws {
        let log = try log(AuditOptions(fileBytes: 4096, fileSeconds: 3600))
        try record(30, to: log)
        log.tend(at: now)
        try record(3, to: log)
        log.tend(at: now.adding(seconds: 10))
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder).count == 2)
        log.tend(at: now.adding(seconds: 3700))
        log.finish(at: now)
        let reports = try verify()
        #expect(reports.count == 3 && reports.allSatisfy { $0.finding == nil && $0.end == .closed })
        // 30 and 3 records, three heads, three ends.
        #expect(reports.reduce(0) { $0 + $1.records } == 39)
        let first = reports[0].file
        try write(Array(try lines(first).dropLast(2)), to: first)
        #expect(try finding(checkpoints: false) == AuditFinding(file: first, record: 30, fault: .truncated))
        #expect(try AuditFolder(store: vault.store, folder: folder).fold().records == 32)
    }

    @Test("What is older than has to be kept goes, once it is in the table and its process is gone")
    func retention() throws {
        let name = try written(3)
        let folder = AuditFolder(store: vault.store, folder: folder)
        let later = Instant.now().adding(seconds: 60)
        #expect(try folder.prune(before: now) == [])
        while try folder.fold().hasMore {}
        // Not yet old; old, but a process still writes; old.
        #expect(try folder.prune(before: Instant.now().adding(seconds: -60)) == [])
        let open = try log()
        #expect(try folder.prune(before: later) == [name])
        #expect(try vault.store.read { try $0.activity(of: PersonID(high: 1, low: 1), limit: 5).page.count } == 0)
        said.add(AuditCheckpoint.removal(of: name))
        #expect(try finding() == nil)
        open.finish(at: now)
    }

    @Test("A checkpoint is said at the start, each minute in which something happened, and at the end")
    func checkpoints() throws {
        let log = try log()
        try record(1, to: log)
        log.tend(at: now.adding(seconds: 59))
        #expect(said.log.count == 1)
        log.tend(at: now.adding(seconds: 60))
        log.tend(at: now.adding(seconds: 600))
        #expect(said.log.count == 2)
        log.finish(at: now)
        #expect(said.log.compactMap { AuditCheckpoint(parsing: $0) }.map(\.count) == [1, 2, 3])
    }

    @Test("Any bytes at all are judged, and none end the judge")
    func garbage() throws {
        let name = try written()
        let original = try Data(contentsOf: URL(fileURLWithPath: "\(folder)/\(name)"))
        var random = SystemRandomNumberGenerator()
        for _ in 0..<300 {
            var data = original
            switch Int.random(in: 0..<3, using: &random) {
            case 0: data[Int.random(in: data.indices, using: &random)] ^= UInt8.random(in: 1...255, using: &random)
            case 1: data.removeSubrange(Int.random(in: 0..<data.count, using: &random)...)
            default: data = Data((0..<200).map { _ in UInt8.random(in: 0...255, using: &random) })
            }
            try data.write(to: URL(fileURLWithPath: "\(folder)/\(name)"))
            #expect(try finding() != nil || data == original)
        }
    }
}
