import Broker
import Encoding
import FastCGI
import OAuth

/// A JSON object of known members, read strictly: every wrong member is named with what was expected.
struct Members {
    private enum Value {
        case text(String)
        case texts([String])
        case flag(Bool)
        case null
        case number(Int64)
        case other
    }

    private var values: [String: Value] = [:]
    private var errors: [MemberError] = []

    /// `known`: every member that may occur, `numbers` those of them that are whole numbers. Duplicates and unknown
    /// members are errors (api.md "Vending").
    init(parsing exchange: Exchange, known: Set<String>, numbers: Set<String> = []) throws {
        guard !exchange.bodyIsTooLarge else { throw RouteRefusal.tooLarge }
        guard exchange.hasJSON else { throw RouteRefusal.unsupportedMediaType }
        var reading = ""
        do {
            try JSONReader.object(exchange.withBody { [UInt8]($0) }) { (name, reader) throws(JSONError) in
                reading = name
                guard known.contains(name) else {
                    errors.append(.unknown(name))
                    return
                }
                guard values[name] == nil else {
                    errors.append(MemberError(name, "at most one member of this name"))
                    return
                }
                values[name] = try Self.read(&reader)
                if numbers.contains(name), case .some(.number) = values[name] { return }
                if numbers.contains(name) { errors.append(MemberError(name, "a whole number")) }
            }
        } catch JSONError.tooManyMarks where known.contains(reading) {
            throw Refusal.invalidRequest([.marks(in: reading)])
        } catch {
            throw Refusal.invalidRequest([MemberError("body", "one JSON object (RFC 8259) in UTF-8")])
        }
        guard errors.isEmpty else { throw Refusal.invalidRequest(errors) }
    }

    private static func read(_ reader: inout JSONReader) throws(JSONError) -> Value {
        switch try reader.kind {
        case .string: return .text(try reader.string())
        case .bool: return .flag(try reader.bool())
        case .null:
            try reader.null()
            return .null
        case .array:
            var texts: [String] = []
            var isTexts = true
            try reader.array { (element) throws(JSONError) in
                if try element.kind == .string { texts.append(try element.string()) } else { isTexts = false }
            }
            return isTexts ? .texts(texts) : .other
        case .number:
            return (try? reader.integer()).map(Value.number) ?? .other
        case .object:
            try reader.skip()
            return .other
        }
    }

    func text(_ name: String, limit: Int = 256) throws -> String {
        guard let text = try optionalText(name, limit: limit) else {
            throw Refusal.invalidRequest([MemberError(name, "a string of 1 to \(limit) characters")])
        }
        return text
    }

    func optionalText(_ name: String, limit: Int = 256) throws -> String? {
        switch values[name] {
        case nil, .null: return nil
        case .text(let text) where !text.isEmpty && text.isWithin(limit): return text
        default: throw Refusal.invalidRequest([MemberError(name, "a string of 1 to \(limit) characters")])
        }
    }

    /// What people will call something: visible, at most 80 characters.
    func name(_ name: String) throws -> String {
        let text = try self.text(name, limit: 80).withoutControls
        guard text.isVisible else {
            throw Refusal.invalidRequest([MemberError(name, "a string of 1 to 80 visible characters")])
        }
        return text
    }

    /// As `name`, or null or empty for none. nil: the member is not there.
    func nameOrNothing(_ name: String) throws -> String? {
        switch values[name] {
        case nil: nil
        case .null, .text(""): ""
        default: try self.name(name)
        }
    }

    func texts(_ name: String) throws -> [String] {
        switch values[name] {
        case nil, .null: return []
        case .texts(let texts) where texts.count <= 200: return texts
        default: throw Refusal.invalidRequest([MemberError(name, "an array of at most 200 strings")])
        }
    }

    func integer(_ name: String) throws -> Int64 {
        guard case .number(let number) = values[name] else {
            throw Refusal.invalidRequest([MemberError(name, "a whole number")])
        }
        return number
    }

