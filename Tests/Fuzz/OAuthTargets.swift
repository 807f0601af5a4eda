import Encoding
import OAuth
import Secrets

@testable import Providers

// MARK: What providers say

extension Fuzz {
    static let providers: [Provider] = {
        _ = heap
        do {
            let names = ["github", "google", "slack", "linear"]
            let clients = names.flatMap { name in
                [("\(name.uppercased())_CLIENT_ID", "id"), ("\(name.uppercased())_CLIENT_SECRET", "a-secret")]
            }
            let catalogue = try Catalogue.load(environment: Dictionary(uniqueKeysWithValues: clients))
            return try names.compactMap { catalogue[try ProviderID(parsing: $0)] }
        } catch {
            fatalError("the catalogue: \(error)")
        }
    }()

    private static let statuses = [200, 201, 302, 400, 401, 403, 404, 429, 500, 503]
    private static let types = ["application/json", "application/x-www-form-urlencoded", "text/html", ""]

    /// A line of three letters, then the body: provider, grant and type; status; further headers or none.
    static func answer(_ bytes: [UInt8]) throws -> Verdict {
        let lines = bytes.split(separator: UInt8(ascii: "\n"), maxSplits: 1, omittingEmptySubsequences: false)
        guard lines.count == 2, lines[0].count >= 2 else { return .reject }
        let (first, second) = (Int(bytes[0] & 31), Int(bytes[1] & 31))
        let provider = providers[first % providers.count]
        let grant = first & 4 == 0 ? GrantType.refreshToken : .authorizationCode
        let status = statuses[second % statuses.count]
        var headers = ["retry-after": String(decoding: lines[0].dropFirst(2), as: UTF8.self)]
        let type = types[first >> 3]
        if !type.isEmpty { headers["content-type"] = type }
        let reply = ProviderReply(status: status, headers: headers, body: Array(lines[1]))
        let now = Instant(milliseconds: 1_800_000_000_000)
        if let wait = reply.retryAfterSeconds(at: now) {
            try promise((0...3600).contains(wait), "wait for \(wait) seconds")
        }
        switch provider.parseTokens(reply, for: grant, requested: ScopeSet(["repo", "a"]), at: now) {
        case .tokens(let tokens):
            try promise((200..<300).contains(status), "a token of a refusal")
            try promise(tokens.accessToken.count > 0, "a token of no length")
            for end in [tokens.expiresAt, tokens.refreshExpiresAt] {
                guard let end else { continue }
                let lifetime = now.seconds(until: end)
                try promise((0...Lifetime.maximumSeconds).contains(lifetime), "a token for \(lifetime) seconds")
            }
            try promise(tokens.scopes == ScopeSet(tokens.scopes.names), "scopes that are no set")
            for (name, text) in tokens.metadata {
                try promise(text.utf8.count <= 4096, "\(text.utf8.count) bytes of \(name) are kept")
            }
            return .accept
        case .refused(let code, _), .unknown(let code):
            try promise(!code.isEmpty && code.utf8.count <= 512, "a code of \(code.utf8.count) bytes")
            return .reject
        }
    }

    /// The query with which a provider sends somebody back.
    static func callback(_ bytes: [UInt8]) throws -> Verdict {
        _ = heap
        guard let response = try? AuthorizationResponse(parsing: String(decoding: bytes, as: UTF8.self)) else {
            return .reject
        }
        try promise(bytes.count <= AuthorizationResponse.Limit.query, "a query beyond the limit")
        try promise(!response.state.isEmpty, "no state")
        switch response.outcome {
        case .code(let code):
            try promise((1...AuthorizationResponse.Limit.code).contains(code.count), "a code of \(code.count) bytes")
        case .error(let code, let text):
            try promise(code.utf8.count <= 512, "an error of \(code.utf8.count) bytes")
            let most = AuthorizationResponse.Limit.text * 4
            try promise((text?.utf8.count ?? 0) <= most, "a text of \(text?.utf8.count ?? 0) bytes")
        }
        return .accept
    }
}

// MARK: What clients ask

extension Fuzz {
    static func authorize(_ bytes: [UInt8]) throws -> Verdict {
        guard let query = try? AuthorizationQuery(parsing: bytes) else { return .reject }
        try promise(!query.clientID.isEmpty, "nobody asks")
        try promise((query.state?.utf8.count ?? 0) <= AuthorizationQuery.maximumState, "a state beyond the limit")
        for resource in query.resources {
            try promise(ResourceIndicator(parsing: resource.text) == resource, "\(resource.text) is not what it is")
        }
        guard query.error == nil else { return .reject }
        try promise(PKCE.isChallenge(query.challenge), "nothing is wrong and the challenge is none")
        guard let fields = try? Form.parse(bytes) else { throw BrokenPromise(description: "it is no form") }
        let names = fields.map(\.name).filter { $0 != "resource" }
        try promise(Set(names).count == names.count, "nothing is wrong and a parameter is repeated")
        return .accept
    }

