import OAuth
import Secrets
import Testing

@testable import Providers

@Suite("An operator's file")
struct OperatorFileTests {
    private func refusal(_ text: String, mode: UInt32 = 0o600) -> String? {
        do {
            _ = try catalogue(text, mode: mode)
            return nil
        } catch {
            return "\(error)"
        }
    }

    @Test("A provider found by its issuer is configured, and discovered before its first flow")
    func issuer() throws {
        let corp = try provider(
            "corp",
            """
            version: 1
            owner: toolshed
            providers:
              corp:
                name: Corp sign-on
                issuer: https://id.corp.example
                client: { id: toolshed, secret: "s3cret" }
                default_scopes: [repo, read]
                authorize: { pkce: { default: S256 } }
            """)
        #expect(corp.name == "Corp sign-on")
        #expect(corp.isConfigured)
        #expect(corp.client?.secret?.plain == "s3cret")
        #expect(corp.needsDiscovery)
        #expect(corp.kind == .operator)
        #expect(corp.defaultScopes == ["read", "repo"])
        #expect(corp.usesPKCE)
    }

    @Test("Endpoints alone are enough, and give userinfo its usual names")
    func endpoints() throws {
        let corp = try provider(
            "corp",
            """
            version: 1
            providers:
              corp:
                client: { id: toolshed, secret: s }
                endpoints:
                  authorize: https://id.example/a?tenant=1
                  token: https://id.example/t
                  revoke: https://id.example/r
                  userinfo: https://id.example/u
            """)
        #expect(!corp.needsDiscovery)
        #expect(corp.name == "corp")
        let url = try corp.authorizationURL(
            state: "S", codeChallenge: "C", scopes: ["a", "b"], redirectURI: "https://t/cb")
        #expect(url.hasPrefix("https://id.example/a?tenant=1&client_id=toolshed"))
        #expect(query(url)["scope"] == "a b")
        #expect(query(url)["code_challenge"] == nil, "PKCE is off unless the entry or the metadata say otherwise")
        let revocation = try #require(
            try corp.revocationCall(accessToken: SecretText("a"), refreshToken: SecretText("r")))
        #expect(revocation.fields == ["token": "r", "client_id": "toolshed", "client_secret": "s"])
        let tokens = try #require(identities(["a"]))
        #expect(try corp.identityCall(0, tokens: tokens)?.url == "https://id.example/u")
        let reply = json(#"{"sub":"248289761001","preferred_username":"octo","email":"o@example.com"}"#)
        #expect(
            corp.parseIdentity(0, reply: reply, tokens: tokens) == AccountIdentity(id: "248289761001", label: "octo"))
    }

    @Test("Another owner's bridge of a built-in name has that entry's facts and its own registration")
    func organization() throws {
        let file = """
            version: 1
            owner: acme
            providers:
              github:
                client: { id: acme-id, secret: s }
            """
        let acme = try provider("acme/github", file)
        #expect(acme.client?.id == "acme-id")
        #expect(acme.id.path == "acme~github")
        #expect(acme.endpoints.token == (try provider("github")).endpoints.token)
        #expect(try provider("github", file).client?.id == "gh-id", "the built-in one is untouched")
        let without = try catalogue("version: 1\nowner: acme\nproviders: { github: { name: Acme GitHub } }")
        let id = try ProviderID(parsing: "acme/github")
        #expect(without[id]?.isConfigured == false, "GITHUB_CLIENT_ID is not acme's")
    }

    @Test("A secret may come from a variable, and one that is not set configures nothing")
    func secretFromEnvironment() throws {
        let file = """
            version: 1
            providers:
              notion: { client: { id: n, secret_env: LINEAR_CLIENT_SECRET } }
              asana: { client: { id: n, secret_env: NOT_SET } }
            """
        #expect(try provider("notion", file).client?.secret?.plain == "li-secret")
        #expect(try !provider("asana", file).isConfigured)
        let all = try catalogue(file)
        #expect(all.warnings.contains { $0.hasPrefix("asana: not configured") })
        #expect(all.secretVariables.isSuperset(of: ["NOT_SET", "LINEAR_CLIENT_SECRET", "GITHUB_CLIENT_SECRET"]))
    }

    @Test(
        "A file with a secret must be its owner's alone",
        arguments: [(0o600, true), (0o400, true), (0o640, false), (0o644, false), (0o660, false), (0o700, false)]
            as [(UInt32, Bool)])
    func mode(mode: UInt32, accepted: Bool) {
        let file = "version: 1\nproviders:\n  github:\n    client: { id: i, secret: topsecret }\n"
        let refusal = refusal(file, mode: mode)
        #expect((refusal == nil) == accepted)
        if let refusal {
            #expect(refusal.hasPrefix("providers.d/1.yaml:4:30: providers.github.client.secret: holds a client secret"))
            #expect(!refusal.contains("topsecret"))
        }
    }

    @Test(
        "A name that people could not see, or not as it is, is refused",
        arguments: [#""""#, #"" ""#, #""a\u202Eb""#, #""\u3164""#, #""a\nb""#, #""Corp \u00FCber""#, #""Corp""#])
    func name(name: String) {
        let file = "version: 1\nproviders:\n  corp:\n    issuer: https://id.corp.example\n    name: \(name)\n"
        let refusal = refusal(file)
        #expect((refusal == nil) == name.contains("Corp"))
        if let refusal {
            #expect(refusal.hasPrefix("providers.d/1.yaml:5:11: providers.corp.name: expected 1 to 64 bytes"))
        }
    }

    @Test("A file without a secret may be read by anybody")
    func readable() {
        #expect(
            refusal(
                "version: 1\nproviders:\n  github: { client: { id: i, secret_env: GITHUB_CLIENT_SECRET } }\n",
                mode: 0o644) == nil)
    }

    @Test("http is refused, on loopback too unless the entry permits it, and elsewhere always")
    func loopback() throws {
        func file(_ origin: String, _ permitted: Bool) -> String {
            """
            version: 1
            providers:
              corp:
                allow_loopback_http: \(permitted)
                client: { id: i, secret: s }
                endpoints: { authorize: "\(origin)/a", token: "\(origin)/t" }
            """
        }
        for host in ["http://127.0.0.1:4000", "http://[::1]:4000", "http://localhost:4000"] {
            #expect(refusal(file(host, true)) == nil)
            let refused = try #require(refusal(file(host, false)))
            #expect(refused.hasPrefix("providers.d/1.yaml:6:16: providers.corp.endpoints: expected token to be https"))
            #expect(refused.contains("allow_loopback_http"))
        }
        for host in [
            "http://id.example", "http://127.0.0.1.evil.example", "http://128.0.0.1", "http://127.1", "ftp://127.0.0.1",
            "https://u@id.example",
        ] {
            #expect(refusal(file(host, true)) != nil, "\(host)")
        }
        #expect(
            try catalogue(file("http://127.0.0.1:4000", true)).warnings.contains {
                $0.hasPrefix("corp: allow_loopback_http")
            })
        let call = try provider("corp", file("http://127.0.0.1:4000", true))
            .codeExchange(code: SecretText("c"), verifier: nil, redirectURI: "r")
        #expect(call.limits.allowsLoopbackHTTP)
        #expect(
            try !provider("github").codeExchange(code: SecretText("c"), verifier: nil, redirectURI: "r").limits
                .allowsLoopbackHTTP)
    }

    @Test("Where the operator says where tokens come from, none goes to the built-in entry's hosts")
    func noLeakToBuiltInHosts() throws {
        let file = """
            version: 1
            providers:
              google:
                endpoints: { authorize: "https://g.corp.example/a", token: "https://g.corp.example/t" }
            """
        let google = try provider("google", file)
        #expect(google.identity.isEmpty)
        #expect(!google.revokesAtProvider)
        #expect(google.issuer == nil)
        #expect(google.resolvedEndpoints.allSatisfy { $0.url.hasPrefix("https://g.corp.example/") })
        #expect(try catalogue(file).warnings.contains { $0.hasPrefix("google: its token endpoint is the operator's") })
    }

    @Test("The operator's userinfo is read as the built-in entry reads its own, and by the usual names")
    func ownUserinfo() throws {
        let github = try provider(
            "github",
            """
            version: 1
            providers:
              github:
                endpoints: { authorize: "https://g.example/a", token: "https://g.example/t", userinfo: "https://g.example/u" }
            """)
        let tokens = try #require(identities([]))
        let own = json(#"{"id":7,"login":"octo"}"#)
        #expect(github.parseIdentity(0, reply: own, tokens: tokens)?.label == "octo")
        let openID = json(#"{"sub":"7","preferred_username":"octo"}"#)
        #expect(github.parseIdentity(0, reply: openID, tokens: tokens) == nil)
        #expect(try github.identityCall(1, tokens: tokens)?.url == "https://g.example/u")
        #expect(github.parseIdentity(1, reply: openID, tokens: tokens)?.label == "octo")
    }

    @Test("A parameter set to null is taken away, the others stay")
    func takenAway() throws {
        let google = try provider(
            "google", "version: 1\nproviders: { google: { authorize: { params: { prompt: null, hd: corp.example } } } }"
        )
        let sent = query(try google.authorizationURL(state: "S", codeChallenge: "C", scopes: ["a"], redirectURI: "r"))
        #expect(sent["prompt"] == nil)
        #expect(sent["hd"] == "corp.example")
        #expect(sent["access_type"] == "offline")
    }

    @Test("The same provider in two files is refused, and the first place is named")
    func twice() {
        let text = "version: 1\nproviders:\n  github: { name: One }\n"
        #expect(throws: (any Error).self) { try catalogue(text, text) }
        do {
            _ = try catalogue(text, text)
        } catch {
            #expect(
                "\(error)" == "providers.d/2.yaml:3:3: providers.github: was already given at providers.d/1.yaml:3:3")
        }
    }

    @Test("An empty file, and one with no providers, change nothing")
    func empty() throws {
        for text in ["", "# nothing\n", "version: 1\n", "version: 1\nproviders: {}\n"] {
            #expect(try catalogue(text).providers.count == 18)
        }
    }

    @Test("A login hint is sent where the provider takes one, by its name there")
    func loginHint() throws {
        func sent(_ name: String) throws -> [String: String] {
            query(
                try provider(name).authorizationURL(
                    state: "S", codeChallenge: nil, scopes: ["a"], redirectURI: "r", loginHint: "ada@example.com"))
        }
        #expect(try sent("google")["login_hint"] == "ada@example.com")
        #expect(try sent("github")["login"] == "ada@example.com")
        #expect(try sent("slack").values.allSatisfy { $0 != "ada@example.com" })
    }
}
