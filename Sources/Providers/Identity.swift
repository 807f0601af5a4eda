import Encoding
import OAuth
import Secrets

extension Provider {
    /// Identity that came with the tokens, where the provider sends it there (Notion).
    public func identity(in tokens: CredentialTokens) -> AccountIdentity? {
        for source in identity {
            guard case .tokenAnswer = source.origin else { continue }
            if let identity = self.identity(source, in: nil, tokens) { return identity }
        }
        return nil
    }

    /// Whether these tokens say of themselves that they are another account's than this one, which they should renew. Where
    /// they say nothing, or nothing that can be compared, nobody knows: asking would cost a call for each renewal.
    public func contradict(_ account: String, _ tokens: CredentialTokens) -> Bool {
        guard !account.isEmpty, !identity.isEmpty else { return false }
        // OpenID Connect Core 1.0 section 12.2: the subject of a renewal must be the same. Comparable where an account is
        // known by its subject and by nothing else.
        if let subject = tokens.subject,
            identity.allSatisfy({ $0.id.count == 1 && $0.id[0].split(separator: "|").first == "sub" })
        {
            return subject != account
        }
        // Some say it in the answer; comparable where nothing else ever names an account.
        guard identity.allSatisfy({ if case .tokenAnswer = $0.origin { true } else { false } }),
            let said = self.identity(in: tokens)
        else { return false }
        return said.id != account
    }

    /// Whether the provider says, by itself or when asked, whose account these tokens are for. Where it does, an account
    /// that nobody named is an answer that did not come, not an account without a name.
    public func tellsAccount(_ tokens: CredentialTokens) -> Bool {
        !usableSources(tokens).isEmpty
            || identity.contains { if case .tokenAnswer = $0.origin { true } else { false } }
    }

    /// The call for the `index`-th way to learn the account that these scopes permit; `nil`: no more to try.
    public func identityCall(_ index: Int, tokens: CredentialTokens) throws(ProviderError) -> ProviderCall? {
        let sources = usableSources(tokens)
        guard sources.indices.contains(index), case .call(let method, let template) = sources[index].origin else {
            return nil
        }
        let source = sources[index]
        guard let url = expand(template) else { throw .notDiscovered }
        var headers = headers(source.headers)
        if source.bodyForm.isEmpty {
            headers.append(
                try authorization(tokens.accessToken))
            let body = try source.body.map { text throws(ProviderError) in
                try Self.inSecureMemory { try SecretText(text) }
            }
            if body != nil, !headers.contains(where: { $0.name.lowercased() == "content-type" }) {
                headers.append(.init("Content-Type", "application/json"))
            }
            return ProviderCall(
                method: method, url: url, headers: Self.completed(headers), body: body, limits: limits(total: 8_000))
        }
        var fields = RequestFields()
        for (name, value) in source.bodyForm {
            value == "${access_token}" ? fields.set(name, tokens.accessToken) : fields.set(name, value)
        }
        if source.clientInBody { try authenticate(.body, &fields, &headers) }
        return try call(method, url, fields, as: .form, headers)
    }

    /// `nil`: this way did not tell; the next index may.
    public func parseIdentity(_ index: Int, reply: ProviderReply, tokens: CredentialTokens) -> AccountIdentity? {
        let sources = usableSources(tokens)
        guard sources.indices.contains(index), reply.status == 200 else { return nil }
        let source = sources[index]
        guard var document = JSONValue(parsing: reply.body) else { return nil }
        if source.isList {
            guard let first = document.array?.first else { return nil }
            document = first
        }
        if let ok = source.ok, document.value(at: ok) != .bool(true) { return nil }
        if let failIf = source.failIf, document.value(at: failIf) != nil { return nil }
        return identity(source, in: document, tokens)
    }

    private func usableSources(_ tokens: CredentialTokens) -> [IdentitySource] {
        // What providers do not echo may still have been granted: a call that fails costs one attempt.
        let covered = scopes.covered(by: tokens.scopes).union(scopes.ignored)
        return identity.filter { source in
            guard case .call = source.origin else { return false }
            return source.needsAny.isEmpty || source.needsAny.contains { covered.contains(scopes.canonical($0)) }
        }
    }

    private func identity(
        _ source: IdentitySource, in document: JSONValue?, _ tokens: CredentialTokens
    ) -> AccountIdentity? {
        func lookUp(_ paths: String) -> String? {
            for path in paths.split(separator: "|") {
                if let text = document?.value(at: path)?.text, !text.isEmpty { return text }
                if let text = tokens.metadata[String(path)] { return text }
                if let variable = variables[String(path)] { return variable.value }
            }
            return nil
        }
        func fill(_ text: String) -> String? {
            text.contains("${") ? Template.expand(text, lookUp) : lookUp(text)
        }
        var parts: [String] = []
        for path in source.id {
            guard let part = lookUp(path) else { return nil }
            parts.append(part)
        }
        let id = parts.joined(separator: ":")
        guard !id.isEmpty, id.utf8.count <= 512 else { return nil }
        let named = fill(source.label) ?? source.name.flatMap(lookUp) ?? source.email.flatMap(lookUp)
        let label = named?.cut(to: 200) ?? id
        return AccountIdentity(id: id, label: label, tenant: source.tenant.flatMap(fill)?.cut(to: 200))
    }
}
