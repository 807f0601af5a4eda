import OAuth
import Secrets
import Testing

private let heap: Void = {
    do { try SecureHeap.start(bytes: 1 << 20) } catch { fatalError("no locked memory for tests: \(error)") }
}()

@Suite("The answer to the redirect URI (RFC 6749 section 4.1.2)")
struct AuthorizationResponseTests {
    init() { _ = heap }

    private func code(_ query: String) throws -> String? {
        guard case .code(let code) = try AuthorizationResponse(parsing: query).outcome else { return nil }
        return code.withString { $0 }
    }

    @Test("Code and state are decoded once, what else comes is ignored")
    func accepted() throws {
        let response = try AuthorizationResponse(parsing: "state=S%2B1&code=4%252F0&scope=a&authuser=0&prompt=consent")
        #expect(response.state == "S+1")
        #expect(try code("state=S&code=4%252F0") == "4%2F0")
        #expect(response.issuer == nil)
        #expect(response.kept.isEmpty)
    }

    @Test("CO-3 an error wins over a code beside it")
    func errorWins() throws {
        let response = try AuthorizationResponse(
            parsing: "code=C&state=S&error=access_denied&error_description=No+thanks")
        guard case .error(let code, let text) = response.outcome else {
            Issue.record("read as a code")
            return
        }
        #expect(code == "access_denied")
        #expect(text == "No thanks")
    }

    @Test(
        "A parameter that decides something and comes twice is refused", arguments: ["code", "state", "iss", "error"])
    func repeated(name: String) {
        #expect(throws: AuthorizationResponseError.repeated(name)) {
            try AuthorizationResponse(parsing: "code=C&state=S&\(name)=x&\(name)=y")
        }
    }

    @Test("One that decides nothing may come twice")
    func otherRepeated() throws {
        #expect(try code("code=C&state=S&scope=a&scope=b") == "C")
    }

    @Test("Without a state nothing is accepted, an installation that GitHub reports neither")
    func noState() {
        #expect(throws: AuthorizationResponseError.missing("state")) {
            try AuthorizationResponse(parsing: "code=C&installation_id=1&setup_action=install")
        }
        #expect(throws: AuthorizationResponseError.missing("state")) {
            try AuthorizationResponse(parsing: "code=C&state=")
        }
        #expect(throws: AuthorizationResponseError.missing("code")) {
            try AuthorizationResponse(parsing: "state=S&code=")
        }
        #expect(throws: AuthorizationResponseError.missing("state")) { try AuthorizationResponse(parsing: "") }
    }

    @Test("Sizes are bounded: the query at 8 KiB, the code at 4096 bytes")
    func sizes() throws {
        #expect(try code("state=S&code=" + String(repeating: "c", count: 4_096))?.utf8.count == 4_096)
        #expect(throws: AuthorizationResponseError.tooLong("code")) {
            try AuthorizationResponse(parsing: "state=S&code=" + String(repeating: "c", count: 4_097))
        }
        let padding = String(repeating: "x", count: 8_192 - "state=S&code=C&y=".utf8.count)
        #expect(try code("state=S&code=C&y=" + padding) == "C")
        #expect(throws: AuthorizationResponseError.tooLong("query")) {
            try AuthorizationResponse(parsing: "state=S&code=C&y=" + padding + "x")
        }
    }

    @Test("CO-14 a long description is cut, a hostile one is only text")
    func description() throws {
        let response = try AuthorizationResponse(
            parsing: "state=S&error=e&error_description=%3Cscript%3E" + String(repeating: "x", count: 4_000))
        guard case .error(_, let text) = response.outcome else { return }
        #expect(text?.count == 500)
    }

    @Test(
        "Broken escapes and bytes that are no text are refused",
        arguments: ["code=%4", "state=%zz&code=C", "state=%FF&code=C"])
    func malformed(query: String) {
        #expect(throws: AuthorizationResponseError.malformed) { try AuthorizationResponse(parsing: query) }
    }

    @Test("A provider's own parameter names are read, and values it wants kept")
    func names() throws {
        var names = AuthorizationResponse.Names()
        names.code = "auth_code"
        names.keep = ["realmId"]
        let response = try AuthorizationResponse(parsing: "state=S&auth_code=C&realmId=9&other=1", names: names)
        #expect(response.kept == ["realmId": "9"])
    }

    @Test("iss is compared byte for byte, and its absence counts where it was announced (RFC 9207)")
    func issuer() throws {
        let with = try AuthorizationResponse(parsing: "state=S&code=C&iss=https%3A%2F%2Fid.example")
        let without = try AuthorizationResponse(parsing: "state=S&code=C")
        let error = try AuthorizationResponse(parsing: "state=S&error=e&iss=https%3A%2F%2Fevil.example")
        try with.checkIssuer(expected: "https://id.example", required: true)
        try without.checkIssuer(expected: "https://id.example", required: false)
        for other in ["https://id.example/", "https://ID.example", "https://id.example:443"] {
            #expect(throws: IssuerMismatch.different) { try with.checkIssuer(expected: other, required: false) }
        }
        #expect(throws: IssuerMismatch.absent) {
            try without.checkIssuer(expected: "https://id.example", required: true)
        }
        #expect(throws: IssuerMismatch.different) {
            try error.checkIssuer(expected: "https://id.example", required: false)
        }
    }

    @Test("An error is cut by code points, however many make a character")
    func marks() throws {
        let marked = String(repeating: "e%CC%81", count: 400)
        let response = try AuthorizationResponse(parsing: "error=\(marked)&error_description=\(marked)&state=s")
        guard case .error(let code, let text) = response.outcome else { throw AuthorizationResponseError.malformed }
        #expect(code.unicodeScalars.count == 128)
        #expect(text?.unicodeScalars.count == AuthorizationResponse.Limit.text)
    }

    @Test("Any query is read or refused, never a crash")
    func anything() {
        let alphabet = Array("codestaiserr=&%+2F;#?\u{00E9}\u{0}")
        var random = SystemRandomNumberGenerator()
        for _ in 0..<5_000 {
            let query = String((0..<Int.random(in: 0...40)).compactMap { _ in alphabet.randomElement(using: &random) })
            if let response = try? AuthorizationResponse(parsing: query) {
                #expect(!response.state.isEmpty, "\(query)")
            }
        }
    }
}
