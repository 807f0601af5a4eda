/// Counts marks that follow each other (UAX #15 §13).
///
/// Swift compares and hashes texts in their canonical form, for which it sorts the marks of a character in quadratic time:
/// thirty thousand of them fit into one small request, and each comparison would take a second. No writing has more than a
/// handful, so who reads texts of strangers refuses more than this many.
struct Marks {
    /// Of a text in stream-safe format.
    static let most = 30

    private var count = 0

    /// False when there are too many.
    mutating func admit(_ scalar: Unicode.Scalar) -> Bool {
        let isMark = scalar.value >= 0x300 && scalar.properties.canonicalCombiningClass != .notReordered
        count = isMark ? count + 1 : 0
        return count <= Self.most
    }

    static func areFew(in text: String) -> Bool {
        if text.utf8.allSatisfy({ $0 < 0x80 }) { return true }
        var marks = Marks()
        return text.unicodeScalars.allSatisfy { marks.admit($0) }
    }
}
