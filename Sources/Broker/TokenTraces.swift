import Encoding
import OAuth
import Secrets

/// A token in the forms in which an API may repeat it: as it is, in base64 at any of the three offsets, in hexadecimal;
/// each of them also escaped as in JSON, URLs or HTML. This is against carelessness, an echo or an error page: who means
/// to smuggle a token out to the agent can always find another form, and holds the token already.
struct TokenTraces {
    static let mark = "(token)"

    private let forms: [[UInt8]]
    /// What a form can begin with; nearly every byte of an answer goes no further than this.
    private let firsts: Set<UInt8>
    private let shortest: Int

    /// nil: too short to be told from any other text.
    init?(of secret: SecretText) {
        let token = secret.withUnsafeBytes { Array($0) }
        guard token.count >= 8 else { return nil }
        var forms = [token]
        for offset in 0..<3 {
            // Only the digits in which no neighbour's bits are.
            let bytes = [UInt8](repeating: 0, count: offset) + token
            let whole = ((offset * 4 + 2) / 3)..<(bytes.count * 4 / 3)
            forms.append(Array(Array(Base64.encode(bytes).utf8)[whole]))
            forms.append(Array(Array(Base64URL.encode(bytes).utf8)[whole]))
        }
        forms.append(Array(Hex.encode(token).utf8))
        forms.append(Array(Hex.encode(token).uppercased().utf8))
        self.forms = forms
        firsts = Set(forms.map { $0[0] } + Array(#"\%&"#.utf8))
        shortest = forms.map(\.count).min() ?? token.count
    }

    func removed(from text: String) -> String {
        guard text.utf8.count >= shortest else { return text }
        let bytes = Array(text.utf8)
        var out: [UInt8] = []
        var (index, kept) = (0, 0)
        while index < bytes.count {
            guard firsts.contains(bytes[index]), let end = end(of: bytes, at: index) else {
                index += 1
                continue
            }
            out += bytes[kept..<index]
            out += Self.mark.utf8
            (index, kept) = (end, end)
        }
        return kept == 0 ? text : String(decoding: out + bytes[kept...], as: UTF8.self)
    }

    /// Names of members are the provider's words as much as their values are.
    func removed(from value: JSONValue) -> JSONValue {
        switch value {
        case .string(let text): .string(removed(from: text))
        case .array(let values): .array(values.map { removed(from: $0) })
        case .object(let members):
            .object(
                Dictionary(members.map { (removed(from: $0), removed(from: $1)) }) { first, _ in first })
        case .null, .bool, .integer, .number: value
        }
    }

    private func end(of bytes: [UInt8], at start: Int) -> Int? {
        for form in forms {
            if let end = Self.end(of: form, in: bytes, at: start, read: Self.literal)
                ?? Self.end(of: form, in: bytes, at: start, read: Self.unescaped)
            {
                return end
            }
        }
        return nil
    }

    private static func end(
        of form: [UInt8], in bytes: [UInt8], at start: Int, read: ([UInt8], Int) -> (byte: UInt8, next: Int)
    ) -> Int? {
        var index = start
        for byte in form {
            guard index < bytes.count else { return nil }
            let found = read(bytes, index)
            guard found.byte == byte else { return nil }
            index = found.next
        }
        return index
    }

    private static func literal(_ bytes: [UInt8], _ index: Int) -> (byte: UInt8, next: Int) {
        (bytes[index], index + 1)
    }

    /// One character of ASCII: `%5f`, `\u005f`, `\x5f`, `\/`, `&#95;`, `&#x5f;`, or itself.
    private static func unescaped(_ bytes: [UInt8], _ index: Int) -> (byte: UInt8, next: Int) {
        func hex(_ from: Int, _ count: Int) -> (byte: UInt8, next: Int)? {
            guard from + count <= bytes.count,
                let value = Int(String(decoding: bytes[from..<from + count], as: UTF8.self), radix: 16),
                let byte = UInt8(exactly: value)
            else { return nil }
            return (byte, from + count)
        }
        let itself = literal(bytes, index)
        switch bytes[index] {
        case UInt8(ascii: "%"): return hex(index + 1, 2) ?? itself
        case UInt8(ascii: "\\"):
            guard index + 1 < bytes.count else { return itself }
            switch bytes[index + 1] {
            case UInt8(ascii: "u"): return hex(index + 2, 4) ?? itself
            case UInt8(ascii: "x"): return hex(index + 2, 2) ?? itself
            default: return (bytes[index + 1], index + 2)
            }
        case UInt8(ascii: "&"):
            guard index + 2 < bytes.count, bytes[index + 1] == UInt8(ascii: "#"),
                let end = bytes[index..<min(index + 12, bytes.count)].firstIndex(of: UInt8(ascii: ";"))
            else { return itself }
            let digits = String(decoding: bytes[(index + 2)..<end], as: UTF8.self).lowercased()
            let value = digits.hasPrefix("x") ? UInt8(digits.dropFirst(), radix: 16) : UInt8(digits)
            return value.map { ($0, end + 1) } ?? itself
        default: return itself
        }
    }
}

/// A provider's answer as an agent gets it: read first and then cleared of the token, because an escape that is read
/// afterwards would bring it back.
public struct AgentReply: Sendable {
    public enum Body: Sendable {
        case none
        case json(JSONValue)
        case text(String)
        /// Told of, not shown.
        case binary(bytes: Int, type: String)
    }

    public let status: Int
    public let headers: [String: String]
    public let body: Body

    init(_ reply: ProviderReply, without secret: SecretText) {
        status = reply.status
        guard let traces = TokenTraces(of: secret) else {
            (headers, body) = (reply.headers, Self.read(reply))
            return
        }
        headers = Dictionary(
            reply.headers.map { (traces.removed(from: $0), traces.removed(from: $1)) }
        ) { first, _ in first }
        body =
            switch Self.read(reply) {
            case .none: .none
            case .json(let value): .json(traces.removed(from: value))
            case .text(let text): .text(traces.removed(from: text))
            case .binary(let bytes, let type): .binary(bytes: bytes, type: traces.removed(from: type))
            }
    }

    private static func read(_ reply: ProviderReply) -> Body {
        guard !reply.body.isEmpty else { return .none }
        let type = (reply.headers["content-type"] ?? "").prefix { $0 != ";" }.lowercased()
        if type.hasSuffix("json"), let value = reply.body.withUnsafeBytes({ try? JSONValue(strictly: $0) }) {
            return .json(value)
        }
        let isText =
            type.isEmpty || type.hasPrefix("text/") || type.hasSuffix("json") || type.hasSuffix("xml")
            || type.hasSuffix("javascript") || type.hasSuffix("x-www-form-urlencoded")
        if isText, !reply.body.contains(0), let text = String(validating: reply.body, as: UTF8.self) {
            return .text(text)
        }
        return .binary(bytes: reply.body.count, type: String(type.prefix(100)))
    }
}
