import Foundation
import Testing

@testable import Encoding

/// Replays Tests/Fixtures/corpus/json: `accept-…` must read, `reject-…` must not, and whatever a mutation of them does,
/// it must not stop the process, and what is accepted must survive being written and read again.
@Suite struct JSONCorpusTests {
    static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appendingPathComponent("Fixtures/corpus/json")
    static let names = (try? FileManager.default.contentsOfDirectory(atPath: folder.path).sorted()) ?? []

    static func bytes(_ name: String) throws -> [UInt8] {
        Array(try Data(contentsOf: folder.appendingPathComponent(name)))
    }

    @Test("The corpus is there")
    func present() {
        #expect(Self.names.count { $0.hasPrefix("accept-") } >= 30)
        #expect(Self.names.count { $0.hasPrefix("reject-") } >= 70)
    }

    @Test("A text of the corpus is judged as its name says", arguments: names)
    func replay(name: String) throws {
        let bytes = try Self.bytes(name)
        let tree = try? JSONTree(parsing: bytes)
        #expect((tree != nil) == name.hasPrefix("accept-"))
        guard let tree else { return }
        #expect(try JSONTree(parsing: tree.text) == tree)
    }

    @Test("Skipping is as strict as reading", arguments: names)
    func skipping(name: String) throws {
        let bytes = try Self.bytes(name)
        let isAccepted = bytes.withUnsafeBytes { raw in
            (try? JSONReader.value(raw) { (_) throws(JSONError) in }) != nil
        }
        #expect(isAccepted == name.hasPrefix("accept-"))
    }

    @Test("Mutated texts are read again as what was written, or refused", arguments: [1, 2, 3, 4] as [UInt64])
    func mutations(seed: UInt64) throws {
        var random = SplitMix64(state: seed)
        let texts = try Self.names.map { try Self.bytes($0) }
        var accepted = 0
        for text in texts {
            for _ in 0..<200 {
                let mutated = random.mutating(text)
                guard let tree = try? JSONTree(parsing: mutated) else { continue }
                accepted += 1
                try #require(try JSONTree(parsing: tree.text) == tree, "seed \(seed): \(mutated)")
            }
        }
        #expect(accepted > 500)
    }
}

/// A whole text as a value, for comparison. Numbers are kept as doubles.
indirect enum JSONTree: Equatable {
    case object([Member])
    case array([JSONTree])
    case string(String)
    case number(Double)
    case bool(Bool)
    case null

    struct Member: Equatable {
        let name: String
        let value: JSONTree
    }

    init(parsing bytes: [UInt8]) throws(JSONError) {
        self = try bytes.withUnsafeBufferPointer { (buffer) throws(JSONError) in
            try JSONReader.value(UnsafeRawBufferPointer(buffer)) { (reader) throws(JSONError) in
                try JSONTree(&reader)
            }
        }
    }

    private init(_ reader: inout JSONReader) throws(JSONError) {
        switch try reader.kind {
        case .object:
            var members: [Member] = []
            try reader.object { (name, reader) throws(JSONError) in
                members.append(Member(name: name, value: try JSONTree(&reader)))
            }
            self = .object(members)
        case .array:
            var elements: [JSONTree] = []
            try reader.array { (reader) throws(JSONError) in elements.append(try JSONTree(&reader)) }
            self = .array(elements)
        case .string: self = .string(try reader.string())
        case .number: self = .number(try reader.number())
        case .bool: self = .bool(try reader.bool())
        case .null:
            try reader.null()
            self = .null
        }
    }

    var text: [UInt8] {
        var writer = JSONWriter()
        write(to: &writer)
        return writer.bytes
    }

    private func write(to writer: inout JSONWriter) {
        switch self {
        case .object(let members):
            writer.beginObject()
            for member in members {
                writer.key(member.name)
                member.value.write(to: &writer)
            }
            writer.endObject()
        case .array(let elements):
            writer.beginArray()
            for element in elements { element.write(to: &writer) }
            writer.endArray()
        case .string(let text): writer.string(text)
        case .number(let value): writer.raw("\(value)".utf8)
        case .bool(let value): writer.bool(value)
        case .null: writer.null()
        }
    }
}

/// Steele, Lea and Flood's generator: a seed repeats a run.
struct SplitMix64: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }

    private static let fragments: [[UInt8]] = [
        "\"", "\\", "\\u", "\\ud83d", "{", "}", "[", "]", ",", ":", "-", "0", "e9", "null",
    ]
    .map { Array($0.utf8) }

    /// One to three changes: a byte flipped, cut out, doubled or replaced by a piece of grammar.
    mutating func mutating(_ bytes: [UInt8]) -> [UInt8] {
        var bytes = bytes
        for _ in 0..<Int.random(in: 1...3, using: &self) {
            let place = Int.random(in: 0...bytes.count, using: &self)
            switch Int.random(in: 0..<4, using: &self) {
            case 0 where place < bytes.count: bytes[place] ^= 1 << UInt8.random(in: 0..<8, using: &self)
            case 1: bytes.removeSubrange(place..<min(bytes.count, place + Int.random(in: 1...4, using: &self)))
            case 2: bytes.insert(contentsOf: bytes.prefix(place).suffix(5), at: place)
            default: bytes.insert(contentsOf: Self.fragments.randomElement(using: &self)!, at: place)
            }
        }
        return bytes
    }
}
