import OAuth

/// What a provider says of an access token that an API is reported to have refused.
public enum TokenStanding: String, Hashable, Sendable {
    case accepted
    /// Only this may lead to a refresh or to a new consent.
    case refused
    /// The provider did not say: unreachable, busy, or it wants another scope.
    case unsaid
}

extension Provider {
    /// The cheapest call that only a live token passes: the first identity call that its scopes permit.
    public func tokenCheckCall(_ tokens: CredentialTokens) throws(ProviderError) -> ProviderCall? {
        try identityCall(0, tokens: tokens)
    }

    /// RFC 6750 section 3.1 for those who follow it; an error in a 200 for those who do not.
    public func parseTokenCheck(_ reply: ProviderReply, tokens: CredentialTokens) -> TokenStanding {
        if reply.status == 401 { return .refused }
        guard reply.status == 200 else { return .unsaid }
        guard keyRules == nil else {
            switch judgeKey(reply, tokens: tokens) {
            case .accepted: return .accepted
            case .refused: return .refused
            case .unknown: return .unsaid
            }
        }
        if let code = reply.fields?.value(at: response.error)?.text, errors[code] == .reauthorize { return .refused }
        return parseIdentity(0, reply: reply, tokens: tokens) == nil ? .unsaid : .accepted
    }
}
