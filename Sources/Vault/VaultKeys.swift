import Encoding
import Envelope
import GRDB
import OAuth
import Secrets

// A vault's key may be replaced, and a vault may become part of another one, while a request has it open. Whoever
// writes with an open vault asks here first, in the same transaction.

/// Whether what was approved covers what a token of this provider carries.
public typealias Coverage = @Sendable (_ provider: ProviderID, _ approved: ScopeSet, _ token: ScopeSet) -> Bool

extension OpenVault {
    /// What stands beside a slot's public key, so that nobody without the vault can have its key sealed to a key of
    /// their own, not even with `ENCRYPTION_KEY`.
    func tag(of slot: SlotID, _ publicKey: PublicKey) throws -> [UInt8] {
        try key.derive(TagRole.self, label: "toolshed/v1/holders", context: id.bytes)
            .tag(Purpose.publicKey(of: "slot", slot.bytes, publicKey))
    }
}

extension Rows {
    /// The key at hand is still the vault's, and the vault still one of its own.
    public func isCurrent(_ vault: OpenVault) throws -> Bool {
        try row(
            "SELECT 1 FROM vault WHERE id = ? AND key_version = ? AND merged_into IS NULL",
            [vault.id.blob, vault.version]) != nil
    }

    /// Where something for this vault goes now: to the one that it has become part of, and sealed where the key at hand
    /// is no longer the vault's. What a provider issued must not be lost because a vault changed meanwhile.
    public func current(_ destination: Destination) throws -> Destination {
        let row = try row("SELECT key_version, merged_into FROM vault WHERE id = ?", [destination.id.blob])
        guard let row else { throw VaultError.conflict }
        if let target: VaultID = row.optionalID("merged_into") { return .locked(target) }
        if case .open(let vault) = destination, vault.version != row["key_version"] as Int64 {
            return .locked(vault.id)
        }
        return destination
    }

    /// First use by this holder: the sealed form gives way to the wrap, so that no later request does a public-key
    /// operation. Never an insert; a row that moved meanwhile is as good.
    public func wrapVaultKey(of slot: OpenSlot) throws {
        guard let sealed = slot.sealed else { return }
        _ = try changed(
            "UPDATE slot SET vault_key = ?, vault_key_form = 'wrapped' WHERE id = ? AND vault_key = ?",
            [sealed.wrapped.blob, slot.id.blob, sealed.box.blob])
    }

    /// Gives every holder of `old` the key of `new`, each sealed to its public key: they need not be there, and of which
    /// kind they are makes no difference. A holder whose public key does not bear the marks of `old` gets nothing.
    /// Returns how many did not.
    func giveHolders(of old: OpenVault, keyOf new: OpenVault) throws -> Int {
        let slots = try rows(
            "SELECT id, public_key, public_tag, vault_tag FROM slot WHERE vault = ?", [old.id.blob])
        var left = 0
        for row in slots {
            let id: SlotID = try row.id("id")
            do {
                try giveHolder(id, row, of: old, keyOf: new)
            } catch VaultError.damaged, EnvelopeError.weakPublicKey {
                left += 1
                // Its old box stays: the holder can show who it is, and finds the vault locked.
                _ = try changed("UPDATE slot SET vault = ? WHERE id = ?", [new.id.blob, id.blob])
            }
        }
        return left
    }

    private func giveHolder(_ id: SlotID, _ row: Row, of old: OpenVault, keyOf new: OpenVault) throws {
        let publicKey = try trusted(row.bytes("public_key"), tag: row.bytes("public_tag"), "slot", id.bytes)
        guard constantTimeEquals(row.bytes("vault_tag"), try old.tag(of: id, publicKey)) else {
            throw VaultError.damaged("vault_tag")
        }
        try give(keyOf: new, to: id, publicKey)
    }

    func give(keyOf vault: OpenVault, to slot: SlotID, _ publicKey: PublicKey) throws {
        let purpose = Purpose.slotVaultKey(slot, vault: vault.id, version: vault.version)
        let sealed = try outerSeal(
            HPKE.sealKey(vault.key, to: publicKey, info: purpose, purpose, keyID: 0, random), "slot", slot.bytes,
            "vault_key")
        _ = try changed(
            "UPDATE slot SET vault = ?, vault_key = ?, vault_key_form = 'sealed', vault_tag = ? WHERE id = ?",
            [vault.id.blob, sealed.blob, try vault.tag(of: slot, publicKey).blob, slot.blob])
    }
}

