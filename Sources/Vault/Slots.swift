import Encoding
import Envelope
import GRDB
import Secrets

public enum HolderKind: String, Sendable {
    case session
    case apiKey = "api-key"
    case plugin, cli, recovery
    /// An OAuth client that was authorized from a browser: its codes and tokens have a slot each. It calls with the
    /// access token.
    case access = "mcp"
    case code = "authorization-code"
    case refresh = "refresh-token"
    case device = "device-code"
    case passkey
    /// One person with a plugin, under the key that the plugin's gives for them.
    case pluginPerson = "plugin-person"

    public var tokenKind: TokenKind {
        switch self {
        case .session: .session
        case .apiKey: .apiKey
        case .plugin: .plugin
        case .cli: .cli
        case .recovery: .recovery
        case .code: .code
        case .access: .access
        case .refresh: .refresh
        case .device: .device
        case .passkey: .passkey
        case .pluginPerson: .pluginPerson
        }
    }

    public init?(_ token: TokenKind) {
        switch token {
        case .session: self = .session
        case .apiKey: self = .apiKey
        case .plugin: self = .plugin
        case .cli: self = .cli
        case .recovery: self = .recovery
        case .passkey: self = .passkey
        case .code: self = .code
        case .access: self = .access
        case .refresh: self = .refresh
        case .device: self = .device
        case .pluginPerson: self = .pluginPerson
        case .invitation: return nil
        }
    }
}

extension HolderKind {
    /// Wrapped once more under the keeper's key of the minute.
    var livesForMinutes: Bool { self == .code || self == .device }
}

/// A vault whose key is at hand for one request. The key is wiped when the last reference goes.
public final class OpenVault: Sendable {
    public let id: VaultID
    public let person: PersonID
    let version: Int64
    let key: Key<VaultRole>

    init(id: VaultID, person: PersonID, version: Int64, key: consuming Key<VaultRole>) {
        self.id = id
        self.person = person
        self.version = version
        self.key = key
    }
}

/// A holder whose secret was shown and opened its slot.
public final class OpenSlot: Sendable {
    public let id: SlotID
    public let kind: HolderKind
    public let name: String
    public let vault: OpenVault
    public let signedInAt: Instant
    public let lastUsedAt: Instant
    public let derived: Key<DerivedRole>
    /// While the vault key's box is sealed to the slot's pair: that box, and the wrap that is to take its place.
    let sealed: SealedForm?
    /// What an OAuth client's code or token was given for; nil for every other holder.
    public let client: ClientGrantID?
    /// A session whose cookie may not have arrived: the one that it came in place of is still kept.
    public let succeeds: Bool
    public var person: PersonID { vault.person }
    public var isSealed: Bool { sealed != nil }

    /// The same holder with its vault under the key that it has now.
    public func with(_ vault: OpenVault) throws -> OpenSlot {
        OpenSlot(
            id: id, kind: kind, name: name, vault: vault, signedInAt: signedInAt, lastUsedAt: lastUsedAt,
            derived: try derived.copy(), client: client, succeeds: succeeds)
    }

    init(
        id: SlotID, kind: HolderKind, name: String, vault: OpenVault, signedInAt: Instant, lastUsedAt: Instant,
        derived: consuming Key<DerivedRole>, sealed: SealedForm? = nil, client: ClientGrantID? = nil,
        succeeds: Bool = false
    ) {
        self.sealed = sealed
        self.client = client
        self.succeeds = succeeds
        self.id = id
        self.kind = kind
        self.name = name
        self.vault = vault
        self.signedInAt = signedInAt
        self.lastUsedAt = lastUsedAt
        self.derived = derived
    }
}

/// A box that is to be replaced at its holder's first use, and what by.
struct SealedForm: Sendable {
    let box, wrapped: [UInt8]
}

/// How long a slot lives: unused and at all. Milliseconds.
public struct SlotLifetime: Sendable {
    let idle: Int64?
    let absolute: Int64?

