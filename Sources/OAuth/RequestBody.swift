import Glibc
import Secrets

/// The fields of a token or revocation request. Secrets go from secure memory to secure memory: the buffer
/// between is allocated once and wiped.
public struct RequestFields: Sendable {
    public enum Value: Sendable {
        case text(String)
        case secret(SecretText)

        var count: Int {
            switch self {
            case .text(let text): text.utf8.count
            case .secret(let secret): secret.count
            }
        }
    }

    public private(set) var fields: [(name: String, value: Value)] = []

    public init() {}

    public mutating func set(_ name: String, _ text: String) { set(name, .text(text)) }
    public mutating func set(_ name: String, _ secret: SecretText) { set(name, .secret(secret)) }

    /// Sets a field, replacing one of that name: RFC 6749 section 3.2 forbids repeating any.
    public mutating func set(_ name: String, _ value: Value) {
        if let index = fields.firstIndex(where: { $0.name == name }) {
            fields[index].value = value
        } else {
            fields.append((name, value))
        }
    }

    /// `application/x-www-form-urlencoded`, with `%20` for a space.
    public func form() throws -> SecretText {
        var buffer = WipedBuffer(capacity: fields.reduce(0) { $0 + 3 * ($1.name.utf8.count + $1.value.count) + 2 })
        for (index, field) in fields.enumerated() {
            if index > 0 { buffer.append(UInt8(ascii: "&")) }
            buffer.appendPercentEncoded(.text(field.name))
            buffer.append(UInt8(ascii: "="))
            buffer.appendPercentEncoded(field.value)
        }
        return try buffer.seal()
    }

    /// `application/json`, one flat object of strings.
    public func json() throws -> SecretText {
        var buffer = WipedBuffer(capacity: fields.reduce(2) { $0 + 6 * ($1.name.utf8.count + $1.value.count) + 6 })
        buffer.append(UInt8(ascii: "{"))
        for (index, field) in fields.enumerated() {
            if index > 0 { buffer.append(UInt8(ascii: ",")) }
            buffer.appendJSONString(.text(field.name))
            buffer.append(UInt8(ascii: ":"))
            buffer.appendJSONString(field.value)
        }
        buffer.append(UInt8(ascii: "}"))
        return try buffer.seal()
    }
}

/// Bytes on their way into secure memory.
struct WipedBuffer: ~Copyable {
    private let storage: UnsafeMutableRawBufferPointer
    private var count = 0

    init(capacity: Int) {
        storage = .allocate(byteCount: max(capacity, 1), alignment: 1)
    }

    deinit {
        explicit_bzero(storage.baseAddress!, storage.count)
        storage.deallocate()
    }

    mutating func append(_ byte: UInt8) {
        storage[count] = byte
        count += 1
    }

    mutating func append(contentsOf bytes: some Sequence<UInt8>) {
        for byte in bytes { append(byte) }
    }

    mutating func appendPercentEncoded(_ value: RequestFields.Value) {
        value.withBytes { bytes in
            for byte in bytes {
                if byte.isUnreserved {
                    append(byte)
                } else {
                    append(UInt8(ascii: "%"))
                    append(hexDigit(byte >> 4))
                    append(hexDigit(byte & 15))
                }
            }
        }
    }

    mutating func appendJSONString(_ value: RequestFields.Value) {
        append(UInt8(ascii: "\""))
        value.withBytes { bytes in
            for byte in bytes {
                switch byte {
                case UInt8(ascii: "\""), UInt8(ascii: "\\"):
                    append(UInt8(ascii: "\\"))
                    append(byte)
                case 0..<0x20:
                    append(contentsOf: "\\u00".utf8)
                    append(hexDigit(byte >> 4))
                    append(hexDigit(byte & 15))
                default: append(byte)
                }
            }
        }
        append(UInt8(ascii: "\""))
    }

    mutating func appendBase64(_ bytes: UnsafeRawBufferPointer) {
        let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
        var index = 0
        while index < bytes.count {
            let left = bytes.count - index
            let group =
                UInt32(bytes[index]) << 16 | (left > 1 ? UInt32(bytes[index + 1]) << 8 : 0)
                | (left > 2 ? UInt32(bytes[index + 2]) : 0)
            append(alphabet[Int(group >> 18)])
            append(alphabet[Int(group >> 12 & 63)])
            append(left > 1 ? alphabet[Int(group >> 6 & 63)] : UInt8(ascii: "="))
            append(left > 2 ? alphabet[Int(group & 63)] : UInt8(ascii: "="))
            index += 3
        }
    }

    borrowing func withBytes<R>(_ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R {
        try body(UnsafeRawBufferPointer(rebasing: storage[0..<count]))
    }

    borrowing func seal() throws -> SecretText {
        try withBytes { try SecretText(copying: $0) }
    }

    private func hexDigit(_ nibble: UInt8) -> UInt8 {
        nibble < 10 ? UInt8(ascii: "0") + nibble : UInt8(ascii: "A") + nibble - 10
    }
}

extension RequestFields.Value {
    func withBytes(_ body: (UnsafeRawBufferPointer) -> Void) {
        switch self {
        case .text(var text): text.withUTF8 { body(UnsafeRawBufferPointer($0)) }
        case .secret(let secret): secret.withUnsafeBytes { body($0) }
        }
    }
}

extension UInt8 {
    /// RFC 3986 section 2.3.
    var isUnreserved: Bool {
        switch self {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
            UInt8(ascii: "~"):
            true
        default: false
        }
    }
}
