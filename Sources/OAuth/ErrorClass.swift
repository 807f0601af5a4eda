/// What an error code of a provider means for the grant and for the people.
public enum ErrorClass: String, Hashable, Sendable, CaseIterable {
    /// The person or an administrator said no. Offer to try again, never by itself.
    case denied
    /// The grant is gone. The same refresh token is never tried again.
    case reauthorize
    /// The person must do something at the provider first.
    case userAction = "user_action"
    /// An administrator of the person's organization must allow the app.
    case admin
    /// Our registration or environment is wrong. Stored tokens stay.
    case config
    /// A code or one-time token was used twice, or too late. Start over.
    case replay
    /// Try again with backoff. Stored tokens stay.
    case transient
}

/// Which grant a token request presented (RFC 6749 sections 4.1.3 and 6).
public enum GrantType: String, Hashable, Sendable {
    case authorizationCode = "authorization_code"
    case refreshToken = "refresh_token"
}

/// The codes that the RFCs define, for providers whose entry does not say otherwise.
public enum StandardErrors {
    /// RFC 6749 section 4.1.2.1, OpenID Connect Core 3.1.2.6, RFC 8707, RFC 9396, RFC 9470.
    public static func authorization(_ code: String) -> ErrorClass? {
        switch code {
        case "access_denied": .denied
        case "server_error", "temporarily_unavailable": .transient
        case "login_required", "interaction_required", "consent_required", "account_selection_required": .userAction
        case "invalid_request", "unauthorized_client", "unsupported_response_type", "invalid_scope", "invalid_target",
            "invalid_request_uri", "invalid_request_object", "request_not_supported", "request_uri_not_supported",
            "registration_not_supported", "invalid_authorization_details", "unmet_authentication_requirements":
            .config
        default: nil
        }
    }

    /// RFC 6749 section 5.2, RFC 8628 section 3.5, RFC 8707, RFC 9449.
    public static func token(_ code: String, for grant: GrantType) -> ErrorClass? {
        switch code {
        case "invalid_grant": grant == .authorizationCode ? .replay : .reauthorize
        case "invalid_client", "unauthorized_client", "unsupported_grant_type", "invalid_request", "invalid_scope",
            "invalid_target", "invalid_dpop_proof":
            .config
        case "authorization_pending", "slow_down", "server_error", "temporarily_unavailable", "use_dpop_nonce":
            .transient
        case "expired_token": .replay
        case "access_denied": .denied
        default: nil
        }
    }
}
