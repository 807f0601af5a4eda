import Testing

@testable import Providers

@Suite("A wrong file is refused with line, field and what was expected")
struct WrongFileTests {
    struct Case: Sendable, CustomStringConvertible {
        let name: String
        let text: String
        let refusal: String
        var description: String { name }
    }

    static let head =
        "version: 1\nproviders:\n  corp:\n    endpoints: { authorize: \"https://a.example/a\", token: \"https://a.example/t\" }\n"

    static let cases = [
        Case(name: "no version", text: "providers: {}\n", refusal: "f.yaml:1:1: version: missing, expected version: 1"),
        Case(name: "a later version", text: "version: 2\n", refusal: "f.yaml:1:10: version: expected 1, found '2'"),
        Case(name: "a list", text: "- 1\n", refusal: "f.yaml:1:1: expected a mapping, found a list"),
        Case(
            name: "an unknown field of the file", text: "version: 1\nprovider: {}\n",
            refusal: "f.yaml:2:1: provider: unknown field, expected one of owner, providers, version"),
        Case(
            name: "an owner that is no name", text: "version: 1\nowner: Acme Inc\n",
            refusal: "f.yaml:2:8: owner: expected a name of [a-z0-9][a-z0-9-]{0,62}, found 'Acme Inc'"),
        Case(
            name: "a provider that is no name", text: "version: 1\nproviders:\n  my_corp: {}\n",
            refusal: "f.yaml:3:3: providers.my_corp: expected a name of [a-z0-9][a-z0-9-]{0,62}, found 'my_corp'"),
        Case(
            name: "no endpoints", text: "version: 1\nproviders:\n  corp:\n    name: Corp\n",
            refusal:
                "f.yaml:4:5: providers.corp.endpoints: missing, expected authorize and token, or an issuer to discover them from"
        ),
        Case(
            name: "a typing error in a field", text: head + "    default_scope: [a]\n",
            refusal: "f.yaml:5:5: providers.corp.default_scope: unknown field, expected one of"),
        Case(
            name: "a typing error deep inside", text: head + "    authorize:\n      pkce:\n        defualt: S256\n",
            refusal:
                "f.yaml:7:9: providers.corp.authorize.pkce.defualt: unknown field, expected one of available, basis, default"
        ),
        Case(
            name: "a wrong choice", text: head + "    authorize: { pkce: { default: plain } }\n",
            refusal: "f.yaml:5:35: providers.corp.authorize.pkce.default: expected off or S256, found 'plain'"),
        Case(
            name: "a text where a number belongs", text: head + "    expiry:\n      access_default_s: soon\n",
            refusal:
                "f.yaml:6:25: providers.corp.expiry.access_default_s: expected a whole number from 0 to 2147483647, found 'soon'"
        ),
        Case(
            name: "a negative number", text: head + "    refresh: { grace_s: -1 }\n",
            refusal:
                "f.yaml:5:25: providers.corp.refresh.grace_s: expected a whole number from 0 to 2147483647, found '-1'"),
        Case(
            name: "a mapping where a text belongs", text: head + "    name: { a: b }\n",
            refusal: "f.yaml:5:11: providers.corp.name: expected a text, found a mapping"),
        Case(
            name: "a text where a mapping belongs", text: head + "    token: basic\n",
            refusal: "f.yaml:5:12: providers.corp.token: expected a mapping, found a text"),
        Case(
            name: "a flag that is neither", text: head + "    allow_loopback_http: perhaps\n",
            refusal: "f.yaml:5:26: providers.corp.allow_loopback_http: expected true or false, found 'perhaps'"),
        Case(
            name: "a scope that is no scope", text: head + "    default_scopes: [\"a b\"]\n",
            refusal:
                "f.yaml:5:21: providers.corp.default_scopes: expected at most 200 RFC 6749 scope tokens, found 'a b'"),
        Case(
            name: "an option that is not there", text: head + "    authorize: { use: [turbo] }\n",
            refusal: "f.yaml:5:23: providers.corp.authorize.use: expected names of options (), found 'turbo'"),
        Case(
            name: "a variable that is not there",
            text:
                "version: 1\nproviders:\n  corp:\n    endpoints: { authorize: \"https://${hots}/a\", token: \"https://a.example/t\" }\n",
            refusal: "f.yaml:4:16: providers.corp.endpoints: expected authorize with the names in vars, found '${hots}'"
        ),
        Case(
            name: "an error class that is none", text: head + "    errors: { boom: fatal }\n",
            refusal: "f.yaml:5:21: providers.corp.errors.boom: expected denied or reauthorize"),
        Case(
            name: "a client without id", text: head + "    client: { secret: x }\n",
            refusal: "f.yaml:5:13: providers.corp.client.id: missing, expected the client's id"),
        Case(
            name: "two secrets", text: head + "    client: { id: i, secret: x, secret_env: Y }\n",
            refusal:
                "f.yaml:5:30: providers.corp.client.secret: expected one of secret, secret_env, secret_file, found several"
        ),
        Case(
            name: "a parent that is not there", text: "version: 1\nproviders:\n  corp:\n    extends: nobody\n",
            refusal: "f.yaml:4:14: providers.corp.extends: expected an entry of the catalogue, found 'nobody'"),
        Case(
            name: "a field given twice", text: "version: 1\nproviders:\n  corp:\n    name: A\n    name: B\n",
            refusal: "f.yaml:4:5: not YAML: name is given twice"),
        Case(name: "no YAML", text: "version: 1\nproviders: [\n", refusal: "f.yaml:3:1: not YAML:"),
        Case(
            name: "a tab for indentation", text: "version: 1\nproviders:\n\tcorp: {}\n",
            refusal: "f.yaml:3:1: not YAML:"),
        Case(
            name: "an issuer with a query",
            text: "version: 1\nproviders:\n  corp:\n    issuer: https://id.example?x=1\n",
            refusal: "f.yaml:4:13: providers.corp.issuer: expected a URL without a query (RFC 8414), found a query"),
        Case(
            name: "an implied scope without words",
            text: head + "    scopes:\n      a: { text: T, risk: read, implies: [b] }\n",
            refusal:
                "f.yaml:6:7: providers.corp.scopes.a: expected implies and requires to name scopes listed here, found 'b'"
        ),
        Case(
            name: "a header with a line break", text: head + "    token: { headers: { X: \"a\\r\\nB: c\" } }\n",
            refusal: "f.yaml:5:12: providers.corp.token: expected headers of printable ASCII, found 'X'"),
        Case(
            name: "the service's own key as a client secret",
            text: head + "    client: { id: i, secret_env: ENCRYPTION_KEY }\n",
            refusal:
                "f.yaml:5:34: providers.corp.client.secret_env: expected a variable with a client secret, found the"),
        Case(
            name: "a secret file that is not there",
            text: head + "    client: { id: i, secret_file: /nonexistent/secret }\n",
            refusal:
                "f.yaml:5:13: providers.corp.client.secret_file: expected a file with the secret, found /nonexistent/secret"
        ),
    ]

