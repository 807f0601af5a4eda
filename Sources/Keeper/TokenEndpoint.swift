import Encoding
import OAuth
import Providers
import Secrets

/// One provider, as the refresh engine needs it. A value of functions, so that a test can be any provider.
public struct TokenEndpoint: Sendable {
    public enum Unusable: Error, Hashable, Sendable {
        /// No client id and secret.
        case notConfigured
        /// Its endpoints are not known yet.
        case notDiscovered
        /// No secure memory just now.
        case exhausted
    }

    public var policy: RefreshPolicy
    public var call: @Sendable (_ refreshToken: SecretText, _ scopes: ScopeSet) throws(Unusable) -> ProviderCall
    public var judge: @Sendable (_ reply: ProviderReply, _ scopes: ScopeSet, _ receivedAt: Instant) -> TokenOutcome
    /// Whether what was approved covers what a token carries.
    public var covers: @Sendable (_ approved: ScopeSet, _ token: ScopeSet) -> Bool
    /// Whether a token says of itself that it is another account's than this one.
    var contradicts: @Sendable (_ account: String, _ tokens: CredentialTokens) -> Bool = { _, _ in false }
    var limits = ProviderGate.Limits()

    public init(
        policy: RefreshPolicy,
        call: @escaping @Sendable (SecretText, ScopeSet) throws(Unusable) -> ProviderCall,
        judge: @escaping @Sendable (ProviderReply, ScopeSet, Instant) -> TokenOutcome,
        covers: @escaping @Sendable (ScopeSet, ScopeSet) -> Bool
    ) {
        (self.policy, self.call, self.judge, self.covers) = (policy, call, judge, covers)
    }

    public init(_ provider: Provider, redirectURI: String) {
        self.init(
            policy: RefreshPolicy(provider),
            call: { (token, scopes) throws(Unusable) in
                do throws(ProviderError) {
                    return try provider.refreshCall(token, scopes: scopes, redirectURI: redirectURI)
                } catch {
                    switch error {
                    case .notDiscovered: throw .notDiscovered
                    case .secureMemory: throw .exhausted
                    default: throw .notConfigured
                    }
                }
            },
            judge: { provider.parseTokens($0, requested: $1, at: $2) },
            covers: { approved, token in provider.missing(from: approved, for: token).isEmpty })
        contradicts = { provider.contradict($0, $1) }
    }
}
