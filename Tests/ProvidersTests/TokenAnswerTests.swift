import Encoding
import OAuth
import Secrets
import Testing

@testable import Providers

@Suite("A token answer, from any provider")
struct TokenAnswerTests {
    static let corp = """
        version: 1
        providers:
          corp:
            client: { id: an-id, secret: a-secret }
            endpoints: { authorize: "https://id.example/a", token: "https://id.example/t" }
        """
    let corp: Provider

    init() throws {
        corp = try provider("corp", Self.corp)
    }

    private func parse(
        _ reply: ProviderReply, for grant: GrantType = .refreshToken, asked: ScopeSet = ["a", "b"]
    ) -> TokenOutcome {
        corp.parseTokens(reply, for: grant, requested: asked, at: noon)
    }

    @Test(
        "CO-11 a lifetime is read however it is written",
        arguments: [
            (#""3600""#, 3_600), ("3600", 3_600), ("3600.0", 3_600), (#""3600.0""#, 3_600), ("0", 0), ("-1", 0),
            (#""-5""#, 0), (#""abc""#, nil), ("3600.5", 3_600), ("0.5", 0), (#""-1e30""#, 0), ("-1e30", 0),
            (#""nan""#, nil), ("null", nil), ("true", nil), ("[1]", nil),
            ("4294967296", nil),
            ("1e300", nil), (#""""#, nil), (#"" 60""#, nil),
        ] as [(String, Int64?)])
    func lifetimes(text: String, seconds: Int64?) throws {
        let tokens = try #require(parse(json(#"{"access_token":"a","expires_in":\#(text)}"#)).tokens)
        #expect(tokens.expiresAt == seconds.map { noon.adding(seconds: $0) })
    }

    @Test("CO-11 no lifetime means the entry's default")
    func defaultLifetime() throws {
        let microsoft = try configured("microsoft")
        let tokens = microsoft.parseTokens(json(#"{"access_token":"a"}"#), requested: .empty, at: noon).tokens
        #expect(tokens?.expiresAt == noon.adding(seconds: 3_600))
    }

    @Test(
        "Scopes are a set, however they are written; only an absent member means what was asked",
        arguments: [
            (#","scope":"b a""#, ["a", "b"]), (#","scope":"a,b""#, ["a", "b"]), (#","scope":"a, b""#, ["a", "b"]),
            (#","scope":["b","a"]"#, ["a", "b"]), (#","scope":"a""#, ["a"]), (#","scope":"a b c""#, ["a", "b", "c"]),
            (#","scope":"""#, []), ("", ["a", "b"]), (#","scope":null"#, ["a", "b"]),
        ])
    func scopes(member: String, expected: [String]) throws {
        let tokens = try #require(parse(json(#"{"access_token":"t"\#(member)}"#)).tokens)
        #expect(tokens.scopes == ScopeSet(expected))
    }

    @Test("CO-13 what was granted is kept, and what is missing is named")
    func narrowed() throws {
        let tokens = try #require(parse(json(#"{"access_token":"t","scope":"b"}"#)).tokens)
        #expect(corp.missing(from: tokens.scopes, for: ["a", "b"]) == ["a"])
    }

    @Test("An error wins over the status and over a token beside it")
    func errorWins() {
        #expect(parse(json(#"{"error":"invalid_grant","access_token":"t"}"#)).refusal == "invalid_grant reauthorize")
        #expect(parse(json(#"{"error":"invalid_grant"}"#, status: 500)).refusal == "invalid_grant reauthorize")
        #expect(parse(form("error=invalid_grant"), for: .authorizationCode).refusal == "invalid_grant replay")
        #expect(parse(json(#"{"error":{"code":7}}"#, status: 400)).refusal == "error transient")
    }

    @Test("A code of marks upon marks is cut like any other")
    func marks() {
        let body = #"{"error": "e\#(String(repeating: "\u{301}", count: 600))"}"#
        guard case .refused(let code, _) = parse(ProviderReply(status: 400, body: Array(body.utf8))) else {
            Issue.record("an error is no refusal")
            return
        }
        #expect(code.unicodeScalars.count == 128)
    }

    @Test("An error that is null or empty is none")
    func noError() {
        #expect(parse(json(#"{"access_token":"t","error":null}"#)).tokens != nil)
        #expect(parse(json(#"{"access_token":"t","error":""}"#)).tokens != nil)
    }

    @Test("Only a listed code ends a grant: not an empty 400, not HTML, not 401, not 429, not 5xx")
    func nothingElseEndsAGrant() {
        #expect(parse(ProviderReply(status: 400)).refusal == "http_400 transient")
        #expect(parse(json(#"{"error":"invalid_code"}"#, status: 403)).refusal == "invalid_code transient")
        #expect(parse(ProviderReply(status: 401)).refusal == "http_401 transient")
        #expect(parse(html(404)).refusal == "http_404 transient")
        #expect(parse(ProviderReply(status: 429, headers: ["retry-after": "5"])).refusal == "http_429 transient")
        #expect(parse(html(502)).isUnknown)
        #expect(parse(json("{}", status: 503)).isUnknown)
        #expect(parse(json(#"{"error":"server_error"}"#, status: 500)).isUnknown)
        #expect(
            parse(ProviderReply(status: 302, headers: ["location": "https://evil.example"])).refusal
                == "http_302 config")
    }

    @Test("A refusal without words ends a grant where the operator listed it, and nowhere else")
    func listedStatus() throws {
        let listed = try provider("corp", Self.corp + "\n    errors: { http_400: reauthorize }")
        func parse(_ reply: ProviderReply, for grant: GrantType = .refreshToken) -> String? {
            listed.parseTokens(reply, for: grant, requested: ["a"], at: noon).refusal
        }
        #expect(parse(ProviderReply(status: 400)) == "http_400 reauthorize")
        #expect(parse(html(400)) == "http_400 reauthorize")
        #expect(parse(ProviderReply(status: 400), for: .authorizationCode) == "http_400 replay")
        #expect(parse(ProviderReply(status: 401)) == "http_401 transient")
        #expect(parse(json(#"{"error":"invalid_request"}"#, status: 400)) == "invalid_request config")
    }

    @Test(
        "A success that cannot be read leaves open what happened",
        arguments: [
            "", "{", #"{"access_token":"#, "[]", "null", #"{"access_token":""}"#, #"{"access_token":7}"#,
            #"{"access_token":null}"#, #"{"token":"t"}"#, "<html>access_token=t</html>", "\u{FEFF}", "{}",
            #"{"access_token":"t","token_type":"mac"}"#, #"{"access_token":"a\nb"}"#, #"{"access_token":"a b"}"#,
            #"{"access_token":"é"}"#, #"{"access_token":"t","refresh_token":"a\u0000"}"#,
        ])
    func unreadable(body: String) {
        #expect(parse(json(body)).isUnknown)
    }

    @Test("HTML with an equals sign is not read as a form, whatever it contains")
    func htmlIsNoForm() {
        #expect(
            parse(
                ProviderReply(
                    status: 200, headers: ["content-type": "text/html"], body: Array("a=1&access_token=t".utf8))
            ).isUnknown)
        #expect(parse(html(200)).isUnknown)
    }

    @Test("JSON is read as JSON even where the type says text, and a form where it says nothing")
    func sniffed() {
        let bytes = Array("\r\n {\"access_token\":\"t\"}".utf8)
        #expect(parse(ProviderReply(status: 200, headers: ["content-type": "text/html"], body: bytes)).tokens != nil)
        #expect(
            parse(ProviderReply(status: 200, body: Array("access_token=t&scope=a+b".utf8))).tokens?.scopes == [
                "a", "b",
            ])
    }

    @Test("The token type is compared without case, and absent means Bearer")
    func tokenType() {
        for type in ["bearer", "Bearer", "BEARER"] {
            #expect(parse(json(#"{"access_token":"t","token_type":"\#(type)"}"#)).tokens?.tokenType == type)
        }
        #expect(parse(json(#"{"access_token":"t"}"#)).tokens?.tokenType == "Bearer")
    }

    @Test(
        "A renewal whose ID token names another account is noticed where accounts are known by their subject",
        arguments: [
            ("7", "7", false), ("8", "7", true), ("7", "", false), (nil, "7", false),
        ])
    func anotherAccount(said: String?, known: String, contradicts: Bool) throws {
        let claims = said.map { Base64URL.encode(Array(#"{"sub":"\#($0)"}"#.utf8)) }
        let more = claims.map { #","id_token":"e30.\#($0).AA""# } ?? ""
        let tokens = try #require(parse(json(#"{"access_token":"t"\#(more)}"#)).tokens)
        #expect(tokens.subject == said)
        var bySubject = corp
        bySubject.identity = [.userinfo("https://id.example/userinfo")]
        #expect(bySubject.contradict(known, tokens) == contradicts)
        #expect(!corp.contradict(known, tokens), "what its accounts are known by is not said")
    }

    @Test("What is no ID token says nothing", arguments: ["x", "a.b", "..", "a.!.c", "a.e30.c", "a.eyJzdWIiOjd9.c"])
    func noIDToken(text: String) throws {
        #expect(try #require(parse(json(#"{"access_token":"t","id_token":"\#(text)"}"#)).tokens).subject == nil)
    }

    @Test("An empty refresh token is none, so that it never replaces a stored one")
    func emptyRefreshToken() throws {
        let tokens = try #require(
            parse(json(#"{"access_token":"t","refresh_token":"","refresh_token_expires_in":9}"#)).tokens)
        #expect(tokens.refreshToken == nil)
        #expect(tokens.refreshExpiresAt == nil)
    }

    @Test("An error code is cut to a length that a log can bear")
    func longCode() throws {
        let long = String(repeating: "x", count: 10_000)
        let refusal = try #require(parse(json(#"{"error":"\#(long)"}"#, status: 400)).refusal)
        #expect(refusal.utf8.count < 200)
    }

    @Test("Cut, doubled and mixed answers never crash and never make a token out of nothing")
    func mutations() {
        let answer = Array(#"{"ok":true,"access_token":"tok","expires_in":3600,"scope":["a","b"],"error":null}"#.utf8)
        var random = SplitMix(seed: 0x5EED)
        for length in 0...answer.count {
            let cut = parse(ProviderReply(status: 200, body: Array(answer.prefix(length))))
            if length < answer.count { #expect(cut.tokens == nil, "cut at \(length)") }
        }
        for _ in 0..<3_000 {
            var bytes = answer
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
            }
            let outcome = parse(
                ProviderReply(status: [200, 400, 500].randomElement(using: &random) ?? 200, body: bytes))
            if let tokens = outcome.tokens { #expect(tokens.accessToken.count > 0) }
        }
    }
}

/// A small generator with a seed, so that a failure can be repeated.
struct SplitMix: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}
