import Encoding
import OAuth
import Secrets
import Testing

@testable import Providers

@Suite("The twelve further entries reach odd providers by data alone")
struct FurtherProvidersTests {
    private let code = "a-code"

    @Test("Notion: JSON with Basic, no scopes, a refresh token that may be null, the account in the answer")
    func notion() throws {
        let notion = try configured("notion")
        let call = try notion.codeExchange(code: SecretText(code), verifier: nil, redirectURI: "https://t/cb")
        #expect(call.header("Content-Type") == "application/json")
        #expect(call.header("Authorization") == "Basic YW4taWQ6YS1zZWNyZXQ=")
        #expect(
            JSONValue(parsing: Array((call.body?.plain ?? "").utf8))
                == .object([
                    "grant_type": .string("authorization_code"), "code": .string(code),
                    "redirect_uri": .string("https://t/cb"),
                ]))
        let url = try notion.authorizationURL(state: "S", codeChallenge: nil, scopes: ["x"], redirectURI: "r")
        #expect(query(url)["scope"] == nil)
        #expect(query(url)["owner"] == "user")
        let answer = json(
            """
            {"access_token":"t","refresh_token":null,"bot_id":"b","workspace_id":"w","workspace_name":"Acme",
             "owner":{"type":"user","user":{"id":"u","name":"Ada"}}}
            """)
        let tokens = try #require(
            notion.parseTokens(answer, for: .authorizationCode, requested: .empty, at: noon).tokens)
        #expect(tokens.refreshToken == nil)
        #expect(notion.identity(in: tokens) == AccountIdentity(id: "w:u", label: "Ada @ Acme", tenant: "w"))
        let revocation = try #require(try notion.revocationCall(accessToken: SecretText("t"), refreshToken: nil))
        #expect(revocation.body?.plain == #"{"token":"t"}"#)
    }

    @Test("Figma: refresh goes to an address of its own, and brings no refresh token")
    func figma() throws {
        let figma = try configured("figma")
        let call = try figma.refreshCall(SecretText("r"))
        #expect(call.url == "https://api.figma.com/v1/oauth/refresh")
        #expect(call.fields == ["refresh_token": "r"])
        let url = try figma.authorizationURL(
            state: "S", codeChallenge: nil, scopes: figma.defaultScopes, redirectURI: "r")
        #expect(query(url)["scope"] == "current_user:read,file_content:read")
    }

    @Test("Salesforce: no lifetime in the answer, and the API's host is kept")
    func salesforce() throws {
        let salesforce = try configured("salesforce")
        let tokens = try #require(
            salesforce.parseTokens(
                json(
                    #"{"access_token":"t","refresh_token":"r","instance_url":"https://acme.my.salesforce.com","scope":"api"}"#
                ),
                requested: ["api"], at: noon
            ).tokens)
        #expect(tokens.expiresAt == noon.adding(seconds: 7_200))
        #expect(tokens.metadata["instance_url"] == "https://acme.my.salesforce.com")
        #expect(salesforce.requestScopes(asked: ["api"], granted: .empty) == ["api", "refresh_token"])
        #expect(salesforce.api.hosts == ["*.salesforce.com"])
    }

    @Test("Spotify: a refresh token ends half a year after consent, whatever was refreshed since")
    func spotify() throws {
        let spotify = try configured("spotify")
        #expect(spotify.expiry.refreshClock == .absolute)
        #expect(spotify.expiry.refreshSeconds == 15_552_000)
        #expect(spotify.authorize.refusesLocalhost)
    }

    @Test("Atlassian: a 403 with invalid_grant is a dead grant, and refresh is JSON")
    func atlassian() throws {
        let atlassian = try configured("atlassian")
        let dead = json(
            #"{"error":"invalid_grant","error_description":"Unknown or invalid refresh token."}"#, status: 403)
        #expect(atlassian.parseTokens(dead, requested: .empty, at: noon).refusal == "invalid_grant reauthorize")
        #expect(try atlassian.refreshCall(SecretText("r")).header("Content-Type") == "application/json")
        #expect(atlassian.refresh.graceSeconds == 600)
        let sent = query(
            try atlassian.authorizationURL(state: "S", codeChallenge: nil, scopes: ["a"], redirectURI: "r"))
        #expect(sent["audience"] == "api.atlassian.com")
        let tokens = try #require(identities(["read:jira-work"]))
        #expect(try atlassian.identityCall(0, tokens: tokens)?.url.hasSuffix("accessible-resources") == true)
        let sites = json(#"[{"id":"site-1","name":"acme"},{"id":"site-2","name":"other"}]"#)
        #expect(
            atlassian.parseIdentity(0, reply: sites, tokens: tokens)
                == AccountIdentity(id: "site-1", label: "acme", tenant: "site-1"))
        #expect(atlassian.parseIdentity(0, reply: json("[]"), tokens: tokens) == nil)
    }

    @Test("Discord: a form with Basic, and the kind of token is said at revocation")
    func discord() throws {
        let discord = try configured("discord")
        let call = try discord.codeExchange(code: SecretText(code), verifier: nil, redirectURI: "r")
        #expect(call.header("Content-Type") == "application/x-www-form-urlencoded")
        let revocation = try #require(try discord.revocationCall(accessToken: SecretText("t"), refreshToken: nil))
        #expect(revocation.fields == ["token": "t", "token_type_hint": "access_token"])
        #expect(revocation.header("Authorization")?.hasPrefix("Basic ") == true)
    }

    @Test("HubSpot: a second code says more than the first")
    func hubSpot() throws {
        let hubSpot = try configured("hubspot")
        let dead = json(#"{"error":"odd","status":"BAD_REFRESH_TOKEN","message":"m"}"#, status: 400)
        #expect(hubSpot.parseTokens(dead, requested: .empty, at: noon).refusal == "BAD_REFRESH_TOKEN reauthorize")
        let tokens = try #require(identities(["oauth"]))
        let call = try #require(try hubSpot.identityCall(0, tokens: tokens))
        #expect(call.fields["token"] == "ya29.A")
        #expect(call.fields["client_secret"] == "a-secret")
        #expect(call.header("Authorization") == nil)
        let reply = json(#"{"hub_id":42,"user_id":7,"user":"ada","hub_domain":"acme.example"}"#)
        #expect(
            hubSpot.parseIdentity(0, reply: reply, tokens: tokens)
                == AccountIdentity(id: "42:7", label: "ada @ acme.example", tenant: "42"))
        #expect(hubSpot.sharesGrant)
    }

    @Test("Zoom: numbers are codes too, and a new grant ends the earlier ones")
    func zoom() throws {
        let zoom = try configured("zoom")
        let answer = json(#"{"error":"4735","reason":"Invalid refresh token"}"#, status: 401)
        #expect(zoom.parseTokens(answer, requested: .empty, at: noon).refusal == "4735 reauthorize")
        #expect(zoom.singleGrantPerUser)
    }

    @Test("Dropbox: the identity call is a POST with the body null")
    func dropbox() throws {
        let dropbox = try configured("dropbox")
        let tokens = try #require(identities(["account_info.read"]))
        let call = try #require(try dropbox.identityCall(0, tokens: tokens))
        #expect(call.method == "POST")
        #expect(call.body?.plain == "null")
        let revocation = try #require(
            try dropbox.revocationCall(accessToken: SecretText("t"), refreshToken: SecretText("r")))
        #expect(revocation.body?.plain == "null")
        #expect(revocation.header("Authorization") == "Bearer t")
        let reply = json(#"{"account_id":"dbid:1","email":"ada@example.com","name":{"display_name":"Ada"}}"#)
        #expect(dropbox.parseIdentity(0, reply: reply, tokens: tokens)?.label == "ada@example.com")
    }

    @Test("Microsoft: scopes that are not echoed are not missing, and a refresh says which it wants")
    func microsoft() throws {
        let microsoft = try configured("microsoft")
        let asked = microsoft.defaultScopes
        let tokens = try #require(
            microsoft.parseTokens(json(#"{"access_token":"t","scope":"User.Read"}"#), requested: asked, at: noon).tokens
        )
        #expect(microsoft.missing(from: tokens.scopes, for: asked).isEmpty)
        #expect(try microsoft.refreshCall(SecretText("r"), scopes: ["User.Read"]).fields["scope"] == "User.Read")
        #expect(!microsoft.revokesAtProvider)
        #expect(try microsoft.identityCall(0, tokens: tokens)?.url == "https://graph.microsoft.com/v1.0/me")
    }

    @Test("GitLab: a host of one's own, and the redirect URI again at refresh")
    func gitLab() throws {
        let own = try provider(
            "gitlab",
            "version: 1\nproviders: { gitlab: { client: { id: i, secret: s }, vars: { host: { default: 'git.example:8443' } } } }"
        )
        let call = try own.refreshCall(SecretText("r"), redirectURI: "https://t/cb")
        #expect(call.url == "https://git.example:8443/oauth/token")
        #expect(call.fields["redirect_uri"] == "https://t/cb")
        let tokens = try #require(identities(["read_user"]))
        let reply = json(#"{"id":9,"username":"ada"}"#)
        #expect(own.parseIdentity(0, reply: reply, tokens: tokens)?.tenant == "git.example:8443")
    }

    @Test("Asana: what was asked is offline by nature, S256")
    func asana() throws {
        let asana = try configured("asana")
        let url = try asana.authorizationURL(
            state: "S", codeChallenge: "C", scopes: asana.defaultScopes, redirectURI: "r")
        #expect(query(url)["code_challenge_method"] == "S256")
        let tokens = try #require(
            asana.parseTokens(
                json(
                    #"{"access_token":"t","expires_in":3600,"data":{"gid":"1","email":"ada@example.com","name":"Ada"}}"#
                ),
                requested: asana.defaultScopes, at: noon
            ).tokens)
        #expect(tokens.metadata == ["data.gid": "1", "data.email": "ada@example.com", "data.name": "Ada"])
    }
}
