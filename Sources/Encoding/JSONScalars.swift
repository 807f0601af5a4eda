import Glibc

/// RFC 8259 §3, §6 and §7: the values without members.
extension JSONReader {
    public mutating func string() throws(JSONError) -> String {
        // Bytes and escapes were checked: nothing is left to repair.
        try withString { String(decoding: $0, as: UTF8.self) }
    }

    /// The bytes of a string, for secrets that must not become a `String`. They are the text itself where it has no
    /// escapes, else a copy that is overwritten when `body` returns.
    public mutating func withString<Result>(_ body: (UnsafeRawBufferPointer) -> Result) throws(JSONError) -> Result {
        try require(.string)
        position += 1
        let start = position
        var hasEscapes = false
        while true {
            guard position < bytes.count else { throw .unexpectedEnd }
            switch bytes[position] {
            case UInt8(ascii: "\""):
                let raw = UnsafeRawBufferPointer(rebasing: bytes[start..<position])
                try Self.checkText(raw, hasEscapes, at: start)
                position += 1
                return hasEscapes ? Self.unescaping(raw, body) : body(raw)
            case UInt8(ascii: "\\"):
                hasEscapes = true
                try checkEscape()
            case ..<0x20: throw .unexpectedByte(at: position)
            default: position += 1
            }
        }
    }

    public mutating func stringArray() throws(JSONError) -> [String] {
        var strings: [String] = []
        try array { (reader) throws(JSONError) in strings.append(try reader.string()) }
        return strings
    }

    /// A number without fraction and exponent that fits 64 bits.
    public mutating func integer() throws(JSONError) -> Int64 {
        let start = position
        let (text, isInteger) = try scanNumber()
        guard isInteger, let value = Int64(text) else { throw .numberOutOfRange(at: start) }
        return value
    }

    public mutating func number() throws(JSONError) -> Double {
        let start = position
        guard let value = Double(try scanNumber().text), value.isFinite else { throw .numberOutOfRange(at: start) }
        return value
    }

    public mutating func bool() throws(JSONError) -> Bool {
        try require(.bool)
        let value = bytes[position] == UInt8(ascii: "t")
        try literal(value ? "true" : "false")
        return value
    }

    public mutating func null() throws(JSONError) {
        try require(.null)
        try literal("null")
    }

    private mutating func literal(_ word: StaticString) throws(JSONError) {
        for index in 0..<word.utf8CodeUnitCount { try expect(word.utf8Start[index]) }
    }

    // MARK: Numbers

    private mutating func scanNumber() throws(JSONError) -> (text: String, isInteger: Bool) {
        try require(.number)
        let start = position
        _ = take(UInt8(ascii: "-"))
        if !take(UInt8(ascii: "0")) { try digits() }
        var isInteger = true
        if take(UInt8(ascii: ".")) {
            isInteger = false
            try digits()
        }
        if take(UInt8(ascii: "e")) || take(UInt8(ascii: "E")) {
            isInteger = false
            if !take(UInt8(ascii: "+")) { _ = take(UInt8(ascii: "-")) }
            try digits()
        }
        return (String(decoding: bytes[start..<position], as: UTF8.self), isInteger)
    }

    private mutating func digits() throws(JSONError) {
        let start = position
        while position < bytes.count, bytes[position] >= UInt8(ascii: "0"), bytes[position] <= UInt8(ascii: "9") {
            position += 1
        }
        guard position > start else {
            throw position < bytes.count ? .unexpectedByte(at: position) : .unexpectedEnd
        }
    }

    // MARK: Strings

