import Encoding
import Envelope
import GRDB
import Secrets

/// One that opens a vault.
public struct Holder: Sendable {
    public let id: SlotID
    public let kind: HolderKind
    public let name: String
}

/// A vault that a person has, by what can be said without opening it.
public struct VaultSummary: Sendable {
    public let id: VaultID
    public let connections: Int64
    public let holders: [Holder]
}

extension Rows {
    private static let live = """
        (expires_at_ms IS NULL OR expires_at_ms > ?2) AND (idle_limit_ms IS NULL OR last_used_at_ms + idle_limit_ms > ?2)
        """

    /// Everybody who opens this vault, oldest first. What an OAuth client holds, each with a slot of its own, counts once.
    public func holders(of vault: VaultID, at now: Instant) throws -> [Holder] {
        try rows(
            """
            SELECT id, CASE WHEN client_grant IS NOT NULL AND kind != 'cli' THEN 'mcp' ELSE kind END AS kind, name,
                min(created_at_ms) AS since
            FROM slot WHERE vault = ?1 AND kind != 'superseded' AND \(Self.live) GROUP BY coalesce(client_grant, id) ORDER BY since, id
            """, [vault.blob, now.milliseconds]
        ).map { Holder(id: try $0.id("id"), kind: try $0.state("kind"), name: $0.text("name")) }
    }

    public func holder(_ id: SlotID, of person: PersonID) throws -> (holder: Holder, vault: VaultID)? {
        try row(
            "SELECT id, kind, name, vault FROM slot WHERE id = ? AND person = ? AND vault IS NOT NULL AND kind != 'superseded'",
            [id.blob, person.blob]
        ).map { (Holder(id: id, kind: try $0.state("kind"), name: $0.text("name")), try $0.id("vault")) }
    }

    /// One of the slots of what an OAuth client was given; any of them leads to all.
    public func holder(of client: ClientGrantID, person: PersonID) throws -> SlotID? {
        try row("SELECT id FROM slot WHERE client_grant = ? AND person = ? LIMIT 1", [client.blob, person.blob])
            .map { try $0.id("id") }
    }

    /// All slots of what an OAuth client was given.
    public func holders(of client: ClientGrantID) throws -> [SlotID] {
        try rows("SELECT id FROM slot WHERE client_grant = ?", [client.blob]).map { try $0.id("id") }
    }

    public func holds(_ client: ClientGrantID, a vault: VaultID) throws -> Bool {
        try row("SELECT 1 FROM slot WHERE client_grant = ? AND vault = ? LIMIT 1", [client.blob, vault.blob]) != nil
    }

    /// The person's vaults in which there is something, beside this one.
    public func otherVaults(than vault: VaultID, of person: PersonID, at now: Instant) throws -> [VaultSummary] {
        try rows(
            """
            SELECT v.id, count(c.id) AS connections FROM vault v JOIN connection c ON c.vault = v.id
            WHERE v.person = ? AND v.id != ? AND v.merged_into IS NULL GROUP BY v.id ORDER BY v.created_at_ms LIMIT 50
            """, [person.blob, vault.blob]
        ).map { row in
            let id: VaultID = try row.id("id")
            return VaultSummary(id: id, connections: row["connections"], holders: try holders(of: id, at: now))
        }
    }

    public func connectionCount(in vault: VaultID) throws -> Int64 {
        try row("SELECT count(*) AS n FROM connection WHERE vault = ?", [vault.blob])?["n"] ?? 0
    }

    /// What nobody could open any more if these holders went: how many connections, and which, as a hash that also
    /// changes with the key of their vault. 0: somebody else opens it.
    public func wouldBeLost(
        without slots: [SlotID], of person: PersonID, at now: Instant
    ) throws -> (connections: Int64, digest: [UInt8]) {
        var lost: Int64 = 0
        var named: [UInt8] = []
        let vaults = Set(try slots.compactMap { try holder($0, of: person)?.vault })
        for vault in vaults.sorted(by: { $0.bytes.lexicographicallyPrecedes($1.bytes) })
        where try holders(of: vault, at: now).allSatisfy({ slots.contains($0.id) }) {
            let rows = try rows(
                """
                SELECT connection.id, vault.key_version FROM connection JOIN vault ON vault.id = connection.vault
                WHERE vault.id = ? ORDER BY connection.id
                """, [vault.blob])
            lost += Int64(rows.count)
            for row in rows { named += row.bytes("id") + Array("\(row["key_version"] as Int64) ".utf8) }
        }
        return (lost, sha256(named))
    }

    /// The recovery code of a vault: since when, and when the person last tried it.
    public func recoveryCode(of vault: VaultID) throws -> (id: SlotID, createdAt: Instant, checkedAt: Instant?)? {
        try row(
            """
            SELECT id, created_at_ms, last_used_at_ms FROM slot WHERE vault = ? AND kind = 'recovery'
            ORDER BY created_at_ms DESC LIMIT 1
            """, [vault.blob]
        ).map {
            let (made, used) = ($0.instant("created_at_ms"), $0.instant("last_used_at_ms"))
            return (try $0.id("id"), made, used > made ? used : nil)
        }
    }

    public func noteUse(of slot: SlotID, at now: Instant) throws {
        _ = try changed("UPDATE slot SET last_used_at_ms = ? WHERE id = ?", [now.milliseconds, slot.blob])
    }

    /// What "Lock now" does not stop: plugins with a key of their own, and connections that the service may open.
    public func openToOthers(of person: PersonID) throws -> (plugins: Int64, background: Int64) {
        let plugins = try row(
            "SELECT count(DISTINCT plugin) AS n FROM approval WHERE person = ? AND status = 'live'", [person.blob])
        let background = try row(
            "SELECT count(*) AS n FROM connection WHERE person = ? AND background = 1", [person.blob])
        return (plugins?["n"] ?? 0, background?["n"] ?? 0)
    }
}
