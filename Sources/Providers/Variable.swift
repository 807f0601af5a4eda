/// A part of a provider's URLs that differs between installations: a host of one's own, a tenant.
public struct Variable: Hashable, Sendable {
    public enum Kind: String, Hashable, Sendable, CaseIterable {
        /// A host name, with a port where the operator sets it.
        case host
        /// An https URL without query.
        case url
        /// One path segment: letters, digits, `.`, `_`, `-`.
        case segment
    }

    public enum Setter: String, Hashable, Sendable, CaseIterable {
        case `operator`
        /// A person, while connecting: only within `allow`.
        case connection
    }

    public let kind: Kind
    public let value: String
    /// Host names or `*.domain`; empty allows what the kind allows.
    public let allow: [String]
    /// A regular expression for the whole value, where a list of hosts is not enough.
    public let pattern: String?
    public let setBy: Setter

    init(reading fields: inout Fields) throws(CatalogueError) {
        let given = try fields.choice("kind", Kind.self)
        value = try fields.text("default", expected: "the value that holds unless another is set")
        kind = given ?? (value.contains("://") ? .url : .host)
        pattern = try fields.text("pattern")
        if let pattern, (try? Regex(pattern)) == nil {
            throw fields.wrong("pattern", expected: "a regular expression", found: "'\(pattern.prefix(60))'")
        }
        allow = try fields.texts("allow") ?? []
        setBy = try fields.choice("set_by", Setter.self) ?? .operator
        try fields.finish()
        for pattern in allow where !Self.isPattern(pattern) {
            throw fields.wrong("allow", expected: "host names or *.DOMAIN", found: "'\(pattern)'")
        }
        guard accepts(value) else {
            throw fields.wrong("default", expected: expectation, found: "'\(value.prefix(60))'")
        }
    }

    private init(_ variable: Variable, value: String) {
        kind = variable.kind
        allow = variable.allow
        setBy = variable.setBy
        pattern = variable.pattern
        self.value = value
    }

    func setting(_ value: String) -> Variable { Variable(self, value: value) }

    func accepts(_ value: String) -> Bool {
        if let pattern {
            guard let regex = try? Regex(pattern), value.wholeMatch(of: regex) != nil else { return false }
        }
        return acceptsShape(value)
    }

