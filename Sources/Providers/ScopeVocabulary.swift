import OAuth

/// How much a scope lets its holder do.
public enum Risk: String, Hashable, Sendable, CaseIterable {
    case read, write
    /// Can change who has access, security settings, or destroy what is other people's.
    case admin
    /// Not in the catalogue: shown raw and treated as `admin`.
    case unknown
}

/// The words for a provider's scopes, and how they relate.
public struct ScopeVocabulary: Sendable {
    public struct Entry: Sendable {
        /// One line for the person who consents.
        public let text: String
        public let risk: Risk
        /// A token with this scope passes every check for these.
        public let implies: [String]
        /// The provider honours this scope only together with these.
        public let requires: [String]
        /// A request to the provider, not a permission: never compared with what was granted.
        public let isPseudo: Bool
        /// Whoever asks for it can do without: the person may leave it out.
        public let isOptional: Bool
        /// Kinds of token that can carry it (Slack).
        public let tokens: [String]
        /// How much review the provider demands of apps that ask for it (Google).
        public let review: Review?
        public let basis: Basis
    }

    public enum Review: String, Hashable, Sendable, CaseIterable {
        case nonSensitive = "non-sensitive"
        case sensitive, restricted
    }

    public let entries: [String: Entry]
    /// Put before a name that has no `://` and is not in `bare` (Google).
    public let prefix: String?
    public let bare: Set<String>
    /// What the provider answers → what was asked.
    public let aliases: [String: String]
    /// In every grant, asked for or not.
    public let alwaysPresent: ScopeSet
    /// Never compared: echoed unasked, or asked and not echoed.
    public let ignored: Set<String>
    /// Each known scope with all it implies, transitively.
    private let closure: [String: Set<String>]

    init(names: inout Fields, scopes: [SourceValue.Member], path: String) throws(CatalogueError) {
        prefix = try names.text("prefix")
        bare = Set(try names.texts("bare") ?? [])
        aliases = Dictionary(uniqueKeysWithValues: try names.textMap("aliases").map { ($0.name, $0.value) })
        alwaysPresent = ScopeSet(try names.texts("always_present") ?? [])
        let listed = try names.texts("ignored") ?? []
        try names.finish()
        var entries: [String: Entry] = [:]
        for member in scopes {
            guard Scope.isToken(member.name) else {
                throw CatalogueError(
                    member.place, field: path, .wrong(expected: "an RFC 6749 scope token", found: "'\(member.name)'"))
            }
            entries[member.name] = try Self.entry(member, path: path)
        }
        try Self.checkReferences(scopes, entries, path: path)
        self.entries = entries
        ignored = Set(listed).union(entries.filter(\.value.isPseudo).keys)
        closure = Self.closure(of: entries)
    }

    private static func entry(_ member: SourceValue.Member, path: String) throws(CatalogueError) -> Entry {
        var fields = try Fields(member.value, path: "\(path).\(member.name)")
        let entry = Entry(
            text: try fields.text("text", expected: "a line for the person who consents"),
            risk: try fields.choice("risk", Risk.self) ?? .unknown,
            implies: try fields.texts("implies") ?? [], requires: try fields.texts("requires") ?? [],
            isPseudo: try fields.flag("pseudo"), isOptional: try fields.flag("optional"),
            tokens: try fields.texts("tokens") ?? [],
            review: try fields.choice("review", Review.self),
            basis: try fields.choice("basis", Basis.self) ?? .documentation)
        try fields.finish()
        return entry
    }

    private static func checkReferences(
        _ scopes: [SourceValue.Member], _ entries: [String: Entry], path: String
    ) throws(CatalogueError) {
        for member in scopes {
            guard let entry = entries[member.name] else { continue }
            for name in entry.implies + entry.requires where entries[name] == nil {
                throw CatalogueError(
                    member.place, field: "\(path).\(member.name)",
                    .wrong(expected: "implies and requires to name scopes listed here", found: "'\(name)'"))
            }
        }
    }

    private static func closure(of entries: [String: Entry]) -> [String: Set<String>] {
        var closure: [String: Set<String>] = [:]
        for name in entries.keys {
            var reached: Set<String> = [name]
            var open = [name]
            while let next = open.popLast() {
                for implied in entries[next]?.implies ?? [] where reached.insert(implied).inserted {
                    open.append(implied)
                }
            }
            closure[name] = reached
        }
        return closure
    }

    /// The provider's own name of a scope: short names completed, answered aliases undone.
    public func canonical(_ name: String) -> String {
        var full = name
        if let prefix, !bare.contains(name), !name.contains("://") { full = prefix + name }
        return aliases[full] ?? full
    }

    public func canonical(_ scopes: ScopeSet) -> ScopeSet {
        prefix == nil && aliases.isEmpty ? scopes : ScopeSet(scopes.names.map { canonical($0) })
    }

    /// Everything that a token with these scopes satisfies.
    public func covered(by granted: ScopeSet) -> Set<String> {
        var covered: Set<String> = Set(alwaysPresent.names)
        for name in granted.names.map({ canonical($0) }) { covered.formUnion(closure[name] ?? [name]) }
        for name in alwaysPresent.names { covered.formUnion(closure[name] ?? []) }
        return covered
    }

    /// The asked scopes, as they were written, that `granted` does not cover.
    public func missing(from granted: ScopeSet, for asked: ScopeSet) -> ScopeSet {
        // A name covers itself: mostly that is all there is to find out.
        if asked.isSubset(of: granted) { return .empty }
        let covered = covered(by: granted)
        return ScopeSet(
            asked.names.filter { name in
                let full = canonical(name)
                return !covered.contains(full) && !ignored.contains(full)
            })
    }
}
