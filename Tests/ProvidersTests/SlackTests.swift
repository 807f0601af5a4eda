import Encoding
import OAuth
import Secrets
import Testing

@testable import Providers

@Suite("Slack, as its documentation shows it answer")
struct SlackTests {
    let slack: Provider
    let asked: ScopeSet = ["channels:read", "chat:write", "groups:read"]

    init() throws {
        slack = try provider("slack")
    }

    private func parse(_ body: String, for grant: GrantType = .authorizationCode) -> TokenOutcome {
        slack.parseTokens(json(body), for: grant, requested: asked, at: noon)
    }

    static let user = """
        "authed_user":{"id":"U1","scope":"channels:read,chat:write,groups:read","access_token":"xoxp-1","token_type":"user"}
        """
    static let team = #""team":{"id":"T1","name":"Acme"},"enterprise":null,"is_enterprise_install":false"#

    @Test("SL-1 the scopes go into user_scope with commas, and there is no challenge")
    func authorize() throws {
        let url = try slack.authorizationURL(
            state: "S", codeChallenge: "C", scopes: slack.requestScopes(asked: asked, granted: .empty),
            redirectURI: "https://t.example/api/auth/slack/callback")
        #expect(
            query(url) == [
                "client_id": "sl-id", "redirect_uri": "https://t.example/api/auth/slack/callback", "state": "S",
                "response_type": "code", "user_scope": "channels:read,chat:write,groups:read",
            ])
        #expect(url.contains("user_scope=channels%3Aread%2Cchat%3Awrite%2Cgroups%3Aread"))
    }

    @Test("SL-2 a user-only answer gives the token under authed_user")
    func userOnly() throws {
        let tokens = try #require(parse(#"{"ok":true,"app_id":"A1",\#(Self.user),\#(Self.team)}"#).tokens)
        #expect(tokens.accessToken.plain == "xoxp-1")
        #expect(tokens.scopes == asked)
        #expect(tokens.metadata["team.id"] == "T1")
        #expect(tokens.metadata["authed_user.id"] == "U1")
        #expect(tokens.expiresAt == nil)
    }

    @Test("SL-3 beside a bot's token, the person's is taken")
    func both() throws {
        let tokens = try #require(
            parse(
                #"{"ok":true,"access_token":"xoxb-1","token_type":"bot","scope":"commands","bot_user_id":"B1",\#(Self.user)}"#
            ).tokens)
        #expect(tokens.accessToken.plain == "xoxp-1")
        #expect(!tokens.scopes.contains("commands"))
    }

    @Test("SL-4 a bot's token alone is never stored as the person's")
    func botOnly() {
        let answer =
            #"{"ok":true,"access_token":"xoxb-1","token_type":"bot","scope":"chat:write","authed_user":{"id":"U1"}}"#
        #expect(parse(answer).refusal == "no_user_token config")
    }

    @Test(
        "SL-5 ok:false is an error whatever the status is",
        arguments: [
            ("invalid_code", "replay"), ("bad_redirect_uri", "config"), ("bad_client_secret", "config"),
            ("no_scopes", "config"), ("oauth_authorization_url_mismatch", "config"), ("ratelimited", "transient"),
        ])
    func refusals(code: String, kind: String) {
        #expect(parse(#"{"ok":false,"error":"\#(code)"}"#).refusal == "\(code) \(kind)")
    }

    @Test("ok:false without a code, and no ok at all, are no success")
    func notOk() {
        #expect(parse(#"{"ok":false}"#).refusal == "not_ok transient")
        #expect(parse(#"{"access_token":"xoxp-1","token_type":"user"}"#).tokens == nil)
    }

    @Test("SL-6 and SL-7 with rotation the answers are nested first and flat later")
    func rotation() throws {
        let first = try #require(
            parse(
                """
                {"ok":true,"authed_user":{"id":"U1","scope":"chat:write","access_token":"xoxe.xoxp-1-a",
                 "refresh_token":"xoxe-1-a","expires_in":43200,"token_type":"user"},\(Self.team)}
                """
            ).tokens)
        #expect(first.refreshToken?.plain == "xoxe-1-a")
        #expect(first.expiresAt == noon.adding(seconds: 43_200))
        let call = try slack.refreshCall(try #require(first.refreshToken))
        #expect(call.fields == ["grant_type": "refresh_token", "refresh_token": "xoxe-1-a"])
        #expect(call.header("Authorization") == "Basic c2wtaWQ6c2wtc2VjcmV0")
        let second = try #require(
            parse(
                """
                {"ok":true,"access_token":"xoxe.xoxp-1-b","expires_in":43200,"refresh_token":"xoxe-1-b",
                 "token_type":"user","scope":"channels:read,chat:write,groups:read","app_id":"A1",\(Self.team)}
                """, for: .refreshToken
            ).tokens)
        #expect(second.accessToken.plain == "xoxe.xoxp-1-b")
        #expect(second.refreshToken?.plain == "xoxe-1-b")
    }

    @Test("SL-8 a refresh token that is gone means a new consent")
    func deadRefreshToken() {
        #expect(
            parse(#"{"ok":false,"error":"invalid_refresh_token"}"#, for: .refreshToken).refusal
                == "invalid_refresh_token reauthorize")
    }

    @Test("SL-10 scopes add up at Slack, so only the new ones are asked")
    func additive() {
        #expect(slack.requestScopes(asked: ["files:write"], granted: asked) == ["files:write"])
    }

    @Test("SL-11 an optional scope left out is missing")
    func optional() {
        #expect(slack.missing(from: ["channels:read", "chat:write"], for: asked) == ["groups:read"])
    }

    @Test("SL-12 auth.revoke carries the token itself, once the operator wants it")
    func revocation() throws {
        #expect(try slack.revocationCall(accessToken: SecretText("xoxp-1"), refreshToken: nil) == nil)
        #expect(slack.parseRevocation(json(#"{"ok":true}"#)) == .unsupported)
        let on = try provider("slack", "version: 1\nproviders: { slack: { revoke: { default: on } } }")
        let call = try #require(
            try on.revocationCall(accessToken: SecretText("xoxp-1"), refreshToken: SecretText("xoxe-1")))
        #expect(call.method == "POST")
        #expect(call.url == "https://slack.com/api/auth.revoke")
        #expect(call.header("Authorization") == "Bearer xoxp-1")
        #expect(on.parseRevocation(json(#"{"ok":true,"revoked":true}"#)) == .revoked)
        #expect(on.parseRevocation(json(#"{"ok":false,"error":"token_revoked"}"#)) == .revoked)
        #expect(on.parseRevocation(json(#"{"ok":false,"error":"internal_error"}"#)) == .failed)
        #expect(on.parseRevocation(html(200)) == .failed)
    }

    @Test("SL-13 the account is team and user, and its name says both")
    func identity() throws {
        let tokens = try #require(identities(["chat:write"]))
        let call = try #require(try slack.identityCall(0, tokens: tokens))
        #expect(call.method == "POST")
        let reply = json(#"{"ok":true,"team":"Acme","user":"ada","team_id":"T1","user_id":"U1"}"#)
        #expect(
            slack.parseIdentity(0, reply: reply, tokens: tokens)
                == AccountIdentity(id: "T1:U1", label: "ada @ Acme", tenant: "T1"))
        let refused = json(#"{"ok":false,"error":"invalid_auth"}"#)
        #expect(slack.parseIdentity(0, reply: refused, tokens: tokens) == nil)
    }

    @Test("SL-15 an installation for the whole organization belongs to it")
    func organization() throws {
        let tokens = try #require(identities(["chat:write"]))
        let reply = json(
            #"{"ok":true,"team":"Acme Org","user":"ada","user_id":"U1","enterprise_id":"E1","is_enterprise_install":true}"#
        )
        let account = slack.parseIdentity(0, reply: reply, tokens: tokens)
        #expect(account?.tenant == "E1")
        #expect(account?.id == "E1:U1")
    }

    @Test("SL-14 Retry-After is a number or a date, an hour at most")
    func retryAfter() {
        func wait(_ text: String) -> Int? {
            ProviderReply(status: 429, headers: ["retry-after": text]).retryAfterSeconds(at: noon)
        }
        #expect(wait("30") == 30)
        #expect(wait("86400") == 3_600)
        #expect(wait("99999999999999999999999999") == 3_600)
        #expect(wait("-1") == nil)
        #expect(wait("soon") == nil)
        // 1,800,000,000 s after 1970.
        #expect(wait("Fri, 15 Jan 2027 08:01:00 GMT") == 60)
        #expect(wait("Fri, 15 Jan 2027 07:00:00 GMT") == 0)
        #expect(ProviderReply(status: 429).retryAfterSeconds(at: noon) == nil)
    }

    @Test("SL-17 the flow for user tokens only uses plain OAuth names")
    func userFlow() throws {
        let flow = try configured("slack-user")
        let url = try flow.authorizationURL(state: "S", codeChallenge: nil, scopes: asked, redirectURI: "r")
        #expect(url.hasPrefix("https://slack.com/oauth/v2_user/authorize?"))
        #expect(query(url)["scope"] == "channels:read,chat:write,groups:read")
        #expect(query(url)["user_scope"] == nil)
        let tokens = flow.parseTokens(
            json(#"{"ok":true,"access_token":"xoxp-9","scope":"chat:write"}"#), requested: asked, at: noon
        ).tokens
        #expect(tokens?.accessToken.plain == "xoxp-9")
    }

    @Test("SL-18 identify, which nobody asked for, is not kept")
    func identify() throws {
        let tokens = try #require(
            parse(
                #"{"ok":true,"authed_user":{"scope":"identify,chat:write","access_token":"xoxp-1","token_type":"user"}}"#
            ).tokens)
        #expect(tokens.scopes == ["chat:write"])
    }

    @Test("SL-19 a webhook's URL is a secret and is not kept")
    func webhook() throws {
        let tokens = try #require(
            parse(
                #"{"ok":true,"incoming_webhook":{"url":"https://hooks.slack.com/services/T/B/x"},\#(Self.user)}"#
            ).tokens)
        #expect(!tokens.metadata.values.contains { $0.contains("hooks.slack.com") })
    }

    @Test("GovSlack is one variable, any other host is refused")
    func govSlack() throws {
        func at(_ host: String) throws -> Provider {
            try provider("slack", "version: 1\nproviders: { slack: { vars: { host: { default: \(host) } } } }")
        }
        #expect(
            try at("slack-gov.com").authorizationURL(state: "S", codeChallenge: nil, scopes: asked, redirectURI: "r")
                .hasPrefix("https://slack-gov.com/oauth/v2/authorize"))
        #expect(throws: CatalogueError.self) { try at("slack.com.evil.example") }
    }
}
