import Encoding
import Secrets
import Testing

@testable import Envelope

@Suite struct EncryptionKeysTests {
    private let first = Base64.encode(Randomness.seeded("first").bytes(32))
    private let second = Base64.encode(Randomness.seeded("second").bytes(32))

    init() { testHeap }

    private func error(_ text: String) throws -> EncryptionKeyError? {
        let secret = try SecretText(text)
        return errorOf { () throws(EncryptionKeyError) in
            try secret.withUnsafeBytes { (raw) throws(EncryptionKeyError) in try EncryptionKeys(parsing: raw) }
        }
    }

    @Test("A lone key, a key with id, and several keys are taken; the first is current")
    func accepted() throws {
        #expect(try encryptionKeys(first).currentKeyID == 1)
        #expect(try encryptionKeys(" \(first)\r\n").currentKeyID == 1)
        #expect(try encryptionKeys("7:\(first)").currentKeyID == 7)
        #expect(try encryptionKeys("2:\(second),1:\(first)").currentKeyID == 2)
        #expect(try encryptionKeys("65535:\(second), 1:\(first)\n").currentKeyID == 65535)
    }

    @Test("A lone key is key 1, so that it can be rotated")
    func loneIsOne() throws {
        let lone = try encryptionKeys(first).workerKeys()
        let rotated = try encryptionKeys("2:\(second),1:\(first)").workerKeys()
        let box = try lone.outer.seal([1, 2, 3], table: "slots", row: [9], column: "vault", .system)
        #expect(try rotated.outer.open(box, table: "slots", row: [9], column: "vault") == [1, 2, 3])
    }

    @Test("Anything that is not base64 of 32 bytes is refused")
    func refused() throws {
        let short = Base64.encode(Randomness.seeded("short").bytes(31))
        let long = Base64.encode(Randomness.seeded("long").bytes(33))
        let url = first.replacing("+", with: "-").replacing("/", with: "_").replacing("=", with: "")
        for text in [
            short, long, url, String(first.dropLast()), first + "=", first + first, "changeme", "1:", "1:\(short)",
            Hex.encode(Randomness.seeded("hex").bytes(32)), "'\(first)'",
            String(first.prefix(20)) + "\n" + first.dropFirst(20),
        ] {
            #expect(try error(text) == .notBase64Of32Bytes(entry: 1))
        }
        #expect(try error("2:\(second),1:\(short)") == .notBase64Of32Bytes(entry: 2))
        #expect(try error("2:\(second),1:\(first)x") == .notBase64Of32Bytes(entry: 2))
    }

    @Test("What is missing, twice, not a number or not random is named as that")
    func named() throws {
        #expect(try error("") == .missing)
        #expect(try error(" \n\t") == .missing)
        #expect(try error("0:\(first)") == .wrongID(entry: 1))
        #expect(try error("65536:\(first)") == .wrongID(entry: 1))
        #expect(try error(":\(first)") == .wrongID(entry: 1))
        #expect(try error("+1:\(first)") == .wrongID(entry: 1))
        #expect(try error("a:\(first)") == .wrongID(entry: 1))
        #expect(try error("000001:\(first)") == .wrongID(entry: 1))
        #expect(try error("1:\(first),\(second)") == .wrongID(entry: 2))
        #expect(try error("1:\(first),") == .wrongID(entry: 2))
        #expect(try error("1:\(first),1:\(second)") == .duplicateID(1))
        #expect(try error("1:\(first),2:\(first)") == .duplicateKey(entry: 2))
        #expect(try error(Base64.encode([UInt8](repeating: 0, count: 32))) == .notRandom(entry: 1))
        let many = (1...17).map { "\($0):\(Base64.encode(Randomness.seeded("\($0)").bytes(32)))" }
        #expect(try error(many.joined(separator: ",")) == .tooMany(limit: 16))
        #expect(try error(many.dropLast().joined(separator: ",")) == nil)
    }

