/// The entries that come with the program, still in layers.
struct BuiltIn {
    let names: [String]
    private let defaults: SourceValue
    private let entries: [String: SourceValue]

    static let catalogFile = "catalog.yaml"
    static let scopesFile = "scopes.yaml"
    static let operationsFile = "operations.yaml"

    static func load() throws(CatalogueError) -> BuiltIn {
        try BuiltIn(
            catalog: String(decoding: PackageResources.catalog_yaml, as: UTF8.self),
            scopes: String(decoding: PackageResources.scopes_yaml, as: UTF8.self),
            operations: String(decoding: PackageResources.operations_yaml, as: UTF8.self))
    }

    init(catalog: String, scopes: String, operations: String = "version: 1") throws(CatalogueError) {
        var top = try Self.top(catalog, file: Self.catalogFile)
        defaults = top.value("defaults") ?? .map([], top.place)
        let members = try top.members("providers")
        try top.finish()
        var entries = try Self.layers(scopes, file: Self.scopesFile, of: members)
        for (name, layer) in try Self.layers(operations, file: Self.operationsFile, of: members) {
            entries[name] = entries[name]?.overlaid(by: layer) ?? layer
        }
        for member in members {
            entries[member.name] = entries[member.name]?.overlaid(by: member.value) ?? member.value
        }
        self.entries = entries
        names = members.map(\.name)
        for name in names { _ = try entry(name) }
    }

    /// What another file says of some of the entries.
    private static func layers(
        _ text: String, file: String, of members: [SourceValue.Member]
    ) throws(CatalogueError) -> [String: SourceValue] {
        var top = try Self.top(text, file: file)
        let layers = try top.members("providers")
        try top.finish()
        for layer in layers where !members.contains(where: { $0.name == layer.name }) {
            throw CatalogueError(
                Place(file: file), field: "providers.\(layer.name)",
                .wrong(expected: "a provider of \(catalogFile)", found: "another name"))
        }
        return Dictionary(uniqueKeysWithValues: layers.map { ($0.name, $0.value) })
    }

    /// An entry with all that it extends and the defaults below it.
    func entry(_ name: String, depth: Int = 0) throws(CatalogueError) -> SourceValue {
        guard let entry = entries[name] else { return defaults }
        guard case .text(let parent, let place)? = entry["extends"] else { return defaults.overlaid(by: entry) }
        guard entries[parent] != nil, depth < 4 else {
            throw CatalogueError(
                place, field: "providers.\(name).extends",
                .wrong(expected: "another entry of the catalogue", found: "'\(parent.prefix(40))'"))
        }
        // A registration belongs to one entry: its variables are not inherited.
        return try self.entry(parent, depth: depth + 1).without("env").overlaid(by: entry.without("extends"))
    }

    func has(_ name: String) -> Bool { entries[name] != nil }

    var defaultsAlone: SourceValue { defaults }

    static func badName(_ name: String) -> CatalogueError {
        CatalogueError(
            Place(file: catalogFile), field: "providers.\(name)",
            .wrong(expected: "a name of [a-z0-9][a-z0-9-]{0,62}", found: "'\(name)'"))
    }

    private static func top(_ text: String, file: String) throws(CatalogueError) -> Fields {
        guard let value = try YAMLFile.parse(text, file: file) else {
            throw CatalogueError(Place(file: file), .missing(expected: "providers"))
        }
        var fields = try Fields(value, path: "")
        try OperatorFile.checkVersion(&fields)
        _ = try fields.text("checked")
        return fields
    }
}
