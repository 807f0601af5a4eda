import Encoding
import Envelope
import GRDB
import GRDBSQLite
import OAuth
import Secrets

/// The one statement of the vend path, kept prepared per thread: the caller's slot and every connection of the asked
/// provider that it may reach, in one pass over the indexes. Raw SQLite because a row costs a third of GRDB's there
/// (docs/BENCHMARKS.md); everything else goes through `Rows`.
public final class VendStatement {
    private let holder: OpaquePointer
    private let plugin: OpaquePointer
    private let pluginPerson: OpaquePointer
    /// The connection that the statements belong to.
    private let store: Store

    public init(store: Store) throws(VaultError) {
        self.store = store
        holder = try Self.prepare(Self.holderSQL, store)
        plugin = try Self.prepare(Self.pluginSQL, store)
        pluginPerson = try Self.prepare(Self.pluginPersonSQL, store)
    }

    deinit {
        sqlite3_finalize(holder)
        sqlite3_finalize(plugin)
        sqlite3_finalize(pluginPerson)
    }

    // Where a text is one of few, SQLite compares it: what comes out is a number.

    /// Sessions, API keys and command lines: everything of this provider in the vault that the slot opens.
    private static let holderSQL = """
        SELECT s.kind = ?4, s.salt, s.vault_key, s.name, s.person, s.vault, v.key_version, s.expires_at_ms,
            s.idle_limit_ms, s.last_used_at_ms, s.vault_key_form = 'wrapped',
            c.id, c.vault, c.person, c.status = 'active', c.scopes, c.is_default, c.generation, c.key_version,
            c.credential, c.expires_at_ms, c.obtained_at_ms, c.refreshable, c.next_refresh_at_ms,
            c.id, c.vault_key, c.vault_key_form = 'wrapped', NULL, NULL, c.rekey_pending OR v.rekey_pending, s.made_for
        FROM slot s JOIN vault v ON v.id = s.vault
            LEFT JOIN connection c ON c.vault = s.vault AND c.provider = ?2 AND c.status IN ('active', 'reauthorize')
        WHERE s.id = ?1
        """

    private static let pluginColumns = """
        s.kind = ?4, s.salt, s.private_key, p.name, p.owner, p.id, 0, s.expires_at_ms, NULL, 0, 1,
            c.id, c.vault, c.person, c.status = 'active', c.scopes, c.is_default, c.generation, c.key_version,
            c.credential, c.expires_at_ms, c.obtained_at_ms, c.refreshable, c.next_refresh_at_ms,
            a.id, a.connection_key, a.connection_key_form = 'wrapped', a.scopes,
            CASE a.status WHEN 'live' THEN 0 WHEN 'outgrown' THEN 1 ELSE 2 END, 0, NULL,
            p.limits, w.limits, w.muted
        """

    /// Plugins: everything of this provider and person that was ever approved for it. What is sealed to the person's own
    /// pair brings the pair along; where nothing is, nothing is looked up.
    private static let pluginSQL = """
        SELECT \(pluginColumns), o.id, o.private_key
        FROM slot s JOIN plugin p ON p.id = s.plugin
            LEFT JOIN plugin_standing w ON w.plugin = p.id AND w.person = ?3
            LEFT JOIN approval a ON a.plugin = p.id AND a.person = ?3 AND a.provider = ?2
            LEFT JOIN plugin_person o ON o.id = a.plugin_person
            LEFT JOIN connection c ON c.id = a.connection AND c.status IN ('active', 'reauthorize')
        WHERE s.id = ?1
        """

    /// The same by the key of one person: theirs, whoever is named.
    private static let pluginPersonSQL = """
        SELECT \(pluginColumns), NULL, NULL, o.person
        FROM slot s JOIN plugin_person o ON o.id = s.plugin_person JOIN plugin p ON p.id = o.plugin
            LEFT JOIN plugin_standing w ON w.plugin = p.id AND w.person = o.person
            LEFT JOIN approval a ON a.plugin = p.id AND a.person = o.person AND a.provider = ?2
            LEFT JOIN connection c ON c.id = a.connection AND c.status IN ('active', 'reauthorize')
        WHERE s.id = ?1
        """

    private static func prepare(_ sql: String, _ store: Store) throws(VaultError) -> OpaquePointer {
        var statement: OpaquePointer?
        let code = store.reader.unsafeReentrantRead { db in
            sqlite3_prepare_v3(db.sqliteConnection, sql, -1, UInt32(SQLITE_PREPARE_PERSISTENT), &statement, nil)
        }
        guard code == SQLITE_OK, let statement else { throw .storage(code: code) }
        return statement
    }

    /// nil: no such slot. `person` only matters for the general keys of plugins.
    public func find(
        slot: SlotID, kind: TokenKind, provider: String, person: PersonID?
    ) throws(VaultError) -> VendRow? {
        let statement =
            switch kind {
            case .plugin: plugin
            case .pluginPerson: pluginPerson
            default: holder
            }
        // Bound values stay where they are until the statement is through: SQLite need not copy them.
        var slot = (slot.high.bigEndian, slot.low.bigEndian)
        let hasPerson = kind == .plugin && person != nil
        var person = (person?.high.bigEndian ?? 0, person?.low.bigEndian ?? 0)
        var provider = provider
        var kindName = HolderKind(kind)?.rawValue ?? ""
        return try withUnsafeBytes(of: &slot) { (slot) throws(VaultError) in
            try withUnsafeBytes(of: &person) { (person) throws(VaultError) in
                var outcome: Result<VendRow?, VaultError> = .success(nil)
                provider.withUTF8 { provider in
                    kindName.withUTF8 { kindName in
                        sqlite3_bind_blob(statement, 1, slot.baseAddress, 16, nil)
                        bind(UnsafeRawBufferPointer(provider), 2, statement)
                        if hasPerson { sqlite3_bind_blob(statement, 3, person.baseAddress, 16, nil) }
                        bind(UnsafeRawBufferPointer(kindName), 4, statement)
                        outcome = Self.step(statement, kind)
                        sqlite3_reset(statement)
                        sqlite3_clear_bindings(statement)
                    }
                }
                return try outcome.get()
            }
        }
    }

