import Testing

@testable import Encoding

@Suite struct CookieHeaderTests {
    private func parse(_ text: String) -> [String: String] { CookieHeader.parse(text.utf8) }

    @Test("Cookies by name, with whatever their values hold")
    func cookies() {
        #expect(parse("a=1; b=x=y;c=;  d = e ") == ["a": "1", "b": "x=y", "c": "", "d ": " e "])
        #expect(parse("") == [:])
        #expect(parse("; ;a;=;") == ["": ""])
    }

    @Test("A name that comes twice has no value, and a third time neither")
    func twice() {
        #expect(parse("a=1; b=2; a=1") == ["b": "2"])
        #expect(parse("a=1; a=2; a=3") == [:])
    }

    @Test("A mark behind a semicolon does not join two cookies into one")
    func marks() {
        #expect(parse("b=1;\u{301}c=2") == ["b": "1", "\u{301}c": "2"])
        #expect(parse("b=1\u{37E}c=2") == ["b": "1\u{37E}c=2"])
    }
}
