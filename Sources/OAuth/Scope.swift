/// A set of RFC 6749 section 3.3 scope tokens: unique, sorted, so that equal sets are equal bytes.
public struct ScopeSet: Hashable, Sendable {
    /// Sorted by Unicode scalar value, without duplicates.
    public let names: [String]

    /// At most this many names in one set; Google's largest merged grants stay far below.
    public static let maximumCount = 200

    public static let empty = ScopeSet(sorted: [])

    private init(sorted names: [String]) {
        self.names = names
    }

    /// The scope tokens among `names`; what is not an RFC 6749 scope token is left out.
    public init(_ names: some Sequence<String>) {
        let tokens = names.filter { Scope.isToken($0) }
        // What was a set before it was written down is one already; vending reads nothing else.
        let isSorted = zip(tokens, tokens.dropFirst()).allSatisfy { $0 < $1 }
        self.names = isSorted ? tokens : Set(tokens).sorted()
    }

    /// Reads one name per element, as in our JSON members; no name is split.
    public init(tokens: [String]) throws(ScopeError) {
        guard tokens.count <= Self.maximumCount else { throw .tooMany(tokens.count) }
        for name in tokens where !Scope.isToken(name) { throw .notAToken(name) }
        self.init(tokens)
    }

    /// Reads names separated by spaces or commas: providers answer with either, whatever they were asked with.
    public init(parsing text: String) throws(ScopeError) {
        try self.init(tokens: text.split { $0 == " " || $0 == "," }.map(String.init))
    }

    public var isEmpty: Bool { names.isEmpty }
    public var count: Int { names.count }

    /// Joined with single spaces (RFC 6749 section 3.3).
    public var text: String { names.joined(separator: " ") }

    public func contains(_ name: String) -> Bool { names.contains(name) }

    public func isSubset(of other: ScopeSet) -> Bool { names.allSatisfy { other.contains($0) } }

    public func union(_ other: ScopeSet) -> ScopeSet {
        ScopeSet(sorted: Set(names).union(other.names).sorted())
    }

    public func subtracting(_ other: ScopeSet) -> ScopeSet {
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