    @Test("Every sentence says what was expected and how to make one, and repeats nothing of the value")
    func sentences() throws {
        let texts = ["", first + "x", "0:\(first)", "1:\(first),1:\(second)", "1:\(first),2:\(first)"]
        for text in texts {
            let sentence = try #require(try error(text)).description
            #expect(sentence.hasPrefix("ENCRYPTION_KEY"))
            #expect(sentence.contains("base64 of 32 random bytes"))
            #expect(sentence.contains("openssl rand -base64 32"))
            #expect(sentence.contains("id:base64,id:base64"))
            #expect(!sentence.contains(first.prefix(6)) && !sentence.contains(second.prefix(6)))
        }
    }
}

@Suite struct OuterSealTests {
    private let (old, new, both): (WorkerKeys, WorkerKeys, WorkerKeys)
    private let row = Randomness.seeded("row").bytes(16)
    private let inner = Array("the inner box".utf8)

    init() throws {
        testHeap
        let first = Base64.encode(Randomness.seeded("first").bytes(32))
        let second = Base64.encode(Randomness.seeded("second").bytes(32))
        old = try encryptionKeys("1:\(first)").workerKeys()
        new = try encryptionKeys("2:\(second)").workerKeys()
        both = try encryptionKeys("2:\(second),1:\(first)").workerKeys()
    }

    @Test("A swapped table, row or column does not open")
    func swapped() throws {
        let box = try old.outer.seal(inner, table: "slots", row: row, column: "vault", .system)
        #expect(try old.outer.open(box, table: "slots", row: row, column: "vault") == inner)
        let other = Randomness.seeded("other").bytes(16)
        for (table, row, column) in [
            ("plugins", row, "vault"), ("slots", other, "vault"), ("slots", row, "private"), ("slots", [], "vault"),
        ] as [(StaticString, [UInt8], StaticString)] {
            #expect(throws: EnvelopeError.doesNotOpen) {
                try old.outer.open(box, table: table, row: row, column: column)
            }
        }
    }

    @Test("The header says which key is needed, and that key alone opens")
    func keyIDs() throws {
        let box = try old.outer.seal(inner, table: "slots", row: row, column: "vault", .system)
        #expect(try BoxHeader(parsing: box) == BoxHeader(.aes256gcm, keyID: 1))
        #expect(try both.outer.open(box, table: "slots", row: row, column: "vault") == inner)
        #expect(throws: EnvelopeError.unknownKey(1)) {
            try new.outer.open(box, table: "slots", row: row, column: "vault")
        }
        #expect(both.outer.currentKeyID == 2)
        var relabelled = box
        relabelled[3] = 2
        #expect(throws: EnvelopeError.doesNotOpen) {
            try both.outer.open(relabelled, table: "slots", row: row, column: "vault")
        }
    }

    @Test("No byte can be changed, none can be missing")
    func altered() throws {
        let box = try old.outer.seal(inner, table: "slots", row: row, column: "vault", .system)
        for index in box.indices {
            var altered = box
            altered[index] ^= 1
            #expect(throws: EnvelopeError.self) {
                try old.outer.open(altered, table: "slots", row: row, column: "vault")
            }
            #expect(throws: EnvelopeError.self) {
                try old.outer.open(Array(box[..<index]), table: "slots", row: row, column: "vault")
            }
        }
    }

    @Test("A tag is recognised by the key that made it, for what it was made for")
    func tags() throws {
        var (mine, other) = (AssociatedData("public-key"), AssociatedData("public-key"))
        mine.add("a")
        other.add("b")
        let tag = old.tags.tag(mine)
        #expect(tag.count == 34)
        #expect(tag[..<2] == [0, 1])
        #expect(old.tags.matches(tag, mine) && both.tags.matches(tag, mine))
        #expect(!old.tags.matches(tag, other) && !new.tags.matches(tag, mine))
        #expect(both.tags.tag(mine) != tag)
        for index in tag.indices {
            var altered = tag
            altered[index] ^= 1
            #expect(!both.tags.matches(altered, mine))
        }
        #expect(!old.tags.matches(Array(tag.dropLast()), mine) && !old.tags.matches([], mine))
    }
}

@Suite final class RoleKeysTests {
    private let configured: EncryptionKeys
    private let data = AssociatedData("toolshed/v1/test")

