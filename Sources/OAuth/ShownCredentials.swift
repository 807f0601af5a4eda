import Encoding

/// How a request to `/token`, `/revoke`, `/introspect` or `/device_authorization` says which client sends it (RFC 6749
/// section 2.3.1): exactly one way, both encodings of `Basic`.
public struct ShownCredentials: Sendable {
    public let clientID: String?
    public let secret: String?
    public let method: ClientAuthenticationMethod

    /// `authorization`: the header, if there is one.
    public init(authorization: String?, form: [(name: String, value: String)]) throws(OAuthError) {
        func single(_ name: String) -> String? {
            form.first { $0.name == name }.flatMap { $0.value.isEmpty ? nil : $0.value }
        }
        let (bodyID, bodySecret) = (single("client_id"), single("client_secret"))
        guard let authorization else {
            (clientID, secret) = (bodyID, bodySecret)
            method = bodySecret == nil ? .none : .post
            return
        }
        guard bodySecret == nil else {
            throw OAuthError(.invalidRequest, "a client authenticates in one way only: Basic or client_secret")
        }
        guard authorization.prefix(6).lowercased() == "basic ",
            let decoded = Self.decode(authorization.dropFirst(6)), let colon = decoded.firstIndex(of: ":")
        else { throw OAuthError(.invalidClient, "the Authorization header must be Basic", triedBasic: true) }
        // Some encode both halves as RFC 6749 says and some do not; our ids and secrets are the same either way.
        let id = Percent.decode(decoded[..<colon]) ?? String(decoded[..<colon])
        let secret =
            Percent.decode(decoded[decoded.index(after: colon)...]) ?? String(decoded[decoded.index(after: colon)...])
        guard bodyID == nil || bodyID == id else {
            throw OAuthError(.invalidRequest, "client_id differs from the one of the Authorization header")
        }
        (clientID, self.secret, method) = (id, secret, .basic)
    }

    private static func decode(_ text: Substring) -> String? {
        Base64.decode(text.drop { $0 == " " }).flatMap { String(validating: $0, as: UTF8.self) }
    }
}

/// A body of `application/x-www-form-urlencoded` in which no parameter occurs twice (RFC 6749 section 3.2).
public struct TokenForm: Sendable {
    public static let maximumBytes = 16 * 1024

    public let fields: [(name: String, value: String)]

    public init(parsing body: some Collection<UInt8>) throws(OAuthError) {
        do {
            fields = try Form.parse(body, maximumBytes: Self.maximumBytes)
        } catch {
            throw OAuthError(.invalidRequest, "expected application/x-www-form-urlencoded in UTF-8")
        }
        // RFC 8707 and RFC 8693 let `resource` and `audience` come several times.
        let names = fields.map(\.name).filter { $0 != "resource" && $0 != "audience" }
        guard Set(names).count == names.count else {
            throw OAuthError(.invalidRequest, "a parameter is repeated")
        }
    }

    /// nil: absent or empty.
    public subscript(_ name: String) -> String? {
        fields.first { $0.name == name }.flatMap { $0.value.isEmpty ? nil : $0.value }
    }

    public func all(_ name: String) -> [String] { fields.filter { $0.name == name && !$0.value.isEmpty }.map(\.value) }

    public func required(_ name: String) throws(OAuthError) -> String {
        guard let value = self[name] else { throw OAuthError(.invalidRequest, "\(name) is missing") }
        return value
    }
}