    public static let session = SlotLifetime(idleDays: 7, days: 30)
    init(idle: Int64?, absolute: Int64?) { (self.idle, self.absolute) = (idle, absolute) }

    public init(idleDays: Int, days: Int) {
        self.init(idle: Int64(idleDays) * 86_400_000, absolute: Int64(days) * 86_400_000)
    }

    public static let untilRevoked = SlotLifetime(idle: nil, absolute: nil)
}

public struct SlotSummary: Sendable {
    public let id: SlotID
    public let kind: HolderKind
    public let name: String
    public let createdAt: Instant
    public let lastUsedAt: Instant
}

extension Rows {
    /// Gives the vault one more holder and returns its secret, which is nowhere else from now on.
    public func addSlot(
        _ kind: HolderKind, name: String, to vault: OpenVault, lifetime: SlotLifetime, client: ClientGrantID? = nil,
        at now: Instant
    ) throws -> (id: SlotID, secret: SecretText) {
        let token = try Token(issuing: kind.tokenKind, id: random.id(), random)
        try addSlot(token, name: name, to: vault, lifetime: lifetime, client: client, at: now)
        return (token.id, try token.text())
    }

    /// The same for a secret that exists already.
    func addSlot(
        _ token: borrowing Token, name: String, to vault: OpenVault, lifetime: SlotLifetime,
        client: ClientGrantID? = nil,
        at now: Instant
    ) throws {
        guard try isCurrent(vault) else { throw VaultError.conflict }
        guard let kind = HolderKind(token.kind) else { throw VaultError.damaged("kind") }
        let salt = random.bytes(32)
        let derived = try token.derivedKey(salt: salt, vault: vault.id)
        let pair = try PrivateKey(random: random)
        let id = token.id
        let wrapped = try AEAD.wrap(
            vault.key, under: derived, Purpose.slotVaultKey(id, vault: vault.id, version: vault.version), random)
        let vaultKey = try outerSeal(minuteSeal(wrapped, kind, id, "vault_key"), "slot", id.bytes, "vault_key")
        try insertSlot(
            id, kind, name: name, person: vault.person, vault: vault.id, plugin: nil, salt: salt, pair: pair,
            derived: derived, vaultKey: vaultKey, vaultTag: try vault.tag(of: id, pair.publicKey), lifetime: lifetime,
            client: client, at: now)
    }

    func insertSlot(
        _ id: SlotID, _ kind: HolderKind, name: String, person: PersonID?, vault: VaultID?, plugin: PluginID?,
        salt: [UInt8], pair: borrowing PrivateKey, derived: borrowing Key<DerivedRole>, vaultKey: [UInt8]?,
        vaultTag: [UInt8]?, lifetime: SlotLifetime, client: ClientGrantID? = nil, origin: PersonKeyOrigin? = nil,
        at now: Instant
    ) throws {
        let wrapped = try pair.wrap(under: derived, Purpose.slotPrivate(id, kind: kind), random)
        let privateKey = try outerSeal(minuteSeal(wrapped, kind, id, "private_key"), "slot", id.bytes, "private_key")
        let tag = keys.tags.tag(Purpose.publicKey(of: "slot", id.bytes, try pair.publicKey))
        _ = try changed(
            """
            INSERT INTO slot (id, kind, name, person, vault, made_for, plugin, salt, public_key, public_tag, vault_tag,
                private_key, vault_key, vault_key_form, created_at_ms, signed_in_at_ms, last_used_at_ms, idle_limit_ms,
                expires_at_ms, client_grant, plugin_person, derived_from)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
            """,
            [
                id.blob, kind.rawValue, name, person?.blob, vault?.blob, vault?.blob, plugin?.blob, salt.blob,
                try pair.publicKey.bytes.blob, tag.blob, vaultTag?.blob, privateKey.blob, vaultKey?.blob,
                vaultKey.map { _ in "wrapped" },
                now.milliseconds, now.milliseconds, now.milliseconds, lifetime.idle,
                lifetime.absolute.map { now.milliseconds + $0 }, client?.blob, origin?.pair.blob, origin?.slot.blob,
            ])
        if kind == .recovery, let person { try noteProof(of: person) }
    }

