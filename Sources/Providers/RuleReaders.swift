import OAuth

extension AuthorizeRules {
    /// `discovers`: the endpoints come from an issuer, whose metadata can say no to PKCE.
    init(reading fields: inout Fields, discovers: Bool, want: String) throws(CatalogueError) {
        parameters = try fields.textMap("params")
        scopeParameter = try Self.scopeParameter(&fields, want: want)
        scopeSeparator = try fields.text("scope_sep") ?? " "
        extraScopes = try fields.texts("scope_extra") ?? []
        var pkceFields = try fields.fields("pkce")
        let chosen = try pkceFields?.choice("default", PKCEPolicy.self)
        pkceAvailable = try pkceFields?.texts("available") ?? []
        pkceFields?.permit("basis", "since", "precondition")
        try pkceFields?.finish()
        pkce = chosen ?? (discovers ? .s256 : .off)
        var options: [String: Option] = [:]
        for member in try fields.members("options") {
            options[member.name] = try Option(member, path: fields.field("options"))
        }
        self.options = options
        use = try fields.texts("use") ?? []
        if let unknown = use.first(where: { options[$0] == nil }) {
            throw fields.wrong(
                "use", expected: "names of options (\(options.keys.sorted().joined(separator: ", ")))",
                found: "'\(unknown)'")
        }
        callback = try Self.callback(try fields.fields("callback"))
        requiresIssuer = try fields.flag("requires_iss")
        refusesLocalhost = try fields.flag("refuses_localhost")
        fields.permit("method", "state")
        try fields.finish()
    }

    /// One name, or one per kind of token.
    private static func scopeParameter(_ fields: inout Fields, want: String) throws(CatalogueError) -> String? {
        if case .map? = fields.value("scope_param") {
            return try fields.textMap("scope_param").first { $0.name == want }?.value
        }
        return try fields.text("scope_param")
    }

    private static func callback(_ given: Fields?) throws(CatalogueError) -> AuthorizationResponse.Names {
        var names = AuthorizationResponse.Names()
        guard var fields = given else { return names }
        names.code = try fields.text("code") ?? names.code
        names.state = try fields.text("state") ?? names.state
        names.error = try fields.text("error") ?? names.error
        names.errorText = try fields.text("error_text") ?? names.errorText
        names.keep = try fields.texts("keep") ?? []
        try fields.finish()
        return names
    }
}

extension AuthorizeRules.Option {
    fileprivate init(_ member: SourceValue.Member, path: String) throws(CatalogueError) {
        var fields = try Fields(member.value, path: "\(path).\(member.name)")
        addScopes = try fields.texts("add_scopes") ?? []
        forbidsScopes = try fields.texts("forbids_scopes") ?? []
        let named = try fields.textMap("params")
        // What is neither is a parameter itself: `{ prompt: select_account }`.
        parameters = try named + fields.remainingTexts()
    }
}

extension TokenRules {
    init(reading fields: inout Fields) throws(CatalogueError) {
        authentication = try fields.choice("auth", ClientAuthentication.self)
        body = try fields.choice("body", Body.self) ?? .form
        headers = try fields.textMap("headers")
        parameters = try fields.textMap("params")
        sendsRedirectURI = try fields.flag("send_redirect_uri", otherwise: true)
        fields.permit("method")
        try fields.finish()
    }
}

extension ResponseRules {
    init(reading fields: inout Fields, want kind: String) throws(CatalogueError) {
        ok = try fields.text("ok")
        error = try fields.text("error") ?? "error"
        errorAlternative = try fields.text("error_alt")
        errorText = try fields.text("error_text")
        want = kind
        var places: [Pick] = []
        for value in try fields.list("pick") ?? [] {
            places.append(try Pick(value, path: fields.field("pick")))
        }
        pick = places.isEmpty ? [Pick(kind: want, at: "", condition: .always)] : places
        missing = try fields.text("missing") ?? "no_token"
        var names = try fields.fields("fields")
        self.names = Names(
            accessToken: try names?.text("access_token") ?? "access_token",
            refreshToken: try names?.text("refresh_token") ?? "refresh_token",
            tokenType: try names?.text("token_type") ?? "token_type",
            expiresIn: try names?.text("expires_in") ?? "expires_in",
            refreshExpiresIn: try names?.text("refresh_expires_in") ?? "refresh_token_expires_in",
            scope: try names?.text("scope") ?? "scope")
        try names?.finish()
        tokenTypes = try fields.texts("token_types") ?? []
        scopeIgnored = try fields.flag("scope_ignored")
        metadata = try fields.texts("metadata") ?? []
        secretMetadata = try fields.texts("secret_metadata") ?? []
        // Bodies are read by what they are, scopes by either separator, errors whatever the status is.
        fields.permit("want", "format", "also_accept", "scope_sep", "scope_may_be_array", "errors_with_http_200")
        try fields.finish()
    }
}

extension ResponseRules.Pick {
    fileprivate init(_ value: SourceValue, path: String) throws(CatalogueError) {
        var fields = try Fields(value, path: path)
        let want = try fields.text("want")
        kind = try fields.text("kind") ?? want ?? "user"
        at = try fields.text("at") ?? ""
        let present = try fields.text("if_present")
        let equals = try fields.textMap("if")
        if let present {
            condition = .present(present)
        } else if let (name, value) = equals.first {
            condition = .equals(path: name, value: value)
        } else {
            condition = .always
        }
        try fields.finish()
    }
}

