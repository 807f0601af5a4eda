import Encoding
import OAuth
import Secrets
import Testing

@testable import Providers

@Suite("GitHub, as its documentation shows it answer")
struct GitHubTests {
    let github: Provider
    let asked: ScopeSet = ["repo", "read:user"]

    init() throws {
        github = try provider("github")
    }

    private func parse(_ reply: ProviderReply, for grant: GrantType = .authorizationCode) -> TokenOutcome {
        github.parseTokens(reply, for: grant, requested: asked, at: noon)
    }

    @Test("GH-1 a form answer gives the token and both scopes")
    func formAnswer() throws {
        let tokens = try #require(
            parse(form("access_token=gho_TESTAAAA&scope=repo%2Cread%3Auser&token_type=bearer")).tokens)
        #expect(tokens.accessToken.plain == "gho_TESTAAAA")
        #expect(tokens.scopes == asked)
    }

    @Test("GH-2 and GH-7 a JSON answer without a lifetime does not expire")
    func jsonAnswer() throws {
        let tokens = try #require(
            parse(json(#"{"access_token":"gho_TESTAAAA","token_type":"bearer","scope":"repo,read:user"}"#)).tokens)
        #expect(tokens.scopes == asked)
        #expect(tokens.expiresAt == nil)
        #expect(tokens.refreshToken == nil)
        #expect(tokens.refreshExpiresAt == nil)
    }

    @Test("GH-3 an error with status 200 is an error, in either encoding")
    func errorWith200() {
        let text = "The code passed is incorrect or expired."
        #expect(
            parse(json(#"{"error":"bad_verification_code","error_description":"\#(text)"}"#)).refusal
                == "bad_verification_code replay")
        #expect(
            parse(form("error=bad_verification_code&error_description=The+code+passed+is+incorrect")).refusal
                == "bad_verification_code replay")
    }

    @Test(
        "GH-4 to GH-6 each code says whose fault it is",
        arguments: [
            ("incorrect_client_credentials", "config"), ("redirect_uri_mismatch", "config"),
            ("unverified_user_email", "user_action"), ("unsupported_grant_type", "config"),
        ])
    func codes(code: String, kind: String) {
        #expect(parse(json(#"{"error":"\#(code)"}"#)).refusal == "\(code) \(kind)")
    }

    @Test("GH-8 an expiring token has both lifetimes, counted from its receipt")
    func expiring() throws {
        let tokens = try #require(
            parse(
                json(
                    """
                    {"access_token":"gho_B","expires_in":28800,"refresh_token":"ghr_B",
                     "refresh_token_expires_in":15897600,"scope":"repo,read:user","token_type":"bearer"}
                    """)
            ).tokens)
        #expect(tokens.refreshToken?.plain == "ghr_B")
        #expect(tokens.expiresAt == noon.adding(seconds: 28_800))
        #expect(tokens.refreshExpiresAt == noon.adding(seconds: 15_897_600))
    }

    @Test("GH-9 a spent refresh token means a new consent")
    func spentRefreshToken() {
        #expect(
            parse(json(#"{"error":"bad_refresh_token"}"#), for: .refreshToken).refusal
                == "bad_refresh_token reauthorize")
    }

    @Test("GH-10 a refresh sends no scope")
    func refreshSendsNoScope() throws {
        let call = try github.refreshCall(SecretText("ghr_B"), scopes: asked)
        #expect(call.fields.keys.sorted() == ["client_id", "client_secret", "grant_type", "refresh_token"])
        #expect(call.fields["grant_type"] == "refresh_token")
        #expect(call.url == "https://github.com/login/oauth/access_token")
    }

    @Test("GH-11 scopes that GitHub folds into another count as granted")
    func normalised() {
        let asked: ScopeSet = ["repo", "public_repo", "user", "user:email"]
        #expect(github.missing(from: ["repo", "user"], for: asked).isEmpty)
    }

    @Test("GH-12 a scope that the person took away is missing")
    func cutScope() throws {
        let tokens = try #require(parse(json(#"{"access_token":"a","scope":"read:user"}"#)).tokens)
        #expect(tokens.scopes == ["read:user"])
        #expect(github.missing(from: tokens.scopes, for: asked) == ["repo"])
    }

    @Test("GH-13 what is granted is asked again beside what is new, because the new token has only what was asked")
    func replace() {
        #expect(github.requestScopes(asked: ["gist"], granted: ["repo"]) == ["gist", "repo"])
    }

    @Test("GH-15 offline_access is sent and never missing")
    func offlineAccess() throws {
        let asked: ScopeSet = ["repo", "offline_access"]
        #expect(github.requestScopes(asked: asked, granted: .empty) == asked)
        #expect(github.missing(from: ["repo"], for: asked).isEmpty)
        let tokens = try #require(
            github.parseTokens(
                json(#"{"access_token":"a","scope":"repo,offline_access"}"#), requested: asked, at: noon
            ).tokens)
        #expect(tokens.scopes == ["repo"])
    }

    @Test("GH-16 a code that nobody has documented never ends a grant")
    func unlisted() {
        #expect(
            parse(json(#"{"error":"too_many_tokens_today"}"#), for: .refreshToken).refusal
                == "too_many_tokens_today transient")
    }

    @Test("GH-17 a GitHub App's empty scope does not make everything missing")
    func gitHubApp() throws {
        let app = try configured("github-app")
        let answer = json(
            """
            {"access_token":"ghu_X","expires_in":28800,"refresh_token":"ghr_X","refresh_token_expires_in":15811200,
             "scope":"","token_type":"bearer"}
            """)
        let tokens = try #require(app.parseTokens(answer, requested: asked, at: noon).tokens)
        #expect(app.missing(from: tokens.scopes, for: asked).isEmpty)
        #expect(github.parseTokens(answer, requested: asked, at: noon).tokens?.scopes == .empty)
    }

    @Test("GH-18 a token is deleted with Basic authentication and JSON, once the operator wants it")
    func deletion() throws {
        #expect(try github.revocationCall(accessToken: SecretText("gho_B"), refreshToken: nil) == nil)
        let on = try provider("github", "version: 1\nproviders: { github: { revoke: { default: on } } }")
        let call = try #require(try on.revocationCall(accessToken: SecretText("gho_B"), refreshToken: SecretText("r")))
        #expect(call.method == "DELETE")
        #expect(call.url == "https://api.github.com/applications/gh-id/token")
        #expect(call.header("Authorization") == "Basic Z2gtaWQ6Z2gtc2VjcmV0")
        #expect(call.header("Content-Type") == "application/json")
        #expect(call.body?.plain == #"{"access_token":"gho_B"}"#)
        #expect(on.parseRevocation(ProviderReply(status: 204)) == .revoked)
        #expect(on.parseRevocation(json(#"{"message":"Not Found"}"#, status: 404)) == .revoked)
        #expect(on.parseRevocation(json("{}", status: 422)) == .revoked)
        #expect(on.parseRevocation(json("{}", status: 401)) == .failed)
        #expect(on.parseRevocation(html(502)) == .failed)
    }

    @Test("GH-20 and GH-21 an error at the callback has its class")
    func callbackErrors() {
        #expect(github.authorizationErrorClass("access_denied") == .denied)
        #expect(github.authorizationErrorClass("redirect_uri_mismatch") == .config)
        #expect(github.authorizationErrorClass("application_suspended") == .config)
    }

    @Test("GH-23 the account is its number, its name is the login")
    func identity() throws {
        let tokens = try #require(identities(["repo"]))
        let call = try #require(try github.identityCall(0, tokens: tokens))
        #expect(call.url == "https://api.github.com/user")
        #expect(call.header("User-Agent")?.isEmpty == false)
        #expect(call.header("Authorization") == "Bearer ya29.A")
        let reply = json(#"{"id":583231,"login":"octo","name":null,"email":null}"#)
        #expect(
            github.parseIdentity(0, reply: reply, tokens: tokens) == AccountIdentity(id: "583231", label: "octo"))
        #expect(github.parseIdentity(0, reply: json("{}", status: 403), tokens: tokens) == nil)
        #expect(try github.identityCall(1, tokens: tokens) == nil)
    }

    @Test("GH-25 no challenge is sent out of the box, and S256 once it is on")
    func pkce() throws {
        let url = try github.authorizationURL(
            state: "S", codeChallenge: "C", scopes: asked, redirectURI: "https://t.example/api/auth/github/callback")
        #expect(query(url).keys.sorted() == ["client_id", "redirect_uri", "response_type", "scope", "state"])
        #expect(query(url)["scope"] == "read:user repo")
        let on = try provider("github", "version: 1\nproviders: { github: { authorize: { pkce: { default: S256 } } } }")
        let withPKCE = query(
            try on.authorizationURL(state: "S", codeChallenge: "C", scopes: asked, redirectURI: "https://t.example/cb"))
        #expect(withPKCE["code_challenge"] == "C")
        #expect(withPKCE["code_challenge_method"] == "S256")
        let verifier = try SecretText("V")
        #expect(
            try github.codeExchange(code: SecretText("c"), verifier: verifier, redirectURI: "r").fields["code_verifier"]
                == nil)
        #expect(
            try on.codeExchange(code: SecretText("c"), verifier: verifier, redirectURI: "r").fields["code_verifier"]
                == "V")
    }

    @Test("An Enterprise Server is two variables")
    func enterprise() throws {
        let own = try provider(
            "github",
            """
            version: 1
            providers:
              github:
                vars: { web_host: { default: git.corp.example }, api_base: { default: "https://git.corp.example/api/v3" } }
            """)
        #expect(
            try own.codeExchange(code: SecretText("c"), verifier: nil, redirectURI: "r").url
                == "https://git.corp.example/login/oauth/access_token")
        let tokens = try #require(identities([]))
        #expect(try own.identityCall(0, tokens: tokens)?.url == "https://git.corp.example/api/v3/user")
        #expect(own.manageURL == "https://git.corp.example/settings/connections/applications/gh-id")
    }
}
