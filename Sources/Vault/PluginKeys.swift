import Encoding
import Envelope
import GRDB
import Secrets

/// A key that a plugin may show at present.
public struct PluginKey: Sendable {
    public let createdAt: Instant
    /// Being replaced: it ends then at the latest.
    public let endsAt: Instant?
}

extension Rows {
    /// A further key for a plugin, which wraps the same private half: everything that was approved stays. The one that
    /// was shown ends at `oldEndsAt`. `conflict` when that one is itself being replaced, so that a key on its way out
    /// makes no other.
    public func replaceKey(of plugin: OpenPlugin, oldEndsAt: Instant, at now: Instant) throws -> SecretText {
        let done = try changed(
            "UPDATE slot SET expires_at_ms = ? WHERE id = ? AND kind = 'plugin' AND expires_at_ms IS NULL",
            [oldEndsAt.milliseconds, plugin.slot.blob])
        guard done == 1 else { throw VaultError.conflict }
        _ = try changed(
            "UPDATE slot SET expires_at_ms = ? WHERE derived_from = ?",
            [oldEndsAt.milliseconds, plugin.slot.blob])
        let token = try Token(issuing: .plugin, id: random.id(), random)
        let salt = random.bytes(32)
        try insertSlot(
            token.id, .plugin, name: plugin.name, person: nil, vault: nil, plugin: plugin.id, salt: salt,
            pair: plugin.pair.secret, derived: try token.derivedKey(salt: salt, vault: nil), vaultKey: nil,
            vaultTag: nil,
            lifetime: .untilRevoked, at: now)
        return try token.text()
    }

    /// Ends the keys that are being replaced, now, and with each those that derive from it. How many there were.
    public func endReplacedKeys(of plugin: PluginID) throws -> Int {
        try changed(
            "DELETE FROM slot WHERE plugin = ? AND kind = 'plugin' AND expires_at_ms IS NOT NULL", [plugin.blob])
    }

    public func keys(of plugin: PluginID, at now: Instant) throws -> [PluginKey] {
        try rows(
            """
            SELECT created_at_ms, expires_at_ms FROM slot
            WHERE plugin = ? AND kind = 'plugin' AND (expires_at_ms IS NULL OR expires_at_ms > ?) ORDER BY created_at_ms, id
            """, [plugin.blob, now.milliseconds]
        ).map { PluginKey(createdAt: $0.instant("created_at_ms"), endsAt: $0.optionalInstant("expires_at_ms")) }
    }
}