    init() throws {
        testHeap
        let keys = ["9", "3"].map { "\($0):\(Base64.encode(Randomness.seeded($0).bytes(32)))" }
        configured = try encryptionKeys(keys.joined(separator: ","))
    }

    @Test("A worker's bundle does what its keys did, and seals to the service that only the keeper opens")
    func bundles() throws {
        let worker = try configured.workerKeys().encode().withUnsafeBytes { (raw) throws(EnvelopeError) in
            try WorkerKeys(decoding: raw)
        }
        let keeper = try configured.keeperKeys().encode().withUnsafeBytes { (raw) throws(EnvelopeError) in
            try KeeperKeys(decoding: raw)
        }
        let box = try worker.outer.seal([5], table: "slots", row: [1], column: "vault", .system)
        #expect(try keeper.outer.open(box, table: "slots", row: [1], column: "vault") == [5])
        #expect(keeper.tags.matches(worker.tags.tag(data), data))
        #expect(worker.servicePublic.id == 9 && worker.servicePublic == keeper.servicePublic)

        let key = try Key<ConnectionRole>(random: .system)
        let sealed = try HPKE.sealKey(
            key, to: worker.servicePublic.key, info: data, data, keyID: worker.servicePublic.id, .system)
        let id = try BoxHeader(parsing: sealed).keyID
        let opened = try keeper.withServicePrivate(id: id) { (pair) throws(EnvelopeError) in
            try HPKE.openKey(sealed, as: ConnectionRole.self, with: pair, info: data, data)
        }
        #expect(opened.revealed == key.revealed)
        #expect(
            errorOf { () throws(EnvelopeError) in
                try keeper.withServicePrivate(id: 4) { (_) throws(EnvelopeError) in () }
            } == .unknownKey(4))
    }

    @Test("A worker's bundle does not hold the service private key; the keeper's does")
    func separation() throws {
        let worker = try configured.workerKeys().encode().revealed
        let keeper = try configured.keeperKeys()
        let keeperBytes = try keeper.encode().revealed
        for id in [9, 3] as [UInt16] {
            try keeper.withServicePrivate(id: id) { (pair) throws(EnvelopeError) in
                let secret = pair.withUnsafeBytes { Array($0) }
                #expect(!holds(worker, secret))
                #expect(holds(keeperBytes, secret))
            }
        }
        // The configured values themselves leave the supervisor for nobody.
        for seed in ["9", "3"] {
            #expect(!holds(worker, Randomness.seeded(seed).bytes(32)))
            #expect(!holds(keeperBytes, Randomness.seeded(seed).bytes(32)))
        }
        #expect(worker.count == 3 + 2 * 2 + 32 * 5)
    }

    private func holds(_ bytes: [UInt8], _ part: [UInt8]) -> Bool {
        bytes.indices.contains { bytes[$0...].starts(with: part) }
    }

    @Test("A bundle of the other role, of another version, cut or with more behind it is refused")
    func refused() throws {
        let worker = try configured.workerKeys().encode().revealed
        let keeper = try configured.keeperKeys().encode().revealed
        func workerError(_ bytes: [UInt8]) throws -> EnvelopeError? {
            let secret = try SecretBytes(count: bytes.count) { $0.copyBytes(from: bytes) }
            return errorOf { () throws(EnvelopeError) in
                try secret.withUnsafeBytes { (raw) throws(EnvelopeError) in try WorkerKeys(decoding: raw) }
            }
        }
        #expect(try workerError(worker) == nil)
        #expect(try workerError(keeper) == .malformed)
        #expect(try workerError([2] + worker.dropFirst()) == .unknownFormat)
        #expect(try workerError(worker + [0]) == .malformed)
        for count in 0..<worker.count { #expect(try workerError(Array(worker[..<count])) == .malformed) }
        let secret = try SecretBytes(count: worker.count) { $0.copyBytes(from: worker) }
        #expect(
            errorOf { () throws(EnvelopeError) in
                try secret.withUnsafeBytes { (raw) throws(EnvelopeError) in try KeeperKeys(decoding: raw) }
            } == .malformed)
    }
}
