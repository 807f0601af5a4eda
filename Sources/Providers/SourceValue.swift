/// A value of a configuration file that remembers where it was written. Scalars stay text: whether `off` is a word
/// or a boolean is decided by the field that reads it, not by YAML's rules.
public indirect enum SourceValue: Hashable, Sendable {
    public struct Member: Hashable, Sendable {
        public let name: String
        public let place: Place
        public let value: SourceValue
    }

    case null(Place)
    case text(String, Place)
    case list([SourceValue], Place)
    case map([Member], Place)

    public var place: Place {
        switch self {
        case .null(let place), .text(_, let place), .list(_, let place), .map(_, let place): place
        }
    }

    /// What is said about it in an error. Never the text itself, which may be a secret.
    var kind: String {
        switch self {
        case .null: "nothing"
        case .text: "a text"
        case .list: "a list"
        case .map: "a mapping"
        }
    }

    public subscript(_ name: String) -> SourceValue? {
        guard case .map(let members, _) = self else { return nil }
        return members.first { $0.name == name }?.value
    }

    /// This value with `other` laid over it: mappings member by member, all else replaced. An explicit null stays, and
    /// reads as absent, so that a layer can take away.
    func overlaid(by other: SourceValue) -> SourceValue {
        guard case .map(let base, _) = self, case .map(let top, let place) = other else { return other }
        var members = base
        for member in top {
            if let index = members.firstIndex(where: { $0.name == member.name }) {
                let value = members[index].value.overlaid(by: member.value)
                members[index] = Member(name: member.name, place: member.place, value: value)
            } else {
                members.append(member)
            }
        }
        return .map(members, place)
    }

    /// Without the members of these names.
    func without(_ names: String...) -> SourceValue {
        guard case .map(let members, let place) = self else { return self }
        return .map(members.filter { !names.contains($0.name) }, place)
    }

    /// With a member set, at the place of this value.
    func setting(_ name: String, _ value: SourceValue) -> SourceValue {
        guard case .map(let members, let place) = self else { return self }
        return .map(members.filter { $0.name != name } + [Member(name: name, place: place, value: value)], place)
    }
}
