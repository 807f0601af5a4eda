// Texts of callers, providers and applications that a person will read among ours.

extension String {
    /// Without what is not drawn and could make it read differently from what it is: control characters, direction marks,
    /// letters and marks that leave no trace. A blank of Braille is a blank. What a script needs stays: see `isShown`.
    public var withoutControls: String {
        // Printable ASCII has none of them.
        if utf8.allSatisfy({ $0 >= 0x20 && $0 < 0x7F }) { return self }
        var kept = String.UnicodeScalarView()
        for scalar in unicodeScalars {
            if scalar == "\u{2800}" {
                kept.append(" ")
            } else if scalar.isShown(after: kept.last) {
                kept.append(scalar)
            }
        }
        return String(kept)
    }

    /// There is a letter, a digit or a sign in it: marks and blanks alone could not be seen.
    public var isVisible: Bool {
        var previous: Unicode.Scalar?
        for scalar in unicodeScalars {
            if scalar.isShown(after: previous), scalar.isLetterDigitOrSign { return true }
            previous = scalar
        }
        return false
    }
}

extension Unicode.Scalar {
    /// Drawn, or changing what is drawn beside it.
    fileprivate func isShown(after previous: Unicode.Scalar?) -> Bool {
        switch value {
        // Joiners: Persian, scripts of India and emoji need them.
        case 0x200C, 0x200D: return true
        // Variation selectors, after what has variants: emoji (❤️), Han characters of names (葛󠄀), Mongolian letters.
        case 0xFE0E, 0xFE0F: return previous.map { $0.properties.isEmoji || $0.properties.isIdeographic } ?? false
        case 0xFE00...0xFE0D, 0xE0100...0xE01EF: return previous?.properties.isIdeographic ?? false
        case 0x180B...0x180F: return previous.map { (0x1820...0x18AA).contains($0.value) } ?? false
        // Signs that are drawn as nothing: Braille's blank, the place of an object, a note without a head, hieroglyphs.
        case 0x2800, 0xFFFC, 0x1D159, 0x13441, 0x13442: return false
        default: break
        }
        switch properties.generalCategory {
        case .control, .format, .lineSeparator, .paragraphSeparator: return false
        // Letters that fill a place and the like (Unicode 5.21).
        default: return !properties.isDefaultIgnorableCodePoint
        }
    }

    fileprivate var isLetterDigitOrSign: Bool {
        switch properties.generalCategory {
        case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter, .decimalNumber,
            .letterNumber, .otherNumber, .connectorPunctuation, .dashPunctuation, .openPunctuation, .closePunctuation,
            .initialPunctuation, .finalPunctuation, .otherPunctuation, .mathSymbol, .currencySymbol, .modifierSymbol,
            .otherSymbol, .privateUse:
            true
        default: false
        }
    }
}
