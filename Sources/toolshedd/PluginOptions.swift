import ArgumentParser
import OAuth
import Vault

/// The limits of a plugin as an operator writes them.
struct PluginOptions: ParsableArguments {
    @Option(name: .customLong("provider"), help: "A provider that it may name; repeat for more. Default: any.")
    var providers: [String] = []

    @Option(
        name: .customLong("scope"),
        help: "PROVIDER:SCOPE, a scope that a token of this provider may carry; repeat for more. Default: any.")
    var scopes: [String] = []

    @Option(
        name: .customLong("rate"),
        help: "Vends a minute, 1 to 60000, for all persons together. Default: no limit of its own.")
    var rate: Int64?

    @Option(
        name: .customLong("call"),
        help:
            "'PROVIDER METHOD[,METHOD] PATH', calls with an injected token that it may make; repeat for more. Default: any."
    )
    var calls: [String] = []

    /// Lays what was given over `limits`.
    func apply(to limits: inout PluginLimits) throws {
        if !providers.isEmpty { limits.providers = Set(try providers.map(Self.provider)) }
        if !scopes.isEmpty {
            var named: [ProviderID: [String]] = [:]
            for text in scopes {
                let parts = text.split(separator: ":", maxSplits: 1).map(String.init)
                guard parts.count == 2, Scope.isToken(parts[1]) else {
                    throw ValidationError("--scope \(text): expected PROVIDER:SCOPE, such as github:repo.")
                }
                named[try Self.provider(parts[0]), default: []].append(parts[1])
            }
            limits.ceilings = named.mapValues { ScopeSet($0) }
        }
        if let rate {
            guard PluginLimits.rates.contains(rate) else { throw ValidationError("--rate: expected 1 to 60000.") }
            limits.ratePerMinute = rate
        }
        if !calls.isEmpty { limits.calls = try calls.map(Self.call) }
        let counts = [limits.providers?.count ?? 0, limits.ceilings.count, limits.calls.count]
        guard counts.allSatisfy({ $0 <= PluginLimits.mostEntries }) else {
            throw ValidationError("At most \(PluginLimits.mostEntries) of each.")
        }
    }

    private static func call(_ text: String) throws -> CallRule {
        let parts = text.split(separator: " ").map(String.init)
        let methods = parts.count == 3 ? parts[1].split(separator: ",").map(String.init) : []
        guard parts.count == 3, let rule = CallRule(provider: try provider(parts[0]), methods: methods, path: parts[2])
        else {
            throw ValidationError(
                "--call '\(text)': expected 'PROVIDER METHOD[,METHOD] PATH', such as 'github GET /repos'.")
        }
        return rule
    }

    private static func provider(_ text: String) throws -> ProviderID {
        guard let id = try? ProviderID(parsing: text) else {
            throw ValidationError("'\(text)' is not the name of a provider.")
        }
        return id
    }
}
