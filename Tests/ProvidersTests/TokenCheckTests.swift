import OAuth
import Testing

@testable import Providers

@Suite("Asking a provider whether a token still lives")
struct TokenCheckTests {
    @Test("A 401 refuses it, an account accepts it, and nothing else says anything")
    func statuses() throws {
        let github = try provider("github")
        let tokens = try #require(identities(["repo"]))
        #expect(try github.tokenCheckCall(tokens)?.url == "https://api.github.com/user")
        #expect(
            github.parseTokenCheck(json(#"{"message":"Bad credentials"}"#, status: 401), tokens: tokens) == .refused)
        #expect(github.parseTokenCheck(json(#"{"id":1,"login":"octo"}"#), tokens: tokens) == .accepted)
        for status in [403, 404, 429, 500, 302] {
            #expect(github.parseTokenCheck(json("{}", status: status), tokens: tokens) == .unsaid, "\(status)")
        }
        #expect(github.parseTokenCheck(html(200), tokens: tokens) == .unsaid)
    }

    @Test("Slack says it in a 200, and only a code that means the end counts")
    func slack() throws {
        let slack = try provider("slack")
        let tokens = try #require(identities(["chat:write"]))
        func standing(_ code: String) -> TokenStanding {
            slack.parseTokenCheck(json(#"{"ok":false,"error":"\#(code)"}"#), tokens: tokens)
        }
        #expect(standing("token_revoked") == .refused)
        #expect(standing("invalid_auth") == .refused)
        #expect(standing("ratelimited") == .unsaid)
        #expect(standing("missing_scope") == .unsaid)
    }

    @Test("A provider without an identity call cannot be asked")
    func nobody() throws {
        let corp = try provider(
            "corp",
            """
            version: 1
            providers:
              corp:
                client: { id: i, secret: s }
                endpoints: { authorize: "https://id.example/a", token: "https://id.example/t" }
            """)
        #expect(try corp.tokenCheckCall(#require(identities([]))) == nil)
    }
}