    /// nil: unknown, expired, or the secret does not open it. Which of these is nobody's business.
    public func openSlot(_ token: borrowing Token, at now: Instant) throws -> OpenSlot? {
        guard let kind = HolderKind(token.kind) else { return nil }
        return try openSlot(token, kind, stored: kind.rawValue, at: now)
    }

    func openSlot(
        _ token: borrowing Token, _ kind: HolderKind, stored: String, at now: Instant
    ) throws -> OpenSlot? {
        let row = try row(
            """
            SELECT slot.kind, slot.name, slot.person, slot.vault, slot.made_for, slot.salt, slot.private_key,
                slot.vault_key, slot.vault_key_form, slot.signed_in_at_ms, slot.last_used_at_ms, slot.idle_limit_ms,
                slot.expires_at_ms, slot.client_grant, vault.key_version,
                EXISTS (SELECT 1 FROM slot AS before WHERE before.successor = slot.id) AS succeeds
            FROM slot JOIN vault ON vault.id = slot.vault WHERE slot.id = ?
            """, [token.id.blob])
        guard let row, row.text("kind") == stored else { return nil }
        if let expiry = row.optionalInstant("expires_at_ms"), expiry <= now { return nil }
        if let idle = row["idle_limit_ms"] as Int64?,
            row.instant("last_used_at_ms").milliseconds + idle <= now.milliseconds
        {
            return nil
        }
        let vault: VaultID = try row.id("vault")
        do {
            let derived = try token.derivedKey(salt: row.bytes("salt"), vault: row.optionalID("made_for"))
            let key = try openVaultKey(row, slot: token.id, vault: vault, kind: kind, derived: derived)
            let sealed = try sealedForm(row, slot: token.id, vault: vault, kind: kind, key: key, derived: derived)
            let client: ClientGrantID? = kind == .cli ? nil : row.optionalID("client_grant")
            // Tokens of a client come and go; what it asked under one of them is its own under the next.
            let caller: Key<DerivedRole>
            if let client {
                caller = try key.derive(
                    DerivedRole.self, label: "toolshed/v1/client-grant", context: client.bytes)
            } else {
                caller = derived
            }
            return OpenSlot(
                id: token.id, kind: kind, name: row.text("name"),
                vault: OpenVault(id: vault, person: try row.id("person"), version: row["key_version"], key: key),
                signedInAt: row.instant("signed_in_at_ms"), lastUsedAt: row.instant("last_used_at_ms"),
                derived: caller, sealed: sealed, client: client, succeeds: row["succeeds"])
        } catch EnvelopeError.doesNotOpen {
            return nil
        }
    }

    private func sealedForm(
        _ row: Row, slot: SlotID, vault: VaultID, kind: HolderKind, key: borrowing Key<VaultRole>,
        derived: borrowing Key<DerivedRole>
    ) throws -> SealedForm? {
        guard row.text("vault_key_form") == "sealed" else { return nil }
        let purpose = Purpose.slotVaultKey(slot, vault: vault, version: row["key_version"])
        let inner = try AEAD.wrap(key, under: derived, purpose, random)
        let wrapped = try outerSeal(minuteSeal(inner, kind, slot, "vault_key"), "slot", slot.bytes, "vault_key")
        return SealedForm(box: row.bytes("vault_key"), wrapped: wrapped)
    }

