import Encoding
import Foundation
import Secrets
import Testing

@testable import Envelope

@Suite struct TokenTests {
    init() { testHeap }

    private let id = SlotID(high: 0x0102_0304_0506_0708, low: 0x090A_0B0C_0D0E_0F10)

    private func text(_ kind: TokenKind = .session, seed: String = "token") throws -> String {
        try Token(issuing: kind, id: id, .seeded(seed)).text().withString { $0 }
    }

    private func error(_ text: String) -> TokenError? {
        errorOf { () throws(TokenError) in try Token(parsing: text) }
    }

    @Test("What a passkey derives is never a text")
    func passkey() throws {
        #expect(try error(text(.passkey)) == .unknownPrefix)
    }

    @Test(
        "The text is prefix, 64 characters and checksum, and is read back",
        arguments: TokenKind.allCases.filter { $0 != .passkey })
    func roundTrip(kind: TokenKind) throws {
        let token = try Token(issuing: kind, id: id, .system)
        let text = try token.text().withString { $0 }
        #expect(text.utf8.count == 74)
        #expect(text.hasPrefix(kind.rawValue))
        #expect(
            text.dropFirst(4).utf8.allSatisfy {
                Unicode.Scalar($0).properties.isAlphabetic || "-_0123456789".utf8.contains($0)
            })
        let parsed = try Token(parsing: text)
        #expect(parsed.kind == kind && parsed.id == id)
        #expect(parsed.fingerprint() == token.fingerprint())
        #expect(
            try parsed.derivedKey(salt: [1], vault: nil).revealed == token.derivedKey(salt: [1], vault: nil).revealed)
    }

    @Test("The format is fixed: this text has meant this token since the first version")
    func fixed() throws {
        let secret = Array(0..<32) as [UInt8]
        let token = try Token(issuing: .apiKey, id: id, .fixed(secret))
        let text = try token.text().withString { $0 }
        #expect(text == "tsk_" + Base64URL.encode(id.bytes + secret) + text.suffix(6))
        #expect(text == "tsk_AQIDBAUGBwgJCgsMDQ4PEAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f" + "2BbHaz")
        #expect(token.fingerprint() == sha256(secret))
    }

    @Test("A plugin's key gives the key for one person that the client libraries derive, too")
    func person() throws {
        struct Vector: Decodable {
            let plugin, user, key: String
        }
        let file = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .appendingPathComponent("Fixtures/vectors/person-key.json")
        let vector = try JSONDecoder().decode(Vector.self, from: Data(contentsOf: file))
        let person = try #require(PersonID(parsing: vector.user))
        let own = try Token(parsing: vector.plugin).forPerson(person)
        #expect(own.kind == .pluginPerson)
        #expect(try own.text().withString { $0 } == vector.key)
        let parsed = try Token(parsing: vector.key)
        #expect(parsed.id == own.id && parsed.fingerprint() == own.fingerprint())
        let other = try Token(parsing: vector.plugin).forPerson(PersonID(high: 1, low: 2))
        #expect(other.id != own.id && other.fingerprint() != own.fingerprint())
    }

    @Test("A wrong checksum is found for every character changed to any other")
    func checksum() throws {
        let text = Array(try text().utf8)
        for index in 4..<text.count {
            for other in "AZaz09-_".utf8 where other != text[index] {
                var changed = text
                changed[index] = other
                #expect(error(String(decoding: changed, as: UTF8.self)) == .wrongChecksum, "character \(index)")
            }
        }
    }

    @Test("Two characters exchanged are found")
    func exchanged() throws {
        let text = Array(try text().utf8)
        for index in 4..<text.count - 1 where text[index] != text[index + 1] {
            var changed = text
            changed.swapAt(index, index + 1)
            #expect(error(String(decoding: changed, as: UTF8.self)) == .wrongChecksum)
        }
    }

    @Test("One kind is not read as another, although the checksum is made to fit")
    func kinds() throws {
        let session = try text(.session)
        #expect(error("tsk_" + session.dropFirst(4)) == .wrongChecksum)
        for prefix in ["ghp_", "tss-", "TSS_", "tsx_", "", "ts", "é_"] {
            #expect(error(prefix + session.dropFirst(4)) == .unknownPrefix)
        }
    }

    @Test("Other lengths are refused")
    func lengths() throws {
        let text = try text()
        for count in 4..<text.count { #expect(error(String(text.prefix(count))) == .wrongLength) }
        for suffix in ["x", " ", "\n", "=", String(repeating: "x", count: 100_000)] {
            #expect(error(text + suffix) == .wrongLength)
        }
    }

    @Test("Characters that are no base64url are refused even under a right checksum")
    func alphabet() throws {
        for wrong in ["+", "/", "=", " ", "\u{7F}"] {
            let body = "tss_" + String(repeating: "A", count: 63) + wrong
            #expect(error(body + checksum(body)) == .malformed)
        }
        let right = "tss_" + String(repeating: "A", count: 64)
        #expect(error(right + checksum(right)) == nil)
    }

    private func checksum(_ body: String) -> String {
        let digits = Array("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
        var (rest, text) = (CRC32.checksum(body.utf8), "")
        for _ in 0..<6 {
            text = String(digits[Int(rest % 62)]) + text
            rest /= 62
        }
        return text
    }

    @Test("No error repeats what was given")
    func silent() throws {
        let text = try text()
        for wrong in ["xyz_" + text.dropFirst(4), String(text.dropLast()), text.dropLast() + "!", text + "x"] {
            let error = try #require(self.error(String(wrong)))
            for printed in ["\(error)", String(reflecting: error)] {
                #expect(!printed.contains(text.dropFirst(4).prefix(8)) && !printed.contains("xyz"))
            }
        }
    }

    @Test("The derived key depends on secret, salt, kind, slot and vault")
    func derivedKeys() throws {
        func derive(
            _ kind: TokenKind = .session, seed: String = "a", id: SlotID? = nil, salt: [UInt8] = [1],
            vault: VaultID? = VaultID(high: 1, low: 1)
        ) throws -> [UInt8] {
            try Token(issuing: kind, id: id ?? self.id, .seeded(seed)).derivedKey(salt: salt, vault: vault).revealed
        }
        let keys = [
            try derive(), try derive(.cli), try derive(seed: "b"), try derive(id: SlotID(high: 1, low: 1)),
            try derive(salt: [2]), try derive(vault: VaultID(high: 1, low: 2)), try derive(vault: nil),
        ]
        #expect(Set(keys).count == keys.count)
        #expect(try derive() == keys[0])
    }
}
