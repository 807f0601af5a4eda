/// The `Cookie` header field of a request (RFC 6265 §4.2.1), read byte by byte as browsers wrote it.
public enum CookieHeader {
    /// Values by name. A name that comes twice has none: which of the two is meant knows only who set them.
    public static func parse(_ bytes: some Collection<UInt8>) -> [String: String] {
        var values: [String: String?] = [:]
        for pair in bytes.split(separator: UInt8(ascii: ";")) {
            guard let equals = pair.firstIndex(of: UInt8(ascii: "=")) else { continue }
            let name = String(decoding: pair[..<equals].drop { $0 == UInt8(ascii: " ") }, as: UTF8.self)
            let value = String(decoding: pair[pair.index(after: equals)...], as: UTF8.self)
            values.updateValue(values.keys.contains(name) ? nil : value, forKey: name)
        }
        return values.compactMapValues { $0 }
    }
}
