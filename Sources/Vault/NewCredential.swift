import Encoding
import Envelope
import GRDB
import OAuth
import Secrets

/// What a consent brought: a credential to be stored under a fresh connection key.
public struct Grant: Sendable {
    public var provider: ProviderID
    public var credential: Credential
    public var scopes: ScopeSet
    public var obtainedAt: Instant
    public var expiresAt: Instant?
    public var refreshExpiresAt: Instant?
    public var nextRefreshAt: Instant?

    public init(
        provider: ProviderID, credential: Credential, scopes: ScopeSet, obtainedAt: Instant, expiresAt: Instant?,
        refreshExpiresAt: Instant?, nextRefreshAt: Instant?
    ) {
        self.provider = provider
        self.credential = credential
        self.scopes = scopes
        self.obtainedAt = obtainedAt
        self.expiresAt = expiresAt
        self.refreshExpiresAt = refreshExpiresAt
        self.nextRefreshAt = nextRefreshAt
    }
}

/// Where a credential goes: a vault that this request has open, or one that can only be written to.
public enum Destination: Sendable {
    case open(OpenVault)
    case locked(VaultID)

    public var id: VaultID {
        switch self {
        case .open(let vault): vault.id
        case .locked(let id): id
        }
    }
}

extension Rows {
    /// A first connection, or a further one of another account. `mayBeKnown`: whose account it is shows when the vault
    /// opens, and if that one is here already the two are united.
    public func insert(
        _ grant: Grant, into destination: Destination, of person: PersonID, status: ConnectionStatus,
        as id: ConnectionID? = nil, mayBeKnown: Bool = true
    ) throws -> ConnectionID {
        let destination = try current(destination)
        let id = id ?? random.id()
        let key = try Key<ConnectionRole>(random: random)
        let credential = try seal(
            withNewLogKey(grant.credential, of: id, person, in: destination, at: grant.obtainedAt), under: key,
            Purpose.credential(
                id, vault: destination.id, person: person, provider: grant.provider.json, generation: 1))
        let (vaultKey, form) = try give(key, of: id, version: 1, to: destination)
        _ = try changed(
            """
            INSERT INTO connection (id, vault, person, provider, status, scopes, is_default, generation, key_version,
                credential, vault_key, vault_key_form, account_tag, obtained_at_ms, expires_at_ms,
                refresh_expires_at_ms, refreshable, created_at_ms, next_refresh_at_ms, merge_pending)
            VALUES (?, ?, ?, ?, ?, ?, 0, 1, 1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
            """,
            [
                id.blob, destination.id.blob, person.blob, grant.provider.json, status.rawValue, grant.scopes.text,
                credential.blob, vaultKey.blob, form.rawValue,
                try tag(grant, in: destination)?.blob, grant.obtainedAt.milliseconds, grant.expiresAt?.milliseconds,
                grant.refreshExpiresAt?.milliseconds, grant.credential.refreshToken != nil,
                grant.obtainedAt.milliseconds, grant.nextRefreshAt?.milliseconds,
                mayBeKnown && form == .sealed && !grant.credential.accountID.isEmpty,
            ])
        return id
    }

    /// The same account consented again: the connection keeps its id and gets a new key, which goes to the vault, to
    /// the service if the person opted in, and to the plugins whose approval still covers the token. The old key is
    /// not needed for any of it. `isPaused`: so the person wants it, whatever they had approved before.
    public func replace(
        _ connection: Connection, with grant: Grant, in destination: Destination, isPaused: Bool = false,
        covers: (_ approved: ScopeSet, _ token: ScopeSet) -> Bool
    ) throws {
        let destination = try current(destination)
        guard destination.id == connection.vault else { throw VaultError.conflict }
        let key = try Key<ConnectionRole>(random: random)
        let version = connection.keyVersion + 1
        let generation = connection.generation + 1
        let credential = try seal(
            withNewLogKey(
                grant.credential, of: connection.id, connection.person, in: destination, at: grant.obtainedAt),
            under: key,
            Purpose.credential(
                connection.id, vault: destination.id, person: connection.person, provider: grant.provider.json,
                generation: generation))
        let (vaultKey, form) = try give(key, of: connection.id, version: version, to: destination)
        let serviceKey = try connection.background ? sealToService(key, of: connection.id, version: version) : nil
        let done = try changed(
            """
            UPDATE connection SET status = ?, scopes = ?, generation = ?, key_version = ?, credential = ?,
                vault_key = ?, vault_key_form = ?, service_key = ?, account_tag = coalesce(?, account_tag),
                obtained_at_ms = ?, expires_at_ms = ?, refresh_expires_at_ms = ?, refreshable = ?,
                next_refresh_at_ms = ?, rekey_pending = 0, renew_pending = 0, intent = 'none', lease_owner = NULL, lease_until_ms = NULL,
                failures = 0, not_before_ms = NULL, last_code = NULL
            WHERE id = ? AND generation = ? AND key_version = ?
            """,
            [
                (isPaused ? ConnectionStatus.paused : .active).rawValue, grant.scopes.text, generation, version,
                credential.blob, vaultKey.blob, form.rawValue,
                serviceKey?.blob, try tag(grant, in: destination)?.blob, grant.obtainedAt.milliseconds,
                grant.expiresAt?.milliseconds, grant.refreshExpiresAt?.milliseconds,
                grant.credential.refreshToken != nil, grant.nextRefreshAt?.milliseconds, connection.id.blob,
                connection.generation, connection.keyVersion,
            ])
        guard done == 1 else { throw VaultError.conflict }
        try giveToPlugins(key, of: connection.id, version: version, token: grant.scopes, covers: covers)
    }