    /// Two texts of scopes, a line each, against the sets of their words.
    static func scopes(_ bytes: [UInt8]) throws -> Verdict {
        let lines = bytes.split(separator: UInt8(ascii: "\n"), maxSplits: 1, omittingEmptySubsequences: false)
        let texts = lines.map { String(decoding: $0, as: UTF8.self) }
        guard texts.count == 2, let one = try? ScopeSet(parsing: texts[0]), let two = try? ScopeSet(parsing: texts[1])
        else { return .reject }
        let words = texts.map { text in
            Set(text.utf8.split { $0 == 0x20 || $0 == UInt8(ascii: ",") }.map { String(decoding: $0, as: UTF8.self) })
        }
        for (set, words) in zip([one, two], words) {
            try promise(set.names == words.sorted() && set.count == words.count, "\(words) are read as \(set)")
            try promise(ScopeSet(stored: set.text) == set, "\(set) is not what is stored")
            try promise(words.allSatisfy { set.contains($0) }, "\(set) lacks a word of its own")
        }
        try promise(one.union(two).names == words[0].union(words[1]).sorted(), "\(one) with \(two)")
        try promise(one.subtracting(two).names == words[0].subtracting(words[1]).sorted(), "\(one) without \(two)")
        try promise(one.intersection(two).names == words[0].intersection(words[1]).sorted(), "of both \(one), \(two)")
        try promise(one.isSubset(of: two) == words[0].isSubset(of: words[1]), "\(one) within \(two)")
        return .accept
    }

    /// What is registered and what is asked for, a line each.
    static func redirect(_ bytes: [UInt8]) throws -> Verdict {
        let lines = bytes.split(separator: UInt8(ascii: "\n"), maxSplits: 1, omittingEmptySubsequences: false)
        guard lines.count == 2, let text = String(validating: lines[0], as: UTF8.self),
            let registered = RedirectURI(registering: text)
        else { return .reject }
        try checkRegistered(registered, of: lines[0])
        let asked = String(decoding: lines[1], as: UTF8.self)
        try promise(registered.permits(registered.text), "\(text) does not permit itself")
        guard registered.permits(asked) else { return .reject }
        guard !asked.utf8.elementsEqual(registered.text.utf8) else { return .accept }
        try promise(registered.kind == .loopback, "\(asked) for \(text)")
        try promise(withoutPort(lines[1]) == withoutPort(lines[0]), "\(asked) for \(text)")
        return .accept
    }

    private static func checkRegistered(_ uri: RedirectURI, of bytes: ArraySlice<UInt8>) throws {
        let text = uri.text
        try promise(bytes.elementsEqual(text.utf8), "\(text) is not what was registered")
        try promise(
            bytes.allSatisfy { $0 > 0x20 && $0 < 0x7F && !Array("#\\\"<>".utf8).contains($0) },
            "\(text) has a byte that browsers read differently")
        let scheme = String(decoding: bytes.prefix { $0 != UInt8(ascii: ":") }, as: UTF8.self).lowercased()
        try promise(!["javascript", "data", "file", "blob", "vbscript"].contains(scheme), "a scheme that runs")
        try promise((scheme == "https") == (uri.kind == .https), "\(scheme) is \(uri.kind)")
        try promise((scheme == "http") == (uri.kind == .loopback), "\(scheme) is \(uri.kind)")
        if text.dropFirst(scheme.utf8.count).hasPrefix("://") {
            let authority = bytes.dropFirst(scheme.utf8.count + 3).prefix { !Array("/?".utf8).contains($0) }
            try promise(!authority.contains(UInt8(ascii: "@")), "\(text) names a user")
        }
        if uri.kind == .loopback {
            try promise(["127.0.0.1", "[::1]", "localhost"].contains(uri.host), "\(uri.host) is loopback")
        }
        let more = uri.adding([("code", "a b"), ("state", "s")], escape: Percent.encode)
        try promise(more.hasPrefix(text), "\(more) does not lead to \(text)")
        let query = more.utf8.dropFirst(more.utf8.prefix { $0 != UInt8(ascii: "?") }.count + 1)
        try promise(
            query.split(separator: UInt8(ascii: "&")).suffix(2).map { String(Substring($0)) } == [
                "code=a%20b", "state=s",
            ],
            "\(more) carries no answer")
        if uri.kind != .custom, more.utf8.count <= RedirectURI.maximumLength {
            try promise(RedirectURI(registering: more)?.host == uri.host, "\(more) leads elsewhere")
        }
    }

    /// Host and port end at the first `/` or `?` behind `//`; digits behind the last colon there are the port.
    private static func withoutPort(_ text: ArraySlice<UInt8>) -> [UInt8] {
        let rest = text.dropFirst("http://".utf8.count)
        var host = rest.prefix { $0 != UInt8(ascii: "/") && $0 != UInt8(ascii: "?") }
        let target = rest.dropFirst(host.count)
        let port = host.reversed().prefix { (0x30...0x39).contains($0) }.count
        if port > 0, host.dropLast(port).last == UInt8(ascii: ":") { host = host.dropLast(port + 1) }
        let folded = host.map { (0x41...0x5A).contains($0) ? $0 | 0x20 : $0 }
        return folded + (target.first == UInt8(ascii: "/") ? [] : [UInt8(ascii: "/")]) + target
    }
}
