/// Path and query of a call to a provider's API, byte for byte as the provider gets them, and accepted only where every
/// parser on the way reads them alike: what one of them could take for another path is refused, not repaired.
public struct APITarget: Hashable, Sendable {
    /// As sent, from the first slash on.
    public let text: String
    public let path: String
    /// Without the question mark; `nil` where there is none.
    public let query: String?
    /// A segment holds a slash once it is decoded: no rule about paths can be sure of it.
    public let hasEncodedSlash: Bool

    public static let maximumLength = 8_000

    public init(parsing text: some StringProtocol) throws(APITargetError) { try self.init(parsing: Array(text.utf8)) }

    public init(parsing bytes: [UInt8]) throws(APITargetError) {
        guard bytes.count <= Self.maximumLength else { throw .tooLong }
        guard bytes.first == UInt8(ascii: "/") else { throw .notAPath }
        let mark = bytes.firstIndex(of: UInt8(ascii: "?"))
        let path = bytes[..<(mark ?? bytes.endIndex)]
        let query = mark.map { bytes[($0 + 1)...] }
        hasEncodedSlash = try Self.check(path: path)
        if let query { try Self.check(query: query) }
        text = String(decoding: bytes, as: UTF8.self)
        self.path = String(decoding: path, as: UTF8.self)
        self.query = query.map { String(decoding: $0, as: UTF8.self) }
    }

    /// The segments of the path with their escapes taken out once; a slash at the end leaves an empty last one.
    public var segments: [String] {
        path.dropFirst().split(separator: "/", omittingEmptySubsequences: false).map {
            String(decoding: Self.decoded(Array($0.utf8)), as: UTF8.self)
        }
    }
}

public enum APITargetError: Error, Hashable, Sendable {
    case tooLong, notAPath, character, escape, emptySegment, dotSegment, notUnicode
    /// A query parameter that carries a credential or another method.
    case parameter(String)

    public var expected: String {
        switch self {
        case .tooLong: "at most \(APITarget.maximumLength) bytes"
        case .notAPath: "a path that begins with a slash, spelled as /proxy/PROVIDER/PATH from its first byte on"
        case .character:
            "the characters of RFC 3986, others percent-encoded; no backslash and no control character in any spelling"
        case .escape: "percent signs that are followed by two hexadecimal digits"
        case .emptySegment: "no empty segments"
        case .dotSegment: "no dot segments, in any spelling"
        case .notUnicode: "percent-encoded UTF-8"
        case .parameter(let name): "no parameter \(name)"
        }
    }
}

// MARK: The path

extension APITarget {
    /// Whether a segment holds an encoded slash.
    private static func check(path: ArraySlice<UInt8>) throws(APITargetError) -> Bool {
        guard path.allSatisfy({ isPathByte($0) }) else { throw .character }
        let segments = path.dropFirst().split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
        var hasSlash = false
        for (index, segment) in segments.enumerated() {
            // One at the end is a trailing slash, which many APIs ask for.
            guard !segment.isEmpty || index == segments.count - 1 else { throw .emptySegment }
            if try check(segment: segment) { hasSlash = true }
        }
        return hasSlash
    }

    /// Decoded as often as anything is left to decode: who decodes twice must not see another path than who does once.
    private static func check(segment: ArraySlice<UInt8>) throws(APITargetError) -> Bool {
        guard hasWholeEscapes(segment) else { throw .escape }
        var hasSlash = false
        var current = Array(segment)
        while true {
            guard let text = String(validating: current, as: UTF8.self) else { throw .notUnicode }
            // By code points: a mark behind a slash makes another character of it for us alone.
            let folded = Array(folded(text).unicodeScalars)
            guard !folded.contains(where: { isControl($0) || $0 == "\\" }) else { throw .character }
            let parts = folded.split(separator: "/", omittingEmptySubsequences: false)
            if parts.count > 1 { hasSlash = true }
            guard !parts.contains(where: { isDots($0) }) else { throw .dotSegment }
            let next = decoded(current)
            if next == current { return hasSlash }
            current = next
        }
    }

    /// `.` and `..`, and what some servers take for them: with parameters behind (`..;x`), blanks or more dots.
    private static func isDots(_ part: ArraySlice<Unicode.Scalar>) -> Bool {
        let name = part.prefix { $0 != ";" }
        return name.contains(".") && name.allSatisfy { $0 == "." || $0.properties.isWhitespace }
    }

