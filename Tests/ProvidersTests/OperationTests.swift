import OAuth
import Testing

@testable import Providers

@Suite("The catalogue of operations")
struct OperationTests {
    private func operation(_ name: String, _ method: APIMethod, _ path: String) throws -> String? {
        try provider(name).operation(method, APITarget(parsing: path))?.name
    }

    @Test("A call is found by method and path")
    func matching() throws {
        #expect(try operation("github", .get, "/repos/octo/hello/issues?state=open") == "issues.list")
        #expect(try operation("github", .head, "/repos/octo/hello/issues") == "issues.list")
        #expect(try operation("github", .post, "/repos/octo/hello/issues") == "issues.create")
        #expect(try operation("github", .get, "/repos/octo/hello/contents/docs/deep/a.md") == "contents.get")
        #expect(try operation("github", .get, "/repos/octo/hello/issues/7") == "issues.get")
        #expect(try operation("github", .delete, "/repos/octo/hello/issues") == nil)
        #expect(try operation("google", .get, "/gmail/v1/users/me/messages") == "gmail.messages.list")
        #expect(try operation("google", .get, "/calendar/v3/calendars/primary/events") == "calendar.events.list")
        #expect(try operation("slack", .post, "/chat.postMessage") == "chat.postMessage")
        #expect(try operation("slack", .get, "/chat.postMessage") == nil)
    }

    @Test("What is written out wins over what varies")
    func specific() throws {
        let corp = try provider(
            "corp",
            """
            version: 1
            providers:
              corp:
                issuer: https://id.corp.example
                api: { base: "https://api.corp.example" }
                operations:
                  any: { call: "GET /users/{id}", text: "Read a user." }
                  me: { call: "GET /users/me", text: "Read yourself.", scopes: [read] }
                  tree: { call: "GET /files/{path+}", text: "Read a file." }
            """)
        #expect(corp.operation(.get, try APITarget(parsing: "/users/me"))?.name == "me")
        #expect(corp.operation(.get, try APITarget(parsing: "/users/7"))?.name == "any")
        #expect(corp.operation(.get, try APITarget(parsing: "/files/a/b/c"))?.name == "tree")
        #expect(corp.operation(.get, try APITarget(parsing: "/files/")) == nil)
        #expect(corp.operation(.get, try APITarget(parsing: "/users/7/x")) == nil)
    }

    @Test("Every operation of the four built-in providers has known scopes and can be called")
    func sound() throws {
        for name in ["github", "google", "slack", "linear"] {
            let entry = try provider(name)
            #expect(entry.operations.count >= 4, "\(name)")
            for operation in entry.operations {
                for scope in operation.sufficient.flatMap(\.names) {
                    #expect(
                        entry.scopes.entries[entry.scopes.canonical(scope)] != nil,
                        "\(name) \(operation.name): \(scope)")
                }
                #expect(operation.text.hasSuffix("."), "\(operation.name)")
                let filled = operation.path.parameters.reduce(operation.path.text) {
                    $0.replacing("{\($1)}", with: "x1").replacing("{\($1)+}", with: "x1/y2")
                }
                let target = try APITarget(parsing: filled)
                #expect(entry.operation(operation.method, target, operation.graphQL)?.name == operation.name)
            }
        }
    }

    @Test(
        "A wrong operation is refused with its place", arguments: ["GET", "FETCH /x", "GET x", "GET /{a+}/b", "get /x"])
    func wrong(_ call: String) throws {
        let error = #expect(throws: CatalogueError.self) {
            try provider(
                "corp",
                """
                version: 1
                providers:
                  corp: { issuer: "https://id.example", operations: { x: { call: "\(call)", text: "X." } } }
                """)
        }
        #expect(error?.field == "providers.corp.operations.x.call")
    }

    @Test(
        "Headers that say who calls or how are not a provider's own",
        arguments: [
            "Authorization", "cookie", "Host", "X-HTTP-Method-Override", "Connection", "Toolshed-User",
            "X-Forwarded-For",
            "a b", "a:b", "X-$foo", "Proxy-Authorization", "Sec-Fetch-Mode", "Content-Length", "",
        ])
    func headers(_ name: String) {
        #expect(throws: CatalogueError.self) {
            try provider(
                "corp",
                "version: 1\nproviders: { corp: { issuer: 'https://id.example', api: { headers: ['\(name)'] } } }")
        }
    }

    @Test("Words find operations: names before descriptions, providers only to decide")
    func search() throws {
        let catalogue = try catalogue()
        func found(_ query: String) -> [String] { catalogue.operations(for: query).map(\.id) }
        #expect(found("list github issues").first == "github:issues.list")
        #expect(found("create an issue").contains("github:issues.create"))
        #expect(found("send slack message").first == "slack:chat.postMessage")
        #expect(found("search mail").first?.hasPrefix("google:gmail.messages") == true)
        #expect(found("gmail").allSatisfy { $0.hasPrefix("google:") })
        #expect(found("zzzz qqqq") == [])
        #expect(found("slack").allSatisfy { $0.hasPrefix("slack:") } && !found("slack").isEmpty)
        #expect(catalogue.operations(for: "").count == 20)
        #expect(
            catalogue.operations(for: "list", provider: try ProviderID(parsing: "linear")).allSatisfy {
                $0.provider.id.json == "linear"
            })
        #expect(catalogue.operation(named: "github:issues.list")?.operation.scopes == ["repo"])
        #expect(catalogue.operation(named: "github:nothing") == nil)
        #expect(catalogue.operation(named: "nowhere:issues.list") == nil)
        #expect(catalogue.operation(named: "notion:x") == nil)
    }

    @Test("Words are split at humps and dots and lose their plural")
    func words() {
        #expect(Catalogue.words("chat.postMessages") == ["chat", "post", "message"])
        #expect(Catalogue.words("List the ISSUES; of a repo's") == ["list", "the", "issue", "of", "a", "repo", "s"])
        #expect(Catalogue.words("access") == ["access"])
    }
}
