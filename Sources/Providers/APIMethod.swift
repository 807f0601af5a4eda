/// The methods that an API call may have. No CONNECT, no TRACE (RFC 9110 §9.3.8: it would show the token).
public enum APIMethod: String, Hashable, Sendable, CaseIterable {
    case get = "GET"
    case head = "HEAD"
    case post = "POST"
    case put = "PUT"
    case patch = "PATCH"
    case delete = "DELETE"

    public static let all = allCases.map(\.rawValue).joined(separator: ", ")

    /// RFC 9110 §9.2.1.
    public var isSafe: Bool { self == .get || self == .head }
}

extension Provider {
    /// Whether one request to this path can hold many operations: GraphQL, and batches.
    public func bundles(_ segments: [String]) -> Bool {
        let plain = segments.map { $0.lowercased().prefix { $0 != ";" && $0 != "." && $0 != "?" } }
        if plain.contains(where: { Self.bundling.contains(String($0)) }) { return true }
        return api.bundles.contains { path in
            let named = path.lowercased().split(separator: "/")
            return plain.count >= named.count && zip(plain, named).allSatisfy { $0 == $1 }
        }
    }

    private static let bundling: Set<String> = ["graphql", "batch", "$batch"]
}