    @Test("The place and the sentence are right", arguments: cases)
    func refused(wrong: Case) throws {
        _ = testHeap
        let error = #expect(throws: CatalogueError.self) {
            let file = try OperatorFile(parsing: wrong.text, file: "f.yaml", mode: 0o600)
            _ = try Catalogue(builtIn.get(), [file], [:])
        }
        let sentence = error.map { "\($0)" } ?? "accepted"
        #expect(sentence.hasPrefix(wrong.refusal), "\(sentence)")
    }

    private func variable(_ rule: String, url: String = "https://${v}/t") -> String {
        """
        version: 1
        providers:
          corp:
            vars: { v: \(rule) }
            endpoints: { authorize: "https://a.example/a", token: "\(url)" }
        """
    }

    @Test(
        "A host that a person sets must lie in one registrable domain of the provider",
        arguments: [
            (#"{ default: a.corp.example, allow: ["*.corp.example"], set_by: connection }"#, "https://${v}/t", true),
            (
                #"{ default: a.corp.example, pattern: '^[a-z0-9.-]+\.corp\.example$', set_by: connection }"#,
                "https://${v}/t", true
            ),
            (#"{ kind: segment, default: a, set_by: connection }"#, "https://${v}.corp.example/t", true),
            (#"{ kind: segment, default: a, set_by: connection }"#, "https://a.example/${v}/t", true),
            (#"{ default: a.corp.example, set_by: operator }"#, "https://${v}/t", true),
            (#"{ default: a.corp.example, set_by: connection }"#, "https://${v}/t", false),
            (#"{ default: a.corp.example, pattern: '^[a-z0-9.-]+$', set_by: connection }"#, "https://${v}/t", false),
            (
                #"{ default: a.corp.example, pattern: '^[a-z0-9.-]+\.corp.example$', set_by: connection }"#,
                "https://${v}/t", false
            ),
            (
                #"{ default: a.corp.example, pattern: '^(.*|[a-z]+\.corp\.example)$', set_by: connection }"#,
                "https://${v}/t", false
            ),
            (
                #"{ default: a.corp.example, pattern: '[a-z0-9.-]+\.corp\.example', set_by: connection }"#,
                "https://${v}/t", false
            ),
            (#"{ default: a.co.uk, allow: ["*.co.uk"], set_by: connection }"#, "https://${v}/t", false),
            (#"{ default: a.com, allow: ["*.com"], set_by: connection }"#, "https://${v}/t", false),
            (
                #"{ default: a.b.corp.example, allow: ["*.b.corp.example"], set_by: connection }"#,
                "https://${v}/t", true
            ),
            (#"{ default: a.corp.co.uk, allow: ["*.corp.co.uk"], set_by: connection }"#, "https://${v}/t", true),
            // Below a domain where everybody can have a name each label may be a stranger's.
            (
                #"{ default: a.s3.amazonaws.com, allow: ["*.s3.amazonaws.com"], set_by: connection }"#,
                "https://${v}/t", false
            ),
            (
                #"{ default: a.s3.amazonaws.com, pattern: '^[a-z0-9-]+\.s3\.amazonaws\.com$', set_by: connection }"#,
                "https://${v}/t", false
            ),
            (
                #"{ default: a.us-east-1.elb.amazonaws.com, allow: ["*.us-east-1.elb.amazonaws.com"], set_by: connection }"#,
                "https://${v}/t", false
            ),
            (#"{ default: a.blogspot.com, allow: ["*.blogspot.com"], set_by: connection }"#, "https://${v}/t", false),
            (
                #"{ default: a.blogspot.co.uk, allow: ["*.blogspot.co.uk"], set_by: connection }"#,
                "https://${v}/t", false
            ),
            (#"{ default: a.b.pages.dev, allow: ["*.b.pages.dev"], set_by: connection }"#, "https://${v}/t", false),
            (#"{ default: a.github.io, allow: ["*.github.io"], set_by: connection }"#, "https://${v}/t", false),
            (
                #"{ default: a.corp.example, allow: ["*.corp.example"], set_by: connection }"#,
                "https://${v}.evil.example/t", false
            ),
            (#"{ kind: segment, default: a, set_by: connection }"#, "https://${v}/t", false),
            (#"{ kind: segment, default: a, set_by: connection }"#, "https://a.${v}/t", false),
        ])
    func hosts(rule: String, url: String, accepted: Bool) throws {
        _ = testHeap
        let text = variable(rule, url: url)
        let file = try OperatorFile(parsing: text, file: "f.yaml", mode: 0o600)
        if accepted {
            _ = try Catalogue(builtIn.get(), [file], [:])
        } else {
            let error = #expect(throws: CatalogueError.self) { try Catalogue(builtIn.get(), [file], [:]) }
            #expect(error?.place.line == 4, "\(error.map { "\($0)" } ?? "")")
        }
    }

    @Test(
        "A person's host is held to its pattern",
        arguments: [
            "evil.com/@login.salesforce.com", "127.0.0.1", "login.salesforce.com#x", "login.salesforce.com:8443",
            "salesforce.com", "salesforce.com.evil.example", "a.salesforce.com\u{0}", "", "a..salesforce.com",
            "xsalesforce.com",
        ])
    func personsHost(host: String) throws {
        let salesforce = try provider(
            "salesforce", "version: 1\nproviders: { salesforce: { client: { id: i, secret: s } } }")
        #expect(throws: ProviderError.self) { try salesforce.setting(["login_host": host]) }
        let own = try salesforce.setting(["login_host": "acme.my.salesforce.com"])
        #expect(own.resolvedEndpoints.first?.url == "https://acme.my.salesforce.com/services/oauth2/token")
    }

    @Test(
        "An operator's host is a host and nothing else",
        arguments: [
            "evil.com/@gitlab.com", "gitlab.com#x", "gitlab.com?x", "a b", "user@gitlab.com", "gitlab.com:0",
            "gitlab.com:x",
        ])
    func operatorsHost(host: String) throws {
        let text = "version: 1\nproviders: { gitlab: { vars: { host: { default: \"\(host)\" } } } }"
        let file = try OperatorFile(parsing: text, file: "f.yaml", mode: 0o600)
        #expect(throws: CatalogueError.self) { try Catalogue(builtIn.get(), [file], [:]) }
    }

    @Test("Cut anywhere, a file is refused or read, and never crashes")
    func cut() throws {
        let text = Self.head + "    client: { id: i, secret_env: X }\n    scopes: { a: { text: T, risk: read } }\n"
        for length in stride(from: 0, through: text.count, by: 3) {
            do {
                let file = try OperatorFile(parsing: String(text.prefix(length)), file: "f.yaml", mode: 0o600)
                for entry in file.entries {
                    var warnings: [String] = []
                    _ = try entry.provider(over: builtIn.get(), [:], &warnings)
                }
            } catch {
                #expect(!"\(error)".isEmpty)
            }
        }
    }

    @Test("Aliases of aliases are refused before they fill the memory")
    func aliases() {
        let text = (1...8).reduce("v0: &v0 [1, 2, 3, 4, 5, 6, 7, 8]\n") { text, level in
            let values = repeatElement("*v\(level - 1)", count: 8).joined(separator: ", ")
            return text + "v\(level): &v\(level) [\(values)]\n"
        }
        #expect(throws: CatalogueError.self) { try YAMLFile.parse(text, file: "f.yaml") }
    }
}
