import Encoding
import GRDB

extension Rows {
    /// As many vaults are looked at in one round.
    static let vaultsAtOnce = 2_000
    /// A vault is made before what opens it and what goes into it.
    private static let youngSeconds: Int64 = 86_400

    /// In which there is nothing, which nobody opens, and which nobody is about to open or to put anything into: no holder of
    /// any kind, recovery codes and passkeys included; no connection, whatever its state; no offer to link it; no consent or
    /// request on its way here; no vault that became part of it and may still be sent something.
    private static let isLeft = """
        v.created_at_ms <= ?1 AND v.merged_into IS NULL
            AND NOT EXISTS (SELECT 1 FROM slot WHERE slot.vault = v.id)
            AND NOT EXISTS (SELECT 1 FROM connection WHERE connection.vault = v.id)
            AND NOT EXISTS (SELECT 1 FROM link WHERE link.person = v.person
                AND (link.from_vault = v.id OR link.to_vault = v.id))
            AND NOT EXISTS (SELECT 1 FROM authorization a WHERE a.vault = v.id)
            AND NOT EXISTS (SELECT 1 FROM request r WHERE r.person = v.person AND r.vault = v.id
                AND r.status IN ('pending', 'approved'))
            AND NOT EXISTS (SELECT 1 FROM vault other WHERE other.person = v.person AND other.merged_into = v.id)
        """

    /// The next vaults in the order of their ids: those that are left over, and where to go on; nil: from the beginning.
    public func leftVaults(after: VaultID?, at now: Instant) throws -> (left: [VaultID], next: VaultID?) {
        let rows = try rows(
            """
            SELECT id, (SELECT 1 FROM vault v WHERE v.id = some.id AND \(Self.isLeft)) IS NOT NULL AS is_left
            FROM (SELECT id FROM vault WHERE id > ?2 ORDER BY id LIMIT ?3) some
            """,
            [now.adding(seconds: -Self.youngSeconds).milliseconds, (after?.bytes ?? []).blob, Self.vaultsAtOnce])
        let next: VaultID? = rows.count < Self.vaultsAtOnce ? nil : try rows.last?.id("id")
        return (try rows.filter { $0["is_left"] as Bool }.map { try $0.id("id") }, next)
    }

    /// Still left over, or it stays. What was recorded under its keys could be read by nobody.
    public func removeLeft(_ vaults: [VaultID], at now: Instant) throws -> Int {
        var removed = 0
        for vault in vaults {
            removed += try changed(
                "DELETE FROM vault WHERE id = (SELECT v.id FROM vault v WHERE v.id = ?2 AND \(Self.isLeft))",
                [now.adding(seconds: -Self.youngSeconds).milliseconds, vault.blob])
        }
        return removed
    }
}