    /// UTF-8, and no character of marks without end; escapes have been checked.
    private static func checkText(
        _ raw: UnsafeRawBufferPointer, _ hasEscapes: Bool, at start: Int
    ) throws(JSONError) {
        guard hasEscapes || !raw.allSatisfy({ $0 < 0x80 }) else { return }
        var marks = Marks()
        var rest = raw[...]
        while let first = rest.first {
            let scalar: Unicode.Scalar
            if first == UInt8(ascii: "\\") {
                var reader = JSONReader(bytes: UnsafeRawBufferPointer(rebasing: rest.dropFirst()), depth: 0)
                scalar = reader.escapedScalar()
                rest = rest.dropFirst(1 + reader.position)
            } else if first < 0x80 {
                scalar = Unicode.Scalar(first)
                rest = rest.dropFirst()
            } else {
                var decoder = UTF8()
                var bytes = rest.prefix(4).makeIterator()
                guard case .scalarValue(let decoded) = decoder.decode(&bytes) else { throw .invalidUTF8(at: start) }
                scalar = decoded
                rest = rest.dropFirst(UTF8.width(decoded))
            }
            guard marks.admit(scalar) else { throw .tooManyMarks(at: start) }
        }
    }

    /// Leaves `position` behind the escape; a high surrogate takes the low one with it.
    private mutating func checkEscape() throws(JSONError) {
        let start = position
        position += 1
        guard position < bytes.count else { throw .unexpectedEnd }
        switch bytes[position] {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"), UInt8(ascii: "b"), UInt8(ascii: "f"),
            UInt8(ascii: "n"), UInt8(ascii: "r"), UInt8(ascii: "t"):
            position += 1
        case UInt8(ascii: "u"):
            position += 1
            let unit = try codeUnit()
            guard UTF16.isSurrogate(unit) else { return }
            guard UTF16.isLeadSurrogate(unit), take(UInt8(ascii: "\\")), take(UInt8(ascii: "u")),
                UTF16.isTrailSurrogate(try codeUnit())
            else { throw .loneSurrogate(at: start) }
        default: throw .unexpectedByte(at: position)
        }
    }

    private mutating func codeUnit() throws(JSONError) -> UInt16 {
        var unit: UInt16 = 0
        for _ in 0..<4 {
            guard position < bytes.count else { throw .unexpectedEnd }
            guard let digit = Hex.value(bytes[position]) else { throw .unexpectedByte(at: position) }
            unit = unit << 4 | UInt16(digit)
            position += 1
        }
        return unit
    }

    /// `raw` has been checked; no escape is shorter than what it stands for.
    private static func unescaping<Result>(
        _ raw: UnsafeRawBufferPointer, _ body: (UnsafeRawBufferPointer) -> Result
    ) -> Result {
        withUnsafeTemporaryAllocation(byteCount: raw.count, alignment: 1) { out in
            // A plain loop of stores to memory that nobody reads again would be optimised away.
            defer { explicit_bzero(out.baseAddress!, out.count) }
            var written = 0
            var reader = JSONReader(bytes: raw, depth: 0)
            while reader.position < raw.count {
                if !reader.take(UInt8(ascii: "\\")) {
                    out[written] = raw[reader.position]
                    written += 1
                    reader.position += 1
                    continue
                }
                for byte in UTF8.encode(reader.escapedScalar())! {
                    out[written] = byte
                    written += 1
                }
            }
            return body(UnsafeRawBufferPointer(rebasing: out[..<written]))
        }
    }

    private mutating func escapedScalar() -> Unicode.Scalar {
        position += 1
        switch bytes[position - 1] {
        case UInt8(ascii: "b"): return "\u{8}"
        case UInt8(ascii: "f"): return "\u{C}"
        case UInt8(ascii: "n"): return "\n"
        case UInt8(ascii: "r"): return "\r"
        case UInt8(ascii: "t"): return "\t"
        case UInt8(ascii: "u"):
            let lead = UInt32(checkedCodeUnit())
            guard UTF16.isLeadSurrogate(UInt16(lead)) else { return Unicode.Scalar(lead)! }
            position += 2
            let trail = UInt32(checkedCodeUnit())
            return Unicode.Scalar(0x10000 + (lead - 0xD800) << 10 + (trail - 0xDC00))!
        case let byte: return Unicode.Scalar(byte)
        }
    }

    private mutating func checkedCodeUnit() -> UInt16 {
        defer { position += 4 }
        return bytes[position..<position + 4].reduce(0) { $0 << 4 | UInt16(Hex.value($1)!) }
    }
}
