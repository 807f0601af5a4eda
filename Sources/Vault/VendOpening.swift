import Encoding
import Envelope
import GRDB
import OAuth
import Secrets

/// A caller of vend whose secret opened its slot.
public enum OpenCaller: Sendable {
    case holder(OpenSlot)
    case plugin(OpenPlugin)
    /// Known, and its slot no longer opens the vault.
    case locked(LockedSlot)

    public var derived: Key<DerivedRole> {
        _read {
            switch self {
            case .holder(let slot): yield slot.derived
            case .plugin(let plugin): yield plugin.derived
            case .locked(let slot): yield slot.derived
            }
        }
    }

    /// What requests, declines and records name as the caller.
    public var id: [UInt8] {
        switch self {
        case .holder(let slot): slot.client?.bytes ?? slot.id.bytes
        case .plugin(let plugin): plugin.id.bytes
        case .locked(let slot): slot.id.bytes
        }
    }

    public var text: String {
        switch self {
        case .holder(let slot): slot.client?.text ?? slot.id.text
        case .plugin(let plugin): plugin.id.text
        case .locked(let slot): slot.id.text
        }
    }

    public var kind: HolderKind {
        switch self {
        case .holder(let slot): slot.kind
        case .plugin: .plugin
        case .locked(let slot): slot.kind
        }
    }

    /// As which kind of key it is recorded.
    public var recordedKind: String {
        if case .plugin(let plugin) = self { plugin.keyInUse.rawValue } else { kind.rawValue }
    }

    public var name: String {
        switch self {
        case .holder(let slot): slot.name
        case .plugin(let plugin): plugin.name
        case .locked(let slot): slot.name
        }
    }
}

extension Store {
    /// Opens the slot of a row that `VendStatement` found. nil: expired, of another kind, or the secret is wrong.
    public func open(_ row: VendRow, with token: borrowing Token, at now: Instant) throws -> OpenCaller? {
        guard row.isOfKind, row.endsAt.map({ $0 > now.milliseconds }) ?? true, let kind = HolderKind(token.kind) else {
            return nil
        }
        guard let holder = row.holder else { throw VaultError.damaged("slot") }
        do {
            if token.kind.isOfPlugin {
                return .plugin(try openPlugin(row, PluginID(high: holder.high, low: holder.low), kind, with: token))
            }
            guard row.isWrapped, token.kind != .access else { return try openSealed(token, at: now) }
            guard let person = row.person, let madeFor = row.madeFor else { throw VaultError.damaged("slot") }
            let vault = VaultID(high: holder.high, low: holder.low)
            let derived = try row.boxes.withFirst { try token.derivedKey(salt: $0, vault: madeFor) }
            let inner = try row.boxes.withSecond {
                try keys.outer.open($0, table: "slot", row: token.id, column: "vault_key")
            }
            let key = try AEAD.unwrap(
                inner, as: VaultRole.self, under: derived,
                Purpose.slotVaultKey(token.id, vault: vault, version: row.keyVersion))
            return .holder(
                OpenSlot(
                    id: token.id, kind: kind, name: row.name,
                    vault: OpenVault(id: vault, person: person, version: row.keyVersion, key: key),
                    signedInAt: Instant(milliseconds: 0), lastUsedAt: now, derived: derived))
        } catch EnvelopeError.doesNotOpen {
            return token.kind.isOfPlugin
                ? nil : try read { try $0.lockedSlot(token, at: now).map(OpenCaller.locked) }
        }
    }

    private func openPlugin(
        _ row: VendRow, _ id: PluginID, _ kind: HolderKind, with token: borrowing Token
    ) throws -> OpenPlugin {
        let derived = try row.boxes.withFirst { try token.derivedKey(salt: $0, vault: nil) }
        let wrapped = try row.boxes.withSecond {
            try keys.outer.open($0, table: "slot", row: token.id, column: "private_key")
        }
        let pair = try PrivateKey.unwrap(wrapped, under: derived, Purpose.slotPrivate(token.id, kind: kind))
        return try OpenPlugin(
            id: id, slot: token.id, name: row.name, owner: row.person, person: row.onlyPerson, derived: derived,
            pair: pair)
    }

    /// The vault's key was given to this holder while it was away, or to others only.
    private func openSealed(_ token: borrowing Token, at now: Instant) throws -> OpenCaller? {
        try read { try $0.openCaller(token, at: now) }
    }

