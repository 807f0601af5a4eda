import Encoding
import Foundation
import Glibc

/// One record as it stands in an audit file.
struct AuditLine {
    private(set) var id: (high: UInt64, low: UInt64) = (0, 0)
    private(set) var at: Int64 = 0
    private(set) var event = ""
    private(set) var person = PersonID(high: 0, low: 0)
    private(set) var provider: String?
    private(set) var connection: ConnectionID?
    private(set) var caller: String?
    private(set) var kind: String?
    private(set) var scopes: String?
    private(set) var claim: [UInt8]?
    private var hasID = false
    private var hasPerson = false

    var idBlob: Data { withUnsafeBytes(of: (id.high.bigEndian, id.low.bigEndian)) { Data($0) } }

    /// nil: half a line of a process that died writing it, or not a line of ours.
    init?(parsing line: UnsafeRawBufferPointer) {
        guard takePlain(line) || takeStrict(line) else { return nil }
        guard hasID, hasPerson, AuditEvent(rawValue: event) != nil else { return nil }
    }

    init?(parsing line: some Collection<UInt8>) {
        guard let line = Array(line).withUnsafeBytes({ AuditLine(parsing: $0) }) else { return nil }
        self = line
    }

    /// As we write them: one object, no spaces, texts in ASCII without escapes. Tens of thousands of them are read at a
    /// time, while others want the processor. False: it may still be an object.
    private mutating func takePlain(_ line: UnsafeRawBufferPointer) -> Bool {
        var position = 0
        func next(_ byte: UInt8) -> Bool {
            guard position < line.count, line[position] == byte else { return false }
            position += 1
            return true
        }
        func text() -> UnsafeRawBufferPointer? {
            let quote = UInt8(ascii: "\"")
            guard next(quote) else { return nil }
            let start = position
            while position < line.count, line[position] != quote {
                guard line[position] >= 0x20, line[position] < 0x7F, line[position] != UInt8(ascii: "\\") else {
                    return nil
                }
                position += 1
            }
            let text = UnsafeRawBufferPointer(rebasing: line[start..<position])
            return next(quote) ? text : nil
        }
        func number() -> Int64? {
            let start = position
            var value: Int64 = 0
            // Eighteen digits always fit.
            while position < line.count, position - start < 18, case let digit = line[position] &- 0x30, digit < 10 {
                value = value * 10 + Int64(digit)
                position += 1
            }
            let isOne = position > start && (line[start] != 0x30 || position == start + 1)
            return isOne ? value : nil
        }
        guard next(UInt8(ascii: "{")) else { return false }
        repeat {
            guard let name = text(), next(UInt8(ascii: ":")), position < line.count else { return false }
            if line[position] == UInt8(ascii: "\"") {
                guard let value = text() else { return false }
                take(name, value)
            } else {
                guard let value = number() else { return false }
                if Self.equals(name, "at") { at = value }
            }
        } while next(UInt8(ascii: ","))
        return next(UInt8(ascii: "}")) && position == line.count
    }

    private mutating func takeStrict(_ line: UnsafeRawBufferPointer) -> Bool {
        do {
            try JSONReader.object(line) { (name, value) throws(JSONError) in
                switch name {
                case "at": at = try value.integer()
                case "id", "event", "person", "provider", "connection", "caller", "kind", "scopes", "claim":
                    var name = name
                    try value.withString { text in name.withUTF8 { take(UnsafeRawBufferPointer($0), text) } }
                default: break
                }
            }
            return true
        } catch {
            return false
        }
    }

    private mutating func take(_ name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) {
        func text() -> String { String(decoding: value, as: UTF8.self) }
        switch name.count {
        case 2 where Self.equals(name, "id"):
            var words: (UInt64, UInt64) = (0, 0)
            hasID = withUnsafeMutableBytes(of: &words) { Base64URL.decode(value, into: $0) } != nil
            id = (UInt64(bigEndian: words.0), UInt64(bigEndian: words.1))
        case 4 where Self.equals(name, "kind"): kind = text()
        case 5 where Self.equals(name, "event"): event = text()
        case 5 where Self.equals(name, "claim"): claim = Base64URL.decode(text())
        case 6 where Self.equals(name, "person"):
            let parsed = PersonID(utf8: value)
            hasPerson = parsed != nil
            person = parsed ?? person
        case 6 where Self.equals(name, "caller"): caller = text()
        case 6 where Self.equals(name, "scopes"): scopes = text()
        case 8 where Self.equals(name, "provider"): provider = text()
        case 10 where Self.equals(name, "connection"): connection = ConnectionID(utf8: value)
        default: break
        }
    }

    private static func equals(_ text: UnsafeRawBufferPointer, _ name: StaticString) -> Bool {
        guard let start = text.baseAddress, text.count == name.utf8CodeUnitCount else { return false }
        return memcmp(start, name.utf8Start, text.count) == 0
    }
}
