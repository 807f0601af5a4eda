import Encoding
import Envelope
import GRDB
import Secrets

enum PluginPersonKind: IDKind { static let prefix = "y_" }
typealias PluginPersonID = ID<PluginPersonKind>

/// A pair to which connection keys are sealed for a plugin, opened: the plugin's, or that of one person with it.
final class PluginPair: Sendable {
    let secret: PrivateKey
    let holder: Key<HolderRole>

    init(_ secret: consuming PrivateKey) throws(EnvelopeError) {
        holder = try secret.holderKey()
        self.secret = secret
    }

    /// Sealed while the plugin was away, wrapped since its first use.
    func open(_ inner: [UInt8], _ form: KeyForm, _ purpose: AssociatedData) throws(EnvelopeError) -> ConnectionKey {
        switch form {
        case .wrapped: ConnectionKey(try AEAD.unwrap(inner, as: ConnectionRole.self, under: holder, purpose))
        case .sealed:
            ConnectionKey(
                try HPKE.openKey(inner, as: ConnectionRole.self, with: secret, info: purpose, purpose))
        }
    }
}

/// Whose pair a person's key wraps, and the plugin's key that it derives from.
struct PersonKeyOrigin {
    let pair: PluginPersonID
    let slot: SlotID
}

/// By which of its keys a plugin last used something of a person's.
public enum PluginKeyInUse: String, Sendable {
    case general = "plugin"
    case own = "plugin-person"
}

extension StoreKeys {
    /// The pair of one person with a plugin, by the plugin's general key.
    func open(
        _ box: [UInt8], _ pair: PluginPersonID, of person: PersonID, with plugin: OpenPlugin
    ) throws -> PluginPair {
        let inner = try outer.open(box, table: "plugin_person", row: pair.bytes, column: "private_key")
        let purpose = Purpose.personPrivate(pair, plugin: plugin.id, person: person)
        return try PluginPair(PrivateKey.unwrap(inner, under: plugin.pair.holder, purpose))
    }
}

extension Rows {
    public func hasPersonKey(_ id: SlotID) throws -> Bool {
        try row("SELECT 1 FROM slot WHERE id = ? AND kind = 'plugin-person'", [id.blob]) != nil
    }

    /// Lets this key, which `plugin`'s own gives for the person, open what the plugin may use of theirs, and nothing else.
    /// From the first one on all of that is sealed to a pair of its own. Doing it twice is doing it once. `conflict`: the
    /// plugin's key has ended meanwhile.
    public func addPersonKey(
        _ token: borrowing Token, of plugin: OpenPlugin, for person: PersonID, at now: Instant
    ) throws {
        let parent = try row(
            """
            SELECT expires_at_ms FROM slot WHERE id = ? AND kind = 'plugin'
                AND (expires_at_ms IS NULL OR expires_at_ms > ?)
            """, [plugin.slot.blob, now.milliseconds])
        guard let parent, plugin.person == nil else { throw VaultError.conflict }
        guard try !hasPersonKey(token.id) else { return }
        let (id, pair) = try personPair(of: plugin, with: person) ?? makePersonPair(of: plugin, with: person, at: now)
        let salt = random.bytes(32)
        try insertSlot(
            token.id, .pluginPerson, name: plugin.name, person: nil, vault: nil, plugin: plugin.id, salt: salt,
            pair: pair.secret, derived: try token.derivedKey(salt: salt, vault: nil), vaultKey: nil, vaultTag: nil,
            lifetime: SlotLifetime(
                idle: nil, absolute: parent.optionalInstant("expires_at_ms").map { $0.milliseconds - now.milliseconds }),
            origin: PersonKeyOrigin(pair: id, slot: plugin.slot), at: now)
    }

    private func personPair(of plugin: OpenPlugin, with person: PersonID) throws -> (PluginPersonID, PluginPair)? {
        let row = try row(
            "SELECT id, private_key FROM plugin_person WHERE plugin = ? AND person = ?", [plugin.id.blob, person.blob])
        guard let row else { return nil }
        let id: PluginPersonID = try row.id("id")
        return (id, try keys.open(row.bytes("private_key"), id, of: person, with: plugin))
    }