    /// The connection key of a candidate, by whichever way this caller holds it, and whether it was still sealed.
    public func openKey(
        of candidate: VendCandidate, for caller: OpenCaller
    ) throws -> (key: ConnectionKey, wasSealed: Bool) {
        switch (caller, candidate.keyForm) {
        case (.plugin(let plugin), .some(let form)):
            let inner = try candidate.boxes.withSecond {
                try keys.outer.open($0, table: "approval", row: candidate.keyRow, column: "connection_key")
            }
            let purpose = Purpose.approvalKey(candidate.id, plugin: plugin.id, version: candidate.keyVersion)
            return (try keys.pair(of: candidate, for: plugin).open(inner, form, purpose), form == .sealed)
        case (.holder(let slot), .wrapped):
            let inner = try candidate.boxes.withSecond {
                try keys.outer.open($0, table: "connection", row: candidate.keyRow, column: "vault_key")
            }
            let purpose = Purpose.connectionKey(candidate.id, vault: candidate.vault, version: candidate.keyVersion)
            return (
                ConnectionKey(try AEAD.unwrap(inner, as: ConnectionRole.self, under: slot.vault.key, purpose)), false
            )
        case (.holder(let slot), .sealed):
            let key = try read { rows in
                guard let connection = try rows.connection(candidate.id) else { throw VaultError.conflict }
                return ConnectionKey(try rows.openKey(of: connection, with: slot.vault))
            }
            return (key, true)
        case (_, nil), (.locked, _): throw VaultError.conflict
        }
    }

    /// The opened credential; `CredentialView` reads it in place.
    public func openCredential(
        of candidate: VendCandidate, provider: ProviderID, with key: ConnectionKey
    ) throws -> SecretBytes {
        let purpose = Purpose.credential(
            candidate.id, vault: candidate.vault, person: candidate.person, provider: provider.json,
            generation: candidate.generation)
        return try candidate.boxes.withFirst { try AEAD.open($0, under: key.key, purpose) }
    }
}

extension StoreKeys {
    /// What a plugin's connection key is sealed to, or wrapped under: its own pair, or that of the person.
    fileprivate func pair(of candidate: VendCandidate, for plugin: OpenPlugin) throws -> PluginPair {
        guard let own = candidate.ownPair else { return plugin.pair }
        return try open(own.box, own.id, of: candidate.person, with: plugin)
    }
}

extension Rows {
    /// Off the vend path: a holder of a vault, open or locked.
    public func openCaller(_ token: borrowing Token, at now: Instant) throws -> OpenCaller? {
        try openSlot(token, at: now).map(OpenCaller.holder) ?? lockedSlot(token, at: now).map(OpenCaller.locked)
    }

    /// First use by this holder: the sealed form gives way to the wrap. No row changed means somebody was faster.
    public func replaceSealedForm(
        of candidate: VendCandidate, key: ConnectionKey, for caller: OpenCaller
    ) throws {
        switch caller {
        case .holder(let slot):
            guard let connection = try connection(candidate.id) else { return }
            try wrapKey(key.key, of: connection, under: slot.vault)
        case .plugin(let plugin):
            let purpose = Purpose.approvalKey(candidate.id, plugin: plugin.id, version: candidate.keyVersion)
            let wrapped = try outerSeal(
                AEAD.wrap(key.key, under: keys.pair(of: candidate, for: plugin).holder, purpose, random), "approval",
                candidate.keyRow.bytes, "connection_key")
            _ = try changed(
                """
                UPDATE approval SET connection_key = ?, connection_key_form = 'wrapped'
                WHERE id = ? AND connection_key = ?
                """, [wrapped.blob, candidate.keyRow.blob, candidate.boxes.second.blob])
        case .locked: break
        }
    }
}

/// A connection key that can be passed along within one request.
public final class ConnectionKey: Sendable {
    public let key: Key<ConnectionRole>
    public init(_ key: consuming Key<ConnectionRole>) { self.key = key }
}

extension Rows {
    /// The key of one connection by whichever way this caller holds it; nil when it does not.
    public func key(of connection: Connection, for caller: OpenCaller) throws -> ConnectionKey? {
        switch caller {
        case .holder(let slot):
            guard connection.vault == slot.vault.id else { return nil }
            return ConnectionKey(try openKey(of: connection, with: slot.vault))
        case .plugin(let plugin):
            let row = try row(
                """
                SELECT approval.id, connection_key, connection_key_form, own.id AS own, own.private_key
                FROM approval LEFT JOIN plugin_person own ON own.id = approval.plugin_person
                WHERE connection = ? AND approval.plugin = ? AND status = 'live'
                """, [connection.id.blob, plugin.id.blob])
            guard let row, plugin.person ?? connection.person == connection.person else { return nil }
            let id: ID<ApprovalKind> = try row.id("id")
            let inner = try outerOpen(row.bytes("connection_key"), "approval", id.bytes, "connection_key")
            let purpose = Purpose.approvalKey(connection.id, plugin: plugin.id, version: connection.keyVersion)
            var pair = plugin.pair
            if plugin.person == nil, let own: PluginPersonID = row.optionalID("own") {
                pair = try keys.open(row.bytes("private_key"), own, of: connection.person, with: plugin)
            }
            return try pair.open(inner, row.state("connection_key_form"), purpose)
        case .locked: return nil
        }
    }
}
