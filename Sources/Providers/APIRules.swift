import OAuth

/// Where the provider's API is, and what may be sent there besides the token.
public struct APIRules: Sendable {
    /// Base URL; `nil` where it is not one.
    public let base: String?
    /// Metadata path that names the API base of a connection, held to `hosts` (Salesforce).
    public let baseFrom: String?
    public let hosts: [String]
    /// Request headers of its own that callers may set.
    public let headers: [String]
    /// Paths where one request can hold many operations, besides those that are called so.
    public let bundles: [String]

    init(reading fields: inout Fields, baseFrom otherwise: String?) throws(CatalogueError) {
        base = try fields.text("base")
        baseFrom = try fields.text("base_from") ?? otherwise
        hosts = try fields.texts("hosts") ?? []
        headers = try fields.texts("headers") ?? []
        bundles = try fields.texts("bundles") ?? []
        try fields.finish()
        if let base, base.contains("?") {
            throw fields.wrong("base", expected: "a URL without a query", found: "'\(base.prefix(100))'")
        }
        for name in headers where !Self.isOwnHeader(name) {
            throw fields.wrong(
                "headers", expected: "names of the provider's own request headers, of letters, digits and hyphens",
                found: "'\(name.prefix(60))'")
        }
        for path in bundles where (try? APITarget(parsing: path)) == nil {
            throw fields.wrong("bundles", expected: "paths", found: "'\(path.prefix(60))'")
        }
    }

    /// Headers that callers of every API may set (RFC 9110 §8.3, §12.5.1, §13.1, §14.2).
    public static let commonHeaders = [
        "Accept", "Content-Type", "If-Match", "If-Modified-Since", "If-None-Match", "If-Range", "If-Unmodified-Since",
        "Range",
    ]

    /// Not one that says who calls, where to, by which method or how bytes travel.
    static func isOwnHeader(_ name: String) -> Bool {
        let isName =
            (1...64).contains(name.utf8.count)
            && name.utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"):
                    true
                default: false
                }
            }
        let plain = name.lowercased()
        return isName && !reserved.contains(plain) && !reservedBeginnings.contains { plain.hasPrefix($0) }
            && !plain.contains("method")
    }

    private static let reserved: Set<String> = [
        "authorization", "connection", "content-encoding", "content-length", "cookie", "cookie2", "date", "expect",
        "forwarded", "host", "keep-alive", "origin", "referer", "te", "trailer", "transfer-encoding", "upgrade",
        "user-agent", "via",
    ]
    private static let reservedBeginnings = ["proxy-", "sec-", "toolshed-", "x-accel-", "x-forwarded-", "x-original-"]
}

extension Provider {
    /// The API's address with the variables filled in, without a slash at its end.
    public var apiURL: String? {
        guard let base = api.base, let text = expand(base) else { return nil }
        return text.hasSuffix("/") ? String(text.dropLast()) : text
    }

    /// Header names that a caller may send to this API, as they are written.
    public var permittedHeaders: [String] {
        APIRules.commonHeaders
            + api.headers.filter { name in !APIRules.commonHeaders.contains { $0.lowercased() == name.lowercased() } }
    }
}
