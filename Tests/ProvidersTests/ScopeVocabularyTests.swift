import OAuth
import Testing

@testable import Providers

@Suite("Scopes: names, words, implications")
struct ScopeVocabularyTests {
    static let builtIns = ["github", "google", "slack", "linear"]

    @Test("Every scope of a built-in provider has one line and a risk", arguments: builtIns)
    func words(name: String) throws {
        let entries = try provider(name).scopes.entries
        #expect(entries.count >= 12)
        for (scope, entry) in entries {
            #expect(!entry.text.isEmpty && !entry.text.contains("\n"), "\(scope)")
            #expect(entry.risk != .unknown, "\(scope)")
        }
    }

    @Test("The default scopes of every built-in provider have words", arguments: builtIns)
    func defaults(name: String) throws {
        let provider = try provider(name)
        for scope in provider.defaultScopes.names {
            #expect(provider.description(of: scope).risk != .unknown, "\(scope)")
        }
    }

    @Test(
        "Implications reach through",
        arguments: [
            ("github", "repo", "read:repo_hook"), ("github", "admin:org", "read:org"), ("github", "user", "user:email"),
            ("google", "https://mail.google.com/", "gmail.send"), ("google", "drive", "documents.readonly"),
            ("google", "calendar", "calendar.events.owned.readonly"), ("google", "drive", "drive.metadata.readonly"),
            ("slack", "channels:manage", "channels:write.topic"), ("linear", "write", "comments:create"),
            ("linear", "customer:write", "customer:read"),
        ])
    func implied(name: String, granted: String, asked: String) throws {
        #expect(try provider(name).missing(from: ScopeSet([granted]), for: ScopeSet([asked])).isEmpty)
    }

    @Test(
        "What is not implied is missing",
        arguments: [
            ("github", "read:user", "user:email"), ("github", "public_repo", "repo"),
            ("google", "drive", "drive.appdata"),
            ("google", "gmail.readonly", "gmail.send"), ("linear", "issues:create", "write"),
            ("slack", "chat:write", "files:write"),
        ])
    func notImplied(name: String, granted: String, asked: String) throws {
        #expect(try provider(name).missing(from: ScopeSet([granted]), for: ScopeSet([asked])) == ScopeSet([asked]))
    }

    @Test("Google's short names and aliases become its own names, and those stay as they are")
    func canonical() throws {
        let google = try provider("google")
        let prefix = "https://www.googleapis.com/auth/"
        #expect(google.canonical(["gmail.modify", "email", "userinfo.email"]) == ["\(prefix)gmail.modify", "email"])
        let once = google.canonical(["calendar", "openid", "https://mail.google.com/", "\(prefix)userinfo.profile"])
        #expect(google.canonical(once) == once)
    }

    @Test("An unknown scope is shown as it is, with risk unknown")
    func unknown() throws {
        let description = try provider("slack").description(of: "teleport:everyone")
        #expect(description.text == "teleport:everyone")
        #expect(description.risk == .unknown)
        #expect(try provider("google").description(of: "gmail.modify").risk == .write)
    }

    @Test("Missing shrinks when more is granted, and what is granted is never missing", arguments: builtIns)
    func laws(name: String) throws {
        let provider = try provider(name)
        let all = provider.scopes.entries.keys.sorted()
        var random = SplitMix(seed: 17)
        for _ in 0..<300 {
            func some() -> ScopeSet {
                ScopeSet(all.shuffled(using: &random).prefix(Int.random(in: 0...6, using: &random)))
            }
            let (granted, more, asked) = (some(), some(), some())
            let missing = provider.missing(from: granted, for: asked)
            #expect(missing.isSubset(of: asked))
            #expect(provider.missing(from: granted.union(more), for: asked).isSubset(of: missing))
            #expect(provider.missing(from: granted, for: granted).isEmpty)
            #expect(provider.missing(from: granted.union(missing), for: asked).isEmpty)
            let requested = provider.requestScopes(asked: asked, granted: granted)
            #expect(provider.canonical(asked).isSubset(of: requested))
            #expect(provider.missing(from: requested, for: asked).isEmpty)
            if provider.incremental != .additive { #expect(provider.canonical(granted).isSubset(of: requested)) }
        }
    }

    @Test("The order and repetition of names make no difference")
    func setLaws() throws {
        #expect(try ScopeSet(parsing: "b a,b  a") == ["a", "b"])
        #expect(try ScopeSet(parsing: "").isEmpty)
        #expect(ScopeSet(["b", "a"]).text == "a b")
        #expect(throws: ScopeError.notAToken("a\"b")) { try ScopeSet(parsing: "a\"b") }
        #expect(throws: ScopeError.notAToken("é")) { try ScopeSet(tokens: ["é"]) }
        #expect(throws: ScopeError.notAToken("a b")) { try ScopeSet(tokens: ["a b"]) }
        #expect(throws: ScopeError.tooMany(201)) { try ScopeSet(tokens: (0..<201).map(String.init)) }
    }
}
