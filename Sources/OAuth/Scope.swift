/// A set of RFC 6749 section 3.3 scope tokens: unique, sorted, so that equal sets are equal bytes.
///
/// It is kept as it is stored and sent, one text: a vend compares sets and passes them on, and seldom asks for names.
public struct ScopeSet: Hashable, Sendable {
    /// Joined with single spaces (RFC 6749 section 3.3), sorted by Unicode scalar value, without duplicates.
    public let text: String

    /// In the order of `text`.
    public var names: [String] { text.utf8.split(separator: 0x20).map { String(Substring($0)) } }

    /// At most this many names in one set; Google's largest merged grants stay far below.
    public static let maximumCount = 200

    public static let empty = ScopeSet(sorted: [])

    private init(sorted names: [String]) {
        text = names.count == 1 ? names[0] : names.joined(separator: " ")
    }

    /// A set's own `text`, read back from where it was kept.
    public init(stored text: String) {
        self.text = text
    }

    /// The scope tokens among `names`; what is not an RFC 6749 scope token is left out.
    public init(_ names: some Sequence<String>) {
        let tokens = names.filter { Scope.isToken($0) }
        // What was a set before it was written down is one already; vending reads nothing else.
        let isSorted = zip(tokens, tokens.dropFirst()).allSatisfy { $0 < $1 }
        self.init(sorted: isSorted ? tokens : Set(tokens).sorted())
    }

    /// Reads one name per element, as in our JSON members; no name is split.
    public init(tokens: [String]) throws(ScopeError) {
        guard tokens.count <= Self.maximumCount else { throw .tooMany(tokens.count) }
        for name in tokens where !Scope.isToken(name) { throw .notAToken(name) }
        guard tokens.count > 1 else {
            self.init(stored: tokens.first ?? "")
            return
        }
        self.init(tokens)
    }

    /// Reads names separated by spaces or commas: providers answer with either, whatever they were asked with.
    public init(parsing text: String) throws(ScopeError) {
        try self.init(tokens: text.split { $0 == " " || $0 == "," }.map(String.init))
    }

    public var isEmpty: Bool { text.isEmpty }
    public var count: Int { isEmpty ? 0 : text.utf8.count { $0 == 0x20 } + 1 }

    public func contains(_ name: String) -> Bool { Scope.isToken(name) && ScopeSet(stored: name).isSubset(of: self) }

    public func isSubset(of other: ScopeSet) -> Bool {
        if text == other.text { return true }
        var (mine, theirs) = (text, other.text)
        return mine.withUTF8 { mine in theirs.withUTF8 { Self.isSubset(mine, of: $0) } }
    }

    /// Both are sorted, so one walk along both finds out.
    private static func isSubset(_ mine: UnsafeBufferPointer<UInt8>, of theirs: UnsafeBufferPointer<UInt8>) -> Bool {
        var (start, other) = (0, 0)
        while start < mine.count {
            let end = endOfName(mine, from: start)
            while true {
                guard other < theirs.count else { return false }
                let otherEnd = endOfName(theirs, from: other)
                let isFound = mine[start..<end].elementsEqual(theirs[other..<otherEnd])
                other = otherEnd + 1
                if isFound { break }
            }
            start = end + 1
        }
        return true
    }

    private static func endOfName(_ text: UnsafeBufferPointer<UInt8>, from start: Int) -> Int {
        var end = start
        while end < text.count, text[end] != 0x20 { end += 1 }
        return end
    }

    public func union(_ other: ScopeSet) -> ScopeSet {
        ScopeSet(sorted: Set(names).union(other.names).sorted())
    }

    public func subtracting(_ other: ScopeSet) -> ScopeSet {
        if isEmpty || other.isEmpty { return self }
        let dropped = Set(other.names)
        return ScopeSet(sorted: names.filter { !dropped.contains($0) })
    }

    public func intersection(_ other: ScopeSet) -> ScopeSet {
        let kept = Set(other.names)
        return ScopeSet(sorted: names.filter { kept.contains($0) })
    }
}

extension ScopeSet: CustomStringConvertible {
    public var description: String { text }
}

public enum Scope {
    /// Longest scope token read; Google's longest are about 70 bytes.
    public static let maximumLength = 256

    /// RFC 6749 section 3.3: `1*( %x21 / %x23-5B / %x5D-7E )`.
    public static func isToken(_ name: String) -> Bool {
        let bytes = name.utf8
        guard !bytes.isEmpty, bytes.count <= maximumLength else { return false }
        return bytes.allSatisfy { $0 > 0x20 && $0 < 0x7F && $0 != UInt8(ascii: "\"") && $0 != UInt8(ascii: "\\") }
    }
}

public enum ScopeError: Error, Hashable, Sendable {
    case notAToken(String)
    case tooMany(Int)
}
