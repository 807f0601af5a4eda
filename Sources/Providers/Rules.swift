import OAuth

/// How a fact is known.
public enum Basis: String, Hashable, Sendable, CaseIterable {
    /// The provider's own documentation or machine-readable description.
    case documentation = "doc"
    /// Maintained open-source clients only.
    case clients = "lib"
    /// General knowledge, not checked again.
    case memory = "mem"
}

public enum Often: String, Hashable, Sendable, CaseIterable {
    case no, sometimes, yes
}

/// The provider's URLs, as templates over its variables.
public struct Endpoints: Hashable, Sendable {
    public let authorize: String?
    public let token: String?
    /// `nil`: refresh goes to `token`.
    public let refresh: String?
    public let revoke: String?
    public let revokeGrant: String?
    public let introspect: String?
    public let userinfo: String?
    /// Metadata at an address of its own, tried before the well-known ones.
    public let discovery: String?
    /// Where the person sees and ends what they allowed.
    public let managePage: String?
    /// The issuer's keys, for sign-in.
    public let jwks: String?

    init(reading fields: inout Fields) throws(CatalogueError) {
        authorize = try fields.text("authorize")
        token = try fields.text("token")
        refresh = try fields.text("refresh")
        revoke = try fields.text("revoke")
        revokeGrant = try fields.text("revoke_grant")
        introspect = try fields.text("introspect")
        userinfo = try fields.text("userinfo")
        discovery = try fields.text("discovery")
        managePage = try fields.text("manage_page")
        jwks = try fields.text("jwks")
        fields.permit("uninstall", "legacy_token")
        try fields.finish()
    }

    init(_ metadata: ServerMetadata, under own: Endpoints) {
        authorize = own.authorize ?? metadata.authorizationEndpoint
        token = own.token ?? metadata.tokenEndpoint
        refresh = own.refresh
        revoke = own.revoke ?? metadata.revocationEndpoint
        revokeGrant = own.revokeGrant
        introspect = own.introspect ?? metadata.introspectionEndpoint
        userinfo = own.userinfo ?? metadata.userinfoEndpoint
        discovery = own.discovery
        managePage = own.managePage
        jwks = own.jwks ?? metadata.jwksURI
    }

    /// Everything with its field name.
    var all: [(name: String, template: String?)] {
        [
            ("token", token), ("refresh", refresh), ("revoke", revoke), ("revoke_grant", revokeGrant),
            ("introspect", introspect), ("userinfo", userinfo), ("authorize", authorize), ("discovery", discovery),
            ("manage_page", managePage), ("jwks", jwks),
        ]
    }
}

public struct AuthorizeRules: Sendable {
    public struct Option: Sendable {
        /// Sent when the option is on; one with `${login_hint}` is sent when there is a hint.
        public let parameters: [(name: String, value: String)]
        public let addScopes: [String]
        public let forbidsScopes: [String]
    }

    public enum PKCEPolicy: String, Hashable, Sendable, CaseIterable {
        case off
        case s256 = "S256"
    }

    public let parameters: [(name: String, value: String)]
    /// `nil`: the provider takes no scopes here.
    public let scopeParameter: String?
    public let scopeSeparator: String
    /// Scopes without which the provider gives no refresh token.
    public let extraScopes: [String]
    public var pkce: PKCEPolicy
    /// Methods the provider accepts today.
    public let pkceAvailable: [String]
    public let options: [String: Option]
    /// Names of the options that are on.
    public let use: [String]
    public let callback: AuthorizationResponse.Names
    /// RFC 9207: refuse an answer without `iss`.
    public var requiresIssuer: Bool
    /// The provider refuses `localhost` in redirect URIs.
    public let refusesLocalhost: Bool
}

public struct TokenRules: Sendable {
    public enum Body: String, Hashable, Sendable, CaseIterable {
        case form, json
    }

    /// `nil`: from the metadata, else in the body.
    public var authentication: ClientAuthentication?
    public let body: Body
    public let headers: [(name: String, value: String)]
    public let parameters: [(name: String, value: String)]
    public let sendsRedirectURI: Bool
}

public struct ResponseRules: Sendable {
    /// One place where a token object may sit.
    public struct Pick: Hashable, Sendable {
        public enum Condition: Hashable, Sendable {
            case always
            case present(String)
            case equals(path: String, value: String)
        }

        public let kind: String
        public let at: String
        public let condition: Condition
    }

    public struct Names: Hashable, Sendable {
        public let accessToken, refreshToken, tokenType, expiresIn, refreshExpiresIn, scope: String
    }

