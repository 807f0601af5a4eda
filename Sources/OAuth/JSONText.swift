import Encoding

extension JSONValue {
    /// RFC 8259 text, read strictly: no member twice (RFC 8259 §4 leaves open which would count), no depth without end.
    public init(strictly bytes: UnsafeRawBufferPointer, depth: Int = 32) throws(JSONError) {
        self = try JSONReader.value(bytes, depth: depth) { (reader) throws(JSONError) in try Self.read(&reader) }
    }

    private static func read(_ reader: inout JSONReader) throws(JSONError) -> JSONValue {
        switch try reader.kind {
        case .null:
            try reader.null()
            return .null
        case .bool: return .bool(try reader.bool())
        case .string: return .string(try reader.string())
        case .number:
            let before = reader
            if let integer = try? reader.integer() { return .integer(integer) }
            reader = before
            return .number(try reader.number())
        case .array:
            var values: [JSONValue] = []
            try reader.array { (element) throws(JSONError) in values.append(try read(&element)) }
            return .array(values)
        case .object:
            var members: [String: JSONValue] = [:]
            try reader.object { (name, member) throws(JSONError) in
                guard members[name] == nil else { throw .duplicateMember(name) }
                members[name] = try read(&member)
            }
            return .object(members)
        }
    }

    /// As RFC 8259 text, members in the order of their names.
    public var json: [UInt8] {
        var writer = JSONWriter()
        write(to: &writer)
        return writer.bytes
    }

    public func write(to writer: inout JSONWriter) {
        switch self {
        case .null: writer.null()
        case .bool(let flag): writer.bool(flag)
        case .integer(let number): writer.integer(number)
        case .number(let number): writer.raw(Array((number.isFinite ? "\(number)" : "null").utf8))
        case .string(let text): writer.string(text)
        case .array(let values):
            writer.beginArray()
            for value in values { value.write(to: &writer) }
            writer.endArray()
        case .object(let members):
            writer.beginObject()
            for (name, value) in members.sorted(by: { $0.key < $1.key }) {
                writer.key(name)
                value.write(to: &writer)
            }
            writer.endObject()
        }
    }

    public var object: [String: JSONValue]? {
        guard case .object(let members) = self else { return nil }
        return members
    }
}

extension JSONValue: ExpressibleByStringLiteral, ExpressibleByDictionaryLiteral, ExpressibleByArrayLiteral,
    ExpressibleByBooleanLiteral, ExpressibleByIntegerLiteral
{
    public init(stringLiteral text: String) { self = .string(text) }
    public init(booleanLiteral flag: Bool) { self = .bool(flag) }
    public init(integerLiteral number: Int64) { self = .integer(number) }
    public init(arrayLiteral values: JSONValue...) { self = .array(values) }
    public init(dictionaryLiteral members: (String, JSONValue)...) {
        self = .object(Dictionary(members) { _, last in last })
    }
}
