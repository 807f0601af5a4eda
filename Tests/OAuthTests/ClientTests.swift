import OAuth
import Testing

/// What clients of our authorization server send: credentials, documents at their own address, requests.
@Suite struct ClientTests {
    @Test(
        "Which ids are addresses of documents (B-CIMD-1)",
        arguments: [
            ("https://claude.ai/oauth/claude-code-client-metadata", "claude.ai"),
            ("https://vscode.dev/oauth/client-metadata.json", "vscode.dev"),
            ("https://app.example:8443/c?v=1", "app.example"),
        ])
    func documents(id: String, host: String) {
        #expect(ClientDocument.host(of: id) == host)
    }

    @Test(
        "Which ids are not",
        arguments: [
            "http://app.example/client", "https://app.example", "https://app.example/", "https://app.example/?x",
            "https://app.example?x",
            "https://app.example/client#x", "https://user@app.example/client", "https://app.example/./client",
            "https://app.example/a/../client", "https://app.example/%2e/client", "https://app.example/%2E%2e/client",
            "https://app.example/.%2e/client", "https://app.example/a%2fb", "https://app.example/%zz", "mc_AAAA", "",
            "https://app.example/\u{20}client",
        ])
    func noDocuments(id: String) {
        #expect(ClientDocument.host(of: id) == nil)
    }

    private static let id = "https://app.example/client"
    private static func reply(_ body: String, status: Int = 200, type: String = "application/json") -> ProviderReply {
        ProviderReply(status: status, headers: ["content-type": type], body: Array(body.utf8))
    }

    @Test("A document is taken as it is (B-CIMD-3)")
    func document() throws {
        let body =
            #"{"client_id": "https://app.example/client", "client_name": "App", "redirect_uris": ["http://localhost/callback", "x:y"], "grant_types": ["authorization_code", "refresh_token"], "token_endpoint_auth_method": "none"}"#
        let known = try ClientDocument.parse(Self.reply(body, type: "application/json; charset=utf-8"), id: Self.id) {
            $0
        }
        #expect(known.name == "App" && known.redirectURIs.map(\.text) == ["http://localhost/callback"])
        #expect(known.grantTypes == ["authorization_code", "refresh_token"])
    }

