import Encoding
import Envelope
import Foundation
import GRDB
import OAuth
import Secrets

@testable import Keeper
@testable import Vault

/// A database in memory-backed files with one person and an open vault. Real SQLite, cheap commits.
final class Shelf {
    static let heap: Void = {
        do { try SecureHeap.start(bytes: 1 << 21) } catch { fatalError("no locked memory for tests: \(error)") }
    }()

    let folder: String
    let keys: KeeperKeys
    let store: Store
    let vault: OpenVault
    let random: Randomness

    init(_ dice: Dice, at start: Instant) throws {
        _ = Self.heap
        random = dice.randomness
        let root = FileManager.default.isWritableFile(atPath: "/dev/shm") ? "/dev/shm" : NSTemporaryDirectory()
        folder = "\(root)/toolshed-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        let text = Array("1:\(Base64.encode(dice.randomness.bytes(32)))".utf8)
        keys = try text.withUnsafeBytes { try EncryptionKeys(parsing: $0).keeperKeys() }
        let path = "\(folder)/toolshed.db"
        try Store.prepare(path: path, keys: StoreKeys(keys))
        store = try Store(
            path: path, writer: Store.Writer(path: path), keys: StoreKeys(keys), random: dice.randomness)
        vault = try store.write { rows in
            let invited = try rows.invite(name: "octo", expiresAt: start.adding(seconds: 60), at: start)
            let code = try invited.code.withUnsafeBytes { try Token(parsing: $0) }
            guard let vault = try rows.acceptInvitation(code, at: start) else { throw VaultError.conflict }
            return vault
        }
    }

    deinit { try? FileManager.default.removeItem(atPath: folder) }

    func grant(
        _ provider: ProviderID, access: String, refresh: String, at now: Instant, life: Int64, nextRefreshAt: Instant?
    ) throws -> Grant {
        Grant(
            provider: provider,
            credential: try Credential(
                accessToken: try SecretText(access), refreshToken: try SecretText(refresh), tokenType: "Bearer",
                accountID: "1", accountLabel: "octo", tenant: ""),
            scopes: ScopeSet(["read"]), obtainedAt: now, expiresAt: now.adding(seconds: life), refreshExpiresAt: nil,
            nextRefreshAt: nextRefreshAt)
    }

    func connect(_ grant: Grant, background: Bool) throws -> ConnectionID {
        let id = try store.write { try $0.insert(grant, into: .open(vault), of: vault.person, status: .active) }
        if background { try store.write { try $0.switchBackgroundOn(connection(id, $0), with: vault) } }
        return id
    }

    func connection(_ id: ConnectionID, _ rows: Rows) throws -> Connection {
        guard let connection = try rows.connection(id) else { throw VaultError.conflict }
        return connection
    }

    func state(_ id: ConnectionID) throws -> RefreshState {
        guard let state = try store.read({ try $0.refreshState(of: id) }) else { throw VaultError.conflict }
        return state
    }

    func key(_ id: ConnectionID) throws -> ConnectionKey {
        try store.read { ConnectionKey(try $0.openKey(of: connection(id, $0), with: vault)) }
    }

    /// What is stored for this connection now, in the clear.
    func tokens(_ id: ConnectionID) throws -> (access: String, refresh: String) {
        let credential = try store.read { rows in
            let connection = try connection(id, rows)
            return try rows.openCredential(of: connection, with: rows.openKey(of: connection, with: vault))
        }
        return (credential.accessToken.withString { $0 }, credential.refreshToken?.withString { $0 } ?? "")
    }

    /// Pairs in the journal that can still be adopted.
    func journaled(_ id: ConnectionID) throws -> [(access: String, refresh: String)] {
        try store.read { rows in
            let connection = try connection(id, rows)
            let key = try rows.openKey(of: connection, with: vault)
            return try rows.rows(
                "SELECT generation, credential FROM rotation_journal WHERE connection = ? AND adopted = 0 AND form = 'connection' AND key_version = ?",
                [id.blob, connection.keyVersion]
            ).map { row in
                let credential = try Credential(
                    decoding: AEAD.open(
                        row.bytes("credential"), under: key, connection.purpose(generation: row["generation"] + 1)))
                return (credential.accessToken.withString { $0 }, credential.refreshToken?.withString { $0 } ?? "")
            }
        }
    }

    func count(_ sql: String) throws -> Int { try store.read { try Int.fetchOne($0.db, sql: sql) ?? -1 } }
}
