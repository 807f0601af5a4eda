import Encoding
import Secrets
import Testing

@testable import Envelope

/// What the associated data of a stored credential names; each field is one way of swapping.
private struct Place {
    var purpose: StaticString = "toolshed/v1/credential"
    var vault = VaultID(high: 1, low: 1)
    var row = ConnectionID(high: 2, low: 2)
    var column = "body"
    var owner = PersonID(high: 3, low: 3)
    var provider = "toolshed/github"
    var generation: UInt64 = 4

    var data: AssociatedData {
        var data = AssociatedData(purpose)
        data.add(vault)
        data.add(row)
        data.add(column)
        data.add(owner)
        data.add(provider)
        data.add(generation)
        return data
    }
}

@Suite final class AEADTests {
    private let key: Key<ConnectionRole>
    private let place = Place()

    init() throws {
        testHeap
        key = try Key(random: .system)
    }

    private func seal(_ text: String, _ data: AssociatedData) throws -> [UInt8] {
        try Array(text.utf8).withUnsafeBytes { try AEAD.seal($0, under: key, data, .system) }
    }

    private func error(_ box: [UInt8], _ data: AssociatedData) -> EnvelopeError? {
        errorOf { () throws(EnvelopeError) in try AEAD.open(box, under: key, data) }
    }

    @Test("What is sealed opens, whatever its length", arguments: [0, 1, 15, 16, 17, 300, 5000])
    func roundTrip(count: Int) throws {
        let text = String(repeating: "x", count: count)
        let box = try seal(text, place.data)
        #expect(box.count == 4 + 12 + count + 16)
        #expect(box[..<4] == [1, 1, 0, 0])
        let opened = try AEAD.open(box, under: key, place.data)
        #expect(opened.revealed == Array(text.utf8))
    }

    @Test("A swapped purpose, vault, row, column, owner, provider or generation does not open")
    func swapped() throws {
        let box = try seal("token", place.data)
        let swaps: [(inout Place) -> Void] = [
            { $0.purpose = "toolshed/v2/credential" },
            { $0.vault = VaultID(high: 1, low: 2) },
            { $0.row = ConnectionID(high: 2, low: 3) },
            { $0.column = "metadata" },
            { $0.owner = PersonID(high: 4, low: 3) },
            { $0.provider = "toolshed/gitlab" },
            { $0.generation = 5 },
        ]
        for swap in swaps {
            var other = place
            swap(&other)
            #expect(error(box, other.data) == .doesNotOpen)
        }
        #expect(error(box, place.data) == nil)
    }

    @Test("Another key of the same role does not open")
    func otherKey() throws {
        let box = try seal("token", place.data)
        let other = try Key<ConnectionRole>(random: .system)
        #expect(errorOf { () throws(EnvelopeError) in try AEAD.open(box, under: other, place.data) } == .doesNotOpen)
    }

    @Test("No bit can be changed")
    func altered() throws {
        let box = try seal("token", place.data)
        for index in box.indices {
            for bit in 0..<8 {
                var altered = box
                altered[index] ^= 1 << UInt8(bit)
                let expected: EnvelopeError =
                    switch index {
                    case 0, 1: .unknownFormat
                    case 2: .unknownKey(256 << UInt16(bit))
                    case 3: .unknownKey(1 << UInt16(bit))
                    default: .doesNotOpen
                    }
                #expect(error(altered, place.data) == expected, "byte \(index), bit \(bit)")
            }
        }
    }

    @Test("A box cut anywhere is refused, and so is one with bytes behind it")
    func truncated() throws {
        let box = try seal("token", place.data)
        for count in 0..<box.count {
            #expect(
                error(Array(box[..<count]), place.data) == (count < AEAD.overhead ? .malformed : .doesNotOpen))
        }
        #expect(error(box + [0], place.data) == .doesNotOpen)
    }

    @Test("Unknown versions and algorithms are errors, never something else to try")
    func unknown() throws {
        let box = try seal("token", place.data)
        for (index, values) in [(0, [0, 2, 255]), (1, [0, 2, 3, 255])] as [(Int, [UInt8])] {
            for value in values {
                var other = box
                other[index] = value
                #expect(error(other, place.data) == .unknownFormat)
            }
        }
    }

    @Test("A wrapped key comes back in its role, and what is no key is refused")
    func wrapping() throws {
        let inner = try Key<VaultRole>(random: .system)
        let box = try AEAD.wrap(inner, under: key, place.data, .system)
        let opened = try AEAD.unwrap(box, as: VaultRole.self, under: key, place.data)
        #expect(opened.revealed == inner.revealed)
        let text = try seal("not 32 bytes", place.data)
        #expect(
            errorOf { () throws(EnvelopeError) in
                try AEAD.unwrap(text, as: VaultRole.self, under: key, place.data)
            } == .malformed)
    }

    @Test("A key pair is wrapped by its private half")
    func wrappingPairs() throws {
        let pair = try PrivateKey(random: .system)
        let box = try pair.wrap(under: key, place.data, .system)
        let opened = try PrivateKey.unwrap(box, under: key, place.data)
        #expect(try opened.publicKey == pair.publicKey)
        #expect(try opened.holderKey().revealed == pair.holderKey().revealed)
    }

    @Test("Nonces do not repeat")
    func nonces() throws {
        let boxes = try (0..<2000).map { _ in try seal("token", place.data) }
        #expect(Set(boxes.map { Array($0[4..<16]) }).count == 2000)
    }

    @Test("Random boxes are refused, not read beyond their end", arguments: [1, 2] as [UInt8])
    func noise(algorithm: UInt8) throws {
        let random = Randomness.seeded("noise")
        let pair = try PrivateKey(random: random)
        for round in 0..<2000 {
            let box = [1, algorithm, 0, 0] + random.bytes(round % 90)
            #expect(error(box, place.data) != nil)
            #expect(
                errorOf { () throws(EnvelopeError) in try HPKE.open(box, with: pair, info: place.data, place.data) }
                    != nil)
        }
    }

    @Test("Threads have contexts of their own")
    func threads() async throws {
        await withTaskGroup(of: Bool.self) { group in
            for number in 0..<8 {
                group.addTask {
                    let random = Randomness.seeded("thread \(number)")
                    let data = AssociatedData("toolshed/v1/thread")
                    return (0..<500).allSatisfy { _ in
                        guard let key = try? Key<LogRole>(random: random),
                            let inner = try? Key<OnceRole>(random: random),
                            let box = try? AEAD.wrap(inner, under: key, data, random),
                            let opened = try? AEAD.unwrap(box, as: OnceRole.self, under: key, data)
                        else { return false }
                        return opened.matches(inner)
                    }
                }
            }
            for await isRight in group { #expect(isRight) }
        }
    }
}

