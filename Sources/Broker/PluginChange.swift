import Encoding
import OAuth
import Vault

/// `PATCH /api/plugins/{id}`: what a person decides about a plugin as a whole. nil: not this.
public struct PluginChange: Sendable {
    public let isMuted: Bool?
    /// All of the person's limits; what is not in it is not limited.
    public let limits: PluginLimits?

    private static let expected = [
        "muted": "true or false", "limits": "null, or an object of providers, scopes, ratePerMinute and calls",
        "providers": "at most 200 providers as bridge or owner/bridge",
        "scopes": "an object of arrays of RFC 6749 scope tokens, by provider",
        "ratePerMinute": "a whole number from 1 to 60000",
        "calls":
            "at most 200 objects of provider, methods (upper case) and path (from /, without dot segments, ? and #)",
    ]

    public init(parsing body: UnsafeRawBufferPointer) throws(Refusal) {
        var reading = Reading()
        var isMuted: Bool?
        var limits: PluginLimits?
        do {
            try JSONReader.object(body) { (name, value) throws(JSONError) in
                guard reading.isNew(name, of: ["muted", "limits"]) else { return }
                switch (name, try value.kind) {
                case ("muted", .bool): isMuted = try value.bool()
                case ("limits", .null):
                    try value.null()
                    limits = PluginLimits()
                case ("limits", .object): limits = try reading.limits(&value)
                default: reading.refuse(name)
                }
            }
        } catch {
            throw .invalidRequest([MemberError("body", "one JSON object (RFC 8259) in UTF-8")])
        }
        guard reading.wrong.isEmpty else { throw .invalidRequest(reading.wrong) }
        guard isMuted != nil || limits != nil else { throw .invalidRequest([MemberError("body", "muted or limits")]) }
        (self.isMuted, self.limits) = (isMuted, limits)
    }

    /// Collects what is wrong, so that all of it is said at once.
    private struct Reading {
        var wrong: [MemberError] = []
        private var seen: Set<String> = []

        mutating func refuse(_ name: String) {
            wrong.append(MemberError(name, PluginChange.expected[name] ?? "nothing"))
        }

        mutating func isNew(_ name: String, of known: Set<String>, in object: String = "") -> Bool {
            guard known.contains(name) else {
                wrong.append(.unknown(name))
                return false
            }
            guard seen.insert("\(object).\(name)").inserted else {
                wrong.append(MemberError(name, "at most one member of this name"))
                return false
            }
            return true
        }

        mutating func limits(_ value: inout JSONReader) throws(JSONError) -> PluginLimits {
            var limits = PluginLimits()
            try value.object { (name, value) throws(JSONError) in
                guard isNew(name, of: ["providers", "scopes", "ratePerMinute", "calls"], in: "limits") else { return }
                switch (name, try value.kind) {
                case ("providers", .null), ("scopes", .null), ("ratePerMinute", .null), ("calls", .null):
                    try value.null()
                case ("providers", .array):
                    let named = try texts(&value)?.map { try? ProviderID(parsing: $0) }
                    guard let named, !named.contains(where: { $0 == nil }) else { return refuse(name) }
                    limits.providers = Set(named.compactMap { $0 })
                case ("scopes", .object): limits.ceilings = try ceilings(&value)
                case ("ratePerMinute", .number):
                    let rate = (try? value.integer()) ?? 0
                    guard PluginLimits.rates.contains(rate) else { return refuse(name) }
                    limits.ratePerMinute = rate
                case ("calls", .array): limits.calls = try calls(&value)
                default: refuse(name)
                }
            }
            return limits
        }

        private mutating func ceilings(_ value: inout JSONReader) throws(JSONError) -> [ProviderID: ScopeSet] {
            var ceilings: [ProviderID: ScopeSet] = [:]
            var fits = true
            try value.object { (name, value) throws(JSONError) in
                guard let provider = try? ProviderID(parsing: name), ceilings[provider] == nil,
                    try value.fits(.array), let names = try texts(&value), let scopes = try? ScopeSet(tokens: names)
                else {
                    fits = false
                    return
                }
                ceilings[provider] = scopes
            }
            if !fits || ceilings.count > PluginLimits.mostEntries { refuse("scopes") }
            return ceilings
        }

        private mutating func calls(_ value: inout JSONReader) throws(JSONError) -> [CallRule] {
            var rules: [CallRule?] = []
            try value.array { (element) throws(JSONError) in
                guard try element.fits(.object) else { return rules.append(nil) }
                var provider: ProviderID?
                var methods: [String] = []
                var path = ""
                var fits = true
                try element.object { (name, value) throws(JSONError) in
                    switch (name, try value.kind) {
                    case ("provider", .string): provider = try? ProviderID(parsing: try value.string())
                    case ("methods", .array): methods = try texts(&value) ?? []
                    case ("path", .string): path = try value.string()
                    default: fits = false
                    }
                }
                rules.append(fits ? provider.flatMap { CallRule(provider: $0, methods: methods, path: path) } : nil)
            }
            if rules.count > PluginLimits.mostEntries || rules.contains(where: { $0 == nil }) { refuse("calls") }
            return rules.compactMap { $0 }
        }

        /// nil: not an array of a bearable number of strings.
        private func texts(_ value: inout JSONReader) throws(JSONError) -> [String]? {
            var texts: [String] = []
            var fits = true
            try value.array { (element) throws(JSONError) in
                if try element.fits(.string) { texts.append(try element.string()) } else { fits = false }
            }
            return fits && texts.count <= PluginLimits.mostEntries ? texts : nil
        }
    }
}
