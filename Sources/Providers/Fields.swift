/// Reads the members of one mapping, each once, and refuses what nobody asked for.
public struct Fields {
    public let path: String
    public let place: Place
    private let members: [SourceValue.Member]
    private var known: [String] = []

    public init(_ value: SourceValue, path: String) throws(CatalogueError) {
        switch value {
        case .map(let members, let place):
            self.members = members
            self.place = place
        case .null(let place):
            members = []
            self.place = place
        case .text, .list:
            throw CatalogueError(value.place, field: path, .wrong(expected: "a mapping", found: value.kind))
        }
        self.path = path
    }

    /// The value of a member; `nil` when it is absent or null.
    public mutating func value(_ name: String) -> SourceValue? {
        known.append(name)
        guard let value = members.first(where: { $0.name == name })?.value else { return nil }
        if case .null = value { return nil }
        return value
    }

    public mutating func text(_ name: String) throws(CatalogueError) -> String? {
        guard let value = value(name) else { return nil }
        return try Self.text(value, field: field(name))
    }

    public mutating func text(_ name: String, expected: String) throws(CatalogueError) -> String {
        guard let text = try text(name) else { throw missing(name, expected: expected) }
        return text
    }

    public mutating func integer(
        _ name: String, in range: ClosedRange<Int64> = 0...Int64(Int32.max)
    ) throws(CatalogueError) -> Int64? {
        guard let value = value(name) else { return nil }
        let expected = "a whole number from \(range.lowerBound) to \(range.upperBound)"
        guard case .text(let text, _) = value else { throw wrong(name, value, expected: expected) }
        guard let number = Int64(text), range.contains(number) else { throw wrong(name, value, expected: expected) }
        return number
    }

    /// Absent reads as `otherwise`.
    public mutating func flag(_ name: String, otherwise: Bool = false) throws(CatalogueError) -> Bool {
        guard let value = value(name) else { return otherwise }
        switch value {
        case .text("true", _), .text("yes", _), .text("on", _): return true
        case .text("false", _), .text("no", _), .text("off", _): return false
        default: throw wrong(name, value, expected: "true or false")
        }
    }

    public mutating func choice<Choice: RawRepresentable & CaseIterable>(
        _ name: String, _ type: Choice.Type
    ) throws(CatalogueError) -> Choice? where Choice.RawValue == String {
        guard let value = value(name) else { return nil }
        if case .text(let text, _) = value, let choice = Choice(rawValue: text) { return choice }
        throw wrong(name, value, expected: type.allCases.map(\.rawValue).joined(separator: " or "))
    }

    /// A list of texts; one text stands for a list of one.
    public mutating func texts(_ name: String) throws(CatalogueError) -> [String]? {
        guard let value = value(name) else { return nil }
        switch value {
        case .text(let text, _): return [text]
        case .list(let values, _):
            var texts: [String] = []
            for (index, element) in values.enumerated() {
                texts.append(try Self.text(element, field: "\(field(name))[\(index)]"))
            }
            return texts
        case .null, .map: throw wrong(name, value, expected: "a list of texts")
        }
    }

    public mutating func integers(_ name: String) throws(CatalogueError) -> [Int]? {
        guard let value = value(name) else { return nil }
        guard case .list(let values, _) = value else { throw wrong(name, value, expected: "a list of numbers") }
        var numbers: [Int] = []
        for element in values {
            guard case .text(let text, _) = element, let number = Int(text) else {
                throw wrong(name, element, expected: "a list of numbers")
            }
            numbers.append(number)
        }
        return numbers
    }

    public mutating func list(_ name: String) throws(CatalogueError) -> [SourceValue]? {
        guard let value = value(name) else { return nil }
        guard case .list(let values, _) = value else { throw wrong(name, value, expected: "a list") }
        return values
    }

    /// The members of a mapping in their order.
    public mutating func members(_ name: String) throws(CatalogueError) -> [SourceValue.Member] {
        guard let value = value(name) else { return [] }
        guard case .map(let members, _) = value else { throw wrong(name, value, expected: "a mapping") }
        return members
    }

    /// A mapping of texts in its order; members set to null are left out.
    public mutating func textMap(_ name: String) throws(CatalogueError) -> [(name: String, value: String)] {
        var pairs: [(name: String, value: String)] = []
        for member in try members(name) {
            if case .null = member.value { continue }
            pairs.append((member.name, try Self.text(member.value, field: "\(field(name)).\(member.name)")))
        }
        return pairs
    }

    public mutating func fields(_ name: String) throws(CatalogueError) -> Fields? {
        guard let value = value(name) else { return nil }
        return try Fields(value, path: field(name))
    }

    /// The texts among the members that nobody has asked for yet.
    mutating func remainingTexts() throws(CatalogueError) -> [(name: String, value: String)] {
        var texts: [(name: String, value: String)] = []
        for member in members where !known.contains(member.name) {
            texts.append((member.name, try Self.text(member.value, field: field(member.name))))
            known.append(member.name)
        }
        return texts
    }

    /// A mapping that may be left out: then it has no members.
    public mutating func block(_ name: String) throws(CatalogueError) -> Fields {
        try Fields(value(name) ?? .null(place), path: field(name))
    }

    /// Facts for people and doubles: permitted, and nothing here depends on them.
    public mutating func permit(_ names: String...) {
        known += names
    }

    /// Refuses members that were not asked for.
    public func finish() throws(CatalogueError) {
        for member in members where !known.contains(member.name) {
            throw CatalogueError(member.place, field: field(member.name), .unknownField(known: known.sorted()))
        }
    }

    public func missing(_ name: String, expected: String) -> CatalogueError {
        CatalogueError(place, field: field(name), .missing(expected: expected))
    }

    /// An error about a member, at its place.
    public func wrong(_ name: String, expected: String, found: String) -> CatalogueError {
        let value = members.first { $0.name == name }
        return CatalogueError(
            value?.value.place ?? place, field: field(name), .wrong(expected: expected, found: found))
    }

    public func field(_ name: String) -> String { path.isEmpty ? name : "\(path).\(name)" }

    private func wrong(_ name: String, _ value: SourceValue, expected: String) -> CatalogueError {
        CatalogueError(value.place, field: field(name), .wrong(expected: expected, found: value.found))
    }

    private static func text(_ value: SourceValue, field: String) throws(CatalogueError) -> String {
        guard case .text(let text, _) = value else {
            throw CatalogueError(value.place, field: field, .wrong(expected: "a text", found: value.kind))
        }
        return text
    }
}

extension SourceValue {
    /// Short texts are shown; only fields without secrets are read by the functions that say this.
    fileprivate var found: String {
        if case .text(let text, _) = self, text.utf8.count <= 40 { return "'\(text)'" }
        return kind
    }
}
