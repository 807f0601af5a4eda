/// What our own authorization server answers instead of a token (RFC 6749 sections 4.1.2.1 and 5.2 and their
/// extensions). `description` is for developers; it repeats nothing of what was sent.
public struct OAuthError: Error, Hashable, Sendable {
    public enum Code: String, Sendable {
        case invalidRequest = "invalid_request"
        case invalidClient = "invalid_client"
        case invalidGrant = "invalid_grant"
        case unauthorizedClient = "unauthorized_client"
        case unsupportedGrantType = "unsupported_grant_type"
        case unsupportedResponseType = "unsupported_response_type"
        case invalidScope = "invalid_scope"
        case invalidTarget = "invalid_target"
        case accessDenied = "access_denied"
        case loginRequired = "login_required"
        case consentRequired = "consent_required"
        case invalidRedirectURI = "invalid_redirect_uri"
        case invalidClientMetadata = "invalid_client_metadata"
        case authorizationPending = "authorization_pending"
        case slowDown = "slow_down"
        case expiredToken = "expired_token"
    }

    public let code: Code
    public let description: String
    /// The client tried `Basic`: the answer must say so (RFC 6749 section 5.2).
    public var triedBasic = false

    public init(_ code: Code, _ description: String, triedBasic: Bool = false) {
        (self.code, self.description, self.triedBasic) = (code, description, triedBasic)
    }
}
