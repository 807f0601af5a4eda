import Encoding
import Envelope
import GRDB
import Secrets

public struct Plugin: Sendable {
    public let id: PluginID
    public let name: String
    /// nil: registered by the operator, may ask any person. Otherwise that person only.
    public let owner: PersonID?
    public let createdAt: Instant
    /// The operator's limits.
    public let limits: PluginLimits
    let publicKey: PublicKey
    let publicTag: [UInt8]
}

/// A plugin whose key was shown and opened its slot.
public final class OpenPlugin: Sendable {
    public let id: PluginID
    public let slot: SlotID
    public let name: String
    public let owner: PersonID?
    /// Whom this key is for; nil: it is the plugin's general one.
    public let person: PersonID?
    public let derived: Key<DerivedRole>
    /// The plugin's, or the person's with it.
    let pair: PluginPair

    init(
        id: PluginID, slot: SlotID, name: String, owner: PersonID?, person: PersonID?,
        derived: consuming Key<DerivedRole>, pair: consuming PrivateKey
    ) throws(EnvelopeError) {
        self.id = id
        self.slot = slot
        self.name = name
        self.owner = owner
        self.person = person
        self.derived = derived
        self.pair = try PluginPair(pair)
    }

    public var keyInUse: PluginKeyInUse { person == nil ? .general : .own }
}

extension Rows {
    /// No plugin that a person sees is named like another one, nor like one of `reserved`, folded. Of what other persons
    /// call their own nobody learns anything: where the operator takes such a name, theirs gives way.
    public func addPlugin(
        name: String, owner: PersonID?, as id: PluginID? = nil, reserved: Set<String> = [], at now: Instant
    ) throws -> (id: PluginID, secret: SecretText) {
        let folded = PluginName.folded(name)
        let readings = PluginName.readings(of: name)
        let taken = try readings.contains { try isTaken($0, for: owner) }
        guard !taken, readings.isDisjoint(with: reserved) else { throw VaultError.nameTaken }
        if owner == nil { try giveWay(to: folded) }
        let id = id ?? random.id()
        let pair = try PrivateKey(random: random)
        _ = try changed(
            """
            INSERT INTO plugin (id, name, folded, owner, public_key, public_tag, created_at_ms)
            VALUES (?, ?, ?, ?, ?, ?, ?)
            """,
            [
                id.blob, name, folded, owner?.blob, try pair.publicKey.bytes.blob,
                keys.tags.tag(Purpose.publicKey(of: "plugin", id.bytes, try pair.publicKey)).blob, now.milliseconds,
            ])
        let token = try Token(issuing: .plugin, id: random.id(), random)
        let salt = random.bytes(32)
        try insertSlot(
            token.id, .plugin, name: name, person: nil, vault: nil, plugin: id, salt: salt, pair: pair,
            derived: try token.derivedKey(salt: salt, vault: nil), vaultKey: nil, vaultTag: nil,
            lifetime: .untilRevoked, at: now)
        return (id, try token.text())
    }

    private func isTaken(_ folded: String, for owner: PersonID?) throws -> Bool {
        try row(
            "SELECT 1 FROM plugin WHERE folded = ? AND (owner IS NULL OR owner = ?) LIMIT 1", [folded, owner?.blob])
            != nil
    }

    /// Persons' own plugins of a name that is the operator's from now on say whose they are.
    private func giveWay(to folded: String) throws {
        for row in try rows("SELECT id, name, owner FROM plugin WHERE folded = ?", [folded]) {
            let owner: PersonID = try row.id("owner")
            // They have fewer plugins than there are names to choose from.
            let another = try PluginName.own(row.text("name")).first { try !isTaken(PluginName.folded($0), for: owner) }
            guard let another else { throw VaultError.nameTaken }
            _ = try changed(
                "UPDATE plugin SET name = ?, folded = ? WHERE id = ?",
                [another, PluginName.folded(another), row.bytes("id").blob])
        }
    }

