import Testing

@testable import Encoding

@Suite struct Base64Tests {
    @Test(
        "RFC 4648 §10 vectors",
        arguments: [
            ("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ])
    func vectors(plain: String, text: String) {
        #expect(Base64.encode(plain.utf8) == text)
        #expect(Base64.decode(text) == Array(plain.utf8))
        let unpadded = String(text.prefix { $0 != "=" })
        #expect(Base64URL.encode(plain.utf8) == unpadded)
        #expect(Base64URL.decode(unpadded) == Array(plain.utf8))
    }

    @Test("Every byte in every place comes back, in both alphabets")
    func roundTrips() {
        var random = SplitMix64(state: 7)
        for count in 0..<100 {
            let bytes = (0..<count).map { _ in UInt8.random(in: 0...255, using: &random) }
            #expect(Base64.decode(Base64.encode(bytes)) == bytes)
            #expect(Base64URL.decode(Base64URL.encode(bytes)) == bytes)
        }
        #expect(Base64.encode([0xFB, 0xEF, 0xFF]) == "++//")
        #expect(Base64URL.encode([0xFB, 0xEF, 0xFF]) == "--__")
    }

    @Test(
        "One value has one text",
        arguments: [
            "Zh==", "Zm9=", "Zg=", "Zg", "Zg===", "=", "====", "Zm9vYg==\n", " Zg==", "Zm=v", "Z g=", "-_-_",
            "Zg==Zg==", "A",
        ])
    func notCanonical(text: String) {
        #expect(Base64.decode(text) == nil)
    }

    @Test(
        "base64url takes no padding and no other alphabet", arguments: ["Zg==", "Zh", "Zm9", "++//", "A", "Zg\n", "é"])
    func notCanonicalURL(text: String) {
        #expect(Base64URL.decode(text) == nil)
    }

    @Test("Into memory of the caller, the count must fit exactly")
    func intoMemory() {
        func decode(_ text: String, _ count: Int) -> [UInt8]? {
            var out = [UInt8](repeating: 0, count: count)
            let isDecoded = Array(text.utf8).withUnsafeBytes { text in
                out.withUnsafeMutableBytes { Base64.decode(text, into: $0) != nil }
            }
            return isDecoded ? out : nil
        }
        #expect(decode("Zm9vYg==", 4) == Array("foob".utf8))
        #expect(decode("Zm9vYmE=", 5) == Array("fooba".utf8))
        #expect(decode("Zm9vYmFy", 6) == Array("foobar".utf8))
        #expect(decode("Zm9vYmFy", 5) == nil)
        #expect(decode("Zm9vYg==", 5) == nil)
        #expect(decode("Zm9vYg=", 4) == nil)
        #expect(decode("Zm9vYg=A", 4) == nil)
    }
}

@Suite struct HexTests {
    @Test("Written in lower case, read in both, nothing else")
    func hex() {
        #expect(Hex.encode([0x00, 0x9A, 0xFF]) == "009aff")
        #expect(Hex.decode("009aFF") == [0x00, 0x9A, 0xFF])
        #expect(Hex.decode("") == [])
        for text in ["0", "0g", "0x00", " 00", "é0"] { #expect(Hex.decode(text) == nil) }
    }
}

@Suite struct CRC32Tests {
    @Test("The check value of ISO-HDLC")
    func check() {
        #expect(CRC32.checksum("123456789".utf8) == 0xCBF4_3926)
        #expect(CRC32.checksum([]) == 0)
    }
}