extension RefreshRules {
    init(reading fields: inout Fields) throws(CatalogueError) {
        supported = try fields.choice("supported", Often.self) ?? .sometimes
        parameters = try fields.textMap("params")
        rotates = try fields.choice("rotates", Often.self) ?? .no
        graceSeconds = try fields.integer("grace_s")
        replaySameRequest = try fields.flag("replay_same_request")
        oldAccessDies = try fields.flag("old_access_dies")
        activeTokens = try fields.integer("active_tokens")
        sendsScope = try fields.flag("send_scope")
        sendsRedirectURI = try fields.flag("send_redirect_uri")
        refreshBeforeSeconds = try fields.integer("refresh_before_s") ?? 300
        fields.permit("endpoint", "grace_note", "scope_param_allowed")
        try fields.finish()
    }
}

extension ExpiryRules {
    init(reading fields: inout Fields) throws(CatalogueError) {
        accessDefaultSeconds = try fields.integer("access_default_s")
        accessSeconds = try fields.integer("access_s")
        refreshSeconds = try fields.integer("refresh_s")
        refreshSecondsWithPKCE = try fields.integer("refresh_s_if_pkce")
        refreshClock = try fields.choice("refresh_clock", Clock.self)
        unusedDays = try fields.integer("unused_days")
        alsoRefreshOn = try fields.texts("also_refresh_on") ?? []
        fields.permit("since")
        try fields.finish()
    }
}

extension RevokeRules {
    init(reading fields: inout Fields) throws(CatalogueError) {
        style = try fields.choice("style", Style.self)
        isOn = try fields.flag("default", otherwise: true)
        authentication = try fields.choice("auth", ClientAuthentication.self)
        body = try fields.choice("body_format", TokenRules.Body.self) ?? .form
        if case .map? = fields.value("body") {
            fixedBody = nil
        } else {
            fixedBody = try fields.text("body")
        }
        tokenField = try fields.text("token_field") ?? "token"
        hintField = try fields.text("hint_field")
        which = try fields.choice("which", Which.self) ?? .refresh
        target = try fields.choice("target", Target.self) ?? .token
        success = try fields.integers("success") ?? [200]
        gone = try fields.integers("gone") ?? []
        goneCodes = try fields.texts("gone_codes") ?? []
        successPath = try fields.text("success_path")
        effect = try fields.text("effect").flatMap { Effect(rawValue: $0) }
        fields.permit("method", "dry_run")
        basis = try fields.choice("basis", Basis.self)
        try fields.finish()
    }
}

extension IdentitySource {
    /// OpenID Connect's userinfo, or what comes close to it: the names that self-made ones use.
    static func userinfo(_ url: String) -> IdentitySource {
        IdentitySource(
            origin: .call(method: "GET", url: url), headers: [], body: nil, bodyForm: [], clientInBody: false,
            needsAny: [], ok: nil, failIf: nil, isList: false, id: ["sub|id|user_id"],
            label: "preferred_username|login|username|email|name", name: nil, email: nil, tenant: nil, basis: nil)
    }

    /// `isCheck`: the call says whether a key is good, and need not say whose it is.
    init(reading value: SourceValue, path: String, isCheck: Bool = false) throws(CatalogueError) {
        var fields = try Fields(value, path: path)
        if let from = try fields.text("from") {
            guard from == "response" else {
                throw fields.wrong("from", expected: "response", found: "'\(from.prefix(40))'")
            }
            origin = .tokenAnswer
        } else {
            let method = try fields.text("method") ?? "GET"
            guard method == "GET" || method == "POST" else {
                throw fields.wrong("method", expected: "GET or POST", found: "'\(method.prefix(20))'")
            }
            origin = .call(method: method, url: try fields.text("url", expected: "a URL, or from: response"))
        }
        headers = try fields.textMap("headers")
        body = try fields.text("body")
        bodyForm = try fields.textMap("body_form")
        clientInBody = try fields.choice("auth", ClientAuthentication.self) == .body
        needsAny = try fields.texts("needs_any") ?? []
        ok = try fields.text("ok")
        failIf = try fields.text("fail_if")
        isList = try fields.flag("list")
        let paths = try fields.texts("id") ?? []
        guard isCheck || !paths.isEmpty else {
            throw fields.missing("id", expected: "the path of the account's stable key")
        }
        id = paths
        label = try fields.text("label") ?? paths.first ?? ""
        name = try fields.text("name")
        email = try fields.text("email")
        if let variable = try fields.text("tenant_var") {
            tenant = "${\(variable)}"
        } else {
            tenant = try fields.text("tenant")
        }
        fields.permit("avatar", "url_field", "base_url")
        basis = try fields.choice("basis", Basis.self)
        try fields.finish()
    }

    /// This source asked elsewhere, whatever was granted.
    func at(_ url: String) -> IdentitySource {
        guard case .call(let method, _) = origin else { return self }
        return IdentitySource(
            origin: .call(method: method, url: url), headers: headers, body: body, bodyForm: bodyForm,
            clientInBody: clientInBody, needsAny: [], ok: ok, failIf: failIf, isList: isList, id: id, label: label,
            name: name, email: email, tenant: tenant, basis: basis)
    }
}
