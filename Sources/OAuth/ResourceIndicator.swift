/// RFC 8707: which resource a token is for. Two spellings of one resource are equal (standards.md B-AUT-4).
public struct ResourceIndicator: Hashable, Sendable {
    /// Scheme and host in lower case, without a default port, a lone `/` left out.
    public let text: String

    /// nil: no absolute URI, or one with a fragment (RFC 8707 section 2).
    public init?(parsing text: String) {
        guard text.utf8.count <= 2048, text.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F && $0 != UInt8(ascii: "#") }),
            let joint = text.firstRange(of: "://"), joint.lowerBound > text.startIndex
        else { return nil }
        let scheme = text[..<joint.lowerBound].lowercased()
        let rest = text[joint.upperBound...]
        let authority = rest.prefix { $0 != "/" && $0 != "?" }
        // One port at most: behind the one that is left out there must not be another.
        let ports = authority.utf8.reversed().prefix { $0 != UInt8(ascii: "]") }.count { $0 == UInt8(ascii: ":") }
        guard !authority.isEmpty, !authority.contains("@"), ports <= 1 else { return nil }
        var host = authority.lowercased()
        if let port = ["https": ":443", "http": ":80"][scheme], host.hasSuffix(port) {
            host = String(host.dropLast(port.count))
        }
        guard !host.isEmpty else { return nil }
        let path = rest.dropFirst(authority.count)
        self.text = "\(scheme)://\(host)\(path == "/" ? "" : path)"
    }
}
