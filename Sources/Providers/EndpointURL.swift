/// A URL that a code, a token or a client secret may be sent to: https, or http to a loopback address.
struct EndpointURL: Hashable, Sendable {
    let text: String
    let scheme: String
    let host: String
    let isLoopback: Bool

    init(parsing text: String) throws(EndpointURLError) {
        guard let joint = text.firstRange(of: "://") else { throw .notAURL }
        scheme = String(text[..<joint.lowerBound])
        guard scheme == "https" || scheme == "http" else { throw .notHTTPS }
        let rest = text[joint.upperBound...]
        guard rest.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F && $0 != UInt8(ascii: "\\") && $0 != UInt8(ascii: "#") })
        else { throw .notAURL }
        let authority = rest.prefix { $0 != "/" && $0 != "?" }
        guard !authority.contains("@") else { throw .userinfo }
        let (host, port) = try Self.split(authority)
        if let port {
            guard let number = UInt16(port), number > 0 else { throw .notAURL }
        }
        self.host = host
        isLoopback = Self.isLoopback(host)
        self.text = text
    }

    private static func split(_ authority: Substring) throws(EndpointURLError) -> (host: String, port: Substring?) {
        if authority.hasPrefix("[") {
            guard let end = authority.firstIndex(of: "]") else { throw .notAURL }
            let host = String(authority[...end])
            let after = authority[authority.index(after: end)...]
            guard after.isEmpty || after.hasPrefix(":") else { throw .notAURL }
            return (host, after.isEmpty ? nil : after.dropFirst())
        }
        let parts = authority.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        guard Self.isHostName(parts[0]) else { throw .notAURL }
        return (parts[0].lowercased(), parts.count == 2 ? parts[1] : nil)
    }

    static func isHostName(_ text: some StringProtocol) -> Bool {
        guard !text.isEmpty, text.utf8.count <= 253 else { return false }
        return text.split(separator: ".", omittingEmptySubsequences: false).allSatisfy { label in
            !label.isEmpty && label.utf8.count <= 63 && label.first != "-" && label.last != "-"
                && label.utf8.allSatisfy { byte in
                    switch byte {
                    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                        UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"):
                        true
                    default: false
                    }
                }
        }
    }

    /// RFC 6761 section 6.3, RFC 5735: the names and addresses that never leave the machine.
    static func isLoopback(_ host: String) -> Bool {
        if host == "localhost" || host.hasSuffix(".localhost") || host == "[::1]" { return true }
        let numbers = host.split(separator: ".", omittingEmptySubsequences: false).map { UInt8($0) }
        return numbers.count == 4 && numbers[0] == 127 && numbers.allSatisfy { $0 != nil }
    }

    func permitted(loopbackHTTP: Bool) -> Bool {
        scheme == "https" || (loopbackHTTP && isLoopback)
    }
}

enum EndpointURLError: Error, Hashable, Sendable {
    case notAURL
    case notHTTPS
    case userinfo
}
