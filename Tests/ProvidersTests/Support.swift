import Encoding
import OAuth
import Secrets

@testable import Providers

/// The locked memory of the test process, started once.
let testHeap: Void = {
    do { try SecureHeap.start(bytes: 1 << 20) } catch { fatalError("no locked memory for tests: \(error)") }
}()

/// The built-in entries, parsed once for all tests.
let builtIn = Result { () throws(CatalogueError) in try BuiltIn.load() }

private let plain = Result { () throws(CatalogueError) in
    _ = testHeap
    return try Catalogue(builtIn.get(), [], clients)
}

/// When the answers of these tests are received.
let noon = Instant(milliseconds: 1_800_000_000_000)

let clients = [
    "GITHUB_CLIENT_ID": "gh-id", "GITHUB_CLIENT_SECRET": "gh-secret", "GOOGLE_CLIENT_ID": "go-id",
    "GOOGLE_CLIENT_SECRET": "go-secret", "SLACK_CLIENT_ID": "sl-id", "SLACK_CLIENT_SECRET": "sl-secret",
    "LINEAR_CLIENT_ID": "li-id", "LINEAR_CLIENT_SECRET": "li-secret",
]

/// The catalogue with all four built-in clients, under operator's files given by their text.
func catalogue(_ files: String..., mode: UInt32 = 0o600) throws -> Catalogue {
    _ = testHeap
    let parsed = try files.enumerated().map { index, text in
        try OperatorFile(parsing: text, file: "providers.d/\(index + 1).yaml", mode: mode)
    }
    return try Catalogue(builtIn.get(), parsed, clients)
}

func provider(_ name: String, _ files: String...) throws -> Provider {
    _ = testHeap
    let parsed = try files.map { try OperatorFile(parsing: $0, file: "test.yaml", mode: 0o600) }
    let all = try parsed.isEmpty ? plain.get() : Catalogue(builtIn.get(), parsed, clients)
    guard let provider = all[try ProviderID(parsing: name)] else { throw MissingProvider(name: name) }
    return provider
}

/// An entry of the catalogue with a client, whatever the environment has.
func configured(_ name: String, more: String = "") throws -> Provider {
    try provider(
        name,
        """
        version: 1
        providers:
          \(name):
            client: { id: an-id, secret: a-secret }
        \(more)
        """)
}

struct MissingProvider: Error {
    let name: String
}

func json(_ body: String, status: Int = 200) -> ProviderReply {
    ProviderReply(status: status, headers: ["content-type": "application/json; charset=utf-8"], body: Array(body.utf8))
}

func form(_ body: String, status: Int = 200) -> ProviderReply {
    ProviderReply(
        status: status, headers: ["content-type": "application/x-www-form-urlencoded; charset=utf-8"],
        body: Array(body.utf8))
}

func html(_ status: Int) -> ProviderReply {
    ProviderReply(
        status: status, headers: ["content-type": "text/html"],
        body: Array("<html><a href=\"/?error=invalid_grant\">Bad gateway</a></html>".utf8))
}

extension ScopeSet: ExpressibleByArrayLiteral {
    public init(arrayLiteral names: String...) { self.init(names) }
}

extension TokenOutcome {
    var tokens: CredentialTokens? {
        guard case .tokens(let tokens) = self else { return nil }
        return tokens
    }

    var refusal: String? {
        guard case .refused(let code, let kind) = self else { return nil }
        return "\(code) \(kind.rawValue)"
    }

    var isUnknown: Bool {
        guard case .unknown = self else { return false }
        return true
    }
}

extension SecretText {
    var plain: String { withString { $0 } }
}

extension ProviderCall {
    /// The body's fields, decoded.
    var fields: [String: String] {
        guard let body = body?.plain, let pairs = try? Form.parse(Array(body.utf8)) else { return [:] }
        return Dictionary(pairs.map { ($0.name, $0.value) }) { first, _ in "\(first) and another" }
    }

    func header(_ name: String) -> String? {
        let found = headers.filter { $0.name.lowercased() == name.lowercased() }
        guard found.count == 1 else { return found.isEmpty ? nil : "several" }
        switch found[0].value {
        case .text(let text): return text
        case .secret(let secret): return secret.plain
        }
    }
}

/// The query of a URL, decoded.
func query(_ url: String) -> [String: String] {
    guard let mark = url.firstIndex(of: "?"),
        let pairs = try? Form.parse(Array(url[url.index(after: mark)...].utf8))
    else { return [:] }
    return Dictionary(pairs.map { ($0.name, $0.value) }) { first, _ in "\(first) and another" }
}

func identities(_ tokens: [String]) -> CredentialTokens? {
    _ = testHeap
    guard let access = try? SecretText("ya29.A") else { return nil }
    return CredentialTokens(
        accessToken: access, refreshToken: nil, tokenType: "Bearer", expiresAt: nil, refreshExpiresAt: nil,
        scopes: ScopeSet(tokens), metadata: [:])
}
