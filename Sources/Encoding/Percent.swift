/// RFC 3986 §2.1: percent-encoding of one component.
public enum Percent {
    /// Everything but the unreserved characters of §2.3 is encoded, with upper-case digits as §2.1 asks.
    public static func encode(_ text: String) -> String {
        var out: [UInt8] = []
        for byte in text.utf8 {
            if isUnreserved(byte) { out.append(byte) } else { append(escaped: byte, to: &out) }
        }
        return String(decoding: out, as: UTF8.self)
    }

    /// nil when an escape is cut short or not hexadecimal, or when the bytes are not UTF-8. `+` stays `+`.
    public static func decode(_ text: some StringProtocol) -> String? {
        guard let bytes = decode(bytes: Array(text.utf8), plusIsSpace: false) else { return nil }
        return String(validating: bytes, as: UTF8.self)
    }

    static func isUnreserved(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
            UInt8(ascii: "~"):
            true
        default: false
        }
    }

    static func append(escaped byte: UInt8, to out: inout [UInt8]) {
        out.append(UInt8(ascii: "%"))
        for half in [byte >> 4, byte & 15] {
            out.append(half < 10 ? UInt8(ascii: "0") + half : UInt8(ascii: "A") + half - 10)
        }
    }

    static func decode(bytes: some Collection<UInt8>, plusIsSpace: Bool) -> [UInt8]? {
        var out: [UInt8] = []
        out.reserveCapacity(bytes.count)
        var rest = bytes.makeIterator()
        while let byte = rest.next() {
            if byte == UInt8(ascii: "%") {
                guard let high = rest.next().flatMap(Hex.value), let low = rest.next().flatMap(Hex.value)
                else { return nil }
                out.append(high << 4 | low)
            } else {
                out.append(plusIsSpace && byte == UInt8(ascii: "+") ? UInt8(ascii: " ") : byte)
            }
        }
        return out
    }
}
