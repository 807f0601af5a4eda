import Foundation

/// What a person takes a plugin's name for: two names with the same folded form could be mistaken for each other.
enum PluginName {
    /// Compatibility forms, case, accents, spaces and punctuation fall away, and letters that look alike become one.
    static func folded(_ name: String) -> String {
        let plain = name.precomposedStringWithCompatibilityMapping.lowercased().decomposedStringWithCanonicalMapping
        let letters = plain.unicodeScalars.compactMap { scalar -> Character? in
            switch scalar.properties.generalCategory {
            case .nonspacingMark, .enclosingMark, .format, .control: return nil
            case .spaceSeparator, .dashPunctuation, .connectorPunctuation, .otherPunctuation: return nil
            default: return lookAlikes[Character(scalar)] ?? Character(scalar)
            }
        }
        return String(letters).replacingOccurrences(of: "rn", with: "m").replacingOccurrences(of: "vv", with: "w")
    }

    /// The Cyrillic, Greek and Latin letters and digits whose usual shapes are those of Latin letters (from the shapes
    /// of common fonts; UTS #39 has the long list), each under the letter it passes for.
    private static let lookAlikes: [Character: Character] = {
        let groups: [(Character, String)] = [
            ("a", "аα"), ("b", "вβ"), ("c", "сϲ"), ("d", "ԁ"), ("e", "еε"), ("g", "ɡ"), ("h", "һн"), ("j", "ј"),
            ("k", "кκ"),
            ("l", "i1|ıіιӏ"), ("m", "м"), ("n", "пη"), ("o", "0оοσ"), ("p", "рρ"), ("q", "ԛ"), ("s", "ѕ"), ("t", "тτ"),
            ("u", "υ"), ("v", "ѵν"), ("w", "ԝшω"), ("x", "хχ"), ("y", "уγ"),
        ]
        return Dictionary(groups.flatMap { latin, others in others.map { ($0, latin) } }) { first, _ in first }
    }()
}
