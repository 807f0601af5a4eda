import OAuth
import Secrets
import Testing

@testable import Providers

@Suite("Discovery (RFC 8414, OpenID Connect Discovery)")
struct DiscoveryTests {
    static func corp(_ more: String = "", issuer: String = "https://id.corp.example") -> String {
        """
        version: 1
        providers:
          corp:
            issuer: \(issuer)
            client: { id: i, secret: s }
        \(more)
        """
    }

    static func document(_ more: String = "", issuer: String = "https://id.corp.example") -> ProviderReply {
        json(
            """
            {"issuer":"\(issuer)","authorization_endpoint":"\(issuer)/authorize","token_endpoint":"\(issuer)/token"\(more)}
            """)
    }

    @Test("Without a path two places are tried, with a path three, in the order of the RFCs")
    func places() throws {
        let corp = try provider("corp", Self.corp())
        #expect(
            corp.discoveryCalls().map(\.url) == [
                "https://id.corp.example/.well-known/oauth-authorization-server",
                "https://id.corp.example/.well-known/openid-configuration",
            ])
        #expect(
            ServerMetadata.locations(issuer: "https://id.example/realms/a") == [
                "https://id.example/.well-known/oauth-authorization-server/realms/a",
                "https://id.example/.well-known/openid-configuration/realms/a",
                "https://id.example/realms/a/.well-known/openid-configuration",
            ])
        #expect(
            ServerMetadata.locations(issuer: "https://id.example/").first
                == "https://id.example/.well-known/oauth-authorization-server")
        #expect(try provider("google").discoveryCalls().isEmpty)
    }

    @Test("Until the metadata is there, no message can be made")
    func undiscovered() throws {
        let corp = try provider("corp", Self.corp())
        #expect(throws: ProviderError.notDiscovered) {
            try corp.authorizationURL(state: "S", codeChallenge: "C", scopes: ["a"], redirectURI: "r")
        }
        #expect(throws: ProviderError.notDiscovered) { try corp.refreshCall(SecretText("r")) }
    }

    @Test("The metadata gives endpoints, client authentication, userinfo and revocation")
    func applied() throws {
        let corp = try provider("corp", Self.corp()).applying(
            metadata: Self.document(
                """
                ,"revocation_endpoint":"https://id.corp.example/revoke","userinfo_endpoint":"https://id.corp.example/me",
                 "code_challenge_methods_supported":["plain","S256"],
                 "token_endpoint_auth_methods_supported":["client_secret_post","client_secret_basic"]
                """))
        #expect(!corp.needsDiscovery)
        let sent = query(try corp.authorizationURL(state: "S", codeChallenge: "C", scopes: ["a"], redirectURI: "r"))
        #expect(sent["code_challenge_method"] == "S256", "S256 is the default where a server has metadata")
        let call = try corp.codeExchange(code: SecretText("c"), verifier: SecretText("v"), redirectURI: "r")
        #expect(call.url == "https://id.corp.example/token")
        #expect(call.header("Authorization") == "Basic aTpz")
        #expect(call.fields["client_secret"] == nil)
        let revocation = try #require(try corp.revocationCall(accessToken: nil, refreshToken: SecretText("r")))
        #expect(revocation.url == "https://id.corp.example/revoke")
        #expect(revocation.header("Authorization") == "Basic aTpz")
        let tokens = try #require(identities(["a"]))
        #expect(try corp.identityCall(0, tokens: tokens)?.url == "https://id.corp.example/me")
    }

    @Test(
        "The client proves itself as the metadata says",
        arguments: [
            ("", "basic"), (#","token_endpoint_auth_methods_supported":["client_secret_post"]"#, "body"),
            (#","token_endpoint_auth_methods_supported":["private_key_jwt","client_secret_basic"]"#, "basic"),
            (#","token_endpoint_auth_methods_supported":["none"]"#, "none"),
        ])
    func authentication(member: String, way: String) throws {
        let corp = try provider("corp", Self.corp()).applying(metadata: Self.document(member))
        #expect(corp.token.authentication?.rawValue == way)
        let own = try provider("corp", Self.corp("    token: { auth: body }")).applying(metadata: Self.document(member))
        #expect(own.token.authentication == .body, "the entry wins")
    }

    @Test(
        "An issuer that is not the configured one byte for byte is refused",
        arguments: [
            "https://id.corp.example/", "https://ID.corp.example", "https://id.corp.example:443",
            "https://evil.example", "",
        ])
    func otherIssuer(issuer: String) throws {
        let corp = try provider("corp", Self.corp())
        #expect(throws: DiscoveryError.self) { try corp.applying(metadata: Self.document(issuer: issuer)) }
    }

    @Test("Endpoints from the metadata are https, or loopback http where the entry permits it")
    func endpoints() throws {
        let corp = try provider("corp", Self.corp())
        let plain = json(
            #"{"issuer":"https://id.corp.example","authorization_endpoint":"http://id.corp.example/a","token_endpoint":"https://id.corp.example/t"}"#
        )
        #expect(throws: DiscoveryError.endpoint(name: "authorize", url: "http://id.corp.example/a")) {
            try corp.applying(metadata: plain)
        }
        let issuer = "http://127.0.0.1:4000/generic"
        let local = try provider("corp", Self.corp("    allow_loopback_http: true", issuer: issuer))
        #expect(try !local.applying(metadata: Self.document(issuer: issuer)).needsDiscovery)
    }

    @Test("A server that knows PKCE and not S256 is refused, one that says nothing gets S256")
    func pkce() throws {
        let corp = try provider("corp", Self.corp())
        #expect(throws: DiscoveryError.noS256) {
            try corp.applying(metadata: Self.document(#","code_challenge_methods_supported":["plain"]"#))
        }
        #expect(try corp.applying(metadata: Self.document()).usesPKCE)
        let off = try provider("corp", Self.corp(#"    authorize: { pkce: { default: "off" } }"#))
        #expect(try !off.applying(metadata: Self.document(#","code_challenge_methods_supported":["plain"]"#)).usesPKCE)
    }

    @Test("A server that announces iss must send it")
    func issuerParameter() throws {
        let corp = try provider("corp", Self.corp())
        #expect(try !corp.applying(metadata: Self.document()).expectsIssuer)
        let announced = Self.document(#","authorization_response_iss_parameter_supported":true"#)
        #expect(try corp.applying(metadata: announced).expectsIssuer)
    }

    @Test("An endpoint of the entry wins over the metadata's")
    func entryWins() throws {
        let corp = try provider("corp", Self.corp("    endpoints: { token: https://own.example/t }")).applying(
            metadata: Self.document())
        #expect(try corp.refreshCall(SecretText("r")).url == "https://own.example/t")
        #expect(corp.resolvedEndpoints.contains { $0.url == "https://id.corp.example/authorize" })
    }

    @Test("What is no metadata is refused, with what was wrong")
    func noMetadata() throws {
        let corp = try provider("corp", Self.corp())
        func error(_ reply: ProviderReply) -> DiscoveryError? {
            do {
                _ = try corp.applying(metadata: reply)
                return nil
            } catch {
                return error
            }
        }
        #expect(error(html(200)) == .metadata(.notJSON))
        #expect(error(html(404)) == .metadata(.status(404)))
        #expect(error(json("[]")) == .metadata(.notJSON))
        #expect(error(json(#"{"issuer":"https://id.corp.example"}"#)) == .metadata(.missing("authorization_endpoint")))
        #expect(error(json(#"{"issuer":["https://id.corp.example"]}"#)) == .metadata(.missing("issuer")))
    }
}