    /// 1 to `limit` bytes as base64url without padding (RFC 4648 §5).
    func bytes(_ name: String, limit: Int) throws -> [UInt8] {
        guard let bytes = try optionalBytes(name, limit: limit) else { throw Self.notBytes(name, limit) }
        return bytes
    }

    func optionalBytes(_ name: String, limit: Int) throws -> [UInt8]? {
        switch values[name] {
        case nil, .null: return nil
        case .text(let text):
            guard text.utf8.count <= (limit * 4 + 2) / 3, let bytes = Base64URL.decode(text), !bytes.isEmpty else {
                throw Self.notBytes(name, limit)
            }
            return bytes
        default: throw Self.notBytes(name, limit)
        }
    }

    private static func notBytes(_ name: String, _ limit: Int) -> Refusal {
        .invalidRequest([MemberError(name, "1 to \(limit) bytes as base64url (RFC 4648 section 5)")])
    }

    func flag(_ name: String) throws -> Bool? {
        switch values[name] {
        case nil: return nil
        case .flag(let flag): return flag
        default: throw Refusal.invalidRequest([MemberError(name, "true or false")])
        }
    }

    func choice<Choice: RawRepresentable & CaseIterable>(
        _ name: String, _: Choice.Type
    ) throws -> Choice where Choice.RawValue == String {
        guard case .text(let text) = values[name], let choice = Choice(rawValue: text) else {
            let choices = Choice.allCases.map(\.rawValue).joined(separator: " or ")
            throw Refusal.invalidRequest([MemberError(name, choices)])
        }
        return choice
    }
}

extension Exchange {
    /// Whether the body is said to be JSON: that media type in any case, with or without parameters (RFC 9110 §8.3.1).
    var hasJSON: Bool {
        withParameter("CONTENT_TYPE") { type in
            let name: StaticString = "application/json"
            let length = name.utf8CodeUnitCount
            guard type.count >= length else { return false }
            for index in 0..<length where type[index] | 0x20 != name.utf8Start[index] { return false }
            let next = type.count > length ? type[length] : nil
            return next == nil || next == UInt8(ascii: ";") || next == UInt8(ascii: " ")
        } ?? false
    }
}

/// A query in which no parameter that we read occurs twice (RFC 6749 §3.1).
struct Query {
    private let fields: [(name: String, value: String)]

    init(_ exchange: Exchange) throws {
        do {
            fields = try Form.parse(exchange.query)
        } catch {
            throw Refusal.invalidRequest([MemberError("query", "application/x-www-form-urlencoded in UTF-8")])
        }
    }

    subscript(_ name: String) -> String? {
        get throws {
            let values = fields.filter { $0.name == name }
            guard values.count <= 1 else {
                throw Refusal.invalidRequest([MemberError(name, "at most one such parameter")])
            }
            return values.first.flatMap { $0.value.isEmpty ? nil : $0.value }
        }
    }
}

extension ConnectLink {
    /// `owner`, `bridge`, `scope`, `request` as in the link; scopes are compared as sets.
    init(
        owner: String?, bridge: String?, scopes: [String], request: String?, connection: String? = nil,
        separate: Bool = false
    ) throws {
        guard let bridge, let provider = try? ProviderID(owner: owner ?? ProviderID.builtInOwner, bridge: bridge) else {
            throw Refusal.invalidRequest([MemberError("bridge", "the name of a provider, and of its owner")])
        }
        guard scopes.reduce(0, { $0 + $1.utf8.count + 1 }) <= Self.scopeBytes, let set = try? ScopeSet(tokens: scopes)
        else {
            throw Refusal.invalidRequest([MemberError("scope", "RFC 6749 scope tokens, together at most 1 KiB")])
        }
        let id = request.map { RequestID(parsing: $0) }
        if case .some(.none) = id { throw Refusal.notFound }
        let which: Which
        switch connection {
        case nil: which = .any
        case "new": which = .new
        case let text?:
            guard let one = ConnectionID(parsing: text) else { throw Refusal.notFound }
            which = .one(one)
        }
        self.init(
            provider: provider, scopes: set, request: id ?? nil, connection: which, separate: separate)
    }
}
