import Encoding
import OAuth
import Secrets
import Testing

@testable import Providers

@Suite("Google, as its documentation shows it answer")
struct GoogleTests {
    let google: Provider
    let prefix = "https://www.googleapis.com/auth/"

    init() throws {
        google = try provider("google")
    }

    @Test("GO-1 the request is offline, with consent, S256 and full scope names")
    func authorize() throws {
        let scopes = google.requestScopes(asked: google.defaultScopes, granted: .empty)
        let url = try google.authorizationURL(
            state: "S", codeChallenge: String(repeating: "c", count: 43), scopes: scopes,
            redirectURI: "https://t.example/api/auth/google/callback")
        #expect(url.hasPrefix("https://accounts.google.com/o/oauth2/v2/auth?"))
        #expect(
            query(url) == [
                "response_type": "code", "access_type": "offline", "prompt": "consent", "client_id": "go-id",
                "redirect_uri": "https://t.example/api/auth/google/callback", "state": "S",
                "code_challenge": String(repeating: "c", count: 43), "code_challenge_method": "S256",
                "scope": "\(prefix)calendar \(prefix)drive.readonly \(prefix)gmail.modify",
            ])
        #expect(!url.contains("+"), "a space is %20")
    }

    @Test("GO-2 a code with a slash is decoded once and encoded once")
    func slashInCode() throws {
        let response = try AuthorizationResponse(
            parsing: "state=S&code=4%2F0AbCd&scope=https%3A%2F%2Fwww.googleapis.com&authuser=0&prompt=consent")
        guard case .code(let code) = response.outcome else { throw MissingProvider(name: "code") }
        #expect(code.plain == "4/0AbCd")
        let call = try google.codeExchange(code: code, verifier: SecretText("V"), redirectURI: "https://t.example/cb")
        #expect(call.body?.plain.contains("code=4%2F0AbCd&") == true)
        #expect(
            call.fields == [
                "grant_type": "authorization_code", "code": "4/0AbCd", "redirect_uri": "https://t.example/cb",
                "code_verifier": "V", "client_id": "go-id", "client_secret": "go-secret",
            ])
    }

    @Test("GO-3 and GO-4 the order of scopes does not matter, an unticked one is missing by the asked name")
    func granted() throws {
        let answer = json(
            """
            {"access_token":"ya29.A","expires_in":3599,"refresh_token":"1//0A",
             "scope":"\(prefix)calendar \(prefix)gmail.modify \(prefix)drive.readonly","token_type":"Bearer"}
            """)
        let tokens = try #require(
            google.parseTokens(answer, for: .authorizationCode, requested: google.defaultScopes, at: noon).tokens)
        #expect(google.missing(from: tokens.scopes, for: google.defaultScopes).isEmpty)
        #expect(tokens.expiresAt == noon.adding(seconds: 3_599))
        let unticked = tokens.scopes.subtracting(["\(prefix)calendar"])
        #expect(google.missing(from: unticked, for: google.defaultScopes) == ["calendar"])
    }

    @Test("GO-6 renamed identity scopes are not missing")
    func aliases() throws {
        let answer = json(
            """
            {"access_token":"a","id_token":"e30","scope":"openid \(prefix)userinfo.email \(prefix)userinfo.profile"}
            """)
        let tokens = try #require(
            google.parseTokens(answer, requested: ["openid", "email", "profile"], at: noon).tokens)
        #expect(tokens.scopes == ["openid", "email", "profile"])
        #expect(tokens.metadata.isEmpty, "an identity token is not kept")
    }

    @Test("GO-7 scopes are asked for together; merging by parameter takes a switch")
    func incremental() throws {
        let granted: ScopeSet = ["\(prefix)calendar"]
        #expect(
            google.requestScopes(asked: ["drive.readonly"], granted: granted)
                == ["\(prefix)calendar", "\(prefix)drive.readonly"])
        let merging = try provider("google", "version: 1\nproviders: { google: { authorize: { use: [incremental] } } }")
        #expect(merging.requestScopes(asked: ["drive.readonly"], granted: granted) == ["\(prefix)drive.readonly"])
        let url = try merging.authorizationURL(state: "S", codeChallenge: "C", scopes: ["a"], redirectURI: "r")
        #expect(query(url)["include_granted_scopes"] == "true")
    }

    @Test("GO-8 a refresh without a new refresh token leaves the old one")
    func refresh() throws {
        let tokens = try #require(
            google.parseTokens(
                json(#"{"access_token":"ya29.B","expires_in":3599,"scope":"openid","token_type":"Bearer"}"#),
                requested: ["openid"], at: noon
            ).tokens)
        #expect(tokens.refreshToken == nil)
    }

    @Test("GO-9, GO-10 and GO-13 invalid_grant is about what was presented")
    func invalidGrant() {
        let dead = json(
            #"{"error":"invalid_grant","error_description":"Token has been expired or revoked."}"#, status: 400)
        #expect(
            google.parseTokens(dead, for: .refreshToken, requested: .empty, at: noon).refusal
                == "invalid_grant reauthorize")
        #expect(
            google.parseTokens(dead, for: .authorizationCode, requested: .empty, at: noon).refusal
                == "invalid_grant replay")
        let policy = json(#"{"error":"invalid_grant","error_subtype":"invalid_rapt"}"#, status: 400)
        #expect(google.parseTokens(policy, requested: .empty, at: noon).refusal == "invalid_grant reauthorize")
    }

    @Test("GO-12 a wrong client secret keeps every token")
    func wrongSecret() {
        let answer = json(#"{"error":"invalid_client","error_description":"Unauthorized"}"#, status: 401)
        #expect(google.parseTokens(answer, requested: .empty, at: noon).refusal == "invalid_client config")
    }

    @Test("GO-14 the refresh token alone revokes, and a token that was gone is done")
    func revocation() throws {
        let call = try #require(
            try google.revocationCall(accessToken: SecretText("ya29.A"), refreshToken: SecretText("1//0A")))
        #expect(call.url == "https://oauth2.googleapis.com/revoke")
        #expect(call.fields == ["token": "1//0A"])
        #expect(call.header("Authorization") == nil)
        #expect(google.parseRevocation(json("{}")) == .revoked)
        #expect(google.parseRevocation(json(#"{"error":"invalid_token"}"#, status: 400)) == .revoked)
        #expect(google.parseRevocation(json("{}", status: 503)) == .failed)
        let alone = try #require(try google.revocationCall(accessToken: SecretText("ya29.A"), refreshToken: nil))
        #expect(alone.fields == ["token": "ya29.A"])
    }

    @Test("GO-16 without identity scopes the label comes from Gmail, then Drive, then Calendar")
    func label() throws {
        let tokens = try #require(identities(["\(prefix)gmail.modify", "\(prefix)drive.readonly"]))
        let first = try #require(try google.identityCall(0, tokens: tokens))
        #expect(first.url == "https://gmail.googleapis.com/gmail/v1/users/me/profile")
        let answer = json(#"{"emailAddress":"ada@example.com","messagesTotal":1}"#)
        #expect(
            google.parseIdentity(0, reply: answer, tokens: tokens)
                == AccountIdentity(id: "ada@example.com", label: "ada@example.com"))
        #expect(
            try google.identityCall(1, tokens: tokens)?.url.hasPrefix("https://www.googleapis.com/drive/v3/about")
                == true)
        #expect(try google.identityCall(2, tokens: tokens) == nil)
        let openID = try #require(identities(["openid"]))
        #expect(try google.identityCall(0, tokens: openID)?.url == "https://openidconnect.googleapis.com/v1/userinfo")
    }

    @Test("GO-20 and GO-21 time-based access has its end, and policy is the administrator's")
    func timeBased() throws {
        let answer = json(#"{"access_token":"a","refresh_token":"r","refresh_token_expires_in":86400}"#)
        let tokens = try #require(google.parseTokens(answer, requested: .empty, at: noon).tokens)
        #expect(tokens.refreshExpiresAt == noon.adding(seconds: 86_400))
        #expect(google.authorizationErrorClass("admin_policy_enforced") == .admin)
        #expect(google.authorizationErrorClass("access_denied") == .denied)
    }
}
