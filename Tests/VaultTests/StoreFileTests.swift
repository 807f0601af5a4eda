import Encoding
import Envelope
import Foundation
import GRDB
import Secrets
import Testing

@testable import Vault

@Suite("The database file")
struct StoreFileTests {
    @Test("A wrong ENCRYPTION_KEY is told before anything is sealed under it")
    func wrongKey() throws {
        let vault = try TestVault()
        let other = try TestVault.keys("IB8eHRwbGhkYFxYVFBMSERAPDg0MCwoJCAcGBQQDAgE=").workerKeys()
        #expect(throws: VaultError.self) { try Store.prepare(path: vault.path, keys: StoreKeys(other)) }
        let same = try TestVault.keys(TestVault.key).workerKeys()
        try Store.prepare(path: vault.path, keys: StoreKeys(same))
    }

    @Test("A damaged, a foreign and a newer file are refused and not touched", arguments: ["junk", "foreign", "newer"])
    func refused(kind: String) throws {
        let vault = try TestVault()
        let path = vault.folder + "/\(kind).sqlite"
        switch kind {
        case "junk":
            try Data("this is not a database at all, but it is long enough to be one".utf8).write(
                to: URL(filePath: path))
        default:
            let queue = try DatabaseQueue(path: path)
            try queue.write { db in
                try db.execute(sql: "CREATE TABLE theirs (a)")
                try db.execute(sql: "PRAGMA application_id = \(kind == "newer" ? Schema.applicationID : 7)")
                try db.execute(sql: "PRAGMA user_version = 99")
            }
            try queue.close()
        }
        let before = try Data(contentsOf: URL(filePath: path))
        let keys = StoreKeys(try TestVault.keys(TestVault.key).workerKeys())
        #expect(throws: VaultError.self) { try Store.prepare(path: path, keys: keys) }
        #expect(try Data(contentsOf: URL(filePath: path)) == before)
        #expect(!FileManager.default.fileExists(atPath: path + "-wal"))
    }

    @Test("The file is for its owner only")
    func mode() throws {
        let vault = try TestVault()
        let attributes = try FileManager.default.attributesOfItem(atPath: vault.path)
        #expect(attributes[.posixPermissions] as? Int == 0o600)
    }
}
