import Encoding
import Envelope
import GRDB
import OAuth
import Secrets

public enum ConnectionStatus: String, CaseIterable, Sendable {
    case active
    /// Stored, but not the account that was expected: waits for the person's Keep.
    case unused
    case paused
    /// The provider no longer honours the grant: a person must consent again.
    case reauthorize
}

/// What a connection's row says in the clear.
public struct Connection: Sendable {
    public let id: ConnectionID
    public let vault: VaultID
    public let person: PersonID
    public let provider: ProviderID
    public let status: ConnectionStatus
    public let scopes: ScopeSet
    public let isDefault: Bool
    public let generation: Int64
    public let expiresAt: Instant?
    public let refreshExpiresAt: Instant?
    public let obtainedAt: Instant
    public let refreshable: Bool
    public let background: Bool
    public let rekeyPending: Bool
    public let createdAt: Instant
    public let lastUsedAt: Instant?
    public let lastUsedBy: String?
    let keyVersion: Int64
    let credential: [UInt8]
    let vaultKey: [UInt8]
    let vaultKeyForm: KeyForm
    let serviceKey: [UInt8]?
    let accountTag: [UInt8]?
    /// The better connection of the same account: this one is kept until that one has vended.
    public let supersededBy: ConnectionID?
    /// Somebody may know its tokens; new ones are asked for as soon as it can be.
    public let renewPending: Bool
    /// A refresh was begun and not yet judged: its refresh token may be spent.
    public let isUnderWay: Bool

    init(_ row: Row) throws {
        id = try row.id("id")
        vault = try row.id("vault")
        person = try row.id("person")
        provider = try row.provider("provider")
        status = try row.state("status")
        scopes = row.scopes("scopes")
        isDefault = row["is_default"]
        generation = row["generation"]
        expiresAt = row.optionalInstant("expires_at_ms")
        refreshExpiresAt = row.optionalInstant("refresh_expires_at_ms")
        obtainedAt = row.instant("obtained_at_ms")
        refreshable = row["refreshable"]
        background = row["background"]
        rekeyPending = row["rekey_pending"]
        createdAt = row.instant("created_at_ms")
        lastUsedAt = row.optionalInstant("last_used_at_ms")
        lastUsedBy = row["last_used_by"]
        keyVersion = row["key_version"]
        credential = row.bytes("credential")
        vaultKey = row.bytes("vault_key")
        vaultKeyForm = try row.state("vault_key_form")
        serviceKey = row.optionalBytes("service_key")
        accountTag = row.optionalBytes("account_tag")
        supersededBy = row.optionalID("superseded_by")
        renewPending = row["renew_pending"]
        isUnderWay = row.text("intent") != "none"
    }

    static let columns = """
        connection.id, connection.vault, connection.person, connection.provider, connection.status, connection.scopes,
        connection.is_default, connection.generation, connection.expires_at_ms, connection.refresh_expires_at_ms,
        connection.obtained_at_ms, connection.refreshable, connection.background, connection.rekey_pending,
        connection.created_at_ms, connection.last_used_at_ms, connection.last_used_by, connection.key_version,
        connection.credential, connection.vault_key, connection.vault_key_form, connection.service_key,
        connection.account_tag, connection.superseded_by, connection.renew_pending, connection.intent
        """

    var credentialPurpose: AssociatedData {
        Purpose.credential(id, vault: vault, person: person, provider: provider.json, generation: generation)
    }
}

/// A key reached its holder either wrapped under a symmetric key, or sealed to a public key while the holder was away.
enum KeyForm: String, Sendable { case wrapped, sealed }

extension Rows {
    public func connection(_ id: ConnectionID) throws -> Connection? {
        try row("SELECT \(Connection.columns) FROM connection WHERE id = ?", [id.blob]).map(Connection.init)
    }

    public func connections(of person: PersonID) throws -> [Connection] {
        try rows(
            "SELECT \(Connection.columns) FROM connection WHERE person = ? ORDER BY created_at_ms, id", [person.blob]
        ).map(Connection.init)
    }

    /// Oldest first, from after `after`: as many as a page shows, however many there are.
    public func connections(of person: PersonID, after: ConnectionCursor?, limit: Int) throws -> [Connection] {
        let from = after ?? ConnectionCursor(createdAt: Instant(milliseconds: .min), id: nil)
        return try rows(
            """
            SELECT \(Connection.columns) FROM connection
            WHERE person = ?1 AND created_at_ms >= ?2 AND (created_at_ms > ?2 OR id > ?3)
            ORDER BY created_at_ms, id LIMIT ?4
            """, [person.blob, from.createdAt.milliseconds, from.id?.blob, limit]
        ).map(Connection.init)
    }