    /// A new key for a connection whose credential stays: after a plugin was withdrawn, or background refresh ended.
    public func rekey(
        _ connection: Connection, with vault: OpenVault, background: Bool, at now: Instant,
        covers: (_ approved: ScopeSet, _ token: ScopeSet) -> Bool
    ) throws {
        guard try isCurrent(vault) else { throw VaultError.conflict }
        let credential = try openCredential(of: connection, with: openKey(of: connection, with: vault))
        try transfer(connection, credential, to: vault, background: background, at: now, covers: covers)
    }

    /// Gives the service the connection's key: the keeper may then refresh it while nobody is there.
    public func switchBackgroundOn(_ connection: Connection, with vault: OpenVault) throws {
        let key = try openKey(of: connection, with: vault)
        let sealed = try sealToService(key, of: connection.id, version: connection.keyVersion)
        let done = try changed(
            "UPDATE connection SET background = 1, service_key = ? WHERE id = ? AND key_version = ?",
            [sealed.blob, connection.id.blob, connection.keyVersion])
        guard done == 1 else { throw VaultError.conflict }
    }

    func seal(
        _ credential: Credential, under key: borrowing Key<ConnectionRole>, _ purpose: AssociatedData
    ) throws -> [UInt8] {
        // A borrowed key cannot be captured by the closure that has the plaintext, so the bytes come out sealed here.
        var sealed: [UInt8] = []
        let copy = try key.copy()
        try credential.withEncoded { sealed = try AEAD.seal($0, under: copy, purpose, random) }
        return sealed
    }

    func give(
        _ key: borrowing Key<ConnectionRole>, of connection: ConnectionID, version: Int64, to destination: Destination
    ) throws -> ([UInt8], KeyForm) {
        let purpose = Purpose.connectionKey(connection, vault: destination.id, version: version)
        let (box, form) = try give(key, to: destination, purpose)
        return (try outerSeal(box, "connection", connection.bytes, "vault_key"), form)
    }

    /// Wrapped where the vault is open, sealed to its public key where it is not.
    func give<Role>(
        _ key: borrowing Key<Role>, to destination: Destination, _ purpose: AssociatedData
    ) throws -> ([UInt8], KeyForm) {
        switch destination {
        case .open(let vault): return (try AEAD.wrap(key, under: vault.key, purpose, random), .wrapped)
        case .locked(let vault):
            guard let row = try row("SELECT public_key, public_tag FROM vault WHERE id = ?", [vault.blob]) else {
                throw VaultError.conflict
            }
            let publicKey = try trusted(row.bytes("public_key"), tag: row.bytes("public_tag"), "vault", vault.bytes)
            return (try HPKE.sealKey(key, to: publicKey, info: purpose, purpose, keyID: 0, random), .sealed)
        }
    }

    /// A public key that someone else put into the row would be given our keys: only a tagged one is sealed to.
    func trusted(_ bytes: [UInt8], tag: [UInt8], _ holder: StaticString, _ id: [UInt8]) throws -> PublicKey {
        guard let key = PublicKey(bytes: bytes), keys.tags.matches(tag, Purpose.publicKey(of: holder, id, key)) else {
            throw VaultError.damaged("public_key")
        }
        return key
    }

    func sealToService(
        _ key: borrowing Key<ConnectionRole>, of connection: ConnectionID, version: Int64
    ) throws -> [UInt8] {
        let purpose = Purpose.serviceKey(connection, version: version)
        return try HPKE.sealKey(
            key, to: keys.servicePublic.key, info: purpose, purpose, keyID: keys.servicePublic.id, random)
    }

    private func tag(_ grant: Grant, in destination: Destination) throws -> [UInt8]? {
        guard case .open(let vault) = destination, !grant.credential.accountID.isEmpty else { return nil }
        return try accountTag(provider: grant.provider, accountID: grant.credential.accountID, in: vault)
    }
}
