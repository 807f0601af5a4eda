import Encoding
import Envelope
import Secrets
import Testing

@testable import OAuth

private let heap: Void = {
    do { try SecureHeap.start(bytes: 1 << 20) } catch { fatalError("no locked memory for tests: \(error)") }
}()

extension SecretText {
    fileprivate var plain: String { withString { $0 } }
}

@Suite("Messages to a provider")
struct MessageTests {
    init() { _ = heap }

    @Test(
        "The challenge is that of RFC 7636 Appendix B, and of Slack's page",
        arguments: [
            ("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"),
            ("secretpassword", "ldMBaaWcQYtSATMV_IG8mf3wp7A6EW80arYoSW80ntU"),
        ])
    func challenge(verifier: String, expected: String) {
        #expect(PKCE.challenge(verifier: verifier) { sha256($0) } == expected)
    }

    @Test("A verifier has 43 characters of the unreserved set")
    func verifier() {
        let verifier = PKCE.verifier(random: (0..<32).map { $0 &* 37 &+ 200 })
        #expect(verifier.utf8.count == 43)
        #expect(verifier.utf8.allSatisfy { $0.isUnreserved })
    }

    @Test("A URL keeps the endpoint's query, escapes everything, and repeats nothing")
    func url() {
        var request = AuthorizationRequest(clientID: "a&b", redirectURI: "https://t/cb?x=1", state: "S=1")
        request.set("scope", "a b+c")
        request.set("scope", "a b")
        request.set(codeChallenge: "C")
        let tail =
            "client_id=a%26b&redirect_uri=https%3A%2F%2Ft%2Fcb%3Fx%3D1&state=S%3D1&scope=a%20b"
            + "&code_challenge=C&code_challenge_method=S256"
        #expect(request.url(endpoint: "https://id/a") == "https://id/a?" + tail)
        #expect(request.url(endpoint: "https://id/a?tenant=1") == "https://id/a?tenant=1&" + tail)
        #expect(request.url(endpoint: "https://id/a?") == "https://id/a?" + tail)
    }

    @Test("A form body reads back as it was written, whatever bytes it holds")
    func formRoundTrip() throws {
        var fields = RequestFields()
        let hostile = "a&b=c%20+ é\u{0}\n\"~"
        fields.set("code", try SecretText(hostile))
        fields.set("redirect_uri", "https://t/cb?x=y z")
        let body = try fields.form().plain
        let read = try Form.parse(Array(body.utf8))
        #expect(read.map(\.name) == ["code", "redirect_uri"])
        #expect(read.map(\.value) == [hostile, "https://t/cb?x=y z"])
    }

    @Test("A JSON body reads back as it was written")
    func jsonRoundTrip() throws {
        var fields = RequestFields()
        let hostile = "\"\\\u{1}\u{1F}é\n</script>"
        fields.set("refresh_token", try SecretText(hostile))
        fields.set("grant_type", "refresh_token")
        let value = JSONValue(parsing: Array(try fields.json().plain.utf8))
        #expect(value == .object(["refresh_token": .string(hostile), "grant_type": .string("refresh_token")]))
        #expect(try RequestFields().json().plain == "{}")
    }

    @Test("A field that is set again is replaced, not repeated")
    func replaced() throws {
        var fields = RequestFields()
        fields.set("grant_type", "x")
        fields.set("grant_type", "refresh_token")
        #expect(try fields.form().plain == "grant_type=refresh_token")
    }

    @Test(
        "Basic encodes id and secret before it joins them (RFC 6749 section 2.3.1)",
        arguments: [
            ("id", "secret", "id:secret"), ("a:b", "c d", "a%3Ab:c%20d"), ("x", "é/+=", "x:%C3%A9%2F%2B%3D"),
            ("", "", ":"),
        ])
    func basic(id: String, secret: String, pair: String) throws {
        let header = try ClientCredentials(id: id, secret: SecretText(secret)).basicAuthorization().plain
        #expect(header == "Basic " + Base64.encode(Array(pair.utf8)))
    }