    public func connections(in vault: VaultID, provider: ProviderID) throws -> [Connection] {
        try rows(
            """
            SELECT \(Connection.columns) FROM connection WHERE vault = ? AND provider = ? AND status != 'unused'
            ORDER BY is_default DESC, created_at_ms, id
            """, [vault.blob, provider.json]
        ).map(Connection.init)
    }

    /// The connection key, for a vault that is open. A form sealed to the vault is replaced by the wrap when `writing`.
    public func openKey(of connection: Connection, with vault: OpenVault) throws -> Key<ConnectionRole> {
        guard connection.vault == vault.id else { throw VaultError.envelope(.doesNotOpen) }
        let purpose = Purpose.connectionKey(connection.id, vault: vault.id, version: connection.keyVersion)
        let inner = try outerOpen(connection.vaultKey, "connection", connection.id.bytes, "vault_key")
        switch connection.vaultKeyForm {
        case .wrapped: return try AEAD.unwrap(inner, as: ConnectionRole.self, under: vault.key, purpose)
        case .sealed:
            return try HPKE.openKey(
                inner, as: ConnectionRole.self, with: try openPrivateKey(of: vault), info: purpose, purpose)
        }
    }

    /// After the first opening of a sealed form: no later request pays for a public-key operation. An update that
    /// finds nothing lost a race, and the winner's form is as good.
    public func wrapKey(_ key: borrowing Key<ConnectionRole>, of connection: Connection, under vault: OpenVault) throws
    {
        guard connection.vaultKeyForm == .sealed else { return }
        let purpose = Purpose.connectionKey(connection.id, vault: vault.id, version: connection.keyVersion)
        let wrapped = try outerSeal(
            AEAD.wrap(key, under: vault.key, purpose, random), "connection", connection.id.bytes, "vault_key")
        _ = try changed(
            "UPDATE connection SET vault_key = ?, vault_key_form = 'wrapped' WHERE id = ? AND vault_key = ?",
            [wrapped.blob, connection.id.blob, connection.vaultKey.blob])
    }

    func openPrivateKey(of vault: OpenVault) throws -> PrivateKey {
        guard let row = try row("SELECT private_key FROM vault WHERE id = ?", [vault.id.blob]) else {
            throw VaultError.conflict
        }
        let wrapped = try outerOpen(row.bytes("private_key"), "vault", vault.id.bytes, "private_key")
        return try PrivateKey.unwrap(wrapped, under: vault.key, Purpose.vaultPrivate(vault.id, version: vault.version))
    }

    public func openCredential(of connection: Connection, with key: borrowing Key<ConnectionRole>) throws -> Credential
    {
        try Credential(decoding: AEAD.open(connection.credential, under: key, connection.credentialPurpose))
    }

    public func removeConnection(_ id: ConnectionID, of person: PersonID, at now: Instant) throws -> Bool {
        guard let connection = try connection(id), connection.person == person else { return false }
        try note(.connection(at: connection.provider), by: person, at: now)
        // With it what was kept of the same account in case this one would not do.
        for row in try rows("SELECT id FROM connection WHERE superseded_by = ?", [id.blob]) {
            try drop(row.id("id"), at: now)
        }
        try drop(id, at: now)
        return true
    }

    /// What was recorded of it stays, and its log keys with it.
    func drop(_ id: ConnectionID, at now: Instant) throws {
        try endLogKeys(of: id, at: now)
        _ = try changed("DELETE FROM connection WHERE id = ?", [id.blob])
    }

    public func setStatus(_ status: ConnectionStatus, of id: ConnectionID) throws {
        _ = try changed("UPDATE connection SET status = ? WHERE id = ?", [status.rawValue, id.blob])
    }

    /// "The same account again", told without storing anything that could be compared without the vault.
    public func accountTag(provider: ProviderID, accountID: String, in vault: OpenVault) throws -> [UInt8] {
        let key = try vault.key.derive(TagRole.self, label: "toolshed/v1/account", context: vault.id.bytes)
        return key.tag(Purpose.account(provider: provider.json, id: accountID))
    }

    /// An account's name as a request gives it, comparable only with the vault open.
    public func namedAccountTag(provider: ProviderID, name: String, in vault: OpenVault) throws -> [UInt8] {
        let key = try vault.key.derive(TagRole.self, label: "toolshed/v1/account-name", context: vault.id.bytes)
        return key.tag(Purpose.account(provider: provider.json, id: name))
    }
}