    private func bind(_ text: UnsafeRawBufferPointer, _ index: Int32, _ statement: OpaquePointer) {
        sqlite3_bind_text(
            statement, index, text.baseAddress?.assumingMemoryBound(to: CChar.self), Int32(text.count), nil)
    }

    private static func step(_ statement: OpaquePointer, _ kind: TokenKind) -> Result<VendRow?, VaultError> {
        var found: VendRow?
        while true {
            switch sqlite3_step(statement) {
            case SQLITE_ROW:
                let row = Columns(statement)
                if found == nil {
                    do throws(VaultError) {
                        found = try VendRow(row, kind)
                    } catch {
                        return .failure(error)
                    }
                }
                guard !row.isNull(11) else { continue }
                guard let candidate = VendCandidate(row, kind) else { return .failure(.damaged("connection")) }
                found?.candidates.append(candidate)
            case SQLITE_DONE: return .success(found)
            case let code: return .failure(.storage(code: code))
            }
        }
    }
}

/// The caller's side of the row.
public struct VendRow: Sendable {
    /// The slot is of the kind that the token says.
    let isOfKind: Bool
    /// The salt, and the key that the derived key unwraps.
    let boxes: Blobs
    public let name: String
    let person: PersonID?
    /// Of a key of one person with a plugin: who that is.
    let onlyPerson: PersonID?
    let holder: (high: UInt64, low: UInt64)?
    let keyVersion: Int64
    let isWrapped: Bool
    let madeFor: VaultID?
    let endsAt: Int64?
    /// What narrows a plugin; nothing narrows a holder of the vault.
    public let reach: PluginReach
    public internal(set) var candidates: [VendCandidate] = []

    fileprivate init(_ row: Columns, _ kind: TokenKind) throws(VaultError) {
        isOfKind = row.number(0) == 1
        boxes = row.blobs(1, 2)
        name = row.text(3)
        let person: ID<PersonKind>? = row.id(4)
        self.person = person
        let holder: ID<VaultKind>? = row.id(5)
        self.holder = holder.map { ($0.high, $0.low) }
        keyVersion = row.number(6)
        let absolute = row.optionalNumber(7)
        let idle = row.optionalNumber(8).map { $0 + row.number(9) }
        endsAt =
            if let absolute, let idle { min(absolute, idle) } else { absolute ?? idle }
        isWrapped = row.number(10) == 1
        madeFor = row.id(30)
        onlyPerson = kind == .pluginPerson ? row.id(36) : nil
        reach =
            kind.isOfPlugin
            ? try PluginReach(
                operators: row.optionalText(31), persons: row.optionalText(32), isMuted: row.number(33) == 1)
            : .unlimited
    }
}

/// One connection that may be what was asked for.
public final class VendCandidate: Sendable {
    public let id: ConnectionID
    let vault: VaultID
    public let person: PersonID
    public let status: ConnectionStatus
    public let scopes: ScopeSet
    public let isDefault: Bool
    public let generation: Int64
    let keyVersion: Int64
    public let expiresAt: Instant?
    public let obtainedAt: Instant
    public let refreshable: Bool
    public let nextRefreshAt: Instant?
    /// The row that holds the key: the connection's own, or the approval's.
    let keyRow: ConnectionID
    /// The credential, and the connection key as this caller has it.
    let boxes: Blobs
    let keyForm: KeyForm?
    public let approvedScopes: ScopeSet
    public let approval: ApprovalStatus?
    /// Its key, or its vault's, was taken from somebody and is to be replaced first.
    public let rekeyPending: Bool
    /// Whether this caller was given the connection's key.
    public let hasKey: Bool
    /// For a plugin's general key: the pair of the person, which the key is for.
    let ownPair: (id: PluginPersonID, box: [UInt8])?

    fileprivate init?(_ row: Columns, _ kind: TokenKind) {
        guard let id: ConnectionID = row.id(11), let vault: VaultID = row.id(12), let person: PersonID = row.id(13),
            let keyRow: ConnectionID = row.id(24)
        else { return nil }
        (self.id, self.vault, self.person, self.keyRow) = (id, vault, person, keyRow)
        status = row.number(14) == 1 ? .active : .reauthorize
        scopes = ScopeSet(stored: row.text(15))
        isDefault = row.number(16) == 1
        generation = row.number(17)
        keyVersion = row.number(18)
        expiresAt = row.optionalNumber(20).map(Instant.init(milliseconds:))
        obtainedAt = Instant(milliseconds: row.number(21))
        refreshable = row.number(22) == 1
        nextRefreshAt = row.optionalNumber(23).map(Instant.init(milliseconds:))
        boxes = row.blobs(19, 25)
        rekeyPending = row.number(29) == 1
        hasKey = !row.isNull(26) && !row.isNull(25)
        keyForm = row.optionalNumber(26).map { $0 == 1 ? .wrapped : .sealed }
        approvedScopes = ScopeSet(stored: row.text(27))
        approval = row.optionalNumber(28).map { $0 == 0 ? .live : $0 == 1 ? .outgrown : .withdrawn }
        let pair: PluginPersonID? = kind == .plugin ? row.id(34) : nil
        ownPair = pair.map { ($0, row.bytes(35)) }
    }
}