    /// Look-alikes that Unicode's compatibility forms turn into dots and slashes.
    private static func folded(_ text: String) -> String {
        guard text.utf8.contains(where: { $0 >= 0x80 }) else { return text }
        var folded = ""
        for scalar in text.unicodeScalars {
            switch scalar.value {
            case 0xFF0E, 0x2024, 0xFE52: folded += "."
            case 0x2025: folded += ".."
            case 0x2026: folded += "..."
            case 0xFF0F, 0x2044, 0x2215, 0x29F8: folded += "/"
            case 0xFF3C, 0xFE68, 0x2216, 0x29F5: folded += "\\"
            case 0xFF1B, 0xFE54: folded += ";"
            default: folded.unicodeScalars.append(scalar)
            }
        }
        return folded
    }

    private static func isControl(_ scalar: Unicode.Scalar) -> Bool {
        scalar.value < 0x20 || (0x7F...0x9F).contains(scalar.value) || scalar.value == 0x2028 || scalar.value == 0x2029
    }

    /// RFC 3986 §3.3, escapes included.
    private static func isPathByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"):
            true
        default: otherPathBytes.contains(byte)
        }
    }

    private static let otherPathBytes = Set("-._~!$&'()*+,;=:@/%".utf8)
}

// MARK: The query

extension APITarget {
    private static func check(query: ArraySlice<UInt8>) throws(APITargetError) {
        // Square brackets are common in queries and end nothing there.
        guard query.allSatisfy({ isPathByte($0) || "?[]".utf8.contains($0) }) else { throw .character }
        guard hasWholeEscapes(query) else { throw .escape }
        for field in query.split(whereSeparator: { $0 == UInt8(ascii: "&") || $0 == UInt8(ascii: ";") }) {
            var name = Array(field.prefix { $0 != UInt8(ascii: "=") }).map { $0 == UInt8(ascii: "+") ? 0x20 : $0 }
            while true {
                let next = decoded(name)
                if next == name { break }
                name = next
            }
            guard !decoded(Array(field)).contains(0) else { throw .character }
            let plain = plain(String(decoding: name, as: UTF8.self))
            if refusedParameters.contains(plain) { throw .parameter(plain) }
        }
    }

    /// As the most lenient reader takes a name: case, an index behind it, and PHP's dots and blanks for underscores.
    private static func plain(_ name: String) -> String {
        var text = name.lowercased().unicodeScalars.prefix { $0 != "[" }.drop { $0.properties.isWhitespace }
        while text.last?.properties.isWhitespace == true { text.removeLast() }
        return String(
            String.UnicodeScalarView(text.map { $0 == "." || $0 == "-" || $0.properties.isWhitespace ? "_" : $0 }))
    }

    /// Credentials (RFC 6750 §2.3 and Google's older name) and forms of method override.
    private static let refusedParameters: Set<String> = [
        "access_token", "oauth_token", "bearer_token", "authorization", "_method", "x_http_method_override",
        "x_http_method", "x_method_override", "http_method_override", "method_override", "_httpmethod", "$method",
        "$httpmethod",
    ]
}

// MARK: Escapes

extension APITarget {
    private static func hasWholeEscapes(_ bytes: ArraySlice<UInt8>) -> Bool {
        var rest = bytes
        while let percent = rest.firstIndex(of: UInt8(ascii: "%")) {
            let digits = rest[(percent + 1)...].prefix(2)
            guard digits.count == 2, digits.allSatisfy({ nibble($0) != nil }) else { return false }
            rest = rest[(percent + 3)...]
        }
        return true
    }

    /// Escapes taken out once; what only looks like one stays.
    private static func decoded(_ bytes: [UInt8]) -> [UInt8] {
        guard bytes.contains(UInt8(ascii: "%")) else { return bytes }
        var out: [UInt8] = []
        var index = 0
        while index < bytes.count {
            if bytes[index] == UInt8(ascii: "%"), index + 2 < bytes.count, let high = nibble(bytes[index + 1]),
                let low = nibble(bytes[index + 2])
            {
                out.append(high << 4 | low)
                index += 3
            } else {
                out.append(bytes[index])
                index += 1
            }
        }
        return out
    }

    private static func nibble(_ byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
        case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
        case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
        default: nil
        }
    }
}
