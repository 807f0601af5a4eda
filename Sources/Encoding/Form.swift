public enum FormError: Error, Equatable, Sendable {
    case tooLong(limit: Int)
    case tooManyFields(limit: Int)
    /// A `%` that is not followed by two hexadecimal digits.
    case malformedEscape
    case invalidUTF8
    /// More of them behind each other than any writing has (`Marks`).
    case tooManyMarks
}

/// `application/x-www-form-urlencoded`, as RFC 6749 Appendix B uses it.
public enum Form {
    public static func encode(_ fields: [(String, String)]) -> String {
        var out: [UInt8] = []
        for (index, field) in fields.enumerated() {
            if index > 0 { out.append(UInt8(ascii: "&")) }
            append(field.0, to: &out)
            out.append(UInt8(ascii: "="))
            append(field.1, to: &out)
        }
        return String(decoding: out, as: UTF8.self)
    }

    /// Fields in their order. A name that comes twice stays twice: RFC 6749 §3.1 forbids it for OAuth's own parameters
    /// and the caller knows which those are.
    public static func parse(
        _ bytes: some Collection<UInt8>, maximumBytes: Int = 65_536, maximumFields: Int = 64
    ) throws(FormError) -> [(name: String, value: String)] {
        guard bytes.count <= maximumBytes else { throw .tooLong(limit: maximumBytes) }
        var fields: [(name: String, value: String)] = []
        for pair in bytes.split(separator: UInt8(ascii: "&"), omittingEmptySubsequences: true) {
            guard fields.count < maximumFields else { throw .tooManyFields(limit: maximumFields) }
            let equals = pair.firstIndex(of: UInt8(ascii: "=")) ?? pair.endIndex
            let name = try decode(pair[..<equals])
            let value = equals == pair.endIndex ? "" : try decode(pair[pair.index(after: equals)...])
            fields.append((name, value))
        }
        return fields
    }

    private static func append(_ text: String, to out: inout [UInt8]) {
        for byte in text.utf8 {
            if byte == UInt8(ascii: " ") {
                out.append(UInt8(ascii: "+"))
            } else if byte != UInt8(ascii: "~"), Percent.isUnreserved(byte) {
                out.append(byte)
            } else {
                Percent.append(escaped: byte, to: &out)
            }
        }
    }

    private static func decode(_ bytes: some Collection<UInt8>) throws(FormError) -> String {
        guard let decoded = Percent.decode(bytes: bytes, plusIsSpace: true) else { throw .malformedEscape }
        guard let text = String(validating: decoded, as: UTF8.self) else { throw .invalidUTF8 }
        guard Marks.areFew(in: text) else { throw .tooManyMarks }
        return text
    }
}
