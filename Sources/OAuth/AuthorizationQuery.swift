import Encoding

/// A request to `/authorize` (RFC 6749 section 4.1.1, RFC 7636, RFC 8707), read once. What is wrong with it is kept beside
/// it: until client and redirect URI are known to belong together nobody may be sent anywhere.
public struct AuthorizationQuery: Sendable {
    public static let maximumLength = 8 * 1024
    public static let maximumState = 4096

    public let clientID: String
    public let redirectURI: String?
    public let state: String?
    public let scopes: [String]
    public let resources: [ResourceIndicator]
    public let prompts: Set<String>
    /// Empty where `error` says what is wrong with it.
    public let challenge: String
    /// The first thing that is wrong, for the client to be told by redirect.
    public let error: OAuthError?

    /// Nothing can be said to a client that is not known.
    public enum Unreadable: Error, Hashable, Sendable {
        case malformed
        case noClient
        case redirect
    }

    public init(parsing query: some Collection<UInt8>) throws(Unreadable) {
        let fields: [(name: String, value: String)]
        do {
            fields = try Form.parse(query, maximumBytes: Self.maximumLength)
        } catch {
            throw .malformed
        }
        // RFC 6749 section 3.1: a parameter without a value is as if it were not there.
        func values(_ name: String) -> [String] { fields.filter { $0.name == name && !$0.value.isEmpty }.map(\.value) }
        let (clients, redirects) = (values("client_id"), values("redirect_uri"))
        guard clients.count == 1 else { throw .noClient }
        guard redirects.count <= 1 else { throw .redirect }
        (clientID, redirectURI) = (clients[0], redirects.first)
        let repeated = fields.map(\.name).filter { $0 != "resource" }
        let twice = Set(repeated).count != repeated.count
        let states = values("state")
        state = states.count == 1 && states[0].utf8.count <= Self.maximumState ? states[0] : nil
        scopes = (values("scope").first ?? "").split(separator: " ").map(String.init)
        prompts = Set((values("prompt").first ?? "").split(separator: " ").map(String.init))
        let asked = values("resource")
        resources = asked.compactMap { ResourceIndicator(parsing: $0) }
        challenge = values("code_challenge").first ?? ""
        error =
            if twice {
                OAuthError(.invalidRequest, "a parameter is repeated")
            } else if states.first.map({ $0.utf8.count > Self.maximumState }) ?? false {
                OAuthError(.invalidRequest, "state is longer than 4096 bytes")
            } else if values("response_type").first.map({ $0 != "code" }) ?? false {
                OAuthError(.unsupportedResponseType, "response_type must be code")
            } else if values("response_type").isEmpty {
                OAuthError(.invalidRequest, "response_type is missing")
            } else if values("response_mode").first.map({ $0 != "query" }) ?? false {
                OAuthError(.invalidRequest, "response_mode must be query")
            } else if challenge.isEmpty || values("code_challenge_method").first != PKCE.method {
                OAuthError(.invalidRequest, "PKCE with code_challenge_method=S256 is required")
            } else if !PKCE.isChallenge(challenge) {
                OAuthError(.invalidRequest, "code_challenge must be 43 base64url characters")
            } else if resources.count != asked.count {
                OAuthError(.invalidTarget, "resource must be an absolute URI without a fragment")
            } else {
                nil
            }
    }
}

extension PKCE {
    /// RFC 7636 section 4.2, S256: the base64url of 32 bytes.
    public static func isChallenge(_ text: String) -> Bool {
        text.utf8.count == 43 && Base64URL.decode(text)?.count == 32
    }

    /// RFC 7636 section 4.1.
    public static func isVerifier(_ text: String) -> Bool {
        (43...128).contains(text.utf8.count) && text.utf8.allSatisfy { $0.isUnreserved }
    }
}
