import OAuth

/// One file of `providers.d`: new providers, or changes to built-in ones.
struct OperatorFile {
    let entries: [OperatorEntry]

    init(reading path: String) throws(CatalogueError) {
        let (text, mode) = try YAMLFile.read(path)
        try self.init(parsing: text, file: path, mode: mode)
    }

    init(parsing text: String, file: String, mode: UInt32) throws(CatalogueError) {
        guard let value = try YAMLFile.parse(text, file: file) else {
            entries = []
            return
        }
        var fields = try Fields(value, path: "")
        try Self.checkVersion(&fields)
        let owner = try fields.text("owner") ?? ProviderID.builtInOwner
        guard ProviderID.isName(owner) else {
            throw fields.wrong("owner", expected: "a name of [a-z0-9][a-z0-9-]{0,62}", found: "'\(owner.prefix(40))'")
        }
        var entries: [OperatorEntry] = []
        for member in try fields.members("providers") {
            let path = "providers.\(member.name)"
            guard let id = try? ProviderID(owner: owner, bridge: member.name) else {
                throw CatalogueError(
                    member.place, field: path,
                    .wrong(expected: "a name of [a-z0-9][a-z0-9-]{0,62}", found: "'\(member.name.prefix(80))'"))
            }
            let entry = OperatorEntry(id: id, value: member.value, place: member.place, path: path)
            if entry.holdsSecret, mode & 0o177 != 0 {
                throw CatalogueError(
                    member.value["client"]?["secret"]?.place ?? member.place, field: "\(path).client.secret",
                    .readableByOthers(mode: mode))
            }
            entries.append(entry)
        }
        try fields.finish()
        self.entries = entries
    }

    static func checkVersion(_ fields: inout Fields) throws(CatalogueError) {
        guard let version = try fields.text("version") else {
            throw fields.missing("version", expected: "version: 1")
        }
        guard version == "1" else { throw fields.wrong("version", expected: "1", found: "'\(version.prefix(20))'") }
    }
}

/// One provider of an operator's file.
struct OperatorEntry {
    let id: ProviderID
    let value: SourceValue
    let place: Place
    let path: String

    var holdsSecret: Bool {
        guard case .text? = value["client"]?["secret"] else { return false }
        return true
    }

    /// The whole provider: defaults, the built-in entry it changes or extends, then this.
    func provider(
        over builtIn: BuiltIn, _ environment: [String: String], _ warnings: inout [String]
    ) throws(CatalogueError) -> Provider {
        let base = try inherited(from: builtIn)
        let (kept, left) = dropped(base)
        let own = value.without("client", "extends")
        var provider = try Provider(reading: kept.overlaid(by: own), id: id, path: path)
        if !left.isEmpty {
            warnings.append(
                "\(id): its token endpoint is the operator's, so \(left.joined(separator: ", ")) of the built-in entry "
                    + "do not apply; give them too where the provider has them")
        }
        if value["identity"] == nil, let userinfo = provider.endpoints.userinfo, value["endpoints"]?["userinfo"] != nil
        {
            provider.identity = try Self.identity(of: base, at: userinfo, path: path)
        }
        if let block = value["client"] {
            guard provider.keyRules == nil else {
                throw CatalogueError(
                    block.place, field: "\(path).client", .wrong(expected: "none for api_key", found: block.kind))
            }
            let client = try ClientBlock(reading: block, path: "\(path).client", environment: environment)
            provider.client = try client.credentials(
                environment, isPublic: provider.token.authentication == ClientAuthentication.none)
            provider.secretVariable = client.secretVariable
            if provider.client == nil { warnings.append("\(id): not configured, \(client.lacking)") }
        } else {
            provider.client = try Catalogue.client(of: provider, environment, &warnings)
        }
        return provider
    }

    /// A built-in of the same name, or the one named by `extends`. Another owner's entry has a registration of its own.
    private func inherited(from builtIn: BuiltIn) throws(CatalogueError) -> SourceValue {
        var parent = builtIn.has(id.bridge) ? id.bridge : nil
        if case .text(let name, let place)? = value["extends"] {
            guard builtIn.has(name) else {
                throw CatalogueError(
                    place, field: "\(path).extends",
                    .wrong(expected: "an entry of the catalogue", found: "'\(name.prefix(40))'"))
            }
            parent = name
        }
        guard let parent else { return builtIn.defaultsAlone }
        let entry = try builtIn.entry(parent)
        let isSame = parent == id.bridge && id.owner == ProviderID.builtInOwner
        return isSame ? entry : entry.without("env", "kind")
    }

    /// Where the operator says where tokens come from, nothing may send them to the hosts of the built-in entry.
    private func dropped(_ base: SourceValue) -> (kept: SourceValue, left: [String]) {
        let ownToken = value["endpoints"]?["token"] != nil
        let ownIssuer = value["issuer"] != nil
        guard ownToken || ownIssuer, base["endpoints"] != nil else { return (base, []) }
        let given = value["endpoints"]
        let lost = ["revoke", "userinfo", "introspect"].filter { given?[$0] == nil && base["endpoints"]?[$0] != nil }
        var names = lost.map { "endpoints.\($0)" }
        if base["identity"] != nil, value["identity"] == nil, given?["userinfo"] == nil { names.append("identity") }
        return (base.without("endpoints", "identity", "issuer", "api"), names)
    }

    /// The operator's userinfo, read as the built-in entry reads its own, then by the usual names.
    private static func identity(
        of base: SourceValue, at userinfo: String, path: String
    ) throws(CatalogueError) -> [IdentitySource] {
        var sources: [IdentitySource] = []
        if case .list(let values, _)? = base["identity"], let first = values.first {
            sources.append(try IdentitySource(reading: first, path: "\(path).identity").at(userinfo))
        }
        return sources + [.userinfo(userinfo)]
    }
}
