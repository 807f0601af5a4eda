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

    // Without branches, as without tables: what is added depends on the sign of a difference.

    @inline(__always)
    private func character(_ value: UInt32) -> UInt8 {
        let value = Int32(truncatingIfNeeded: value & 63)
        var character = value &+ 0x41
        character &+= ((25 &- value) >> 8) & 6
        character &-= ((51 &- value) >> 8) & 75
        character &+= ((61 &- value) >> 8) & (Int32(digit62) &- 58)
        character &+= ((62 &- value) >> 8) & (Int32(digit63) &- Int32(digit62) &- 1)
        return UInt8(truncatingIfNeeded: character)
    }

    /// Negative for what is no digit.
    @inline(__always)
    private func value(_ character: UInt8) -> Int32 {
        let character = Int32(character)
        let (last, lastButOne) = (Int32(digit63), Int32(digit62))
        var value: Int32 = -1
        value &+= (((0x40 &- character) & (character &- 0x5B)) >> 8) & (character &- 0x40)
        value &+= (((0x60 &- character) & (character &- 0x7B)) >> 8) & (character &- 0x46)
        value &+= (((0x2F &- character) & (character &- 0x3A)) >> 8) & (character &+ 5)
        value &+= (((lastButOne &- 1 &- character) & (character &- lastButOne &- 1)) >> 8) & 63
        value &+= (((last &- 1 &- character) & (character &- last &- 1)) >> 8) & 64
        return value
    }

    func encode(_ bytes: UnsafeRawBufferPointer, into out: UnsafeMutableRawBufferPointer) {
        var (read, written) = (0, 0)
        while read + 3 <= bytes.count {
            let group = UInt32(bytes[read]) << 16 | UInt32(bytes[read + 1]) << 8 | UInt32(bytes[read + 2])
            out[written] = character(group >> 18)
            out[written + 1] = character(group >> 12)
            out[written + 2] = character(group >> 6)
            out[written + 3] = character(group)
            read += 3
            written += 4
        }
        let rest = bytes.count - read
        guard rest > 0 else { return }
        let group = UInt32(bytes[read]) << 16 | (rest > 1 ? UInt32(bytes[read + 1]) << 8 : 0)
        out[written] = character(group >> 18)
        out[written + 1] = character(group >> 12)
        if rest > 1 { out[written + 2] = character(group >> 6) }
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
        var (read, written) = (0, 0)
        // Negative as soon as one of them was no digit.
        var all: Int32 = 0
        while read + 4 <= digits.count {
            let (first, second) = (value(digits[read]), value(digits[read + 1]))
            let (third, fourth) = (value(digits[read + 2]), value(digits[read + 3]))
            all |= first | second | third | fourth
            let group = UInt32(bitPattern: first << 18 | second << 12 | third << 6 | fourth)
            out[written] = UInt8(truncatingIfNeeded: group >> 16)
            out[written + 1] = UInt8(truncatingIfNeeded: group >> 8)
            out[written + 2] = UInt8(truncatingIfNeeded: group)
            read += 4
            written += 3
        }
        let rest = digits.count - read
        if rest > 0 {
            let (first, second) = (value(digits[read]), value(digits[read + 1]))
            let third = rest > 2 ? value(digits[read + 2]) : 0
            all |= first | second | third
            let group = UInt32(bitPattern: first << 18 | second << 12 | third << 6)
            out[written] = UInt8(truncatingIfNeeded: group >> 16)
            if rest > 2 { out[written + 1] = UInt8(truncatingIfNeeded: group >> 8) }
            // The bits that no byte takes must be zero, or several texts would mean the same value.
            guard group & (0x00FF_FFFF >> UInt32(8 * (rest - 1))) == 0 else { return nil }
        }
        return all >= 0 ? () : nil
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
