import Encoding
import OAuth
import Secrets
import Testing

@testable import Providers

@Suite("Linear, as its documentation shows it answer")
struct LinearTests {
    let linear: Provider

    init() throws {
        linear = try provider("linear")
    }

    private func parse(
        _ body: String, status: Int = 200, for grant: GrantType = .authorizationCode,
        asked: ScopeSet = ["read", "write"]
    ) -> TokenOutcome {
        linear.parseTokens(json(body, status: status), for: grant, requested: asked, at: noon)
    }

    @Test("LI-1 scopes are joined with commas and the challenge is S256")
    func authorize() throws {
        let url = try linear.authorizationURL(
            state: "S", codeChallenge: "C", scopes: linear.requestScopes(asked: ["read", "write"], granted: .empty),
            redirectURI: "https://t.example/cb")
        #expect(url.contains("scope=read%2Cwrite"))
        #expect(query(url)["response_type"] == "code")
        #expect(query(url)["code_challenge_method"] == "S256")
    }

    @Test("LI-2 the exchange is a form")
    func exchange() throws {
        let call = try linear.codeExchange(code: SecretText("c"), verifier: SecretText("v"), redirectURI: "r")
        #expect(call.header("Content-Type") == "application/x-www-form-urlencoded")
        #expect(call.header("Accept") == "application/json")
        let tokens = try #require(
            parse(
                #"{"access_token":"a1","token_type":"Bearer","expires_in":86399,"scope":"read write","refresh_token":"r1"}"#
            )
            .tokens)
        #expect(tokens.scopes == ["read", "write"])
        #expect(tokens.expiresAt == noon.adding(seconds: 86_399))
    }

    @Test("LI-3 an old app's list of scopes is read too")
    func list() throws {
        #expect(parse(#"{"access_token":"a1","scope":["read","write"]}"#).tokens?.scopes == ["read", "write"])
    }

    @Test("LI-4 a lifetime of ten years is believed")
    func tenYears() throws {
        let tokens = try #require(parse(#"{"access_token":"a1","expires_in":315705599}"#).tokens)
        #expect(tokens.expiresAt == noon.adding(seconds: 315_705_599))
        #expect(tokens.refreshToken == nil)
    }

    @Test("LI-5 and LI-6 each refresh rotates, a replay within half an hour is safe, then the grant is gone")
    func rotation() {
        #expect(linear.refresh.rotates == .yes)
        #expect(linear.refresh.graceSeconds == 1_800)
        #expect(linear.refresh.replaySameRequest)
        #expect(
            parse(#"{"error":"invalid_grant"}"#, status: 400, for: .refreshToken).refusal == "invalid_grant reauthorize"
        )
    }

    @Test("A refresh request for the same token is the same bytes, so that it can be replayed")
    func sameBytes() throws {
        let first = try linear.refreshCall(SecretText("r1"))
        let second = try linear.refreshCall(SecretText("r1"))
        #expect(first.body?.plain == second.body?.plain)
    }

    @Test("LI-7 read is always there, and never missing")
    func alwaysRead() throws {
        let tokens = try #require(
            parse(#"{"access_token":"a1","scope":"issues:create"}"#, asked: ["issues:create"]).tokens)
        #expect(tokens.scopes == ["issues:create", "read"])
        #expect(linear.missing(from: ["issues:create"], for: ["read"]).isEmpty)
    }

    @Test("LI-8 and LI-9 odd and client errors keep the tokens")
    func keepTokens() {
        let odd = #"{"error":"Error","error_description":"Client does not support the client_credentials grant type"}"#
        #expect(parse(odd, status: 400, for: .refreshToken).refusal == "Error config")
        for status in [400, 401] {
            #expect(
                parse(#"{"error":"invalid_client"}"#, status: status, for: .refreshToken).refusal
                    == "invalid_client config")
        }
    }

    @Test("LI-10 revocation names the token and its kind, and what was gone is done")
    func revocation() throws {
        let call = try #require(
            try linear.revocationCall(accessToken: SecretText("a1"), refreshToken: SecretText("r1")))
        #expect(call.fields == ["token": "r1", "token_type_hint": "refresh_token"])
        #expect(call.header("Authorization") == nil)
        let access = try #require(try linear.revocationCall(accessToken: SecretText("a1"), refreshToken: nil))
        #expect(access.fields["token_type_hint"] == "access_token")
        for status in [200, 400, 401] { #expect(linear.parseRevocation(json("{}", status: status)) == .revoked) }
        #expect(linear.parseRevocation(json("{}", status: 500)) == .failed)
    }

    @Test("LI-11 and LI-12 the account is the viewer, and an answer with errors tells nothing")
    func identity() throws {
        let tokens = try #require(identities(["read"]))
        let call = try #require(try linear.identityCall(0, tokens: tokens))
        #expect(call.method == "POST")
        #expect(call.header("Content-Type") == "application/json")
        #expect(call.body?.plain.contains("viewer") == true)
        let reply = json(
            """
            {"data":{"viewer":{"id":"u-1","name":"Ada","email":"ada@example.com"},
                     "organization":{"id":"o-1","name":"Acme","urlKey":"acme"}}}
            """)
        #expect(
            linear.parseIdentity(0, reply: reply, tokens: tokens)
                == AccountIdentity(id: "o-1:u-1", label: "Ada @ Acme", tenant: "o-1"))
        #expect(
            linear.parseIdentity(0, reply: json(#"{"errors":[{"message":"no"}],"data":null}"#), tokens: tokens) == nil)
    }

    @Test("LI-13 a rate limit with status 400 keeps the tokens")
    func rateLimited() {
        let answer = #"{"errors":[{"message":"Rate limit","extensions":{"code":"RATELIMITED"}}]}"#
        #expect(parse(answer, status: 400, for: .refreshToken).refusal == "http_400 transient")
    }

    @Test("LI-14 acting as the app and asking for admin is refused before anybody is sent anywhere")
    func asApp() throws {
        let app = try provider("linear", "version: 1\nproviders: { linear: { authorize: { use: [act_as_app] } } }")
        let url = try app.authorizationURL(state: "S", codeChallenge: "C", scopes: ["read"], redirectURI: "r")
        #expect(query(url)["actor"] == "app")
        #expect(throws: ProviderError.forbiddenScopes(["admin"])) {
            try app.authorizationURL(state: "S", codeChallenge: "C", scopes: ["admin", "read"], redirectURI: "r")
        }
    }
}
