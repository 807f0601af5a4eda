import Encoding

/// What a token opens, and what it looks like to a secret scanner.
public enum TokenKind: String, CaseIterable, Sendable {
    case session = "tss_"
    case apiKey = "tsk_"
    case plugin = "tsp_"
    case cli = "tsc_"
    case access = "tsa_"
    case refresh = "tsf_"
    case code = "tsg_"
    case device = "tsd_"
    case invitation = "tsi_"
    case recovery = "tsr_"
    /// The key of one person with a plugin: derived from the plugin's, by whoever has that one.
    case pluginPerson = "tsu_"
    /// Never a text: the output of a passkey stands where other tokens have their secret.
    case passkey = "tsw_"

    public var prefix: String { rawValue }

    /// A plugin's general key, or its key for one person.
    public var isOfPlugin: Bool {
        switch self {
        case .plugin, .pluginPerson: true
        default: false
        }
    }
}

/// Why a text is no token of ours. Never carries any of it.
public enum TokenError: Error, Equatable, Sendable {
    case unknownPrefix
    case wrongLength
    case malformed
    /// A typing or copying error.
    case wrongChecksum
    case exhausted
}

/// `prefix 4 ‖ base64url(id 16 ‖ secret 32) 64 ‖ CRC-32 of all before, as 6 base62 digits`.
enum TokenText {
    static let idByteCount = 16
    static let bodyByteCount = 48
    static let bodyRange = 4..<68
    static let count = 74
    static func kind(of text: UnsafeRawBufferPointer) -> TokenKind? {
        guard text.count >= bodyRange.lowerBound, let kind = kinds[Int(text[2])],
            kind.rawValue.utf8.elementsEqual(text[..<bodyRange.lowerBound])
        else { return nil }
        return kind
    }

    /// By the byte in which prefixes differ.
    private static let kinds: [TokenKind?] = {
        var kinds = [TokenKind?](repeating: nil, count: 256)
        for kind in TokenKind.allCases where kind != .passkey { kinds[Int(Array(kind.rawValue.utf8)[2])] = kind }
        return kinds
    }()

    static func id(in body: UnsafeRawBufferPointer) -> SlotID? {
        SlotID(bytes: UnsafeRawBufferPointer(rebasing: body[..<idByteCount]))
    }

    static func isChecksumRight(_ text: UnsafeRawBufferPointer) -> Bool {
        let checked = UnsafeRawBufferPointer(rebasing: text[..<bodyRange.upperBound])
        return withUnsafeTemporaryAllocation(byteCount: count - bodyRange.upperBound, alignment: 1) { expected in
            writeChecksum(of: checked, to: expected)
            return expected.elementsEqual(text[bodyRange.upperBound...])
        }
    }

    static func write(_ kind: TokenKind, body: UnsafeRawBufferPointer, to out: UnsafeMutableRawBufferPointer) {
        out.copyBytes(from: kind.rawValue.utf8)
        Base64URL.encode(body, into: UnsafeMutableRawBufferPointer(rebasing: out[bodyRange]))
        writeChecksum(
            of: UnsafeRawBufferPointer(rebasing: out[..<bodyRange.upperBound]),
            to: UnsafeMutableRawBufferPointer(rebasing: out[bodyRange.upperBound...]))
    }

    /// Fills `out`, most significant digit first; the digits are 0–9, A–Z, a–z.
    private static func writeChecksum(of text: UnsafeRawBufferPointer, to out: UnsafeMutableRawBufferPointer) {
        var rest = CRC32.checksum(text)
        for index in out.indices.reversed() {
            let digit = UInt8(rest % 62)
            out[index] =
                switch digit {
                case 0..<10: UInt8(ascii: "0") + digit
                case 10..<36: UInt8(ascii: "A") + digit - 10
                default: UInt8(ascii: "a") + digit - 36
                }
            rest /= 62
        }
    }
}
