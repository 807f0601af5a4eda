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
    private let store: Store
    private let holder: OpaquePointer
    private let plugin: OpaquePointer

    public init(store: Store) throws(VaultError) {
        self.store = store
        holder = try Self.prepare(Self.holderSQL, store)
        plugin = try Self.prepare(Self.pluginSQL, store)
    }

    deinit {
        sqlite3_finalize(holder)
        sqlite3_finalize(plugin)
    }

    /// Sessions, API keys and command lines: everything of this provider in the vault that the slot opens.
    private static let holderSQL = """
        SELECT s.kind, s.salt, s.vault_key, s.name, s.person, s.vault, v.key_version, s.expires_at_ms,
            s.idle_limit_ms, s.last_used_at_ms, s.vault_key_form,
            c.id, c.vault, c.person, c.status, c.scopes, c.is_default, c.generation, c.key_version, c.credential,
            c.expires_at_ms, c.obtained_at_ms, c.refreshable, c.next_refresh_at_ms,
            c.id, c.vault_key, c.vault_key_form, NULL, NULL, c.rekey_pending, s.made_for
        FROM slot s JOIN vault v ON v.id = s.vault
            LEFT JOIN connection c ON c.vault = s.vault AND c.provider = ?2 AND c.status IN ('active', 'reauthorize')
        WHERE s.id = ?1
        """

    /// Plugins: everything of this provider and person that was ever approved for it.
    private static let pluginSQL = """
        SELECT s.kind, s.salt, s.private_key, p.name, p.owner, p.id, 0, s.expires_at_ms, NULL, 0, 'wrapped',
            c.id, c.vault, c.person, c.status, c.scopes, c.is_default, c.generation, c.key_version, c.credential,
            c.expires_at_ms, c.obtained_at_ms, c.refreshable, c.next_refresh_at_ms,
            a.id, a.connection_key, a.connection_key_form, a.scopes, a.status, 0, NULL,
            p.limits, w.limits, w.muted
        FROM slot s JOIN plugin p ON p.id = s.plugin
            LEFT JOIN plugin_standing w ON w.plugin = p.id AND w.person = ?3
            LEFT JOIN approval a ON a.plugin = p.id AND a.person = ?3 AND a.provider = ?2
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

    /// nil: no such slot. `person` only matters for plugins.
    public func find(slot: SlotID, isPlugin: Bool, provider: String, person: PersonID?) throws(VaultError) -> VendRow? {
        let statement = isPlugin ? plugin : holder
        defer {
            sqlite3_reset(statement)
            sqlite3_clear_bindings(statement)
        }
        Self.bind(slot.bytes, 1, statement)
        Self.bind(provider, 2, statement)
        if isPlugin, let person { Self.bind(person.bytes, 3, statement) }
        var found: VendRow?
        while true {
            switch sqlite3_step(statement) {
            case SQLITE_ROW:
                if found == nil { found = try VendRow(statement, isPlugin: isPlugin) }
                if sqlite3_column_type(statement, 11) != SQLITE_NULL {
                    found?.candidates.append(try VendCandidate(statement))
                }
            case SQLITE_DONE: return found
            case let code: throw .storage(code: code)
            }
        }
    }

    // SQLITE_TRANSIENT: SQLite copies what is bound.
    private static var transient: sqlite3_destructor_type { unsafeBitCast(-1, to: sqlite3_destructor_type.self) }

    private static func bind(_ bytes: [UInt8], _ index: Int32, _ statement: OpaquePointer) {
        sqlite3_bind_blob(statement, index, bytes, Int32(bytes.count), transient)
    }

    private static func bind(_ text: String, _ index: Int32, _ statement: OpaquePointer) {
        sqlite3_bind_text(statement, index, text, -1, transient)
    }
}

/// The caller's side of the row.
public struct VendRow: Sendable {
    let kind: String
    let salt: [UInt8]
    let wrapped: [UInt8]
    public let name: String
    let person: PersonID?
    let holderID: [UInt8]
    let keyVersion: Int64
    let isWrapped: Bool
    let madeFor: [UInt8]
    let endsAt: Int64?
    /// What narrows a plugin; nothing narrows a holder of the vault.
    public let reach: PluginReach
    public internal(set) var candidates: [VendCandidate] = []

    fileprivate init(_ statement: OpaquePointer, isPlugin: Bool) throws(VaultError) {
        kind = column(statement, text: 0)
        salt = column(statement, blob: 1)
        wrapped = column(statement, blob: 2)
        name = column(statement, text: 3)
        person = PersonID(bytes: column(statement, blob: 4))
        holderID = column(statement, blob: 5)
        keyVersion = sqlite3_column_int64(statement, 6)
        let absolute = column(statement, number: 7)
        let idle = column(statement, number: 8).map { $0 + sqlite3_column_int64(statement, 9) }
        endsAt = [absolute, idle].compactMap { $0 }.min()
        isWrapped = column(statement, text: 10) == "wrapped"
        madeFor = column(statement, blob: 30)
        reach =
            isPlugin
            ? try PluginReach(
                operators: column(statement, optional: 31), persons: column(statement, optional: 32),
                isMuted: sqlite3_column_int64(statement, 33) == 1)
            : .unlimited
    }
}

/// One connection that may be what was asked for.
public struct VendCandidate: Sendable {
    public let id: ConnectionID
    let vault: VaultID
    public let person: PersonID
    public let status: ConnectionStatus
    public let scopes: ScopeSet
    public let isDefault: Bool
    public let generation: Int64
    let keyVersion: Int64
    let credential: [UInt8]
    public let expiresAt: Instant?
    public let obtainedAt: Instant
    public let refreshable: Bool
    public let nextRefreshAt: Instant?
    let keyRow: [UInt8]
    let key: [UInt8]
    let keyForm: KeyForm?
    public let approvedScopes: ScopeSet
    public let approval: ApprovalStatus?
    /// Its key was taken from somebody and is to be replaced first.
    public let rekeyPending: Bool
    /// Whether this caller was given the connection's key.
    public var hasKey: Bool { keyForm != nil && !key.isEmpty }

    fileprivate init(_ statement: OpaquePointer) throws(VaultError) {
        guard let id = ConnectionID(bytes: column(statement, blob: 11)),
            let vault = VaultID(bytes: column(statement, blob: 12)),
            let person = PersonID(bytes: column(statement, blob: 13)),
            let status = ConnectionStatus(rawValue: column(statement, text: 14))
        else { throw .damaged("connection") }
        (self.id, self.vault, self.person, self.status) = (id, vault, person, status)
        scopes = ScopeSet(stored: column(statement, text: 15))
        isDefault = sqlite3_column_int64(statement, 16) == 1
        generation = sqlite3_column_int64(statement, 17)
        keyVersion = sqlite3_column_int64(statement, 18)
        credential = column(statement, blob: 19)
        expiresAt = column(statement, number: 20).map(Instant.init(milliseconds:))
        obtainedAt = Instant(milliseconds: sqlite3_column_int64(statement, 21))
        refreshable = sqlite3_column_int64(statement, 22) == 1
        nextRefreshAt = column(statement, number: 23).map(Instant.init(milliseconds:))
        keyRow = column(statement, blob: 24)
        key = column(statement, blob: 25)
        keyForm = KeyForm(rawValue: column(statement, text: 26))
        approvedScopes = ScopeSet(stored: column(statement, text: 27))
        approval = ApprovalStatus(rawValue: column(statement, text: 28))
        rekeyPending = sqlite3_column_int64(statement, 29) == 1
    }
}

private func column(_ statement: OpaquePointer, blob index: Int32) -> [UInt8] {
    guard let start = sqlite3_column_blob(statement, index) else { return [] }
    return [UInt8](UnsafeRawBufferPointer(start: start, count: Int(sqlite3_column_bytes(statement, index))))
}

private func column(_ statement: OpaquePointer, text index: Int32) -> String {
    guard let start = sqlite3_column_text(statement, index) else { return "" }
    let count = Int(sqlite3_column_bytes(statement, index))
    return String(decoding: UnsafeBufferPointer(start: start, count: count), as: UTF8.self)
}

private func column(_ statement: OpaquePointer, optional index: Int32) -> String? {
    sqlite3_column_type(statement, index) == SQLITE_NULL ? nil : column(statement, text: index)
}

private func column(_ statement: OpaquePointer, number index: Int32) -> Int64? {
    sqlite3_column_type(statement, index) == SQLITE_NULL ? nil : sqlite3_column_int64(statement, index)
}

extension ScopeSet {
    /// Our own column: names that were parsed before they were stored.
    init(stored text: String) { self.init(text.utf8.split(separator: 0x20).map { String(Substring($0)) }) }
}
