import Encoding
import GRDB
import OAuth

/// What a person decided about a plugin as a whole, beside what they approved.
public struct PluginStanding: Sendable {
    /// It gets no link any more, and no token.
    public let isMuted: Bool
    public let limits: PluginLimits

    public static let none = PluginStanding(isMuted: false, limits: PluginLimits())
}

/// All that narrows one plugin towards one person.
public struct PluginReach: Sendable {
    /// For everybody.
    public let operators: PluginLimits?
    /// For this person.
    public let persons: PluginLimits?
    public let isMuted: Bool

    public static let unlimited = PluginReach()

    private init() { (operators, persons, isMuted) = (nil, nil, false) }

    /// Mostly there are none, and a vend reads them each time.
    init(operators: String?, persons: String?, isMuted: Bool) throws(VaultError) {
        self.operators = try operators.map(PluginLimits.init(stored:))
        self.persons = try persons.map(PluginLimits.init(stored:))
        self.isMuted = isMuted
    }

    /// Nothing but a mute, if that.
    public var hasNoLimits: Bool { operators == nil && persons == nil }

    private var limits: [PluginLimits] { [operators, persons].compactMap { $0 } }

    public func names(_ provider: ProviderID) -> Bool { hasNoLimits || limits.allSatisfy { $0.names(provider) } }

    /// The ceilings that a token of this provider is held to.
    public func ceilings(at provider: ProviderID) -> [ScopeSet] { limits.compactMap { $0.ceilings[provider] } }

    public func limitsCalls(at provider: ProviderID) -> Bool { limits.contains { $0.limitsCalls(at: provider) } }

    public func permits(_ method: String, _ target: String, isBundle: Bool, at provider: ProviderID) -> Bool {
        limits.allSatisfy { $0.permits(method, target, isBundle: isBundle, at: provider) }
    }
}

extension Rows {
    public func standing(of plugin: PluginID, with person: PersonID) throws -> PluginStanding {
        let row = try row(
            "SELECT muted, limits FROM plugin_standing WHERE plugin = ? AND person = ?", [plugin.blob, person.blob])
        guard let row else { return .none }
        return PluginStanding(
            isMuted: row["muted"], limits: try (row["limits"] as String?).map(PluginLimits.init(stored:)) ?? .init())
    }

    public func reach(of plugin: PluginID, to person: PersonID) throws -> PluginReach {
        let row = try row(
            """
            SELECT plugin.limits AS operators, standing.limits AS persons, coalesce(standing.muted, 0) AS muted
            FROM plugin LEFT JOIN plugin_standing standing ON standing.plugin = plugin.id AND standing.person = ?
            WHERE plugin.id = ?
            """, [person.blob, plugin.blob])
        guard let row else { return .unlimited }
        return try PluginReach(operators: row["operators"], persons: row["persons"], isMuted: row["muted"])
    }

    /// What it asked and nobody answered yet ends with the mute.
    public func setMuted(_ isMuted: Bool, _ plugin: PluginID, by person: PersonID, at now: Instant) throws {
        _ = try changed(
            """
            INSERT INTO plugin_standing (plugin, person, muted) VALUES (?, ?, ?)
            ON CONFLICT (plugin, person) DO UPDATE SET muted = excluded.muted
            """, [plugin.blob, person.blob, isMuted])
        guard isMuted else { return }
        try note(.plugin(plugin), by: person, at: now)
        _ = try changed(
            """
            UPDATE request SET status = 'declined' WHERE caller = ? AND person = ?
                AND status IN ('pending', 'approved')
            """, [plugin.blob, person.blob])
    }

    public func setLimits(_ limits: PluginLimits, _ plugin: PluginID, by person: PersonID) throws {
        _ = try changed(
            """
            INSERT INTO plugin_standing (plugin, person, muted, limits) VALUES (?, ?, 0, ?)
            ON CONFLICT (plugin, person) DO UPDATE SET limits = excluded.limits
            """, [plugin.blob, person.blob, limits.isEmpty ? nil : limits.text])
    }

    /// The operator's, which hold for everybody.
    public func setLimits(_ limits: PluginLimits, _ plugin: PluginID) throws {
        _ = try changed(
            "UPDATE plugin SET limits = ? WHERE id = ?", [limits.isEmpty ? nil : limits.text, plugin.blob])
    }
}
