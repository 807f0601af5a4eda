extension Provider {
    /// Where codes, tokens and the client's secret may go: https, or loopback http where the entry permits it, and to
    /// hosts that the operator or the provider's own domain decides (api.md "Operator").
    func checkEndpoints(_ fields: Fields) throws(CatalogueError) {
        if keyRules != nil, endpoints.authorize != nil || endpoints.token != nil || issuer != nil {
            throw fields.wrong(
                "kind", expected: "no authorize, token and issuer for api_key", found: "an OAuth provider's")
        }
        if needsDiscovery, issuer == nil {
            throw fields.missing("endpoints", expected: "authorize and token, or an issuer to discover them from")
        }
        if let issuer {
            try checkURL(issuer, field: "issuer", fields)
            guard !issuer.contains("?") else {
                throw fields.wrong("issuer", expected: "a URL without a query (RFC 8414)", found: "a query")
            }
        }
        for (name, template) in endpoints.all {
            guard let template else { continue }
            try check(template, field: "endpoints", name: name, receivesSecrets: name != "manage_page", fields)
        }
        for source in identity {
            guard case .call(_, let url) = source.origin else { continue }
            try check(url, field: "identity", name: "url", receivesSecrets: true, fields)
            try checkHeaders(source.headers, field: "identity", fields)
        }
        if let base = api.base { try check(base, field: "api", name: "base", receivesSecrets: true, fields) }
        try checkHeaders(token.headers, field: "token", fields)
    }

    private func check(
        _ template: String, field: String, name: String, receivesSecrets: Bool, _ fields: Fields
    ) throws(CatalogueError) {
        let known = Set(variables.keys).union(["client_id"])
        if let unknown = Template.names(in: template).first(where: { !known.contains($0) }) {
            throw fields.wrong(field, expected: "\(name) with the names in vars", found: "'${\(unknown)}'")
        }
        if receivesSecrets { try checkHost(template, field: field, name: name, fields) }
        let filled = Template.expand(template) { $0 == "client_id" ? "id" : variables[$0]?.value } ?? template
        try checkURL(filled, field: field, name: name, fields)
    }

    private func checkURL(_ url: String, field: String, name: String? = nil, _ fields: Fields) throws(CatalogueError) {
        let subject = name.map { "\($0) to be " } ?? ""
        guard let parsed = try? EndpointURL(parsing: url) else {
            throw fields.wrong(field, expected: "\(subject)an https URL", found: "'\(url.prefix(100))'")
        }
        guard parsed.permitted(loopbackHTTP: allowsLoopbackHTTP) else {
            let loopback = parsed.isLoopback ? " (or allow_loopback_http: true)" : ""
            throw fields.wrong(field, expected: "\(subject)https\(loopback)", found: "'\(url.prefix(100))'")
        }
    }

    /// A variable that a person sets may decide a host only within one registrable domain.
    private func checkHost(_ template: String, field: String, name: String, _ fields: Fields) throws(CatalogueError) {
        let afterScheme = template.firstRange(of: "://").map { template[$0.upperBound...] } ?? template[...]
        let authority = afterScheme.prefix { $0 != "/" && $0 != "?" }
        for variableName in Template.names(in: String(authority)) {
            guard let variable = variables[variableName], variable.setBy == .connection else { continue }
            let isWhole = authority == "${\(variableName)}"
            let tail = authority.split(separator: "}", omittingEmptySubsequences: false).last ?? ""
            let isPinnedByTemplate =
                variable.kind == .segment && tail.hasPrefix(".") && Variable.isRegistrable(tail.dropFirst())
            guard (isWhole && variable.pinsADomain) || isPinnedByTemplate else {
                throw fields.wrong(
                    "vars",
                    expected: "\(variableName) to be set by the operator, or to allow only *.DOMAIN of the provider, "
                        + "because it decides the host of \(field).\(name)",
                    found: "set_by: connection")
            }
        }
    }

    private func checkHeaders(
        _ headers: [(name: String, value: String)], field: String, _ fields: Fields
    ) throws(CatalogueError) {
        for (name, value) in headers {
            let isName = !name.isEmpty && name.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F && $0 != UInt8(ascii: ":") }
            guard isName, value.utf8.allSatisfy({ $0 >= 0x20 && $0 < 0x7F }) else {
                throw fields.wrong(field, expected: "headers of printable ASCII", found: "'\(name.prefix(40))'")
            }
        }
    }

    /// This provider with variables that a connection brought along, each held to its own rule.
    public func setting(_ values: [String: String]) throws(ProviderError) -> Provider {
        var provider = self
        for (name, value) in values {
            guard let variable = variables[name] else {
                throw .variableRefused(name: name, expected: "no such variable")
            }
            guard variable.setBy == .connection, variable.accepts(value) else {
                throw .variableRefused(name: name, expected: variable.expectation)
            }
            provider.variables[name] = variable.setting(value)
        }
        return provider
    }
}
