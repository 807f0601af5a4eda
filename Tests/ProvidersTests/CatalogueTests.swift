import OAuth
import Testing

@testable import Providers

@Suite("The built-in catalogue")
struct CatalogueTests {
    @Test("Every entry is read, and none is configured without its variables")
    func everyEntryIsRead() throws {
        let catalogue = try Catalogue.load(environment: [:])
        #expect(catalogue.providers.count == 18)
        #expect(catalogue.providers.values.allSatisfy { !$0.isConfigured })
        #expect(catalogue.warnings.isEmpty)
    }

    @Test("An id without its secret is said, and configures nothing")
    func halfAClient() throws {
        let catalogue = try Catalogue.load(environment: ["GITHUB_CLIENT_ID": "id", "SLACK_CLIENT_SECRET": "secret"])
        #expect(catalogue.providers.values.allSatisfy { !$0.isConfigured })
        #expect(catalogue.warnings.contains("github: not configured, GITHUB_CLIENT_SECRET is not set"))
        #expect(catalogue.warnings.contains("slack: not configured, SLACK_CLIENT_ID is not set"))
    }

    struct Row: Sendable, CustomStringConvertible {
        let name: String
        let pkce: Bool
        let revoke: Bool
        let scopes: [String]
        var description: String { name }
    }

    static let table = [
        Row(name: "github", pkce: false, revoke: false, scopes: ["repo", "read:user"]),
        Row(name: "google", pkce: true, revoke: true, scopes: ["gmail.modify", "calendar", "drive.readonly"]),
        Row(name: "slack", pkce: false, revoke: false, scopes: ["channels:read", "chat:write", "groups:read"]),
        Row(name: "linear", pkce: true, revoke: true, scopes: ["read", "write"]),
    ]

    @Test("The four built-in providers behave as promised out of the box", arguments: table)
    func defaults(row: Row) throws {
        let provider = try provider(row.name)
        #expect(provider.kind == .builtin)
        #expect(provider.isConfigured)
        #expect(provider.usesPKCE == row.pkce)
        #expect(provider.revokesAtProvider == row.revoke)
        #expect(provider.defaultScopes == ScopeSet(row.scopes))
    }

    @Test("What GitHub and Slack can do today is switched on by a file")
    func switchedOn() throws {
        let file = """
            version: 1
            providers:
              github:
                authorize: { pkce: { default: S256 } }
                revoke: { default: on }
              slack:
                revoke: { default: "on" }
            """
        let github = try provider("github", file)
        #expect(github.usesPKCE)
        #expect(github.revokesAtProvider)
        #expect(github.isConfigured, "the client still comes from the environment")
        #expect(github.defaultScopes == ["repo", "read:user"])
        #expect(try provider("slack", file).revokesAtProvider)
    }

    @Test("Twelve further entries are there, each with how it is known")
    func further() throws {
        let all = try Catalogue.load(environment: [:]).providers.values.filter { $0.kind == .extra }
        #expect(all.count == 12)
        #expect(all.filter { $0.basis == .memory }.map(\.id.bridge) == ["microsoft"])
        #expect(Set(all.filter { $0.basis == .clients }.map(\.id.bridge)) == ["dropbox", "salesforce"])
        #expect(all.allSatisfy { $0.documentation?.hasPrefix("https://") == true })
    }

    @Test("A variant has its parent's facts and a registration of its own")
    func variants() throws {
        let variant = try provider("github-app")
        #expect(!variant.isConfigured)
        #expect(variant.environment?.id == "GITHUB_APP_CLIENT_ID")
        #expect(variant.endpoints.token == (try provider("github")).endpoints.token)
        #expect(variant.authorize.scopeParameter == nil)
        #expect(try provider("slack-user").environment == nil)
    }

    @Test("PKCE that is available and off is a warning, where it costs nothing to switch on")
    func pkceWarning() throws {
        let warnings = try catalogue().warnings
        #expect(warnings.contains { $0.hasPrefix("github: PKCE is available and off") })
        #expect(!warnings.contains { $0.hasPrefix("slack: PKCE") }, "there it makes refresh tokens end after 30 days")
        #expect(!warnings.contains { $0.hasPrefix("google:") })
        #expect(warnings.contains { $0.hasPrefix("github: disconnecting does not revoke") })
    }

    @Test("Every endpoint of every entry is https")
    func https() throws {
        for provider in try Catalogue.load(environment: [:]).providers.values {
            for (_, url) in provider.resolvedEndpoints { #expect(url.hasPrefix("https://"), "\(provider.id) \(url)") }
        }
    }
}
