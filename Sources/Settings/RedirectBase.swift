/// `AUTH_REDIRECT_BASE`: where providers send browsers back to, and with it who we are.
struct RedirectBase: Hashable, Sendable {
    /// Without a trailing slash; a callback is this ‖ `/` ‖ provider ‖ `/callback`.
    let text: String
    /// Scheme, host and port: the issuer, what `Origin` and cookies are held to.
    let origin: String
    let host: String
    let isLoopback: Bool

    static let path = "/api/auth"
    static let expected =
        "an https URL (http only on loopback) whose path is /api/auth, such as https://toolshed.example.com/api/auth"

    init?(parsing text: String) {
        let scheme: String
        if text.hasPrefix("https://") {
            scheme = "https"
        } else if text.hasPrefix("http://") {
            scheme = "http"
        } else {
            return nil
        }
        let rest = text.dropFirst(scheme.utf8.count + 3)
        let authority = rest.prefix { $0 != "/" }
        let path = rest.dropFirst(authority.count)
        // nginx and the router know the callbacks nowhere else.
        guard path == Self.path else { return nil }
        guard let (host, port) = Self.hostAndPort(authority) else { return nil }
        isLoopback = Self.isLoopback(host)
        guard scheme == "https" || isLoopback else { return nil }
        // RFC 6454 section 6.2: the default port is not part of an origin.
        let isDefaultPort = port == nil || port == (scheme == "https" ? 443 : 80)
        origin = "\(scheme)://\(host)\(isDefaultPort ? "" : ":\(port!)")"
        self.host = host
        self.text = origin + path
    }

    private static func hostAndPort(_ authority: Substring) -> (host: String, port: UInt16?)? {
        if authority.hasPrefix("["), let end = authority.firstIndex(of: "]") {
            let after = authority[authority.index(after: end)...]
            guard authority[...end] == "[::1]", let port = port(after) else { return nil }
            return ("[::1]", port)
        }
        let host = authority.prefix { $0 != ":" }
        let labels = host.split(separator: ".", omittingEmptySubsequences: false)
        let isName = labels.allSatisfy { label in
            !label.isEmpty && label.utf8.count <= 63 && label.first != "-" && label.last != "-"
                && label.utf8.allSatisfy { isPlain($0) && $0 != UInt8(ascii: ".") && $0 != UInt8(ascii: "_") }
        }
        guard isName, host.utf8.count <= 253, let port = port(authority.dropFirst(host.count)) else { return nil }
        return (host.lowercased(), port)
    }

    /// `nil` for nonsense, `.some(nil)` for none.
    private static func port(_ text: Substring) -> UInt16?? {
        if text.isEmpty { return .some(nil) }
        guard text.hasPrefix(":"), let port = UInt16(text.dropFirst()), port > 0 else { return nil }
        return .some(port)
    }

    private static func isLoopback(_ host: String) -> Bool {
        if host == "localhost" || host.hasSuffix(".localhost") || host == "[::1]" { return true }
        let numbers = host.split(separator: ".", omittingEmptySubsequences: false).map { UInt8($0) }
        return numbers.count == 4 && numbers[0] == 127 && numbers.allSatisfy { $0 != nil }
    }

    private static func isPlain(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"):
            true
        default: false
        }
    }
}