    @Test("Base64 of every length is right")
    func base64() throws {
        for count in 0..<50 {
            let secret = String(repeating: "s", count: count)
            let header = try ClientCredentials(id: "i", secret: SecretText(secret)).basicAuthorization().plain
            #expect(header == "Basic " + Base64.encode(Array("i:\(secret)".utf8)))
        }
    }

    @Test("A bearer header is the token and nothing else")
    func bearer() throws {
        #expect(try bearerAuthorization(SecretText("t0k.en-_~+/=")).plain == "Bearer t0k.en-_~+/=")
    }

    @Test("Neither a call nor its parts print a secret")
    func printed() throws {
        var fields = RequestFields()
        fields.set("client_secret", try SecretText("hunter2"))
        let call = ProviderCall(
            method: "POST", url: "https://t", headers: [.init("Authorization", try SecretText("hunter2"))],
            body: try fields.form())
        let client = ClientCredentials(id: "i", secret: try SecretText("hunter2"))
        for text in ["\(call)", "\(fields)", "\(client)", String(reflecting: call), String(reflecting: fields)] {
            #expect(!text.contains("hunter2"))
        }
        var dumped = ""
        dump(call, to: &dumped)
        dump(client, to: &dumped)
        #expect(!dumped.contains("hunter2"))
    }

    @Test(
        "A provider is named as in JSON and in paths",
        arguments: [
            ("github", "toolshed", "github", "github"), ("acme/github", "acme", "github", "acme~github"),
            ("toolshed/github", "toolshed", "github", "github"),
        ])
    func names(text: String, owner: String, bridge: String, path: String) throws {
        let id = try ProviderID(parsing: text)
        #expect(id.owner == owner && id.bridge == bridge && id.path == path)
        #expect(try ProviderID(parsing: id.json) == id)
        #expect(try ProviderID(path: id.path) == id)
    }

    @Test(
        "What is no name is refused",
        arguments: [
            "", "-a", "A", "a/b/c", "/a", "a/", "a~b", "a_b", "a.b", "../a", "é", String(repeating: "a", count: 64),
        ])
    func noNames(text: String) {
        #expect(throws: ProviderIDError.self) { try ProviderID(parsing: text) }
    }

    @Test("Names of 63 characters are the longest, and a path does not take a slash")
    func edges() throws {
        #expect(try ProviderID(parsing: String(repeating: "a", count: 63)).bridge.utf8.count == 63)
        #expect(throws: ProviderIDError.self) { try ProviderID(path: "acme/github") }
    }
}

@Suite("A provider's JSON")
struct JSONValueTests {
    @Test("Paths lead to values, null and absent alike to none")
    func paths() throws {
        let value = try #require(
            JSONValue(parsing: Array(#"{"a":{"b":{"c":1}},"n":null,"l":[{"x":"y"}],"t":true,"f":1.5}"#.utf8)))
        #expect(value.value(at: "a.b.c")?.text == "1")
        #expect(value.value(at: "") == value)
        #expect(value.value(at: "n") == nil)
        #expect(value.value(at: "a.b.c.d") == nil)
        #expect(value.value(at: "l.0") == nil)
        #expect(value["l"]?.array?.first?["x"]?.string == "y")
        #expect(value.value(at: "t")?.text == "true")
        #expect(value.value(at: "f")?.text == "1.5")
    }

    @Test("Large numbers keep every digit")
    func numbers() {
        #expect(JSONValue(parsing: Array("9007199254740993".utf8)) == .integer(9_007_199_254_740_993))
        #expect(JSONValue(parsing: Array("583231.0".utf8))?.text == "583231")
    }

    @Test("What is not JSON is none", arguments: ["", "{", "{'a':1}", "nul", "{\"a\" 1}", "\u{0}", "[1", "\"\\x\""])
    func noJSON(text: String) {
        #expect(JSONValue(parsing: Array(text.utf8)) == nil)
    }

    @Test("Depth is bounded")
    func depth() {
        let deep = String(repeating: "[", count: 100_000) + String(repeating: "]", count: 100_000)
        #expect(JSONValue(parsing: Array(deep.utf8)) == nil)
    }
}
