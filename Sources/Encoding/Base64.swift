/// RFC 4648 §4, with padding. Decoding accepts only the canonical form: no whitespace, full padding, unused bits zero.
public enum Base64 {
    public static func encode(_ bytes: some Sequence<UInt8>) -> String {
        Base64Alphabet.standard.encode(Array(bytes), padded: true)
    }

    public static func decode(_ text: some StringProtocol) -> [UInt8]? {
        Base64Alphabet.standard.decode(text, padded: true)
    }

    /// Decodes into memory that the caller owns, for secrets; nil when `text` is not canonical or does not fill `out` exactly.
    public static func decode(_ text: UnsafeRawBufferPointer, into out: UnsafeMutableRawBufferPointer) -> Void? {
        let padding = (3 - out.count % 3) % 3
        guard text.count == (out.count + 2) / 3 * 4, text.suffix(padding).allSatisfy({ $0 == UInt8(ascii: "=") })
        else { return nil }
        return Base64Alphabet.standard.decode(UnsafeRawBufferPointer(rebasing: text.dropLast(padding)), into: out)
    }
}

/// RFC 4648 §5, without padding. Decoding accepts only the canonical form: unused bits zero, so that one value has one text.
public enum Base64URL {
    public static func encode(_ bytes: some Sequence<UInt8>) -> String {
        Base64Alphabet.url.encode(Array(bytes), padded: false)
    }

    public static func encode(_ bytes: [UInt8]) -> String {
        Base64Alphabet.url.encode(bytes, padded: false)
    }

    public static func decode(_ text: some StringProtocol) -> [UInt8]? {
        Base64Alphabet.url.decode(text, padded: false)
    }

    /// Decodes into memory that the caller owns, for secrets; nil when `text` is not canonical or does not fill `out` exactly.
    public static func decode(_ text: UnsafeRawBufferPointer, into out: UnsafeMutableRawBufferPointer) -> Void? {
        Base64Alphabet.url.decode(text, into: out)
    }

    /// Encodes into memory that the caller owns, for secrets. `out` holds exactly `encodedCount(bytes.count)` bytes.
    public static func encode(_ bytes: UnsafeRawBufferPointer, into out: UnsafeMutableRawBufferPointer) {
        precondition(out.count == encodedCount(bytes.count))
        Base64Alphabet.url.encode(bytes, into: out)
    }

    public static func encodedCount(_ count: Int) -> Int { (count * 4 + 2) / 3 }
}

/// The two alphabets differ in their last two digits. Digits are computed, not looked up: a table would be read at places
/// that depend on secrets.
private struct Base64Alphabet {
    let digit62, digit63: UInt8

    static let standard = Base64Alphabet(digit62: UInt8(ascii: "+"), digit63: UInt8(ascii: "/"))
    static let url = Base64Alphabet(digit62: UInt8(ascii: "-"), digit63: UInt8(ascii: "_"))

    private func character(_ value: UInt32) -> UInt8 {
        let value = UInt8(truncatingIfNeeded: value & 63)
        return switch value {
        case 0..<26: UInt8(ascii: "A") + value
        case 26..<52: UInt8(ascii: "a") + value - 26
        case 52..<62: UInt8(ascii: "0") + value - 52
        case 62: digit62
        default: digit63
        }
    }

    private func value(_ character: UInt8) -> UInt32? {
        switch character {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"): UInt32(character - UInt8(ascii: "A"))
        case UInt8(ascii: "a")...UInt8(ascii: "z"): UInt32(character - UInt8(ascii: "a")) + 26
        case UInt8(ascii: "0")...UInt8(ascii: "9"): UInt32(character - UInt8(ascii: "0")) + 52
        case digit62: 62
        case digit63: 63
        default: nil
        }
    }

    func encode(_ bytes: UnsafeRawBufferPointer, into out: UnsafeMutableRawBufferPointer) {
        var written = 0
        for start in stride(from: 0, to: bytes.count, by: 3) {
            let length = min(3, bytes.count - start)
            var group: UInt32 = 0
            for index in 0..<3 { group = group << 8 | (index < length ? UInt32(bytes[start + index]) : 0) }
            for index in 0...length {
                out[written] = character(group >> UInt32(18 - 6 * index))
                written += 1
            }
        }
    }

    func encode(_ bytes: [UInt8], padded: Bool) -> String {
        let digits = Base64URL.encodedCount(bytes.count)
        let length = padded ? (bytes.count + 2) / 3 * 4 : digits
        return String(unsafeUninitializedCapacity: length) { out in
            let target = UnsafeMutableRawBufferPointer(out)
            bytes.withUnsafeBytes { encode($0, into: UnsafeMutableRawBufferPointer(rebasing: target[..<digits])) }
            for index in digits..<length { target[index] = UInt8(ascii: "=") }
            return length
        }
    }

    func decode(_ digits: UnsafeRawBufferPointer, into out: UnsafeMutableRawBufferPointer) -> Void? {
        guard digits.count == Base64URL.encodedCount(out.count) else { return nil }
        var written = 0
        for start in stride(from: 0, to: digits.count, by: 4) {
            let length = min(4, digits.count - start)
            var group: UInt32 = 0
            for index in 0..<length {
                guard let value = value(digits[start + index]) else { return nil }
                group |= value << UInt32(18 - 6 * index)
            }
            for index in 0..<length - 1 {
                out[written] = UInt8(truncatingIfNeeded: group >> UInt32(16 - 8 * index))
                written += 1
            }
            // The bits that no byte takes must be zero, or several texts would mean the same value.
            guard length == 4 || group & (0x00FF_FFFF >> UInt32(8 * (length - 1))) == 0 else { return nil }
        }
        return ()
    }

    func decode(_ text: some StringProtocol, padded: Bool) -> [UInt8]? {
        var digits = Array(text.utf8)
        if padded {
            guard digits.count % 4 == 0 else { return nil }
            for _ in 0..<2 where digits.last == UInt8(ascii: "=") { digits.removeLast() }
        }
        guard digits.count % 4 != 1 else { return nil }
        let length = digits.count * 3 / 4
        var isCanonical = false
        let bytes = [UInt8](unsafeUninitializedCapacity: length) { out, count in
            let target = UnsafeMutableRawBufferPointer(UnsafeMutableBufferPointer(rebasing: out[..<length]))
            isCanonical = digits.withUnsafeBytes { decode($0, into: target) } != nil
            count = isCanonical ? length : 0
        }
        return isCanonical ? bytes : nil
    }
}
