import Encoding
import Foundation
import Secrets
import Testing

@testable import Envelope

/// The formats, pinned: Tests/Fixtures/vectors/envelope.json is what this code makes from seeded randomness, and what
/// Tests/EndToEnd/test_decryptor.py opens with an implementation of its own. foreign.json is the other direction.
@Suite struct VectorTests {
    init() { testHeap }

    private static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appendingPathComponent("Fixtures/vectors")

    @Test("What is sealed is, byte for byte, what it has been since version 1")
    func pinned() throws {
        let file = Self.folder.appendingPathComponent("envelope.json")
        let made = try EnvelopeVectors(.seeded("vectors")).json()
        // To be set only when a format gets a new version.
        if getenv("TOOLSHED_WRITE_VECTORS") != nil { try Data(made).write(to: file) }
        #expect(try Array(Data(contentsOf: file)) == made)
    }

    @Test("What another implementation sealed opens")
    func foreign() throws {
        let vectors = try ForeignVectors(Array(Data(contentsOf: Self.folder.appendingPathComponent("foreign.json"))))
        let data = AssociatedData("toolshed/v1/foreign")
        let keys = try encryptionKeys(vectors["encryptionKeys"]).keeperKeys()
        let row = hex(vectors["row"])
        #expect(
            try keys.outer.open(hex(vectors["outer"]), table: "slots", row: row, column: "vault")
                == hex(vectors["inner"]))
        let token = try Token(parsing: vectors["token"])
        let derived = try token.derivedKey(salt: hex(vectors["salt"]), vault: VaultID(bytes: hex(vectors["vault"])))
        let inner = try AEAD.unwrap(hex(vectors["inner"]), as: VaultRole.self, under: derived, data)
        #expect(Hex.encode(inner.revealed) == vectors["key"])
        let service = try keys.withServicePrivate(id: 2) { (pair) throws(EnvelopeError) in
            try HPKE.openKey(hex(vectors["hpke"]), as: VaultRole.self, with: pair, info: data, data)
        }
        #expect(Hex.encode(service.revealed) == vectors["key"])
        #expect(keys.tags.matches(hex(vectors["tag"]), data))
    }
}

/// An object of strings.
private struct ForeignVectors {
    private var values: [String: String] = [:]

    init(_ json: [UInt8]) throws {
        var values: [String: String] = [:]
        try JSONReader.object(json) { (name, reader) throws(JSONError) in values[name] = try reader.string() }
        self.values = values
    }

    subscript(name: String) -> String { values[name] ?? "" }
}

/// One of each: everything that docs/KEYS.md describes, with all that is needed to open it.
private struct EnvelopeVectors: ~Copyable {
    private let random: Randomness
    private let (slot, vault): (SlotID, VaultID)
    private var writer = JSONWriter(capacity: 8192)

    init(_ random: Randomness) {
        self.random = random
        (slot, vault) = (random.id(), random.id())
    }

    consuming func json() throws -> [UInt8] {
        writer.beginObject()
        try token(vault: vault, "token")
        try token(vault: nil, "tokenWithoutVault")
        try boxes()
        try configured()
        writer.endObject()
        return writer.bytes + Array("\n".utf8)
    }

    private mutating func put(_ name: StaticString, _ bytes: [UInt8]) {
        writer.key(name)
        writer.string(Hex.encode(bytes))
    }

    private mutating func token(vault: VaultID?, _ name: StaticString) throws {
        let token = try Token(issuing: vault == nil ? .invitation : .session, id: slot, random)
        let salt = random.bytes(32)
        writer.key(name)
        writer.beginObject()
        writer.key("text")
        writer.string(try token.text().withString { $0 })
        writer.key("kind")
        writer.string(token.kind.rawValue)
        writer.key("slot")
        writer.string(slot.text)
        put("slotBytes", slot.bytes)
        put("vault", vault?.bytes ?? [])
        put("salt", salt)
        put("fingerprint", token.fingerprint())
        put("derived", try token.derivedKey(salt: salt, vault: vault).revealed)
        writer.endObject()
    }

    private mutating func boxes() throws {
        var data = AssociatedData("toolshed/v1/vector")
        data.add(slot)
        data.add("größe")
        data.add(1 << 40)
        data.add(bytes: [])
        let info = AssociatedData("toolshed/v1/vector-info")
        let key = try Key<VaultRole>(random: random)
        let inner = try Key<ConnectionRole>(random: random)
        let pair = try PrivateKey(random: random)
        writer.key("boxes")
        writer.beginObject()
        put("data", data.bytes)
        put("info", info.bytes)
        put("key", key.revealed)
        put("inner", inner.revealed)
        put("wrapped", try AEAD.wrap(inner, under: key, data, random))
        put(
            "sealed",
            try Array(#"{"access_token":"…"}"#.utf8).withUnsafeBytes { try AEAD.seal($0, under: key, data, random) })
        put("sealedEmpty", try AEAD.seal(UnsafeRawBufferPointer(start: nil, count: 0), under: key, data, random))
        put("derived", try key.derive(TagRole.self, label: "toolshed/v1/vector-tags", context: [1, 2, 3]).revealed)
        put("tag", try key.derive(TagRole.self, label: "toolshed/v1/vector-tags", context: [1, 2, 3]).tag(data))
        let wrappedPair = try pair.wrap(under: key, data, random)
        put("wrappedPair", wrappedPair)
        put("private", try AEAD.open(wrappedPair, under: key, data).revealed)
        put("public", try pair.publicKey.bytes)
        put("holder", try pair.holderKey().revealed)
        put("hpke", try HPKE.sealKey(inner, to: pair.publicKey, info: info, data, keyID: 513, random))
        writer.endObject()
    }

    private mutating func configured() throws {
        let text = "2:\(Base64.encode(random.bytes(32))),1:\(Base64.encode(random.bytes(32)))"
        let both = try encryptionKeys(text)
        let worker = try both.workerKeys()
        let keeper = try both.keeperKeys()
        let old = try encryptionKeys(String(text.split(separator: ",")[1])).workerKeys()
        let row = random.bytes(16)
        let inner = random.bytes(60)
        let data = AssociatedData("toolshed/v1/vector")
        writer.key("configured")
        writer.beginObject()
        writer.key("encryptionKeys")
        writer.string(text)
        put("row", row)
        put("inner", inner)
        put("outer", try worker.outer.seal(inner, table: "slots", row: row, column: "vault", random))
        put("outerOld", try old.outer.seal(inner, table: "slots", row: row, column: "vault", random))
        put("data", data.bytes)
        put("tag", worker.tags.tag(data))
        put("servicePublic", worker.servicePublic.key.bytes)
        let key = try Key<ConnectionRole>(random: random)
        put("key", key.revealed)
        put(
            "hpke",
            try HPKE.sealKey(
                key, to: keeper.servicePublic.key, info: data, data, keyID: keeper.servicePublic.id, random))
        put("workerBundle", try worker.encode().revealed)
        put("keeperBundle", try keeper.encode().revealed)
        writer.endObject()
    }
}
