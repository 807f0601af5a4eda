import Glibc
import OAuth

/// All providers that this service knows, configured or not.
public struct Catalogue: Sendable {
    public let providers: [ProviderID: Provider]
    /// What is permitted and unwise, a sentence each.
    public let warnings: [String]

    public subscript(_ id: ProviderID) -> Provider? { providers[id] }

    /// An entry to be passed along without a copy of its hundred fields: a vend looks at three of them.
    public final class Entry: Sendable {
        public let provider: Provider
        /// Scopes are called as we call them: one that is asked for by its name is there where its name is.
        public let namesAreCanonical: Bool
        public let oldAccessDies: Bool

        init(_ provider: Provider) {
            self.provider = provider
            namesAreCanonical = provider.scopes.prefix == nil && provider.scopes.aliases.isEmpty
            oldAccessDies = provider.refresh.oldAccessDies
        }
    }

    private let entries: [ProviderID: Entry]

    public func entry(_ id: ProviderID) -> Entry? { entries[id] }

    /// Variables of the environment that hold client secrets.
    public var secretVariables: Set<String> {
        Set(providers.values.flatMap { [$0.environment?.secret, $0.secretVariable].compactMap { $0 } })
    }

    /// The same catalogue with a provider whose endpoints have been discovered.
    public func replacing(_ provider: Provider) -> Catalogue {
        Catalogue(providers: providers.merging([provider.id: provider]) { _, new in new }, warnings: warnings)
    }

    /// The built-in entries with the operator's files laid over them. `environment` has the client ids and secrets.
    public static func load(
        environment: [String: String], providersFolder: String? = nil
    ) throws(CatalogueError) -> Catalogue {
        var files: [OperatorFile] = []
        for path in try Self.files(in: providersFolder) { files.append(try OperatorFile(reading: path)) }
        return try Catalogue(BuiltIn.load(), files, environment)
    }

    private init(providers: [ProviderID: Provider], warnings: [String]) {
        self.providers = providers
        entries = providers.mapValues(Entry.init)
        self.warnings = warnings
    }

    init(
        _ builtIn: BuiltIn, _ files: [OperatorFile], _ environment: [String: String]
    ) throws(CatalogueError) {
        var providers: [ProviderID: Provider] = [:]
        var warnings: [String] = []
        var places: [ProviderID: Place] = [:]
        for entry in files.flatMap(\.entries) {
            if let first = places[entry.id] {
                throw CatalogueError(entry.place, field: entry.path, .twice(first: first))
            }
            places[entry.id] = entry.place
            providers[entry.id] = try entry.provider(over: builtIn, environment, &warnings)
        }
        for name in builtIn.names {
            guard let id = try? ProviderID(bridge: name) else { throw BuiltIn.badName(name) }
            if providers[id] != nil { continue }
            var provider = try Provider(reading: builtIn.entry(name), id: id, path: "providers.\(name)")
            provider.client = try Self.client(of: provider, environment, &warnings)
            providers[id] = provider
        }
        self.providers = providers
        entries = providers.mapValues(Entry.init)
        self.warnings = warnings + providers.values.sorted { $0.id < $1.id }.flatMap(\.warnings)
    }

    /// Id and secret from the variables that the entry names.
    static func client(
        of provider: Provider, _ environment: [String: String], _ warnings: inout [String]
    ) throws(CatalogueError) -> ClientCredentials? {
        guard let names = provider.environment else { return nil }
        let id = environment[names.id].flatMap { $0.isEmpty ? nil : $0 }
        let secret = environment[names.secret].flatMap { $0.isEmpty ? nil : $0 }
        switch (id, secret) {
        case (let id?, let secret?): return try ClientBlock.client(id, secret, Place(file: "environment"))
        case (_?, nil): warnings.append("\(provider.id): not configured, \(names.secret) is not set")
        case (nil, _?): warnings.append("\(provider.id): not configured, \(names.id) is not set")
        case (nil, nil): break
        }
        return nil
    }

    /// The YAML files of a folder in the order of their names; a folder that does not exist has none.
    private static func files(in folder: String?) throws(CatalogueError) -> [String] {
        guard let folder else { return [] }
        guard let directory = opendir(folder) else {
            if errno == ENOENT { return [] }
            throw CatalogueError(Place(file: folder), .unreadable(errno: errno))
        }
        defer { closedir(directory) }
        var names: [String] = []
        while let entry = readdir(directory) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if !name.hasPrefix("."), name.hasSuffix(".yaml") || name.hasSuffix(".yml") { names.append(name) }
        }
        return names.sorted().map { "\(folder)/\($0)" }
    }
}
