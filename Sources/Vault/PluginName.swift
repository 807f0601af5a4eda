import Foundation

/// What a person takes a plugin's name for: two names with the same folded form could be mistaken for each other.
public enum PluginName {
    /// Visible, at most 80 characters, nothing in it that is not shown or turns the text around, and something that
    /// can be told apart from other names.
    public static func isFit(_ name: String) -> Bool {
        guard (1...80).contains(name.count), name.utf8.count <= 640, !folded(name).isEmpty else { return false }
        return name.unicodeScalars.allSatisfy { scalar in
            switch scalar.properties.generalCategory {
            case .control, .lineSeparator, .paragraphSeparator, .surrogate, .privateUse, .unassigned: false
            // Joiners stay: Persian and emoji need them.
            case .format: scalar.value == 0x200C || scalar.value == 0x200D
            default: true
            }
        }
    }

    /// Compatibility forms, case, accents, spaces and punctuation fall away, and what looks alike becomes one.
    static func folded(_ name: String) -> String {
        // Before case falls away as well as after it: a capital eta looks like H, a small one like n.
        let shapes = letters(of: name.precomposedStringWithCompatibilityMapping)
        return letters(of: shapes.lowercased().precomposedStringWithCompatibilityMapping)
            .replacingOccurrences(of: "rn", with: "m").replacingOccurrences(of: "vv", with: "w")
    }

    private static func letters(of text: String) -> String {
        var scalars = String.UnicodeScalarView()
        for scalar in text.decomposedStringWithCanonicalMapping.unicodeScalars {
            switch scalar.properties.generalCategory {
            case .nonspacingMark, .enclosingMark, .format, .control: continue
            case .spaceSeparator, .dashPunctuation, .connectorPunctuation, .otherPunctuation: continue
            default: scalars.append(ascii[scalar] ?? LookAlikes.latin[scalar] ?? scalar)
            }
        }
        return String(scalars)
    }

    private static let ascii: [Unicode.Scalar: Unicode.Scalar] = [
        "i": "l", "I": "l", "1": "l", "|": "l", "0": "o", "5": "s", "\u{131}": "l",
    ]
}