    private func acceptsShape(_ value: String) -> Bool {
        switch kind {
        case .host:
            let parts = value.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
            guard let host = parts.first, EndpointURL.isHostName(host) else { return false }
            if parts.count == 2 {
                guard setBy == .operator, let port = UInt16(parts[1]), port > 0 else { return false }
            }
            return allow.isEmpty || allow.contains { Self.matches(host.lowercased(), pattern: $0) }
        case .url:
            guard let url = try? EndpointURL(parsing: value), !value.contains("?") else { return false }
            return allow.isEmpty || allow.contains { Self.matches(url.host, pattern: $0) }
        case .segment:
            return !value.isEmpty && value != "." && value != ".." && value.utf8.count <= 128
                && value.utf8.allSatisfy { byte in
                    switch byte {
                    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                        UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "-"):
                        true
                    default: false
                    }
                }
        }
    }

    var expectation: String {
        switch kind {
        case .host: allow.isEmpty ? "a host name" : "a host name within \(allow.joined(separator: ", "))"
        case .url: "an https URL without query"
        case .segment: "letters, digits, dots, underscores, hyphens"
        }
    }

    /// Whether a person may fill it in a place that receives a token: every pattern must end in one registrable
    /// domain, so that nobody can name a host of their own (api.md "Operator").
    var pinsADomain: Bool {
        guard kind == .host else { return false }
        if allow.isEmpty { return pattern.map(Self.pinsADomain) ?? false }
        return allow.allSatisfy { Self.isRegistrable($0.hasPrefix("*.") ? $0.dropFirst(2) : $0[...]) }
    }

    /// A pattern that ends in a literal `\.domain\.tld$` and has no alternative beside it.
    private static func pinsADomain(_ pattern: String) -> Bool {
        guard pattern.hasPrefix("^"), pattern.hasSuffix("$"), !pattern.contains("|") else { return false }
        let literal = pattern.dropFirst().dropLast().reversed().prefix { character in
            character.isLetter || character.isNumber || character == "-" || character == "." || character == "\\"
        }
        let tail = String(literal.reversed())
        guard let start = tail.firstRange(of: "\\.") else { return false }
        // Between the first escaped dot and the end every dot must be escaped: a bare one matches anything.
        let domain = tail[start.upperBound...]
        guard !domain.replacing("\\.", with: "").contains(where: { $0 == "." || $0 == "\\" }) else { return false }
        return isRegistrable(domain.replacing("\\.", with: "."))
    }

    static func matches(_ host: String, pattern: String) -> Bool {
        guard pattern.hasPrefix("*.") else { return host == pattern }
        let domain = pattern.dropFirst()
        return host.hasSuffix(domain) && host.utf8.count > domain.utf8.count
    }

    private static func isPattern(_ pattern: String) -> Bool {
        EndpointURL.isHostName(pattern.hasPrefix("*.") ? pattern.dropFirst(2) : pattern[...])
    }

    /// Somebody's own domain, or a part of it: not one under which anybody can have a name. An approximation of the
    /// public suffix list by shape (`co.uk`, `com.au`) and by the hosting domains most often met. Nothing at or below
    /// those counts: which of their labels is a customer's name (`*.s3.amazonaws.com`) only their hosts know.
    static func isRegistrable(_ domain: some StringProtocol) -> Bool {
        let labels = domain.lowercased().split(separator: ".")
        guard labels.count >= 2, let top = labels.last, top.utf8.allSatisfy({ $0 >= UInt8(ascii: "a") }) else {
            return false
        }
        if labels.count == 2, top.utf8.count == 2, labels[0].utf8.count <= 3 { return false }
        // blogspot.com, blogspot.co.uk and a hundred more.
        guard !labels.contains("blogspot") else { return false }
        return !(2...labels.count).contains { sharedDomains.contains(labels.suffix($0).joined(separator: ".")) }
    }

    private static let sharedDomains: Set<String> = [
        "amazonaws.com", "amazonaws.com.cn", "amplifyapp.com", "appspot.com", "awsapprunner.com", "awsapps.com",
        "azure-api.net", "azurecontainerapps.io", "azureedge.net", "azurefd.net", "azurestaticapps.net",
        "azurewebsites.net", "cloudapp.azure.com", "cloudapp.net", "cloudfront.net", "cloudfunctions.net",
        "cloudwaysapps.com", "codeberg.page", "core.windows.net", "ddns.net", "deno.dev", "digitaloceanspaces.com",
        "duckdns.org", "edgekey.net", "elasticbeanstalk.com", "firebaseapp.com", "fly.dev", "gitbook.io", "github.dev",
        "github.io", "githubpreview.dev", "gitlab.io", "glitch.me", "hf.space", "herokuapp.com", "loca.lt", "lhr.life",
        "localhost.run", "netlify.app", "ngrok-free.app", "ngrok-free.dev", "ngrok.app", "ngrok.dev", "ngrok.io",
        "no-ip.org", "on.aws", "ondigitalocean.app", "onrender.com", "pages.dev", "r2.dev", "railway.app", "repl.co",
        "replit.app", "replit.dev", "run.app", "serveo.net", "storage.googleapis.com", "surge.sh", "trafficmanager.net",
        "translate.goog", "trycloudflare.com", "up.railway.app", "usercontent.goog", "vercel.app", "web.app",
        "web.core.windows.net", "workers.dev",
    ]
}

/// Text with `${name}` in it.
enum Template {
    /// `nil` when a name has no value.
    static func expand(_ text: String, _ value: (String) -> String?) -> String? {
        var result = ""
        var rest = text[...]
        while let start = rest.firstRange(of: "${") {
            result += rest[..<start.lowerBound]
            let after = rest[start.upperBound...]
            guard let end = after.firstIndex(of: "}"), let filled = value(String(after[..<end])) else { return nil }
            result += filled
            rest = after[after.index(after: end)...]
        }
        return result + rest
    }

    static func names(in text: String) -> [String] {
        var names: [String] = []
        _ = expand(text) { name in
            names.append(name)
            return ""
        }
        return names
    }
}