    private func makePersonPair(
        of plugin: OpenPlugin, with person: PersonID, at now: Instant
    ) throws -> (PluginPersonID, PluginPair) {
        let id: PluginPersonID = random.id()
        let pair = try PluginPair(PrivateKey(random: random))
        let publicKey = try pair.secret.publicKey
        let wrapped = try pair.secret.wrap(
            under: plugin.pair.holder, Purpose.personPrivate(id, plugin: plugin.id, person: person), random)
        _ = try changed(
            """
            INSERT INTO plugin_person (id, plugin, person, public_key, public_tag, private_key, created_at_ms)
            VALUES (?, ?, ?, ?, ?, ?, ?)
            """,
            [
                id.blob, plugin.id.blob, person.blob, publicKey.bytes.blob,
                keys.tags.tag(Purpose.publicKey(of: "plugin_person", id.bytes, publicKey)).blob,
                try outerSeal(wrapped, "plugin_person", id.bytes, "private_key").blob, now.milliseconds,
            ])
        try moveApprovals(of: plugin, by: person, to: pair, id)
        return (id, pair)
    }

    /// What was sealed to the plugin's pair until now. The key is at hand, so it is wrapped at once.
    private func moveApprovals(
        of plugin: OpenPlugin, by person: PersonID, to pair: PluginPair, _ id: PluginPersonID
    ) throws {
        let live = try rows(
            """
            SELECT approval.id, approval.connection, approval.connection_key, approval.connection_key_form,
                connection.key_version
            FROM approval JOIN connection ON connection.id = approval.connection
            WHERE approval.plugin = ? AND approval.person = ? AND approval.status = 'live'
            """, [plugin.id.blob, person.blob])
        for row in live {
            let approval: ID<ApprovalKind> = try row.id("id")
            let purpose = Purpose.approvalKey(
                try row.id("connection"), plugin: plugin.id, version: row["key_version"])
            do {
                let inner = try outerOpen(row.bytes("connection_key"), "approval", approval.bytes, "connection_key")
                let key = try plugin.pair.open(inner, row.state("connection_key_form"), purpose)
                let wrapped = try AEAD.wrap(key.key, under: pair.holder, purpose, random)
                _ = try changed(
                    """
                    UPDATE approval SET connection_key = ?, connection_key_form = 'wrapped', plugin_person = ?
                    WHERE id = ?
                    """,
                    [
                        try outerSeal(wrapped, "approval", approval.bytes, "connection_key").blob, id.blob,
                        approval.blob,
                    ])
            } catch EnvelopeError.doesNotOpen {
                // A damaged row opens with neither key; it is not a reason to keep the others under the general one.
                continue
            }
        }
    }

    /// nil: this person has no key of their own with the plugin. What was registered and not used yet counts as used.
    public func keyInUse(_ plugin: PluginID, with person: PersonID) throws -> (key: PluginKeyInUse, at: Instant?)? {
        let row = try row(
            "SELECT used_key, used_at_ms FROM plugin_person WHERE plugin = ? AND person = ?",
            [plugin.blob, person.blob])
        guard let row else { return nil }
        let key = (row["used_key"] as String?).flatMap(PluginKeyInUse.init)
        return (key ?? .own, row.optionalInstant("used_at_ms"))
    }

    func moveKeyInUse(of plugin: PluginID, with person: PersonID, to key: PluginKeyInUse, at milliseconds: Int64) throws
    {
        _ = try changed(
            """
            UPDATE plugin_person SET used_key = ?1, used_at_ms = ?2
            WHERE plugin = ?3 AND person = ?4 AND (used_at_ms IS NULL OR used_at_ms <= ?2)
            """, [key.rawValue, milliseconds, plugin.blob, person.blob])
    }
}