/// Where a page of connections ended. It holds when that connection is gone by the next page.
public struct ConnectionCursor: Sendable {
    public let createdAt: Instant
    let id: ConnectionID?

    init(createdAt: Instant, id: ConnectionID?) { (self.createdAt, self.id) = (createdAt, id) }

    public init?(parsing text: String) {
        let parts = text.split(separator: ".", maxSplits: 1).map(String.init)
        guard parts.count == 2, let at = Int64(parts[0]), let id = ConnectionID(parsing: parts[1]) else { return nil }
        self.init(createdAt: Instant(milliseconds: at), id: id)
    }

    public var text: String { "\(createdAt.milliseconds).\(id?.text ?? "")" }
}

extension Connection {
    public var cursor: ConnectionCursor { ConnectionCursor(createdAt: createdAt, id: id) }

    /// The row has not moved since it was read.
    public func isSame(as other: Connection) -> Bool {
        generation == other.generation && keyVersion == other.keyVersion && status == other.status
    }

    public func isAccount(_ tag: [UInt8]) -> Bool { accountTag == tag }
    public var hasUnknownAccount: Bool { accountTag == nil }
}

extension Rows {
    /// At most one default per vault and provider.
    public func setDefault(_ isDefault: Bool, _ id: ConnectionID, of person: PersonID) throws -> Bool {
        guard let connection = try connection(id), connection.person == person, connection.status != .unused else {
            return false
        }
        if isDefault {
            _ = try changed(
                "UPDATE connection SET is_default = 0 WHERE vault = ? AND provider = ?",
                [connection.vault.blob, connection.provider.json])
        }
        _ = try changed("UPDATE connection SET is_default = ? WHERE id = ?", [isDefault, id.blob])
        return true
    }
}

extension Rows {
    /// Vended to nobody and not renewed until it is resumed. What waits for a person already is not paused on top.
    public func setPaused(_ isPaused: Bool, _ connection: Connection, at now: Instant) throws -> Bool {
        if isPaused { try note(.use(of: connection.id), by: connection.person, at: now) }
        let (from, to): (ConnectionStatus, ConnectionStatus) = isPaused ? (.active, .paused) : (.paused, .active)
        guard connection.status != to else { return true }
        return try changed(
            "UPDATE connection SET status = ? WHERE id = ? AND status = ?",
            [to.rawValue, connection.id.blob, from.rawValue]) == 1
    }

    /// What the person calls it; empty for nothing.
    public func setLabel(_ label: String, of connection: Connection, with vault: OpenVault) throws {
        let key = try openKey(of: connection, with: vault)
        var credential = try openCredential(of: connection, with: key)
        credential.label = label
        let sealed = try seal(credential, under: key, connection.credentialPurpose)
        let done = try changed(
            "UPDATE connection SET credential = ? WHERE id = ? AND generation = ? AND key_version = ?",
            [sealed.blob, connection.id.blob, connection.generation, connection.keyVersion])
        guard done == 1 else { throw VaultError.conflict }
    }

    /// Whether the provider may be asked about this connection's token again: once a minute, six times an hour. Counts.
    public func mayCheck(_ id: ConnectionID, at now: Instant) throws -> Bool {
        let minute = now.milliseconds - 60_000
        let hour = now.milliseconds - 3_600_000
        return try changed(
            """
            UPDATE connection SET checked_at_ms = ?1,
                checks = CASE WHEN checks_since_ms IS NULL OR checks_since_ms <= ?3 THEN 1 ELSE checks + 1 END,
                checks_since_ms = CASE WHEN checks_since_ms IS NULL OR checks_since_ms <= ?3 THEN ?1 ELSE checks_since_ms END
            WHERE id = ?4 AND (checked_at_ms IS NULL OR checked_at_ms <= ?2)
                AND (checks < 6 OR checks_since_ms IS NULL OR checks_since_ms <= ?3)
            """, [now.milliseconds, minute, hour, id.blob]) == 1
    }

    /// The provider refused this generation's token and there is nothing to renew it with.
    public func markRefused(_ id: ConnectionID, generation: Int64) throws {
        let isMarked = try changed(
            "UPDATE connection SET status = 'reauthorize' WHERE id = ? AND generation = ? AND status = 'active'",
            [id.blob, generation])
        if isMarked == 1 { try standIn(for: id) }
    }
}
