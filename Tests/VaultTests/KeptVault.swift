import Encoding
import Envelope
import Foundation
import GRDB
import OAuth
import Secrets

@testable import Vault

/// A database in a folder of its own with one person and an open vault.
final class KeptVault {
    let folder: String
    let keys: KeeperKeys
    let store: Store
    let vault: OpenVault
    let start = Instant(milliseconds: 1_800_000_000_000)

    var path: String { "\(folder)/toolshed.db" }
    var person: PersonID { vault.person }

    private static let heap: Void = {
        do { try SecureHeap.start(bytes: 1 << 21) } catch { fatalError("no locked memory for tests: \(error)") }
    }()

    init(encryptionKey: String? = nil) throws {
        _ = Self.heap
        folder = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString).path
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        let text = encryptionKey ?? Base64.encode(Randomness.system.bytes(32))
        keys = try Array(text.utf8).withUnsafeBytes { try EncryptionKeys(parsing: $0).keeperKeys() }
        let path = "\(folder)/toolshed.db"
        let storeKeys = StoreKeys(keys)
        try Store.prepare(path: path, keys: storeKeys)
        store = try Store(path: path, writer: Store.Writer(path: path), keys: storeKeys, random: .system)
        let start = self.start
        vault = try store.write { rows in
            let invited = try rows.invite(name: "octo", expiresAt: start.adding(seconds: 60), at: start)
            let code = try invited.code.withUnsafeBytes { try Token(parsing: $0) }
            guard let vault = try rows.acceptInvitation(code, at: start) else { throw VaultError.conflict }
            return vault
        }
    }

    deinit { try? FileManager.default.removeItem(atPath: folder) }

    func credential(_ access: String, refresh: String? = "refresh-1") throws -> Credential {
        try Credential(
            accessToken: try SecretText(access), refreshToken: try refresh.map { try SecretText($0) },
            tokenType: "Bearer", accountID: "1", accountLabel: "octo", tenant: "")
    }

    func connect(_ provider: String = "acme", lifetime: Int64 = 3600) throws -> ConnectionID {
        let grant = Grant(
            provider: try ProviderID(parsing: provider), credential: try credential("access-1"),
            scopes: ScopeSet(["read"]), obtainedAt: start, expiresAt: start.adding(seconds: lifetime),
            refreshExpiresAt: nil, nextRefreshAt: start.adding(seconds: lifetime * 3 / 4))
        return try store.write { try $0.insert(grant, into: .open(vault), of: person, status: .active) }
    }

    func renewal(_ access: String, refresh: String = "refresh-2", at: Instant) throws -> Renewal {
        Renewal(
            credential: try credential(access, refresh: refresh), scopes: ScopeSet(["read"]), receivedAt: at,
            expiresAt: at.adding(seconds: 3600), refreshExpiresAt: nil, nextRefreshAt: at.adding(seconds: 2700))
    }

    func state(_ id: ConnectionID) throws -> RefreshState {
        guard let state = try store.read({ try $0.refreshState(of: id) }) else { throw VaultError.conflict }
        return state
    }

    func key(_ id: ConnectionID) throws -> ConnectionKey {
        let connection = try state(id).connection
        return try store.read { ConnectionKey(try $0.openKey(of: connection, with: vault)) }
    }

    /// The access token that opens with the vault now.
    func access(_ id: ConnectionID) throws -> String {
        let connection = try state(id).connection
        let key = try key(id)
        return try store.read { try $0.openCredential(of: connection, with: key.key) }.accessToken.withString { $0 }
    }

    func arm(_ id: ConnectionID, owner: String = "k1", at now: Instant? = nil) throws -> Claim? {
        let now = now ?? start
        return try store.write { rows in
            guard let state = try rows.refreshState(of: id) else { return nil }
            return try rows.arm(state, owner: owner, until: now.adding(seconds: 30), at: now)
        }
    }

    func scalar(_ sql: String) throws -> Int { try store.read { try Int.fetchOne($0.db, sql: sql) ?? -1 } }
}