// MARK: A new vault key

/// What became of a vault whose key somebody else may have.
public struct Rekeyed: Sendable {
    public let vault: OpenVault
    /// Connections that did not open even before: they stay as they were.
    public let damaged: Int
    /// Holders that could not be given the new key.
    public let left: Int
}

extension Rows {
    /// A new vault key, a new vault key pair and a new key for every connection, given to all who hold the vault now:
    /// whoever was lost is removed before. One transaction, so there is no state in which some of it is old. What can be
    /// renewed is marked: the tokens themselves may be known.
    public func replaceKey(of vault: OpenVault, covers: Coverage, at now: Instant) throws -> Rekeyed {
        guard try isCurrent(vault) else { throw VaultError.conflict }
        let version = vault.version + 1
        let key = try Key<VaultRole>(random: random)
        let pair = try PrivateKey(random: random)
        let publicKey = try pair.publicKey
        let privateKey = try outerSeal(
            pair.wrap(under: key, Purpose.vaultPrivate(vault.id, version: version), random), "vault", vault.id.bytes,
            "private_key")
        let new = OpenVault(id: vault.id, person: vault.person, version: version, key: key)
        // Opened with the old pair, so before that one is gone.
        let opened = try connections(in: vault.id).map { ($0, try openWhole($0, with: vault)) }
        try moveLogKeys(of: vault, to: new)
        _ = try changed(
            """
            UPDATE vault SET key_version = ?, public_key = ?, public_tag = ?, private_key = ?, rekey_pending = 0
            WHERE id = ?
            """,
            [
                version, publicKey.bytes.blob,
                keys.tags.tag(Purpose.publicKey(of: "vault", vault.id.bytes, publicKey)).blob, privateKey.blob,
                vault.id.blob,
            ])
        for case (let connection, let credential?) in opened {
            try transfer(connection, credential, to: new, background: connection.background, at: now) {
                covers(connection.provider, $0, $1)
            }
        }
        let left = try giveHolders(of: vault, keyOf: new)
        try markForRenewal("vault = ?", [vault.id.blob], at: now)
        // Its key is in none of them any more, and whoever was given the one before has been given nothing.
        _ = try changed("DELETE FROM link_given WHERE vault = ?", [vault.id.blob])
        _ = try changed(
            "DELETE FROM link WHERE status != 'accepted' AND (from_vault = ?1 OR to_vault = ?1)", [vault.id.blob])
        return Rekeyed(vault: new, damaged: opened.count { $0.1 == nil }, left: left)
    }

    /// The tokens of these connections are to be renewed at the provider as soon as it can be done.
    func markForRenewal(_ condition: String, _ arguments: StatementArguments, at now: Instant) throws {
        _ = try changed(
            """
            UPDATE connection SET renew_pending = 1, not_before_ms = NULL, next_refresh_at_ms = \(now.milliseconds)
            WHERE refreshable = 1 AND status IN ('active', 'paused') AND \(condition)
            """, arguments)
    }

    public func markForRenewal(_ connections: [ConnectionID], at now: Instant) throws {
        for id in connections { try markForRenewal("id = ?", [id.blob], at: now) }
    }

    /// nil: it does not open.
    public func accountName(of connection: Connection, in vault: OpenVault) throws -> String? {
        guard connection.vault == vault.id else { return nil }
        return try openWhole(connection, with: vault)?.accountLabel
    }

    /// Tells whether a refresh brought another refresh token, without handing either around.
    public func refreshTokenHash(of connection: Connection, in vault: OpenVault) throws -> [UInt8]? {
        guard connection.vault == vault.id else { return nil }
        return try openWhole(connection, with: vault)?.refreshToken.map { $0.withUnsafeBytes { sha256($0) } }
    }

    /// nil: it does not open, and did not before.
    func openWhole(_ connection: Connection, with vault: OpenVault) throws -> Credential? {
        do {
            return try openCredential(of: connection, with: openKey(of: connection, with: vault))
        } catch EnvelopeError.doesNotOpen, EnvelopeError.malformed, EnvelopeError.unknownFormat {
            return nil
        }
    }

