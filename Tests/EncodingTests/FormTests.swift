import Testing

@testable import Encoding

@Suite struct FormTests {
    private func parse(_ text: String) throws(FormError) -> [String] {
        try Form.parse(Array(text.utf8)).map { "\($0.name)→\($0.value)" }
    }

    @Test("Fields in order, duplicates kept, plus is a space")
    func fields() throws {
        #expect(try parse("a=1&b=x+y%2Bz&a=2&c&d==&=e") == ["a→1", "b→x y+z", "a→2", "c→", "d→=", "→e"])
        #expect(try parse("") == [])
        #expect(try parse("&&a=1&") == ["a→1"])
        #expect(try parse("s=%F0%9F%98%80") == ["s→😀"])
    }

    @Test("Cut or wrong escapes are refused", arguments: ["a=%", "a=%4", "a=%zz", "%=1", "a=%+1"])
    func malformed(text: String) {
        #expect(throws: FormError.malformedEscape) { try parse(text) }
    }

    @Test("What is not UTF-8 is refused")
    func invalid() {
        #expect(throws: FormError.invalidUTF8) { try parse("a=%FF") }
        #expect(throws: FormError.invalidUTF8) { try Form.parse([0x61, 0x3D, 0xC0, 0xAF]) }
    }

    @Test("Marks without end are refused, and as many as any writing has are taken")
    func marks() throws {
        func text(_ count: Int) -> String { "a=e" + String(repeating: "\u{301}\u{316}", count: count / 2) }
        #expect(try parse(text(30)).count == 1)
        #expect(throws: FormError.tooManyMarks) { try parse(text(32)) }
        #expect(throws: FormError.tooManyMarks) { try parse(String(repeating: "%CC%81", count: 31)) }
    }

    @Test("Limits hold")
    func limits() {
        #expect(throws: FormError.tooLong(limit: 3)) { try Form.parse(Array("a=12".utf8), maximumBytes: 3) }
        #expect(throws: FormError.tooManyFields(limit: 2)) { try Form.parse(Array("a&b&c".utf8), maximumFields: 2) }
        #expect(throws: Never.self) { try Form.parse(Array("a&b".utf8), maximumBytes: 3, maximumFields: 2) }
    }

    @Test("What is encoded is parsed as it was")
    func roundTrip() throws {
        let fields = [("grant_type", "authorization_code"), ("a b", "1+2=3&4"), ("é", "~*'()%"), ("empty", "")]
        let text = Form.encode(fields)
        #expect(text == "grant_type=authorization_code&a+b=1%2B2%3D3%264&%C3%A9=%7E%2A%27%28%29%25&empty=")
        let parsed = try Form.parse(Array(text.utf8))
        #expect(parsed.map(\.name) == fields.map(\.0))
        #expect(parsed.map(\.value) == fields.map(\.1))
    }

    @Test("Bytes of any kind are parsed or refused", arguments: [11, 12] as [UInt64])
    func noise(seed: UInt64) {
        var random = SplitMix64(state: seed)
        var parsed = 0
        for _ in 0..<5000 {
            let bytes = (0..<Int.random(in: 0..<40, using: &random)).map { _ in
                Array("ab%=&+4fF9".utf8).randomElement(using: &random)! ^ (random.next() % 50 == 0 ? 0x80 : 0)
            }
            if let fields = try? Form.parse(bytes) {
                parsed += 1
                let again = try? Form.parse(Array(Form.encode(fields.map { ($0.name, $0.value) }).utf8))
                #expect(again?.map(\.value) == fields.map(\.value), "seed \(seed): \(bytes)")
            }
        }
        #expect(parsed > 500)
    }
}

@Suite struct PercentTests {
    @Test("Only unreserved characters stay (RFC 3986 §2.3)")
    func encode() {
        #expect(Percent.encode("AZaz09-._~") == "AZaz09-._~")
        #expect(
            Percent.encode(" !*'();:@&=+$,/?#[]%é")
                == "%20%21%2A%27%28%29%3B%3A%40%26%3D%2B%24%2C%2F%3F%23%5B%5D%25%C3%A9")
    }

    @Test("Plus stays plus, and errors are errors")
    func decode() {
        #expect(Percent.decode("a+b%20%c3%A9") == "a+b é")
        for text in ["%", "%1", "%GG", "%ff"] { #expect(Percent.decode(text) == nil) }
    }
}