    @Test(
        "What is no document of this client is refused (B-CIMD-2, B-CIMD-3)",
        arguments: [
            reply(
                #"{"client_id": "https://app.example/other", "client_name": "App", "redirect_uris": ["https://a.example/cb"]}"#
            ),
            reply(
                #"{"client_id": "https://APP.example/client", "client_name": "App", "redirect_uris": ["https://a.example/cb"]}"#
            ),
            reply(#"{"client_name": "App", "redirect_uris": ["https://a.example/cb"]}"#),
            reply(#"{"client_id": "https://app.example/client", "redirect_uris": ["https://a.example/cb"]}"#),
            reply(#"{"client_id": "https://app.example/client", "client_name": "App", "redirect_uris": []}"#),
            reply(#"{"client_id": "https://app.example/client", "client_name": "App"}"#),
            reply(
                #"{"client_id": "https://app.example/client", "client_name": "App", "redirect_uris": ["https://a.example/cb"], "client_secret": "x"}"#
            ),
            reply(
                #"{"client_id": "https://app.example/client", "client_name": "App", "redirect_uris": ["https://a.example/cb"], "token_endpoint_auth_method": "client_secret_basic"}"#
            ),
            reply(
                #"{"client_id": "https://app.example/client", "client_name": "App", "redirect_uris": ["https://a.example/cb"]}"#,
                status: 201),
            reply(
                #"{"client_id": "https://app.example/client", "client_name": "App", "redirect_uris": ["https://a.example/cb"]}"#,
                type: "text/html"),
            reply("<html>"), reply("[]"), reply(""),
            reply(
                #"{"client_id": "https://app.example/client", "client_name": "App", "redirect_uris": ["https://a.example/cb"], "x": "\#(String(repeating: "x", count: 10_240))"}"#
            ),
        ])
    func refusedDocument(reply: ProviderReply) {
        #expect(throws: OAuthError.self) { try ClientDocument.parse(reply, id: Self.id) { $0 } }
    }

    @Test(
        "How long a document is good (B-CIMD-4)",
        arguments: [
            (nil, 300), ("max-age=10", 300), ("public, max-age=3600", 3600), ("max-age=999999999", 86_400),
            ("no-store", 300),
            ("max-age=x", 300), ("MAX-AGE=7200", 7200),
        ] as [(String?, Int64)])
    func freshness(control: String?, seconds: Int64) {
        let headers = control.map { ["cache-control": $0] } ?? [:]
        #expect(ClientDocument.freshness(ProviderReply(status: 200, headers: headers)) == seconds)
    }

    @Test("One way to authenticate, in both encodings (B-TOK-2)")
    func credentials() throws {
        let form = [(name: "client_id", value: "mc_a")]
        let none = try ShownCredentials(authorization: nil, form: form)
        #expect(none.method == .none && none.clientID == "mc_a" && none.secret == nil)
        let post = try ShownCredentials(authorization: nil, form: form + [(name: "client_secret", value: "s")])
        #expect(post.method == .post && post.secret == "s")
        for encoded in ["bWNfYTptc19i", "bWMlNUZhOm1zJTVGYg=="] {
            let basic = try ShownCredentials(authorization: "Basic " + encoded, form: form)
            #expect(basic.method == .basic && basic.clientID == "mc_a" && basic.secret == "ms_b")
        }
        for wrong in ["Bearer x", "Basic", "Basic !", "Basic bWNfYQ==", ""] {
            #expect(throws: OAuthError.self) { try ShownCredentials(authorization: wrong, form: []) }
        }
        #expect(throws: OAuthError.self) {
            try ShownCredentials(authorization: "Basic bWNfYTptc19i", form: [(name: "client_secret", value: "s")])
        }
        #expect(throws: OAuthError.self) {
            try ShownCredentials(authorization: "Basic bWNfYTptc19i", form: [(name: "client_id", value: "mc_b")])
        }
    }

    @Test("A verifier is 43 to 128 unreserved characters, a challenge 43 of base64url")
    func proofKeys() {
        for good in [
            String(repeating: "a", count: 43), String(repeating: "~", count: 128), String(repeating: "-._~", count: 11),
        ] {
            #expect(PKCE.isVerifier(good))
        }
        for bad in [
            "", String(repeating: "a", count: 42), String(repeating: "a", count: 129),
            String(repeating: "+", count: 43),
        ] {
            #expect(!PKCE.isVerifier(bad))
        }
        #expect(PKCE.isChallenge("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"))
        for bad in [
            "", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-c", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw+cM",
            String(repeating: "B", count: 43),
        ] {
            #expect(!PKCE.isChallenge(bad))
        }
    }

    @Test("Only what could be anybody's is unreadable; what is a client's fault is told to it")
    func queries() throws {
        let good =
            "client_id=a&response_type=code&code_challenge_method=S256&code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
        #expect(try AuthorizationQuery(parsing: Array(good.utf8)).error == nil)
        for (query, reason) in [
            ("", AuthorizationQuery.Unreadable.noClient), ("client_id=", .noClient),
            ("client_id=a&client_id=a", .noClient),
            ("client_id=a&redirect_uri=b&redirect_uri=b", .redirect), ("client_id=%zz", .malformed),
            ("client_id=%ff", .malformed),
            (good + "&state=" + String(repeating: "x", count: 9000), .malformed),
        ] {
            #expect(throws: reason) { try AuthorizationQuery(parsing: Array(query.utf8)) }
        }
        for (added, code) in [
            ("&state=a&state=b", OAuthError.Code.invalidRequest), ("&response_mode=form_post", .invalidRequest),
            ("&resource=a", .invalidTarget), ("&resource=https://a.example&resource=b", .invalidTarget),
        ] {
            #expect(try AuthorizationQuery(parsing: Array((good + added).utf8)).error?.code == code)
        }
    }
}
