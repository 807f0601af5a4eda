import Foundation
import Testing

/// Tests/Fixtures/corpus: what `make fuzz` begins with, and what it has found.
@Suite struct ReplayTests {
    static let corpus = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appendingPathComponent("Fixtures/corpus")

    static func inputs(_ target: FuzzTarget) throws -> [(name: String, bytes: [UInt8])] {
        let folder = corpus.appendingPathComponent(target.rawValue)
        return try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted().map { name in
            (name, Array(try Data(contentsOf: folder.appendingPathComponent(name))))
        }
    }

    @Test("Every input is judged as its name says, and breaks no promise", arguments: FuzzTarget.allCases)
    func replay(target: FuzzTarget) throws {
        var seen: Set<Verdict> = []
        for (name, bytes) in try Self.inputs(target) {
            let verdict = try target.run(bytes)
            seen.insert(verdict)
            #expect(name.hasPrefix("\(verdict)-"), "\(target)/\(name)")
        }
        #expect(seen == [.accept, .reject], "the corpus of \(target) shows one side alone")
    }

    @Test("Cut and damaged inputs break no promise either", arguments: FuzzTarget.allCases)
    func damage(target: FuzzTarget) throws {
        _ = try target.run([])
        for (_, bytes) in try Self.inputs(target) {
            for end in stride(from: 0, to: bytes.count, by: max(1, bytes.count / 8)) {
                _ = try target.run(Array(bytes[..<end]))
            }
            for place in stride(from: 0, to: bytes.count, by: max(1, bytes.count / 16)) {
                var damaged = bytes
                damaged[place] ^= 1 << (place % 8)
                _ = try target.run(damaged)
            }
        }
    }

    @Test("Every folder of the corpus belongs to a target")
    func folders() throws {
        let names = try FileManager.default.contentsOfDirectory(atPath: Self.corpus.path)
        #expect(Set(names) == Set(FuzzTarget.allCases.map(\.rawValue)))
    }
}
