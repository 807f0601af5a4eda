import Testing

@testable import Encoding

@Suite("Text of others that people read")
struct ShownTextTests {
    @Test(
        "What is not drawn falls away",
        arguments: [
            ("Git\u{115F}Hub\u{3164}", "GitHub"), ("a\u{202E}b\u{2066}", "ab"), ("a\u{7}\n", "a"), ("a\u{FE0F}", "a"),
            ("\u{34F}a\u{17B5}", "a"), ("a\u{FFFC}\u{1D159}", "a"), ("x\u{180B}", "x"), ("x\u{E0100}\u{E0101}", "x"),
            ("\u{13441}a\u{13442}", "a"), ("⠃\u{2800}⠗", "⠃ ⠗"), ("\u{3164}", ""),
        ])
    func dropped(text: String, shown: String) {
        #expect(text.withoutControls == shown)
        #expect(shown.withoutControls == shown)
    }

    @Test(
        "What a script needs stays",
        arguments: [
            "plain", "❤\u{FE0F}", "1\u{FE0F}\u{20E3}", "葛\u{E0100}城", "می\u{200C}خواهم", "👩\u{200D}🔧", "ᠨ\u{180B}ᠠ",
            "그림", "ก็",
            "é", "e\u{301}",
        ])
    func kept(text: String) {
        #expect(Array(text.withoutControls.unicodeScalars) == Array(text.unicodeScalars))
    }

    @Test(
        "A name has to show something",
        arguments: ["", " ", "\u{200D}", "\u{3164}", "\u{2800}\u{2800}", "\u{301}", "\u{3000}\u{FE0F}"])
    func invisible(text: String) {
        #expect(!text.isVisible)
    }

    @Test("And a sign is enough", arguments: ["a", "机", "٣", "…", "🔧", "❤\u{FE0F}", "€", "_"])
    func visible(text: String) {
        #expect(text.isVisible)
    }
}