@Suite struct AssociatedDataTests {
    init() { testHeap }

    @Test("Fields have their length in front, so no two lists of fields look the same")
    func unambiguous() {
        var data = AssociatedData("p")
        data.add("ab")
        data.add(SlotID(high: 1, low: 2))
        data.add(3)
        data.add(bytes: [])
        #expect(
            Hex.encode(data.bytes)
                == "0000000170" + "000000026162" + "0000001000000000000000010000000000000002"
                + "000000080000000000000003" + "00000000")
        var (first, second, third) = (AssociatedData("p"), AssociatedData("p"), AssociatedData("pa"))
        first.add("ab")
        first.add("c")
        second.add("a")
        second.add("bc")
        third.add("b")
        third.add("c")
        #expect(first.bytes != second.bytes && first.bytes != third.bytes)
    }

    @Test("However long the fields are, they are the same bytes, and a box is bound to all of them")
    func long() throws {
        let key = try Key<VaultRole>(revealed: Array(0..<32))
        for count in [100, 237, 238, 239, 240, 241, 1000] {
            var (data, other) = (AssociatedData("p"), AssociatedData("p"))
            let field = (0..<count).map { UInt8(truncatingIfNeeded: $0) }
            data.add(bytes: field)
            data.add(5)
            other.add(bytes: field)
            other.add(6)
            let length = [0, 0, UInt8(count >> 8), UInt8(count & 255)]
            #expect(data.bytes == [0, 0, 0, 1, 0x70] + length + field + [0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 5])
            let box = try ([1, 2, 3] as [UInt8]).withUnsafeBytes { try AEAD.seal($0, under: key, data, .system) }
            let opened = try AEAD.open(box, under: key, data)
            #expect(opened.withUnsafeBytes { [UInt8]($0) } == [1, 2, 3])
            #expect(throws: EnvelopeError.doesNotOpen) { _ = try AEAD.open(box, under: key, other) }
        }
    }

    @Test("A derived key depends on key, label and context")
    func derivation() throws {
        let key = try Key<VaultRole>(revealed: Array(0..<32))
        let derived = try key.derive(TagRole.self, label: "toolshed/v1/a", context: [1])
        let same = try key.derive(TagRole.self, label: "toolshed/v1/a", context: [1])
        #expect(derived.revealed == same.revealed)
        let others = [
            try key.derive(TagRole.self, label: "toolshed/v1/b", context: [1]).revealed,
            try key.derive(TagRole.self, label: "toolshed/v1/a", context: [2]).revealed,
            try key.derive(TagRole.self, label: "toolshed/v1/a").revealed,
            try Key<VaultRole>(revealed: Array(1..<33)).derive(TagRole.self, label: "toolshed/v1/a", context: [1])
                .revealed,
        ]
        #expect(!others.contains(derived.revealed))
        #expect(Set(others).count == others.count)
    }

    @Test("A tag is the same for the same, and for nothing else")
    func tags() throws {
        let key = try Key<TagRole>(revealed: Array(0..<32))
        var (one, two) = (AssociatedData("account"), AssociatedData("account"))
        one.add("github:1")
        two.add("github:2")
        let tag = key.tag(one)
        #expect(tag.count == 32)
        let judged = [
            key.matches(tag, one), key.matches(key.tag(one), one), key.matches(tag, two),
            key.matches(Array(tag.dropLast()), one), key.matches([], one),
        ]
        #expect(judged == [true, true, false, false, false])
    }

    @Test("Keys of any other length are refused")
    func lengths() {
        for count in [0, 31, 33] {
            let bytes = [UInt8](repeating: 1, count: count)
            #expect(throws: EnvelopeError.malformed) { _ = try Key<VaultRole>(revealed: bytes) }
        }
    }
}
