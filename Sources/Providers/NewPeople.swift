/// Whom the operator lets become a person here by signing in from elsewhere. Nobody unless they say so.
public enum NewPeople: Hashable, Sendable {
    case nobody, anyone
    case listed(Set<String>)

    /// `new_people`: `nobody`, `anyone`, or a list of the names by which the other side knows them.
    public init(reading fields: inout Fields) throws(CatalogueError) {
        let expected = "nobody, anyone, or a list of texts"
        switch fields.value("new_people") {
        case nil, .text("nobody", _): self = .nobody
        case .text("anyone", _): self = .anyone
        case .list: self = .listed(Set(try fields.texts("new_people") ?? []))
        default: throw fields.wrong("new_people", expected: expected, found: "something else")
        }
    }

    public func admit(_ name: String) -> Bool {
        switch self {
        case .nobody: false
        case .anyone: true
        case .listed(let names): names.contains(name)
        }
    }

    /// As it stands in a file.
    public var text: String {
        switch self {
        case .nobody: "nobody"
        case .anyone: "anyone"
        case .listed(let names):
            "["
                + names.sorted().map {
                    "'\($0.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "''"))'"
                }.joined(separator: ", ") + "]"
        }
    }
}
