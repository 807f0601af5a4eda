/// A redirect URI of a client of ours: which may be registered, and whether one that was asked for is a registered one.
/// Pure; the table of standards.md §2.6 is its test.
public struct RedirectURI: Hashable, Sendable {
    public enum Kind: String, Sendable { case https, loopback, custom }

    /// As it was given: what is compared, and what the browser is sent to.
    public let text: String
    public let kind: Kind
    /// In lower case; of a custom scheme without an authority, empty.
    public let host: String
    /// Of an `http` or `https` URI: path and query, an empty path as `/`.
    private let target: String

    public static let maximumLength = 2048

    /// Custom schemes that known clients use (standards.md §2.6). A scheme with a dot is a reverse domain name, which
    /// RFC 8252 section 7.1 asks for.
    static let customSchemes: Set<String> = ["vscode", "vscode-insiders", "claude"]
    static let customURIs: Set<String> = ["cursor://anysphere.cursor-mcp/oauth/callback"]
    static let refusedSchemes: Set<String> = [
        "javascript", "data", "vbscript", "file", "blob", "about", "view-source", "ws", "wss", "ftp", "mailto", "tel",
        "intent", "content", "filesystem", "chrome", "chrome-extension", "resource", "jar", "urn",
    ]

    /// nil: not acceptable at registration.
    public init?(registering text: String) {
        guard !text.isEmpty, text.utf8.count <= Self.maximumLength, text.utf8.allSatisfy(Self.isURIByte),
            let colon = text.firstIndex(of: ":")
        else { return nil }
        let scheme = text[..<colon].lowercased()
        guard Self.isScheme(scheme), !Self.refusedSchemes.contains(scheme) else { return nil }
        let rest = text[text.index(after: colon)...]
        self.text = text
        switch scheme {
        case "https", "http":
            // `HTTPS:` is the same scheme, but nobody registers that; what is not the usual form is not compared right.
            guard text.hasPrefix(scheme + "://"), let parts = Self.split(rest.dropFirst(2)) else { return nil }
            (host, target) = parts
            if scheme == "https" {
                kind = .https
            } else {
                guard Self.loopbackHosts.contains(host) else { return nil }
                kind = .loopback
            }
        default:
            guard Self.customURIs.contains(text) || Self.customSchemes.contains(scheme) || Self.isReverseDomain(scheme)
            else { return nil }
            kind = .custom
            target = ""
            guard rest.hasPrefix("//") else {
                host = ""
                return
            }
            let authority = rest.dropFirst(2).prefix { $0 != "/" && $0 != "?" }
            guard !authority.contains("@") else { return nil }
            host = authority.lowercased()
        }
    }

    /// Whether the registered `self` permits `asked`: the same bytes, or the same loopback address on another port
    /// (RFC 8252 section 7.3; the name `localhost` too, because clients send it).
    public func permits(_ asked: String) -> Bool {
        // `==` takes U+212A for the letter K: the same characters are not the same bytes.
        if asked.utf8.elementsEqual(text.utf8) { return true }
        guard kind == .loopback, let other = RedirectURI(registering: asked), other.kind == .loopback else {
            return false
        }
        return other.host == host && other.target == target
    }

    /// Whom the person is told about: the host, for a custom scheme the scheme.
    public var destination: String {
        switch kind {
        case .https, .loopback: host
        case .custom: String(text.prefix { $0 != ":" }) + ":" + (host.isEmpty ? "" : "//" + host)
        }
    }

    /// With further parameters in its query (RFC 6749 section 4.1.2). The values are escaped.
    public func adding(_ parameters: [(name: String, value: String)], escape: (String) -> String) -> String {
        let query = parameters.map { "\($0.name)=\(escape($0.value))" }.joined(separator: "&")
        return text + text.jointOfQuery + query
    }

    private static let loopbackHosts: Set<String> = ["127.0.0.1", "[::1]", "localhost"]

    /// Host and target of what stands behind `//`; nil when it is nothing that a browser could be sent to safely.
    private static func split(_ text: Substring) -> (host: String, target: String)? {
        let authority = text.prefix { $0 != "/" && $0 != "?" }
        let target = text.dropFirst(authority.count)
        guard !authority.isEmpty, !authority.contains("@"), !authority.contains("%"), !authority.contains("*") else {
            return nil
        }
        let host: Substring
        let after: Substring
        if authority.hasPrefix("[") {
            guard let end = authority.firstIndex(of: "]") else { return nil }
            host = authority[...end]
            after = authority[authority.index(after: end)...]
            guard
                host.dropFirst().dropLast().utf8.allSatisfy({
                    $0.isHexDigit || $0 == UInt8(ascii: ":") || $0 == UInt8(ascii: ".")
                }),
                host.count > 2
            else { return nil }
        } else {
            host = authority.prefix { $0 != ":" }
            after = authority.dropFirst(host.count)
            guard isName(host) else { return nil }
        }
        if !after.isEmpty {
            guard after.hasPrefix(":"), let port = UInt16(after.dropFirst()), port > 0,
                after.dropFirst().utf8.allSatisfy({ $0.isDigit })
            else { return nil }
        }
        let path = target.hasPrefix("/") ? String(target) : "/" + target
        return (host.lowercased(), path)
    }

    private static func isName(_ host: Substring) -> Bool {
        guard host.utf8.count <= 253 else { return false }
        return host.split(separator: ".", omittingEmptySubsequences: false).allSatisfy { label in
            !label.isEmpty && label.utf8.count <= 63 && label.first != "-" && label.last != "-"
                && label.utf8.allSatisfy { $0.isLetter || $0.isDigit || $0 == UInt8(ascii: "-") }
        }
    }

    /// RFC 3986 section 3.1.
    private static func isScheme(_ text: String) -> Bool {
        guard let first = text.utf8.first, first.isLetter else { return false }
        return text.utf8.allSatisfy {
            $0.isLetter || $0.isDigit || $0 == UInt8(ascii: "+") || $0 == UInt8(ascii: "-") || $0 == UInt8(ascii: ".")
        }
    }

    private static func isReverseDomain(_ scheme: String) -> Bool {
        scheme.contains(".")
            && scheme.split(separator: ".", omittingEmptySubsequences: false).allSatisfy { !$0.isEmpty }
    }

    /// Visible ASCII without what no URI holds (RFC 3986 appendix A), and without a fragment.
    private static func isURIByte(_ byte: UInt8) -> Bool {
        guard byte > 0x20, byte < 0x7F else { return false }
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "#"), UInt8(ascii: "<"), UInt8(ascii: ">"), UInt8(ascii: "\\"),
            UInt8(ascii: "^"), UInt8(ascii: "`"), UInt8(ascii: "{"), UInt8(ascii: "|"), UInt8(ascii: "}"):
            return false
        default: return true
        }
    }
}

extension String {
    /// What stands between this address and a further parameter. A second question mark is a character of the query
    /// (RFC 3986 section 3.4), and would be one of the parameter's name.
    var jointOfQuery: String {
        guard let mark = firstIndex(of: "?") else { return "?" }
        let query = self[index(after: mark)...]
        return query.isEmpty || query.hasSuffix("&") ? "" : "&"
    }
}

extension UInt8 {
    var isDigit: Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(self) }
    var isLetter: Bool { (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(self | 0x20) }
    var isHexDigit: Bool { isDigit || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains(self | 0x20) }
}
