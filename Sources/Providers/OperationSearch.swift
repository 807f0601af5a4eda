import OAuth

/// An operation with the provider it belongs to.
public struct FoundOperation: Sendable {
    public let provider: Provider
    public let operation: Operation

    public var id: String { provider.operationID(operation) }
}

extension Catalogue {
    /// Operations that fit the words, best first. A word fits a name better than a description; a word that fits nothing
    /// counts for nothing. Only providers that are set up here.
    public func operations(for query: String, provider: ProviderID? = nil, limit: Int = 20) -> [FoundOperation] {
        let words = Self.words(query)
        var found: [(operation: FoundOperation, score: Int)] = []
        for entry in providers.values where entry.isConfigured && (provider == nil || entry.id == provider) {
            let home = Set(Self.words("\(entry.id.bridge) \(entry.name)"))
            for operation in entry.operations {
                let score = Self.score(words, operation, home: home)
                if score > 0 { found.append((FoundOperation(provider: entry, operation: operation), score)) }
            }
        }
        found.sort { $0.score == $1.score ? $0.operation.id < $1.operation.id : $0.score > $1.score }
        return found.prefix(limit).map(\.operation)
    }

    /// `github:issues.list`.
    public func operation(named id: String) -> FoundOperation? {
        guard let colon = id.lastIndex(of: ":"), let provider = try? ProviderID(parsing: String(id[..<colon])),
            let entry = self[provider], entry.isConfigured,
            let operation = entry.operations.first(where: { $0.name == id[id.index(after: colon)...] })
        else { return nil }
        return FoundOperation(provider: entry, operation: operation)
    }

    private static func score(_ words: [String], _ operation: Operation, home: Set<String>) -> Int {
        // Without words everything fits equally: a list of what there is.
        guard !words.isEmpty else { return 1 }
        let name = Self.words(operation.name)
        let described = Set(Self.words(operation.text))
        let path = Set(Self.words(operation.path.text))
        var score = 0
        var hits = 0
        for word in words {
            var best = 0
            if name.contains(word) { best = 8 }
            if described.contains(word) { best = max(best, 5) }
            if path.contains(word) { best = max(best, 3) }
            if best == 0, word.count > 3, (name + described).contains(where: { $0.hasPrefix(word) }) { best = 2 }
            // A provider that is named decides between what is found.
            if home.contains(word) { score += 6 } else if best > 0 { hits += 1 }
            score += best
        }
        guard hits > 0 || words.allSatisfy(home.contains) else { return 0 }
        // Of two that fit equally, the one that says less besides.
        return score * 16 + 15 - min(15, name.filter { !words.contains($0) }.count)
    }

    /// Lower case, split at everything else than letters and digits and at humps, plural and singular alike.
    static func words(_ text: String) -> [String] {
        var words: [String] = []
        var word = ""
        var wasLower = false
        for character in text {
            let isWord = character.isLetter || character.isNumber
            if !isWord || (character.isUppercase && wasLower) {
                if !word.isEmpty { words.append(word) }
                word = ""
            }
            if isWord { word += character.lowercased() }
            wasLower = isWord && !character.isUppercase
        }
        if !word.isEmpty { words.append(word) }
        return words.map { $0.count > 3 && $0.hasSuffix("s") && !$0.hasSuffix("ss") ? String($0.dropLast()) : $0 }
    }
}
