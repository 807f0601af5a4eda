import Broker
import Encoding
import MCP
import OAuth
import Providers

/// A tool's arguments, read strictly: every wrong one is named with what was expected.
struct ArgumentReader {
    private let members: [String: JSONValue]
    private var errors: [MemberError] = []

    init(_ arguments: Tool.Arguments) { members = arguments.members.filter { $0.value != .null } }

    func finish() throws(Refusal) {
        guard errors.isEmpty else { throw .invalidRequest(errors) }
    }

    /// What was read, where nothing was wrong.
    func finish<Value>(_ value: Value?) throws(Refusal) -> Value {
        guard errors.isEmpty, let value else { throw .invalidRequest(errors) }
        return value
    }

    private mutating func wrong(_ name: String, _ expected: String) { errors.append(MemberError(name, expected)) }

    mutating func text(_ name: String, _ lengths: ClosedRange<Int>) -> String? {
        guard let value = members[name] else {
            if lengths.lowerBound > 0, name == "reason" || name == "operation" { wrong(name, "a string") }
            return nil
        }
        guard case .string(let text) = value, text.isWithin(lengths.upperBound), text.count >= lengths.lowerBound
        else {
            wrong(name, "a string of \(lengths.lowerBound) to \(lengths.upperBound) characters")
            return nil
        }
        return text
    }

    /// nil: it is wrong. Read on, so that every wrong member is named; `finish` says so.
    mutating func provider() -> ProviderID? {
        if let text = members["provider"]?.string, let id = try? ProviderID(parsing: text) { return id }
        wrong("provider", "a provider as bridge or owner/bridge")
        return nil
    }

    mutating func scopes() -> ScopeSet {
        guard let value = members["scopes"] else { return .empty }
        if let names = value.array?.map(\.string), !names.contains(nil),
            let set = try? ScopeSet(tokens: names.compactMap { $0 })
        {
            return set
        }
        wrong("scopes", "an array of at most 200 RFC 6749 scope tokens")
        return .empty
    }

    mutating func method() -> APIMethod {
        if let text = members["method"]?.string, let method = APIMethod(rawValue: text) { return method }
        wrong("method", "one of \(APIMethod.all)")
        return .get
    }

    /// `path`, with `query` behind it. nil: one of them is wrong.
    mutating func target() -> APITarget? {
        var text = members["path"]?.string ?? ""
        if let query = members["query"] {
            guard let fields = query.object else {
                wrong("query", "an object of strings, numbers, booleans or lists of them")
                return nil
            }
            var pairs: [String] = []
            for (name, value) in fields.sorted(by: { $0.key < $1.key }) {
                for single in value.array ?? [value] {
                    guard let text = single.text else {
                        wrong("query", "strings, numbers, booleans or lists of them")
                        return nil
                    }
                    pairs.append("\(Percent.encode(name))=\(Percent.encode(text))")
                }
            }
            if !pairs.isEmpty { text += (text.contains("?") ? "&" : "?") + pairs.joined(separator: "&") }
        }
        do throws(APITargetError) {
            return try APITarget(parsing: text)
        } catch {
            if case .parameter(let name) = error {
                wrong("query", "no parameter \(name)")
            } else {
                wrong("path", error.expected)
            }
            return nil
        }
    }

    mutating func content(_ method: APIMethod) -> [UInt8]? {
        guard let body = members["body"] else { return nil }
        guard !method.isSafe else {
            wrong("body", "no body with \(method.rawValue)")
            return nil
        }
        if case .string(let text) = body { return Array(text.utf8) }
        return body.json
    }

    /// Only those that are passed on at `/proxy` too.
    mutating func headers(_ permitted: [String]) -> [(name: String, value: String)] {
        guard let value = members["headers"] else { return [] }
        var headers: [(name: String, value: String)] = []
        for (name, value) in (value.object ?? ["": .null]).sorted(by: { $0.key < $1.key }) {
            guard let known = permitted.first(where: { $0.lowercased() == name.lowercased() }),
                !headers.contains(where: { $0.name == known }), case .string(let text) = value, text.utf8.count <= 1024,
                text.utf8.allSatisfy({ $0 >= 0x20 && $0 < 0x7F })
            else {
                wrong(
                    "headers",
                    "an object of strings of printable ASCII, with names of \(permitted.joined(separator: ", "))")
                return []
            }
            headers.append((known, text))
        }
        return headers
    }
}
