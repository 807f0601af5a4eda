import Encoding

/// Writes RFC 4180 records for programs and for spreadsheets. A spreadsheet takes a field that begins like a formula for
/// one, whoever wrote it; an apostrophe in front makes it text.
struct CSVWriter {
    private(set) var bytes: [UInt8] = []

    mutating func record(_ fields: some Sequence<String?>) {
        var isFirst = true
        for field in fields {
            if !isFirst { bytes.append(UInt8(ascii: ",")) }
            isFirst = false
            bytes.append(UInt8(ascii: "\""))
            let text = field ?? ""
            if Self.couldBeFormula(text) { bytes.append(UInt8(ascii: "'")) }
            for byte in text.utf8 {
                if byte == UInt8(ascii: "\"") { bytes.append(byte) }
                bytes.append(byte)
            }
            bytes.append(UInt8(ascii: "\""))
        }
        bytes.append(contentsOf: "\r\n".utf8)
    }

    /// What begins with `=`, `+`, `-`, `@`, their full-width forms, a tab or a line break, blanks before it or not.
    static func couldBeFormula(_ text: String) -> Bool {
        for scalar in text.unicodeScalars {
            switch scalar {
            case "=", "+", "-", "@", "\u{FF1D}", "\u{FF0B}", "\u{FF0D}", "\u{FF20}", "\t", "\r", "\n": return true
            default:
                guard scalar.properties.isWhitespace || scalar.value < 0x20 else { return false }
            }
        }
        return false
    }
}