    /// A path that must be true (Slack's `ok`).
    public let ok: String?
    public let error: String
    /// A second place for a code, read when there is an error.
    public let errorAlternative: String?
    public let errorText: String?
    /// The kind of token that is stored: never another one.
    public let want: String
    public let pick: [Pick]
    /// The error when no place matches.
    public let missing: String
    public let names: Names
    /// Token types accepted besides Bearer.
    public let tokenTypes: [String]
    /// The answer's scope says nothing (GitHub Apps): granted equals requested.
    public let scopeIgnored: Bool
    public let metadata: [String]
    /// Values that are secrets themselves and are not kept.
    public let secretMetadata: [String]
}

public struct RefreshRules: Sendable {
    public let supported: Often
    public let parameters: [(name: String, value: String)]
    public let rotates: Often
    /// How long a spent refresh token may be replayed, in seconds: 0 not at all, `nil` a time not documented.
    public let graceSeconds: Int64?
    /// A replay must be the same request, byte for byte (Linear).
    public let replaySameRequest: Bool
    /// The old access token ends at the refresh.
    public let oldAccessDies: Bool
    /// Tokens that live at once; the oldest ends when there is one more (Slack).
    public let activeTokens: Int64?
    public let sendsScope: Bool
    public let sendsRedirectURI: Bool
    public let refreshBeforeSeconds: Int64
}

public struct ExpiryRules: Hashable, Sendable {
    public enum Clock: String, Hashable, Sendable, CaseIterable {
        /// Counted from the last use.
        case idle
        /// Counted from the person's consent.
        case absolute
    }

    /// Used when the answer has no lifetime; `nil`: as not expiring.
    public let accessDefaultSeconds: Int64?
    /// What the documentation says, for doubles and people.
    public let accessSeconds: Int64?
    public let refreshSeconds: Int64?
    public let refreshSecondsWithPKCE: Int64?
    public let refreshClock: Clock?
    /// Access or grant ends when not used this long.
    public let unusedDays: Int64?
    /// API error codes that mean an expired access token.
    public let alsoRefreshOn: [String]
}

/// What becomes of earlier scopes when fewer are asked.
public enum Incremental: String, Hashable, Sendable, CaseIterable {
    /// The new token has what was asked: ask for old and new.
    case replace
    /// The provider merges when a parameter is sent.
    case param
    /// The provider always merges.
    case additive
}

public struct RevokeRules: Sendable {
    public enum Style: String, Hashable, Sendable, CaseIterable {
        case none, rfc7009, bearer
        case bearerGet = "bearer_get"
        /// GitHub: DELETE with Basic authentication and the token in JSON.
        case deleteBasicJSON = "delete_basic_json"
    }

    public enum Which: String, Hashable, Sendable, CaseIterable {
        case access, refresh
    }

    /// Which of the provider's two calls is made, where it has two (GitHub).
    public enum Target: String, Hashable, Sendable, CaseIterable {
        case token, grant
    }

    public enum Effect: String, Hashable, Sendable, CaseIterable {
        /// This token alone.
        case token
        /// Every token of this person and client.
        case grant
        /// The app's installation.
        case installation
    }

    /// `nil`: RFC 7009 where there is an endpoint for it.
    public let style: Style?
    public let isOn: Bool
    /// `nil`: as at the token endpoint.
    public let authentication: ClientAuthentication?
    public let body: TokenRules.Body
    public let fixedBody: String?
    public let tokenField: String
    public let hintField: String?
    public let which: Which
    public let target: Target
    public let success: [Int]
    /// Statuses that mean it was gone already.
    public let gone: [Int]
    public let goneCodes: [String]
    public let successPath: String?
    /// `nil`: not documented.
    public let effect: Effect?
    public let basis: Basis?
}

/// One way to learn whose account a token stands for.
public struct IdentitySource: Sendable {
    public enum Origin: Sendable {
        /// The token answer itself; paths are its `metadata`.
        case tokenAnswer
        case call(method: String, url: String)
    }

    public let origin: Origin
    public let headers: [(name: String, value: String)]
    public let body: String?
    public let bodyForm: [(name: String, value: String)]
    /// The client authenticates in the body instead of the bearer in a header.
    public let clientInBody: Bool
    /// Useful only with one of these scopes; empty: with any.
    public let needsAny: [String]
    public let ok: String?
    public let failIf: String?
    /// The answer is an array; its first element counts.
    public let isList: Bool
    /// Joined with `:`; each a path, alternatives separated by `|`.
    public let id: [String]
    /// A path with alternatives, or a template with `${path}`.
    public let label: String
    /// Paths that serve as label where there is none.
    public let name, email: String?
    public let tenant: String?
    public let basis: Basis?
}
