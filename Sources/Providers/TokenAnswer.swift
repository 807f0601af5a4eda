import Encoding
import OAuth
import Secrets

extension Provider {
    /// Judges a token endpoint's answer, body before status (standards 1.7, 1.8). `requested` are the scopes of the
    /// authorization request, or for a refresh those the connection has.
    public func parseTokens(
        _ reply: ProviderReply, for grant: GrantType = .refreshToken, requested: ScopeSet, at received: Instant
    ) -> TokenOutcome {
        guard let fields = reply.fields else { return unreadable(reply, for: grant) }
        if let code = errorCode(in: fields, status: reply.status) {
            return refusal(code, in: fields, status: reply.status, for: grant)
        }
        guard (200..<300).contains(reply.status) else { return unreadable(reply, for: grant) }
        guard let object = tokenObject(in: fields) else {
            return .refused(code: response.missing, class: .config)
        }
        return tokens(in: object, of: fields, requested: requested, at: received)
    }

    /// A listed code has its class; the RFCs' codes theirs; an unlisted one never kills a grant.
    public func errorClass(_ code: String, for grant: GrantType) -> ErrorClass {
        if let listed = errors[code] {
            // The same code for a dead refresh token and a spent code: what was presented decides.
            return listed == .reauthorize && grant == .authorizationCode ? .replay : listed
        }
        return StandardErrors.token(code, for: grant) ?? .transient
    }

    /// The class of an `error` that came back to the redirect URI (RFC 6749 section 4.1.2.1).
    public func authorizationErrorClass(_ code: String) -> ErrorClass {
        errors[code] ?? StandardErrors.authorization(code) ?? .transient
    }

    private func errorCode(in fields: JSONValue, status: Int) -> String? {
        let text = fields.value(at: response.error).map { $0.text ?? "error" }
        if let text, !text.isEmpty {
            guard errors[text] == nil, let other = response.errorAlternative,
                let code = fields.value(at: other)?.text, errors[code] != nil
            else { return text }
            return code
        }
        if let ok = response.ok, fields.value(at: ok) != .bool(true) { return "not_ok" }
        if status >= 400, let other = response.errorAlternative { return fields.value(at: other)?.text }
        return nil
    }

    private func refusal(_ code: String, in fields: JSONValue, status: Int, for grant: GrantType) -> TokenOutcome {
        let code = code.cut(to: 128)
        let kind = errorClass(code, for: grant)
        if status >= 500, kind == .transient { return .unknown(code) }
        return .refused(code: code, class: kind)
    }

    /// No error code and no token: the status decides, and only whether the provider may have acted. An operator who knows
    /// what a refusal without words means can list it as http_400.
    private func unreadable(_ reply: ProviderReply, for grant: GrantType) -> TokenOutcome {
        switch reply.status {
        case 200..<300: .unknown("malformed_token_response")
        case 300..<400: .refused(code: "http_\(reply.status)", class: .config)
        case 400..<500: .refused(code: "http_\(reply.status)", class: errorClass("http_\(reply.status)", for: grant))
        default: .unknown("http_\(reply.status)")
        }
    }

    private func tokenObject(in fields: JSONValue) -> JSONValue? {
        for pick in response.pick where pick.kind == response.want {
            switch pick.condition {
            case .always: break
            case .present(let path):
                guard fields.value(at: path) != nil else { continue }
            case .equals(let path, let value):
                guard fields.value(at: path)?.text == value else { continue }
            }
            return fields.value(at: pick.at)
        }
        return nil
    }

    private func tokens(
        in object: JSONValue, of fields: JSONValue, requested: ScopeSet, at received: Instant
    ) -> TokenOutcome {
        let names = response.names
        let refresh = object.value(at: names.refreshToken)?.string.flatMap { $0.isEmpty ? nil : $0 }
        guard let access = object.value(at: names.accessToken)?.string, Self.isToken(access),
            refresh.map(Self.isToken) ?? true
        else { return .unknown("malformed_token_response") }
        let type = object.value(at: names.tokenType)?.string ?? "Bearer"
        guard ["bearer"].contains(type.lowercased()) || response.tokenTypes.contains(type.lowercased()) else {
            return .unknown("unsupported_token_type")
        }
        let lifetime = Lifetime(object.value(at: names.expiresIn))
        let refreshLifetime = Lifetime(object.value(at: names.refreshExpiresIn))
        do {
            return .tokens(
                CredentialTokens(
                    accessToken: try SecretText(access), refreshToken: try refresh.map { try SecretText($0) },
                    tokenType: type,
                    expiresAt: lifetime.expiry(from: received, default: expiry.accessDefaultSeconds),
                    refreshExpiresAt: refresh == nil
                        ? nil : refreshLifetime.expiry(from: received, default: refreshDefaultSeconds),
                    scopes: grantedScopes(object.value(at: names.scope), requested: requested),
                    metadata: metadata(of: fields), subject: Self.subject(in: object)))
        } catch {
            return .unknown("secure_memory")
        }
    }

    private static func subject(in object: JSONValue) -> String? {
        guard let parts = object.value(at: "id_token")?.string?.split(separator: ".", omittingEmptySubsequences: false),
            parts.count == 3, let claims = Base64URL.decode(parts[1]).flatMap({ JSONValue(parsing: $0) })
        else { return nil }
        return claims.value(at: "sub")?.string
    }

    /// What fits behind `Bearer ` (RFC 6750 section 2.1), with all the punctuation that providers use. Anything else could not be
    /// sent as it is.
    private static func isToken(_ text: String) -> Bool {
        !text.isEmpty && text.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F }
    }

    private var refreshDefaultSeconds: Int64? {
        usesPKCE ? expiry.refreshSecondsWithPKCE ?? expiry.refreshSeconds : expiry.refreshSeconds
    }

    /// RFC 6749 section 5.1: absent means as requested. A text is split at spaces and commas, a list is taken as it is.
    private func grantedScopes(_ value: JSONValue?, requested: ScopeSet) -> ScopeSet {
        let answered: [String]?
        switch value {
        case .string(let text)?:
            answered = text.split { $0 == " " || $0 == "," }.map(String.init)
        case .array(let values)?: answered = values.compactMap(\.string)
        default: answered = nil
        }
        guard let answered, !response.scopeIgnored else {
            return compared(canonical(requested).union(scopes.alwaysPresent))
        }
        return compared(canonical(ScopeSet(answered)).union(scopes.alwaysPresent))
    }

    private func compared(_ granted: ScopeSet) -> ScopeSet {
        granted.subtracting(ScopeSet(scopes.ignored))
    }

    private func metadata(of fields: JSONValue) -> [String: String] {
        var kept: [String: String] = [:]
        for path in response.metadata where !response.secretMetadata.contains(path) {
            if let text = fields.value(at: path)?.text { kept[path] = text.cut(to: 1024) }
        }
        return kept
    }
}
