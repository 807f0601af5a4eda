import Encoding

/// A JSON object of the server, by kind of member: whoever reads it says what is expected, and what is of another kind is
/// absent.
package struct Document: Sendable {
    package var texts: [String: String] = [:]
    package var numbers: [String: Int64] = [:]
    package var flags: [String: Bool] = [:]
    /// Arrays of strings.
    package var lists: [String: [String]] = [:]
    /// Arrays of objects.
    package var items: [String: [Document]] = [:]
    package var members: [String: Document] = [:]

    package init() {}

    package init?(parsing bytes: [UInt8]) {
        var document = Document()
        do {
            try JSONReader.object(bytes) { (name, reader) throws(JSONError) in try document.take(name, &reader) }
        } catch {
            return nil
        }
        self = document
    }

    private mutating func take(_ name: String, _ reader: inout JSONReader) throws(JSONError) {
        switch try reader.kind {
        case .string: texts[name] = try reader.string()
        case .bool: flags[name] = try reader.bool()
        case .number: numbers[name] = try? reader.integer()
        case .object: members[name] = try Self.object(&reader)
        case .array:
            var (strings, objects): ([String], [Document]) = ([], [])
            try reader.array { (element) throws(JSONError) in
                switch try element.kind {
                case .string: strings.append(try element.string())
                case .object: objects.append(try Self.object(&element))
                default: break
                }
            }
            (lists[name], items[name]) = (strings, objects)
        case .null: break
        }
    }

    private static func object(_ reader: inout JSONReader) throws(JSONError) -> Document {
        var document = Document()
        try reader.object { (name, inner) throws(JSONError) in try document.take(name, &inner) }
        return document
    }
}

/// The body of a vend.
struct Request {
    let userID: String?
    let provider: String
    let scopes: [String]
    let reason: String
    let tool: String
    let account: String?
    let minTTL: Int?

    var json: [UInt8] {
        var writer = JSONWriter()
        writer.beginObject()
        func put(_ name: StaticString, _ text: String?) {
            guard let text, !text.isEmpty else { return }
            writer.key(name)
            writer.string(text)
        }
        put("provider", provider)
        put("userId", userID)
        put("reason", reason)
        put("tool", tool)
        put("account", account)
        if !scopes.isEmpty {
            writer.key("scopes")
            writer.strings(scopes)
        }
        if let minTTL {
            writer.key("minTTL")
            writer.integer(Int64(minTTL))
        }
        writer.endObject()
        return writer.bytes
    }
}
