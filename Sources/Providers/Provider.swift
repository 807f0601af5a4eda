import Encoding
import OAuth

/// One entry of the catalogue. Every oddity of a provider is a field here; no code asks which provider it is.
public struct Provider: Sendable {
    public enum Kind: String, Hashable, Sendable, CaseIterable {
        case builtin, variant, extra
        /// No OAuth: persons type keys that they made at the provider.
        case apiKey = "api_key"
        /// From the operator's folder alone.
        case `operator`
    }

    public let id: ProviderID
    public let name: String
    public let kind: Kind
    public let basis: Basis
    public let documentation: String?
    /// `nil`: not configured; no flow can start.
    public var client: ClientCredentials?
    public let defaultScopes: ScopeSet
    public var variables: [String: Variable]
    public internal(set) var endpoints: Endpoints
    /// Of the authorization server (RFC 8414, RFC 9207); endpoints that are not given are discovered from it.
    public let issuer: String?
    /// `http` to a loopback address is permitted, for development.
    public let allowsLoopbackHTTP: Bool
    /// The provider is on the operator's own network: its names may resolve to private addresses.
    public let allowsPrivateAddresses: Bool
    public internal(set) var authorize: AuthorizeRules
    public internal(set) var token: TokenRules
    public let response: ResponseRules
    public let refresh: RefreshRules
    public let expiry: ExpiryRules
    public let incremental: Incremental
    public internal(set) var revoke: RevokeRules
    public internal(set) var identity: [IdentitySource]
    public let errors: [String: ErrorClass]
    public let limits: [String: Int64]
    public let scopes: ScopeVocabulary
    public let api: APIRules
    /// What its API can do, as far as it is known, in the order of the catalogue.
    public let operations: [Operation]
    /// One provider grant can stand behind several connections: count its users before revoking (HubSpot).
    public let sharesGrant: Bool
    /// A new authorization ends the person's earlier tokens (Zoom).
    public let singleGrantPerUser: Bool
    /// How keys are taken and shown, where `kind` is `api_key`.
    public let keyRules: KeyRules?
    /// `nil`: nobody signs in with it.
    public let signIn: SignInRules?
    /// Names of environment variables with the client's id and secret.
    public let environment: ClientEnvironment?
    /// The variable that an operator's `secret_env` names instead.
    var secretVariable: String?

    /// The document that has to be fetched before a flow can start.
    public var needsDiscovery: Bool {
        keyRules == nil && (endpoints.authorize == nil || endpoints.token == nil)
    }

    /// Keys need no registration of this service.
    public var isConfigured: Bool { client != nil || keyRules != nil }
    public var usesPKCE: Bool { authorize.pkce == .s256 }

    /// RFC 9207: an answer without `iss` is refused.
    public var expectsIssuer: Bool { authorize.requiresIssuer }

    /// Scope names as the provider means them.
    public func canonical(_ scopes: ScopeSet) -> ScopeSet { self.scopes.canonical(scopes) }

    /// The asked scopes, as they were written, that `granted` does not cover, implications counted.
    public func missing(from granted: ScopeSet, for asked: ScopeSet) -> ScopeSet {
        scopes.missing(from: granted, for: asked)
    }

    /// The words for a scope; an unknown one is shown as it is.
    public func description(of scope: String) -> (text: String, risk: Risk) {
        guard let entry = scopes.entries[scopes.canonical(scope)] else { return (scope, .unknown) }
        return (entry.text, entry.risk)
    }

    /// Whether the person may leave this scope out, whoever asks for it.
    public func isOptional(_ scope: String) -> Bool { scopes.entries[scopes.canonical(scope)]?.isOptional ?? false }

    /// The URLs in use, by their field name; those still to be discovered are not there.
    public var resolvedEndpoints: [(name: String, url: String)] {
        endpoints.all.compactMap { name, template in
            template.flatMap { expand($0) }.map { (name, $0) }
        }
    }

    func limits(total: Int = 15_000) -> ProviderCall.Limits {
        var limits = ProviderCall.Limits()
        limits.totalMilliseconds = total
        limits.allowsLoopbackHTTP = allowsLoopbackHTTP
        limits.refusesSpecialAddresses = !allowsPrivateAddresses
        return limits
    }

    /// A template with the variables and the client's id filled in.
    func expand(_ template: String) -> String? {
        Template.expand(template) { name in
            if name == "client_id" { return client.map { Percent.encode($0.id) } }
            return variables[name]?.value
        }
    }
}

public struct ClientEnvironment: Hashable, Sendable {
    public let id: String
    public let secret: String
}

/// Why a message to the provider cannot be made.
public enum ProviderError: Error, Hashable, Sendable {
    case notConfigured
    /// Endpoints are not known yet.
    case notDiscovered
    /// The provider refuses these together with an option that is on.
    case forbiddenScopes(ScopeSet)
    case variableRefused(name: String, expected: String)
    /// Owned secret memory is full; nothing was sent.
    case secureMemory
}
