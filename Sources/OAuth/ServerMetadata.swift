/// An authorization server's metadata (RFC 8414 section 2, OpenID Connect Discovery 1.0 section 3), as far as a
/// client of it needs them.
public struct ServerMetadata: Hashable, Sendable {
    public let issuer: String
    public let authorizationEndpoint: String
    public let tokenEndpoint: String
    public let revocationEndpoint: String?
    public let introspectionEndpoint: String?
    public let userinfoEndpoint: String?
    /// Keys of the issuer (RFC 7517).
    public let jwksURI: String?
    /// `nil` when the document does not say.
    public let codeChallengeMethods: [String]?
    /// RFC 8414: `client_secret_basic` when the document does not say.
    public let tokenEndpointAuthMethods: [String]
    /// RFC 9207 section 3.
    public let sendsIssuer: Bool
    public let scopes: [String]?

    /// `expected` is the configured issuer; section 3.3 asks for equality byte for byte.
    public init(parsing reply: ProviderReply, issuer expected: String) throws(ServerMetadataError) {
        guard reply.status == 200 else { throw .status(reply.status) }
        guard let document = JSONValue(parsing: reply.body), case .object = document else { throw .notJSON }
        func required(_ name: String) throws(ServerMetadataError) -> String {
            guard let text = document[name]?.string, !text.isEmpty else { throw .missing(name) }
            return text
        }
        issuer = try required("issuer")
        guard issuer == expected else { throw .issuerDiffers(issuer) }
        authorizationEndpoint = try required("authorization_endpoint")
        tokenEndpoint = try required("token_endpoint")
        revocationEndpoint = document["revocation_endpoint"]?.string
        introspectionEndpoint = document["introspection_endpoint"]?.string
        userinfoEndpoint = document["userinfo_endpoint"]?.string
        jwksURI = document["jwks_uri"]?.string
        codeChallengeMethods = document["code_challenge_methods_supported"]?.array?.compactMap(\.string)
        tokenEndpointAuthMethods =
            document["token_endpoint_auth_methods_supported"]?.array?.compactMap(\.string) ?? ["client_secret_basic"]
        sendsIssuer = document["authorization_response_iss_parameter_supported"] == .bool(true)
        scopes = document["scopes_supported"]?.array?.compactMap(\.string)
    }

    /// Where the metadata may be, in the order of standards 1.11 (RFC 8414 section 3.1, OpenID Connect Discovery 4).
    public static func locations(issuer: String) -> [String] {
        guard let scheme = issuer.firstRange(of: "://") else { return [] }
        let rest = issuer[scheme.upperBound...]
        let pathStart = rest.firstIndex(of: "/") ?? rest.endIndex
        let origin = issuer[..<pathStart]
        var path = issuer[pathStart...]
        while path.hasSuffix("/") { path = path.dropLast() }
        let server = "\(origin)/.well-known/oauth-authorization-server\(path)"
        let openID = "\(origin)/.well-known/openid-configuration"
        return path.isEmpty
            ? [server, openID] : [server, openID + path, "\(origin)\(path)/.well-known/openid-configuration"]
    }
}

public enum ServerMetadataError: Error, Hashable, Sendable {
    case status(Int)
    case notJSON
    case missing(String)
    /// What the document said; the document is another server's.
    case issuerDiffers(String)
}
