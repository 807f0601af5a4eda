import Encoding
import OAuth

/// What narrows a plugin: the operator's for everybody, or a person's for what is theirs. Where both say something,
/// both hold. A value without any limit is `PluginLimits()`.
public struct PluginLimits: Hashable, Sendable {
    /// The providers that it may name; nil: any.
    public var providers: Set<ProviderID>?
    /// The most that a token of this provider may carry when it is handed over; a provider that is not here has no
    /// ceiling.
    public var ceilings: [ProviderID: ScopeSet]
    /// Vends a minute; nil: as many as anybody's.
    public var ratePerMinute: Int64?
    /// Calls that may be made for it with a token injected. A provider without a rule has no limit of this kind.
    public var calls: [CallRule]

    public static let rates: ClosedRange<Int64> = 1...60_000
    public static let mostEntries = 200

    public init(
        providers: Set<ProviderID>? = nil, ceilings: [ProviderID: ScopeSet] = [:], ratePerMinute: Int64? = nil,
        calls: [CallRule] = []
    ) {
        (self.providers, self.ceilings, self.ratePerMinute, self.calls) = (providers, ceilings, ratePerMinute, calls)
    }

    public var isEmpty: Bool { self == PluginLimits() }

    /// Whether nothing is possible under these that was not before. Not every narrower set is known for one: then a person
    /// confirms once more than they had to.
    public func isWithin(_ before: PluginLimits) -> Bool {
        if let most = before.providers {
            guard let providers, providers.isSubset(of: most) else { return false }
        }
        for (provider, ceiling) in before.ceilings {
            guard let own = ceilings[provider], own.subtracting(ceiling).isEmpty else { return false }
        }
        if let most = before.ratePerMinute {
            guard let ratePerMinute, ratePerMinute <= most else { return false }
        }
        for provider in Set(before.calls.map(\.provider)) {
            let rules = calls.filter { $0.provider == provider }
            guard !rules.isEmpty, rules.allSatisfy({ before.hasCall($0) }) else { return false }
        }
        return true
    }

    private func hasCall(_ rule: CallRule) -> Bool {
        calls.contains {
            $0.provider == rule.provider && $0.path == rule.path && rule.methods.isSubset(of: $0.methods)
        }
    }

    public func names(_ provider: ProviderID) -> Bool { providers?.contains(provider) ?? true }

    public func limitsCalls(at provider: ProviderID) -> Bool { calls.contains { $0.provider == provider } }

    /// `target` is the rest of the request's target, as it came and as it will be sent; `isBundle`: one request to it can
    /// hold many operations.
    public func permits(_ method: String, _ target: String, isBundle: Bool = false, at provider: ProviderID) -> Bool {
        let rules = calls.filter { $0.provider == provider }
        return rules.isEmpty || rules.contains { $0.permits(method, target, isBundle: isBundle) }
    }
}

/// Methods, and where the path begins: `GET /repos` permits `GET /repos` and `GET /repos/octo`, not `GET /repository`.
public struct CallRule: Hashable, Sendable {
    public let provider: ProviderID
    public let methods: Set<String>
    public let path: String

    public static let longestPath = 512

    /// nil: a method that is none, or a path that could be read in two ways.
    public init?(provider: ProviderID, methods: some Sequence<String>, path: String) {
        let methods = Set(methods)
        guard !methods.isEmpty, methods.count <= 10, methods.allSatisfy(Self.isMethod), Self.isPath(path) else {
            return nil
        }
        (self.provider, self.methods, self.path) = (provider, methods, path)
    }

    func permits(_ method: String, _ target: String, isBundle: Bool) -> Bool {
        guard methods.contains(method) else { return false }
        let asked = target.utf8.prefix { $0 != UInt8(ascii: "?") }
        // A slash that the provider may or may not take for one is matched by no rule.
        guard !Self.hasEncodedSlash(asked), asked.starts(with: path.utf8) else { return false }
        // What can hold everything is meant only by a rule of its own.
        guard !isBundle else { return asked.elementsEqual(path.utf8) }
        guard path.utf8.last != UInt8(ascii: "/") else { return true }
        let next = asked.dropFirst(path.utf8.count).first
        return next == nil || next == UInt8(ascii: "/")
    }

    /// RFC 9110 §9.1: methods are case-sensitive, and the registered ones are upper case.
    private static func isMethod(_ text: String) -> Bool {
        (1...16).contains(text.utf8.count)
            && text.utf8.allSatisfy { (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains($0) || $0 == UInt8(ascii: "-") }
    }

    private static func isPath(_ text: String) -> Bool {
        let bytes = text.utf8
        guard bytes.first == UInt8(ascii: "/"), bytes.count <= longestPath, !hasEncodedSlash(bytes[...]) else {
            return false
        }
        guard bytes.allSatisfy({ $0 > 0x20 && $0 < 0x7F && !Array("?#\\".utf8).contains($0) }) else { return false }
        let segments = text.split(separator: "/", omittingEmptySubsequences: false)
        return !segments.contains { [".", ".."].contains($0) } && !segments.dropFirst().dropLast().contains("")
    }

    private static func hasEncodedSlash(_ path: Substring.UTF8View) -> Bool {
        let bytes = Array(path)
        return bytes.indices.contains { index in
            index + 2 < bytes.count && bytes[index] == UInt8(ascii: "%") && bytes[index + 1] == UInt8(ascii: "2")
                && bytes[index + 2] | 0x20 == UInt8(ascii: "f")
        }
    }
}

/// The column's form, a line for each: `providers github slack`, `scopes github repo read:user`, `rate 60`,
/// `call github GET,POST /repos`. Names, scope tokens, methods and paths of ours have no spaces.
extension PluginLimits {
    var text: String { described.joined(separator: "\n") }

    /// A line for each.
    public var described: [String] {
        var lines: [String] = []
        if let providers { lines.append((["providers"] + providers.sorted().map(\.json)).joined(separator: " ")) }
        for (provider, scopes) in ceilings.sorted(by: { $0.key < $1.key }) {
            lines.append((["scopes", provider.json] + scopes.names).joined(separator: " "))
        }
        if let ratePerMinute { lines.append("rate \(ratePerMinute)") }
        for rule in calls {
            lines.append("call \(rule.provider.json) \(rule.methods.sorted().joined(separator: ",")) \(rule.path)")
        }
        return lines
    }

    init(stored text: String) throws(VaultError) {
        self.init()
        for line in text.split(separator: "\n") {
            let words = line.split(separator: " ").map(String.init)
            switch (words.first, words.count) {
            case ("providers", _): providers = Set(try words.dropFirst().map(Self.provider))
            case ("scopes", 2...): ceilings[try Self.provider(words[1])] = ScopeSet(words.dropFirst(2))
            case ("rate", 2):
                guard let rate = Int64(words[1]), Self.rates.contains(rate) else { throw .damaged("limits") }
                ratePerMinute = rate
            case ("call", 4):
                let methods = words[2].split(separator: ",").map(String.init)
                guard let rule = CallRule(provider: try Self.provider(words[1]), methods: methods, path: words[3])
                else { throw .damaged("limits") }
                calls.append(rule)
            default: throw .damaged("limits")
            }
        }
    }

    private static func provider(_ text: String) throws(VaultError) -> ProviderID {
        guard let provider = try? ProviderID(parsing: text) else { throw .damaged("limits") }
        return provider
    }
}
