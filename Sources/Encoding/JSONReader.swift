/// A strict RFC 8259 pull reader over bytes that the caller keeps alive. It builds no tree: whoever reads says what is
/// expected next, and gets it or an error.
public struct JSONReader {
    public static let defaultDepth = 16

    let bytes: UnsafeRawBufferPointer
    var position = 0
    /// How many more objects and arrays may be opened.
    var depth: Int

    /// Reads one text whose value `body` takes. `body` must take exactly one value; a value that it leaves alone is skipped.
    public static func value<Result>(
        _ bytes: UnsafeRawBufferPointer, depth: Int = defaultDepth,
        _ body: (inout JSONReader) throws(JSONError) -> Result
    ) throws(JSONError) -> Result {
        var reader = JSONReader(bytes: bytes, depth: depth)
        try reader.skipWhitespace()
        let result = try reader.taking(body)
        reader.skipSpaces()
        guard reader.position == bytes.count else { throw .trailingBytes(at: reader.position) }
        return result
    }

    /// Reads one text that is an object. `member` is called for each member in order; a value that it does not take is
    /// checked and skipped. Duplicates are passed on as they come (`JSONError.duplicateMember` is there to be thrown).
    public static func object(
        _ bytes: UnsafeRawBufferPointer, depth: Int = defaultDepth,
        member: (String, inout JSONReader) throws(JSONError) -> Void
    ) throws(JSONError) {
        try value(bytes, depth: depth) { (reader) throws(JSONError) in try reader.object(member: member) }
    }

    /// The same where names are known beforehand: `number` makes of each what `member` is given, without a text.
    public static func object(
        _ bytes: UnsafeRawBufferPointer, depth: Int = defaultDepth, numbering number: (UnsafeRawBufferPointer) -> Int,
        member: (Int, inout JSONReader) throws(JSONError) -> Void
    ) throws(JSONError) {
        try value(bytes, depth: depth) { (reader) throws(JSONError) in
            try reader.object(naming: number, member: member)
        }
    }

    public static func object(
        _ bytes: [UInt8], depth: Int = defaultDepth, member: (String, inout JSONReader) throws(JSONError) -> Void
    ) throws(JSONError) {
        try bytes.withUnsafeBufferPointer { (buffer) throws(JSONError) in
            try object(UnsafeRawBufferPointer(buffer), depth: depth, member: member)
        }
    }

    init(bytes: UnsafeRawBufferPointer, depth: Int) {
        (self.bytes, self.depth) = (bytes, depth)
    }

    /// What comes next.
    public var kind: JSONKind {
        get throws(JSONError) {
            guard position < bytes.count else { throw .unexpectedEnd }
            switch bytes[position] {
            case UInt8(ascii: "{"): return .object
            case UInt8(ascii: "["): return .array
            case UInt8(ascii: "\""): return .string
            case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return .number
            case UInt8(ascii: "t"), UInt8(ascii: "f"): return .bool
            case UInt8(ascii: "n"): return .null
            default: throw .unexpectedByte(at: position)
            }
        }
    }

    public mutating func object(member: (String, inout JSONReader) throws(JSONError) -> Void) throws(JSONError) {
        try object(naming: { String(decoding: $0, as: UTF8.self) }, member: member)
    }

    @inline(__always)
    private mutating func object<Name>(
        naming name: (UnsafeRawBufferPointer) -> Name, member: (Name, inout JSONReader) throws(JSONError) -> Void
    ) throws(JSONError) {
        try open(.object)
        if take(UInt8(ascii: "}")) { return close() }
        repeat {
            try skipWhitespace()
            let name = try withString(name)
            skipSpaces()
            try expect(UInt8(ascii: ":"))
            try skipWhitespace()
            try taking { (reader) throws(JSONError) in try member(name, &reader) }
            skipSpaces()
        } while take(UInt8(ascii: ","))
        try expect(UInt8(ascii: "}"))
        close()
    }

    public mutating func array(element: (inout JSONReader) throws(JSONError) -> Void) throws(JSONError) {
        try open(.array)
        if take(UInt8(ascii: "]")) { return close() }
        repeat {
            try skipWhitespace()
            try taking(element)
            skipSpaces()
        } while take(UInt8(ascii: ","))
        try expect(UInt8(ascii: "]"))
        close()
    }

    /// Checks the next value as strictly as if it were read.
    public mutating func skip() throws(JSONError) {
        switch try kind {
        case .object: try object { (_, _) throws(JSONError) in }
        case .array: try array { (_) throws(JSONError) in }
        case .string: try withString { _ in }
        case .number: _ = try number()
        case .bool: _ = try bool()
        case .null: try null()
        }
    }

    // MARK: Steps

    private mutating func taking<Result>(
        _ body: (inout JSONReader) throws(JSONError) -> Result
    ) throws(JSONError) -> Result {
        let start = position
        let result = try body(&self)
        if position == start { try skip() }
        return result
    }

    private mutating func open(_ kind: JSONKind) throws(JSONError) {
        try require(kind)
        guard depth > 0 else { throw .tooDeep(at: position) }
        depth -= 1
        position += 1
        skipSpaces()
    }

    private mutating func close() {
        depth += 1
    }

    func require(_ expected: JSONKind) throws(JSONError) {
        let found = try kind
        guard found == expected else { throw .wrongKind(expected: expected, found: found, at: position) }
    }

    mutating func take(_ byte: UInt8) -> Bool {
        guard position < bytes.count, bytes[position] == byte else { return false }
        position += 1
        return true
    }

    mutating func expect(_ byte: UInt8) throws(JSONError) {
        guard position < bytes.count else { throw .unexpectedEnd }
        guard take(byte) else { throw .unexpectedByte(at: position) }
    }

    private mutating func skipWhitespace() throws(JSONError) {
        skipSpaces()
        guard position < bytes.count else { throw .unexpectedEnd }
    }

    private mutating func skipSpaces() {
        while position < bytes.count {
            switch bytes[position] {
            case 0x20, 0x09, 0x0A, 0x0D: position += 1
            default: return
            }
        }
    }
}