    /// How many a person has of their own.
    public func ownPlugins(of person: PersonID) throws -> Int {
        try row("SELECT count(*) AS n FROM plugin WHERE owner = ?", [person.blob])?["n"] ?? 0
    }

    /// Persons' own plugins that could be taken for one of this name.
    public func ownPlugins(named name: String) throws -> [Plugin] {
        try plugins("WHERE folded = ? AND owner IS NOT NULL", [PluginName.folded(name)])
    }

    /// The connections that it could use are marked: their keys are replaced when their vaults are next open.
    public func removePlugin(_ id: PluginID, at now: Instant) throws -> Bool {
        _ = try changed(
            """
            UPDATE connection SET rekey_pending = 1
            WHERE id IN (SELECT connection FROM approval WHERE plugin = ? AND status = 'live')
            """, [id.blob])
        try noteLeft(with: id)
        return try changed("DELETE FROM plugin WHERE id = ?", [id.blob]) > 0
    }

    public func plugin(_ id: PluginID) throws -> Plugin? { try plugins("WHERE id = ?", [id.blob]).first }

    /// The operator's and this person's own.
    public func plugins(visibleTo person: PersonID) throws -> [Plugin] {
        try plugins("WHERE owner IS NULL OR owner = ? ORDER BY name", [person.blob])
    }

    /// Those that have to do with this vault: the person's own, and who was ever let in to something in it.
    public func plugins(of vault: VaultID, person: PersonID) throws -> [Plugin] {
        try plugins(
            """
            WHERE owner = ?1 OR (owner IS NULL AND id IN (
                SELECT a.plugin FROM approval a JOIN connection c ON c.id = a.connection WHERE c.vault = ?2))
            ORDER BY name
            """, [person.blob, vault.blob])
    }

    public func allPlugins() throws -> [Plugin] { try plugins("ORDER BY name", []) }

    private func plugins(_ condition: String, _ arguments: StatementArguments) throws -> [Plugin] {
        try rows(
            "SELECT id, name, owner, public_key, public_tag, limits, created_at_ms FROM plugin \(condition)", arguments
        ).map { row in
            guard let key = PublicKey(bytes: row.bytes("public_key")) else { throw VaultError.damaged("public_key") }
            return Plugin(
                id: try row.id("id"), name: row.text("name"), owner: row.optionalID("owner"),
                createdAt: row.instant("created_at_ms"),
                limits: try (row["limits"] as String?).map(PluginLimits.init(stored:)) ?? PluginLimits(),
                publicKey: key, publicTag: row.bytes("public_tag"))
        }
    }

    /// By its general key, or by the one of one person.
    public func openPlugin(_ token: borrowing Token, at now: Instant) throws -> OpenPlugin? {
        guard token.kind.isOfPlugin, let kind = HolderKind(token.kind) else { return nil }
        let row = try row(
            """
            SELECT slot.salt, slot.private_key, plugin.id, plugin.name, plugin.owner, own.person
            FROM slot JOIN plugin ON plugin.id = slot.plugin LEFT JOIN plugin_person own ON own.id = slot.plugin_person
            WHERE slot.id = ? AND slot.kind = ? AND (slot.expires_at_ms IS NULL OR slot.expires_at_ms > ?)
            """, [token.id.blob, kind.rawValue, now.milliseconds])
        guard let row else { return nil }
        do {
            let derived = try token.derivedKey(salt: row.bytes("salt"), vault: nil)
            let wrapped = try outerOpen(row.bytes("private_key"), "slot", token.id.bytes, "private_key")
            let pair = try PrivateKey.unwrap(wrapped, under: derived, Purpose.slotPrivate(token.id, kind: kind))
            return try OpenPlugin(
                id: row.id("id"), slot: token.id, name: row.text("name"), owner: row.optionalID("owner"),
                person: row.optionalID("person"), derived: derived, pair: pair)
        } catch EnvelopeError.doesNotOpen {
            return nil
        }
    }
}
