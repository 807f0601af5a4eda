import Encoding
import Secrets

/// What a token endpoint gave.
public struct CredentialTokens: Sendable {
    public var accessToken: SecretText
    /// Absent in an answer to a refresh: the stored one stays valid (RFC 6749 section 6).
    public var refreshToken: SecretText?
    /// As the provider wrote it, "Bearer" when it wrote nothing.
    public var tokenType: String
    /// `nil`: the provider gave no lifetime and its entry has no default.
    public var expiresAt: Instant?
    public var refreshExpiresAt: Instant?
    /// All scopes the token carries, canonical.
    public var scopes: ScopeSet
    /// Values the provider's entry asks to keep, by their path in the answer.
    public var metadata: [String: String]
    /// `sub` of an ID token that came along. It came from the token endpoint itself, so that its signature says no more
    /// (OpenID Connect Core 1.0 section 3.1.3.7, 6).
    public var subject: String?

    public init(
        accessToken: SecretText, refreshToken: SecretText?, tokenType: String, expiresAt: Instant?,
        refreshExpiresAt: Instant?, scopes: ScopeSet, metadata: [String: String], subject: String? = nil
    ) {
        self.accessToken = accessToken
        self.refreshToken = refreshToken
        self.tokenType = tokenType
        self.expiresAt = expiresAt
        self.refreshExpiresAt = refreshExpiresAt
        self.scopes = scopes
        self.metadata = metadata
        self.subject = subject
    }
}

/// How a token endpoint's answer is judged: by the body, then by the status.
public enum TokenOutcome: Sendable {
    case tokens(CredentialTokens)
    /// The provider said no, or did nothing (429, unreadable 4xx). Stored tokens are dead only for `.reauthorize`.
    case refused(code: String, class: ErrorClass)
    /// The provider may have acted: 5xx, an unreadable or token-less success. Values name what was seen.
    case unknown(String)
}

/// Whose account the token stands for.
public struct AccountIdentity: Hashable, Sendable {
    /// The provider's stable key.
    public let id: String
    /// What the person recognizes.
    public let label: String
    public let tenant: String?

    public init(id: String, label: String, tenant: String? = nil) {
        self.id = id
        self.label = label
        self.tenant = tenant
    }
}
