#if canImport(Glibc)
    import Glibc
#endif

/// A Toolshed server, and who asks it.
///
///     let ctx = try Toolshed().person("u_…")     // TOOLSHED_URL, TOOLSHED_KEY or TOOLSHED_KEY_FILE, TOOLSHED_CA_FILE
///     do {
///         let token = try await ctx.auth.getToken("github", scopes: ["repo"], reason: "List your open issues")
///     } catch let needed as AuthorizationRequired {
///         print("Please allow it: \(needed.url), code \(needed.matchCode)")
///         let token = try await needed.whenAuthorized()
///     }
///
/// Nothing is stored: ask again whenever a token is needed. docs/CLIENTS.md has the rest.
public struct Toolshed: Sendable {
    let transport: Transport
    private let key: String
    private let server = Server()

    /// What is not given comes from `TOOLSHED_URL`, `TOOLSHED_KEY` or the file `TOOLSHED_KEY_FILE`, and `TOOLSHED_CA_FILE`.
    public init(
        url: String? = nil, key: String? = nil, caFile: String? = nil, timeoutSeconds: Int = 30
    ) throws(ToolshedError) {
        let fileKey = try key == nil && Self.variable("TOOLSHED_KEY") == nil ? Self.keyFile() : nil
        guard let key = key ?? Self.variable("TOOLSHED_KEY") ?? fileKey, !key.isEmpty else {
            throw ToolshedError(
                "not-configured", "TOOLSHED_KEY or TOOLSHED_KEY_FILE: expected the key of a plugin or of a person")
        }
        self.key = key
        transport = try Transport(
            url: url ?? Self.variable("TOOLSHED_URL") ?? "", key: key,
            caFile: caFile ?? Self.variable("TOOLSHED_CA_FILE"), timeoutSeconds: timeoutSeconds)
    }

    /// Whose tokens. With a person's own API key there is nobody to name.
    public func person(_ userID: String? = nil) -> Person {
        Person(
            auth: Auth(caller: Caller(transport: transport, server: server, key: key, userID: userID), userID: userID))
    }

    private static func variable(_ name: String) -> String? {
        getenv(name).map { String(cString: $0) }.flatMap { $0.isEmpty ? nil : $0 }
    }

    private static func keyFile() throws(ToolshedError) -> String? {
        guard let path = variable("TOOLSHED_KEY_FILE") else { return nil }
        guard let file = fopen(path, "re") else {
            throw ToolshedError("not-configured", "TOOLSHED_KEY_FILE: \(path) cannot be read")
        }
        defer { fclose(file) }
        var line = [CChar](repeating: 0, count: 256)
        guard fgets(&line, Int32(line.count), file) != nil else { return nil }
        return String(decoding: line.prefix { $0 > 0x20 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}

/// `ctx` of the examples: one person, on whose behalf something is done.
public struct Person: Sendable {
    public let auth: Auth
}

/// What a provider's API takes. Its text does not show when it is printed.
public struct Token: Sendable, CustomStringConvertible, CustomReflectable {
    public let accessToken: String
    public let tokenType: String
    public let scopes: [String]
    public let provider: String
    public let connection: String
    public let account: String
    public let refreshed: Bool
    /// Absent where the provider says nothing of an end.
    public let expiresIn: Int64?
    public let validUntil: String?

    init(_ document: Document) throws(ToolshedError) {
        guard let accessToken = document.texts["accessToken"], let connection = document.members["connection"] else {
            throw ToolshedError("unexpected-answer", "the server's answer is not one of Toolshed")
        }
        self.accessToken = accessToken
        tokenType = document.texts["tokenType"] ?? "Bearer"
        scopes = document.lists["scopes"] ?? []
        provider = document.texts["provider"] ?? ""
        self.connection = connection.texts["id"] ?? ""
        account = connection.texts["account"] ?? ""
        refreshed = document.flags["refreshed"] ?? false
        expiresIn = document.numbers["expiresIn"]
        validUntil = document.texts["validUntil"]
    }

    public var description: String { "Token(\(provider), \(account), \(scopes.joined(separator: " ")))" }
    public var customMirror: Mirror { Mirror(self, children: []) }
}

/// A refusal. Branch on `status` and `error`, never on the words.
public struct ToolshedError: Error, Sendable, CustomStringConvertible {
    /// 0: there was no answer.
    public let status: Int
    public let error: String
    public let detail: String
    public let retryAfter: Int?
    /// Of `account-choice`: connection ids and names.
    public let accounts: [(id: String, account: String)]
    /// Of `scope-declined`: do not ask again before.
    public let until: String?

    init(_ error: String, _ detail: String) {
        (status, self.error, self.detail, retryAfter, accounts, until) = (0, error, detail, nil, [], nil)
    }

    package init(_ answer: Answer) {
        status = answer.status
        error = answer.document.texts["error"] ?? (answer.status == 0 ? "unreachable" : "unavailable")
        detail = answer.document.texts["detail"] ?? answer.document.texts["title"] ?? ""
        retryAfter = answer.retryAfter
        accounts = (answer.document.items["accounts"] ?? []).map { ($0.texts["id"] ?? "", $0.texts["account"] ?? "") }
        until = answer.document.texts["until"]
    }

    public var description: String { detail.isEmpty ? error : "\(error): \(detail)" }
}
