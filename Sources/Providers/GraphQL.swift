import Encoding

/// What one GraphQL document asks for, as far as scopes depend on it.
public struct GraphQLCall: Hashable, Sendable {
    public enum Kind: String, Hashable, Sendable {
        case query, mutation
    }

    public let kind: Kind
    /// The one root field; `nil`: several, or one that is not known.
    public let field: String?

    /// `query`, or `mutation issueCreate`, as in the catalogue.
    init?(parsing text: String) {
        let words = text.split(separator: " ").map(String.init)
        guard (1...2).contains(words.count), let kind = Kind(rawValue: words[0]) else { return nil }
        self.kind = kind
        field = words.count == 2 ? words[1] : nil
    }

    /// The document in a request's body; `nil` where there is none that we read. Of several operations in one document
    /// any may be run, so a mutation among them makes it one.
    public init?(body: [UInt8]) {
        var document: String?
        do {
            try JSONReader.object(body) { (name, value) throws(JSONError) in
                if name == "query", try value.kind == .string { document = try value.string() }
            }
        } catch { return nil }
        guard let document else { return nil }
        self.init(document: document)
    }

    init?(document: String) {
        var kinds: Set<Kind> = []
        var fields: [String?] = []
        var depth = 0
        var parentheses = 0
        // The word that the definition began with; one that begins with its selection is a query.
        var keyword: String?
        var previous = ""
        for token in Self.tokens(document) {
            defer { previous = token }
            if token == "(" || token == ")" {
                parentheses += token == "(" ? 1 : -1
                continue
            }
            guard parentheses == 0 else { continue }
            if token == "{" {
                if depth == 0, keyword != "fragment" {
                    guard let kind = Kind(rawValue: keyword ?? "query") else { return nil }
                    kinds.insert(kind)
                }
                depth += 1
            } else if token == "}" {
                depth -= 1
                if depth == 0 { keyword = nil }
            } else if depth == 0 {
                keyword = keyword ?? token
            } else if depth == 1, keyword != "fragment" {
                // An alias stands before its field; a spread may hold any.
                if previous == ":" { _ = fields.popLast() }
                if token == "..." {
                    fields.append(nil)
                } else if Self.isName(token), previous != "@", previous != "..." {
                    fields.append(token)
                }
            }
        }
        guard !kinds.isEmpty, depth == 0, parentheses == 0 else { return nil }
        kind = kinds.contains(.mutation) ? .mutation : .query
        field = kinds.count == 1 && fields.count == 1 ? fields[0] : nil
    }

    /// Names and punctuation; strings and comments are left out. By code points, as GraphQL has it (October 2021, §2.1):
    /// a mark behind a quote would make another character of it, and what follows would be read as if it were quoted.
    private static func tokens(_ text: String) -> [String] {
        var tokens: [String] = []
        var rest = text.unicodeScalars[...]
        while let first = rest.first {
            if first == "#" {
                rest = rest.drop { $0 != "\n" && $0 != "\r" }
            } else if rest.starts(with: quotes) {
                rest = rest.dropFirst(3)
                while !rest.isEmpty, !rest.starts(with: quotes) {
                    rest = rest.dropFirst(rest.starts(with: escapedQuotes) ? 4 : 1)
                }
                rest = rest.dropFirst(3)
            } else if first == "\"" {
                rest = rest.dropFirst()
                while let next = rest.first, next != "\"" { rest = rest.dropFirst(next == "\\" ? 2 : 1) }
                rest = rest.dropFirst()
            } else if beginsName(first) {
                let name = rest.prefix { beginsName($0) || ("0"..."9").contains($0) }
                tokens.append(String(Substring(name)))
                rest = rest.dropFirst(name.count)
            } else if rest.starts(with: "...".unicodeScalars) {
                tokens.append("...")
                rest = rest.dropFirst(3)
            } else {
                if !first.properties.isWhitespace, first != "," { tokens.append(String(first)) }
                rest = rest.dropFirst()
            }
        }
        return tokens
    }

    private static let quotes = "\"\"\"".unicodeScalars
    private static let escapedQuotes = "\\\"\"\"".unicodeScalars

    private static func isName(_ token: String) -> Bool { token.unicodeScalars.first.map(beginsName) ?? false }

    private static func beginsName(_ scalar: Unicode.Scalar) -> Bool {
        ("a"..."z").contains(scalar) || ("A"..."Z").contains(scalar) || scalar == "_"
    }
}
