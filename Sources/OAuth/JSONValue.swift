import Encoding
import Foundation

/// A provider's JSON, whose shape only its catalogue entry knows. Not used where a vend waits.
public indirect enum JSONValue: Hashable, Sendable {
    case null
    case bool(Bool)
    case integer(Int64)
    case number(Double)
    case string(String)
    case array([JSONValue])
    case object([String: JSONValue])

    /// RFC 8259 text; `nil` when it is not. A repeated member keeps its last value.
    public init?(parsing bytes: some Collection<UInt8>) {
        guard let value = try? JSONDecoder().decode(JSONValue.self, from: Data(bytes)) else { return nil }
        self = value
    }

    public subscript(_ member: String) -> JSONValue? {
        guard case .object(let members) = self else { return nil }
        return members[member]
    }

    /// The value at `a.b.c`; the empty path is the value itself. `null` counts as absent.
    public func value(at path: some StringProtocol) -> JSONValue? {
        var current = self
        for step in path.split(separator: ".") {
            guard let next = current[String(step)] else { return nil }
            current = next
        }
        return current == .null ? nil : current
    }

    /// Strings as they are, numbers in decimal; nothing else has a text.
    public var text: String? {
        switch self {
        case .string(let text): text
        case .integer(let number): String(number)
        case .number(let number): Int64(exactly: number).map(String.init) ?? String(number)
        case .bool(let flag): String(flag)
        case .null, .array, .object: nil
        }
    }

    public var string: String? {
        guard case .string(let text) = self else { return nil }
        return text
    }

    public var array: [JSONValue]? {
        guard case .array(let values) = self else { return nil }
        return values
    }
}

extension JSONValue: Decodable {
    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if container.decodeNil() {
            self = .null
        } else if let flag = try? container.decode(Bool.self) {
            self = .bool(flag)
        } else if let number = try? container.decode(Int64.self) {
            self = .integer(number)
        } else if let number = try? container.decode(Double.self) {
            self = .number(number)
        } else if let text = try? container.decode(String.self) {
            self = .string(text)
        } else if let values = try? container.decode([JSONValue].self) {
            self = .array(values)
        } else {
            self = .object(try container.decode([String: JSONValue].self))
        }
    }
}

extension ProviderReply {
    /// The body as an object, read by what it is before what it says it is: GitHub answers a form where JSON
    /// was not asked for, proxies answer HTML with any type (standards 1.7 step 1).
    public var fields: JSONValue? {
        guard let first = body.first(where: { !$0.isWhitespace }) else { return nil }
        if first == UInt8(ascii: "{") {
            guard let value = JSONValue(parsing: body), case .object = value else { return nil }
            return value
        }
        let type = headers["content-type"]?.prefix { $0 != ";" }.lowercased() ?? "text/plain"
        guard type == "application/x-www-form-urlencoded" || type.hasPrefix("text/plain"),
            body.contains(UInt8(ascii: "="))
        else { return nil }
        guard let fields = try? Form.parse(body) else { return nil }
        return .object(Dictionary(fields.map { ($0.name, .string($0.value)) }) { first, _ in first })
    }

    /// Seconds from a `Retry-After` (RFC 9110 section 10.2.3), number or date, at most an hour.
    public func retryAfterSeconds(at now: Instant) -> Int? {
        guard let text = headers["retry-after"]?.trimmingCharacters(in: .whitespaces) else { return nil }
        if !text.isEmpty, text.utf8.allSatisfy({ $0 >= UInt8(ascii: "0") && $0 <= UInt8(ascii: "9") }) {
            return Int(text).map { min($0, 3_600) } ?? 3_600
        }
        let format = DateFormatter()
        format.locale = Locale(identifier: "en_US_POSIX")
        format.timeZone = TimeZone(secondsFromGMT: 0)
        format.dateFormat = "EEE, dd MMM yyyy HH:mm:ss zzz"
        guard let date = format.date(from: text) else { return nil }
        let wait = (date.timeIntervalSince1970 - Double(now.milliseconds) / 1_000).rounded(.up)
        return wait.isFinite ? Int(min(max(wait, 0), 3_600)) : nil
    }
}

extension UInt8 {
    fileprivate var isWhitespace: Bool { self == 0x20 || (self >= 0x09 && self <= 0x0D) }
}