    private func openVaultKey(
        _ row: Row, slot: SlotID, vault: VaultID, kind: HolderKind, derived: borrowing Key<DerivedRole>
    ) throws -> Key<VaultRole> {
        let purpose = Purpose.slotVaultKey(slot, vault: vault, version: row["key_version"])
        let inner = try outerOpen(row.bytes("vault_key"), "slot", slot.bytes, "vault_key")
        if row.text("vault_key_form") == "wrapped" {
            let wrapped = try minuteOpen(inner, kind, slot, "vault_key")
            return try AEAD.unwrap(wrapped, as: VaultRole.self, under: derived, purpose)
        }
        let wrapped = try minuteOpen(
            outerOpen(row.bytes("private_key"), "slot", slot.bytes, "private_key"), kind, slot, "private_key")
        let pair = try PrivateKey.unwrap(wrapped, under: derived, Purpose.slotPrivate(slot, kind: kind))
        return try HPKE.openKey(inner, as: VaultRole.self, with: pair, info: purpose, purpose)
    }

    /// Moves the idle limit; at most once an hour, so that reading pages does not write.
    public func touchSlot(_ slot: OpenSlot, at now: Instant) throws {
        guard now.milliseconds - slot.lastUsedAt.milliseconds > 3_600_000 else { return }
        _ = try changed("UPDATE slot SET last_used_at_ms = ? WHERE id = ?", [now.milliseconds, slot.id.blob])
    }

    public func removeSlot(_ id: SlotID, of person: PersonID, kinds: [HolderKind]) throws -> Bool {
        let list = kinds.map { "'\($0.rawValue)'" }.joined(separator: ", ")
        return try changed(
            "DELETE FROM slot WHERE id = ? AND person = ? AND kind IN (\(list))", [id.blob, person.blob]) > 0
    }

    public func removeSlots(of kind: HolderKind, in vault: VaultID) throws {
        _ = try changed("DELETE FROM slot WHERE vault = ? AND kind = ?", [vault.blob, kind.rawValue])
    }

    /// Oldest first; nil: of whichever vault.
    public func slots(
        of person: PersonID, kind: HolderKind, in vault: VaultID? = nil, at now: Instant
    ) throws -> [SlotSummary] {
        try rows(
            """
            SELECT id, kind, name, created_at_ms, last_used_at_ms FROM slot
            WHERE person = ?1 AND kind = ?2 AND (expires_at_ms IS NULL OR expires_at_ms > ?3)
                AND (idle_limit_ms IS NULL OR last_used_at_ms + idle_limit_ms > ?3) AND (?4 IS NULL OR vault = ?4)
            ORDER BY created_at_ms, id
            """, [person.blob, kind.rawValue, now.milliseconds, vault?.blob]
        ).map {
            SlotSummary(
                id: try $0.id("id"), kind: kind, name: $0.text("name"), createdAt: $0.instant("created_at_ms"),
                lastUsedAt: $0.instant("last_used_at_ms"))
        }
    }

    public func hasRecoveryCode(_ vault: VaultID) throws -> Bool {
        try row("SELECT 1 FROM slot WHERE vault = ? AND kind = 'recovery' LIMIT 1", [vault.blob]) != nil
    }

    // The layer of the minute, for holders that live no longer.

    func minuteSeal(
        _ inner: [UInt8], _ kind: HolderKind, _ slot: SlotID, _ column: StaticString
    ) throws -> [UInt8] {
        guard kind.livesForMinutes else { return inner }
        return try keys.minute.seal(inner, Purpose.minute("slot", slot, column), random)
    }

    func minuteOpen(
        _ box: [UInt8], _ kind: HolderKind, _ slot: SlotID, _ column: StaticString
    ) throws -> [UInt8] {
        guard kind.livesForMinutes else { return box }
        return try keys.minute.open(box, Purpose.minute("slot", slot, column))
    }

    // The outer layer, for every wrapped form.

    func outerSeal(_ inner: [UInt8], _ table: StaticString, _ row: [UInt8], _ column: StaticString) throws -> [UInt8] {
        try keys.outer.seal(inner, table: table, row: row, column: column, random)
    }

    func outerOpen(_ box: [UInt8], _ table: StaticString, _ row: [UInt8], _ column: StaticString) throws -> [UInt8] {
        try keys.outer.open(box, table: table, row: row, column: column)
    }
}
