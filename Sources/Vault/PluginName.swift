import Encoding
import Foundation

/// What a person takes a plugin's name for: two names with the same folded form could be mistaken for each other.
public enum PluginName {
    /// Visible, at most 80 characters, nothing in it that is not shown or turns the text around, and something that
    /// can be told apart from other names.
    public static func isFit(_ name: String) -> Bool {
        guard (1...80).contains(name.count), name.utf8.count <= 640, !folded(name).isEmpty else { return false }
        return name.withoutControls == name
            && name.unicodeScalars.allSatisfy { scalar in
                switch scalar.properties.generalCategory {
                case .surrogate, .privateUse, .unassigned: false
                default: true
                }
            }
    }

    /// What a person's own plugin can be called instead when the operator's has its name.
    static func own(_ name: String) -> [String] {
        (1...200).map { number in
            let end = number == 1 ? " (yours)" : " (yours \(number))"
            var kept = Substring(name.prefix(80 - end.count))
            while kept.utf8.count + end.utf8.count > 640 { kept.removeLast() }
            return kept + end
        }
    }

    /// Letters and digits alone: compatibility forms, case and accents fall away, what looks alike becomes one, and blanks,
    /// brackets, badges and other decoration say nothing about who it is.
    public static func folded(_ name: String) -> String {
        // A trade mark's letters are no part of the name.
        shape(of: name.unicodeScalars.filter { !tradeMarks.contains($0) })
    }

    /// All that it can be read as, the folded form among them. A bar is a letter to one reader and a frame to another, and
    /// so is a letter in a circle.
    static func readings(of name: String) -> Set<String> {
        [folded(name), shape(of: name.unicodeScalars.filter { !$0.isSign })]
    }

    private static func shape(of name: String.UnicodeScalarView) -> String {
        // Before case falls away as well as after it: a capital eta looks like H, a small one like n.
        let shapes = letters(of: String(name).precomposedStringWithCompatibilityMapping)
        return letters(of: shapes.lowercased().precomposedStringWithCompatibilityMapping)
            .replacingOccurrences(of: "rn", with: "m").replacingOccurrences(of: "vv", with: "w")
    }

    private static func letters(of text: String) -> String {
        let found = text.decomposedStringWithCanonicalMapping.unicodeScalars.compactMap(letter)
        var kept = String.UnicodeScalarView()
        for (index, scalar) in found.enumerated() {
            // Beside Latin letters it is a stroke, a colon, a quote; in its own script it is a part of the word.
            if isStroke(scalar),
                let beside = kept.last ?? found[index...].first(where: { !isStroke($0) }), beside.isASCII
            {
                continue
            }
            kept.append(scalar)
        }
        return String(kept)
    }

    /// The letter or digit that it passes for; nil: it is neither.
    private static func letter(_ scalar: Unicode.Scalar) -> Unicode.Scalar? {
        let plain = boxed(scalar) ?? scalar
        if let alike = ascii[plain] ?? LookAlikes.latin[plain] { return alike }
        guard !plain.properties.isDefaultIgnorableCodePoint else { return nil }
        switch plain.properties.generalCategory {
        case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter, .spacingMark,
            .decimalNumber, .letterNumber:
            return plain
        case .otherNumber:
            // ❶ and the like.
            guard plain.properties.numericType == .digit, let value = plain.properties.numericValue else {
                return plain
            }
            let digit = Unicode.Scalar(UInt8(ascii: "0") + UInt8(value))
            return ascii[digit] ?? digit
        default: return nil
        }
    }

    /// White letters on black, and those that flags are made of: compatibility forms of nothing.
    private static func boxed(_ scalar: Unicode.Scalar) -> Unicode.Scalar? {
        for start: UInt32 in [0x1F150, 0x1F170, 0x1F1E6] where (start..<start + 26).contains(scalar.value) {
            return Unicode.Scalar(UInt32(UInt8(ascii: "a")) + scalar.value - start)
        }
        return nil
    }

    private static func isStroke(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.properties.generalCategory {
        case .modifierLetter, .spacingMark: true
        default: strokes.contains(scalar)
        }
    }

    /// Clicks, a glottal stop, the vowel and the numbers that are one line.
    private static let strokes: Set<Unicode.Scalar> = [
        "\u{1C3}", "\u{294}", "\u{1173}", "\u{1175}", "\u{4E00}", "\u{4E28}",
    ]

    private static let tradeMarks: Set<Unicode.Scalar> = [
        "\u{2120}", "\u{2122}", "\u{1F16A}", "\u{1F16B}", "\u{1F16C}",
    ]

    private static let ascii: [Unicode.Scalar: Unicode.Scalar] = [
        "i": "l", "I": "l", "1": "l", "|": "l", "0": "o", "5": "s", "\u{131}": "l",
    ]
}

extension Unicode.Scalar {
    /// Neither a letter nor a digit nor a mark on one, or a small raised letter.
    fileprivate var isSign: Bool {
        switch properties.generalCategory {
        case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .otherLetter, .decimalNumber, .letterNumber,
            .otherNumber, .nonspacingMark, .spacingMark:
            false
        default: true
        }
    }
}