    /// The same credential under a new connection key, in this vault: the one that it was in, or another.
    func transfer(
        _ connection: Connection, _ credential: Credential, to vault: OpenVault, background: Bool, at now: Instant,
        covers: (_ approved: ScopeSet, _ token: ScopeSet) -> Bool
    ) throws {
        let key = try Key<ConnectionRole>(random: random)
        let version = connection.keyVersion + 1
        let sealed = try seal(
            withNewLogKey(credential, of: connection.id, connection.person, in: .open(vault), at: now), under: key,
            Purpose.credential(
                connection.id, vault: vault.id, person: connection.person, provider: connection.provider.json,
                generation: connection.generation))
        let (vaultKey, form) = try give(key, of: connection.id, version: version, to: .open(vault))
        let serviceKey = try background ? sealToService(key, of: connection.id, version: version) : nil
        let tag =
            credential.accountID.isEmpty
            ? nil : try accountTag(provider: connection.provider, accountID: credential.accountID, in: vault)
        let done = try changed(
            """
            UPDATE connection SET vault = ?, key_version = ?, credential = ?, vault_key = ?, vault_key_form = ?,
                service_key = ?, background = ?, account_tag = ?, rekey_pending = 0
            WHERE id = ? AND generation = ? AND key_version = ?
            """,
            [
                vault.id.blob, version, sealed.blob, vaultKey.blob, form.rawValue, serviceKey?.blob, background,
                tag?.blob, connection.id.blob, connection.generation, connection.keyVersion,
            ])
        guard done == 1 else { throw VaultError.conflict }
        try giveToPlugins(key, of: connection.id, version: version, token: connection.scopes, covers: covers)
    }
}

// MARK: What is to be done when a vault opens

/// What could not be done while the vault was closed.
public struct Unsettled: Sendable {
    /// A holder was lost.
    public let vault: Bool
    /// A plugin was taken out.
    public let rekey: [Connection]
    /// A consent came back while nobody had the vault open: whose account it is shows only now.
    public let merge: [Connection]
    /// Its tokens are to be renewed at the provider.
    public let renew: [Connection]

    public var isEmpty: Bool { !vault && rekey.isEmpty && merge.isEmpty && renew.isEmpty }
}

extension Rows {
    /// Of very many some at a time, so that no request waits for all of them.
    private static let settledAtOnce = 20

    /// Two look-ups in indexes that are nearly always empty.
    public func unsettled(in vault: VaultID) throws -> Unsettled {
        let marked = try row("SELECT rekey_pending FROM vault WHERE id = ?", [vault.blob])
        let found = try rows(
            """
            SELECT \(Connection.columns), connection.merge_pending FROM connection
            WHERE vault = ? AND (rekey_pending = 1 OR merge_pending = 1 OR renew_pending = 1)
            LIMIT \(Self.settledAtOnce)
            """, [vault.blob])
        func those(_ column: String) throws -> [Connection] {
            try found.filter { $0[column] as Bool }.map(Connection.init)
        }
        return Unsettled(
            vault: marked.map { $0["rekey_pending"] as Bool } ?? false, rekey: try those("rekey_pending"),
            merge: try those("merge_pending"), renew: try those("renew_pending"))
    }

    /// A holder of whatever kind; of an OAuth client all that it was ever given. Throws when it is gone already. Returns the
    /// vaults whose keys it had, its own and those that were offered to it, which are marked for new ones.
    @discardableResult
    public func removeLost(_ slot: SlotID, _ passkey: PasskeyID?, of person: PersonID) throws -> Set<VaultID> {
        guard let own = try holder(slot, of: person)?.vault else { throw VaultError.conflict }
        let given: [VaultID] = try rows("SELECT vault FROM link_given WHERE slot = ?", [slot.blob])
            .map { try $0.id("vault") }
        let opened = Set(given + [own])
        for vault in opened { try markForRekey(vault, of: person) }
        if let passkey { _ = try removePasskey(passkey, of: person) }
        try removeHolder(slot)
        return opened
    }

    /// Somebody who holds this vault's key was lost, and it is not open here: the new key is made when it is.
    public func markForRekey(_ vault: VaultID, of person: PersonID) throws {
        _ = try changed("UPDATE vault SET rekey_pending = 1 WHERE id = ? AND person = ?", [vault.blob, person.blob])
    }

    public func connections(in vault: VaultID) throws -> [Connection] {
        try rows(
            "SELECT \(Connection.columns) FROM connection WHERE vault = ? ORDER BY created_at_ms, id", [vault.blob]
        ).map(Connection.init)
    }
}
