import Encoding
import OAuth

extension Provider {
    static let expectedName = "1 to 64 bytes of text that can be seen as it is"

    /// People read it where they decide.
    static func isName(_ text: String) -> Bool {
        text.utf8.count <= 64 && text.isVisible && text.withoutControls == text
    }

    /// Reads a whole entry, its layers already laid over one another.
    init(reading entry: SourceValue, id: ProviderID, path: String) throws(CatalogueError) {
        var fields = try Fields(entry, path: path)
        self.id = id
        name = try fields.text("name") ?? id.bridge
        guard Self.isName(name) else {
            throw fields.wrong("name", expected: Self.expectedName, found: "another")
        }
        kind = try fields.choice("kind", Kind.self) ?? .operator
        basis = try fields.choice("basis", Basis.self) ?? .documentation
        documentation = try fields.text("docs")
        client = nil
        secretVariable = nil
        environment = try Self.environment(try fields.fields("env"))
        defaultScopes = try Self.scopes("default_scopes", &fields)
        variables = try Self.variables(&fields)
        var endpointFields = try fields.block("endpoints")
        endpoints = try Endpoints(reading: &endpointFields)
        issuer = try fields.text("issuer")
        allowsLoopbackHTTP = try fields.flag("allow_loopback_http")
        allowsPrivateAddresses = try fields.flag("allow_private_addresses")
        let discovers = issuer != nil && (endpoints.authorize == nil || endpoints.token == nil)
        let want = try Self.wantedKind(&fields)
        var block = try fields.block("authorize")
        authorize = try AuthorizeRules(reading: &block, discovers: discovers, want: want)
        block = try fields.block("token")
        token = try TokenRules(reading: &block)
        block = try fields.block("response")
        response = try ResponseRules(reading: &block, want: want)
        block = try fields.block("refresh")
        refresh = try RefreshRules(reading: &block)
        block = try fields.block("expiry")
        expiry = try ExpiryRules(reading: &block)
        incremental = try fields.choice("incremental", Incremental.self) ?? .replace
        block = try fields.block("revoke")
        revoke = try RevokeRules(reading: &block)
        if kind == .apiKey {
            block = try fields.block("api_key")
            keyRules = try KeyRules(reading: &block)
        } else {
            keyRules = nil
        }
        identity = try Self.identity(&fields, userinfo: endpoints.userinfo, isCheck: kind == .apiKey)
        errors = try Self.errors(&fields)
        limits = try Self.limits(&fields)
        block = try fields.block("scope_names")
        scopes = try ScopeVocabulary(
            names: &block, scopes: try fields.members("scopes"), path: fields.field("scopes"))
        block = try fields.block("api")
        api = try APIRules(reading: &block, baseFrom: try fields.text("api_base_from"))
        operations = try Self.operations(&fields)
        sharesGrant = try fields.flag("shared_grant")
        singleGrantPerUser = try fields.flag("single_grant_per_user")
        signIn = if let rules = try fields.fields("sign_in") { try SignInRules(reading: rules) } else { nil }
        fields.permit("required_defaults", "permissions", "callback_without_state", "redirect_rules")
        try fields.finish()
        try checkEndpoints(fields)
        try checkSignIn(fields)
    }

    /// The kind of token that is stored, where the provider has several.
    private static func wantedKind(_ fields: inout Fields) throws(CatalogueError) -> String {
        var kinds = try fields.block("token_kind")
        let kind = try kinds.text("default")
        kinds.permit("available")
        try kinds.finish()
        return kind ?? "user"
    }

    private static func environment(_ given: Fields?) throws(CatalogueError) -> ClientEnvironment? {
        guard var fields = given else { return nil }
        let environment = ClientEnvironment(
            id: try fields.text("client_id", expected: "the name of an environment variable"),
            secret: try fields.text("client_secret", expected: "the name of an environment variable"))
        try fields.finish()
        return environment
    }

    private static func scopes(_ name: String, _ fields: inout Fields) throws(CatalogueError) -> ScopeSet {
        let names = try fields.texts(name) ?? []
        do throws(ScopeError) {
            return try ScopeSet(tokens: names)
        } catch {
            throw fields.wrong(
                name, expected: "at most \(ScopeSet.maximumCount) RFC 6749 scope tokens", found: error.found)
        }
    }

    private static func variables(_ fields: inout Fields) throws(CatalogueError) -> [String: Variable] {
        var variables: [String: Variable] = [:]
        for member in try fields.members("vars") {
            var variable = try Fields(member.value, path: "\(fields.field("vars")).\(member.name)")
            variables[member.name] = try Variable(reading: &variable)
        }
        return variables
    }

    private static func identity(
        _ fields: inout Fields, userinfo: String?, isCheck: Bool
    ) throws(CatalogueError) -> [IdentitySource] {
        var sources: [IdentitySource] = []
        for (index, value) in (try fields.list("identity") ?? []).enumerated() {
            sources.append(
                try IdentitySource(
                    reading: value, path: "\(fields.field("identity"))[\(index)]", isCheck: isCheck))
        }
        if sources.isEmpty, let userinfo { return [.userinfo(userinfo)] }
        return sources
    }

    private static func errors(_ fields: inout Fields) throws(CatalogueError) -> [String: ErrorClass] {
        var errors: [String: ErrorClass] = [:]
        for member in try fields.members("errors") {
            guard case .text(let text, _) = member.value, let kind = ErrorClass(rawValue: text) else {
                if case .null = member.value { continue }
                let known = ErrorClass.allCases.map(\.rawValue).joined(separator: " or ")
                throw CatalogueError(
                    member.value.place, field: "\(fields.field("errors")).\(member.name)",
                    .wrong(expected: known, found: member.value.kind))
            }
            errors[member.name] = kind
        }
        return errors
    }

    /// The numbers that a provider counts by.
    static let limitNames = [
        "api_points_per_hour", "api_requests_per_hour", "code_ttl_s", "redirect_uris",
        "refresh_tokens_per_account_client", "testing_refresh_token_days", "tokens_created_per_hour",
        "tokens_per_user_app_scopes",
    ]

    private static func limits(_ fields: inout Fields) throws(CatalogueError) -> [String: Int64] {
        guard var block = try fields.fields("limits") else { return [:] }
        var limits: [String: Int64] = [:]
        for name in limitNames {
            if let number = try block.integer(name) { limits[name] = number }
        }
        try block.finish()
        return limits
    }
}

extension ScopeError {
    fileprivate var found: String {
        switch self {
        case .notAToken(let text): "'\(text.prefix(40))'"
        case .tooMany(let count): "\(count) scopes"
        }
    }
}
