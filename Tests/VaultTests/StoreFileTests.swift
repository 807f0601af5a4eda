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

    @Test(
        "A damaged, an empty, a foreign and a newer file are refused and not touched",
        arguments: ["junk", "empty", "foreign", "newer"])
    func refused(kind: String) throws {
        let vault = try TestVault()
        let path = vault.folder + "/\(kind).sqlite"
        switch kind {
        case "empty": try Data().write(to: URL(filePath: path))
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
        #expect(throws: VaultError.self) { try Store.examine(path: path, keys: keys) }
        #expect(try Data(contentsOf: URL(filePath: path)) == before)
        #expect(!FileManager.default.fileExists(atPath: path + "-wal"))
    }

    @Test(
        "What is left of a first start that was killed is made anew, and a log without its database is not covered up")
    func first() throws {
        let vault = try TestVault()
        let path = vault.folder + "/first.sqlite"
        let keys = StoreKeys(try TestVault.keys(TestVault.key).workerKeys())
        try Data(repeating: 7, count: 5000).write(to: URL(filePath: path + ".first"))
        try Store.examine(path: path, keys: keys)
        try Store.prepare(path: path, keys: keys)
        try Store.examine(path: path, keys: keys)
        #expect(!FileManager.default.fileExists(atPath: path + ".first"))
        let log = vault.folder + "/lost.sqlite-wal"
        try Data(repeating: 7, count: 5000).write(to: URL(filePath: log))
        #expect(throws: VaultError.self) { try Store.prepare(path: vault.folder + "/lost.sqlite", keys: keys) }
        #expect(!FileManager.default.fileExists(atPath: vault.folder + "/lost.sqlite"))
    }

    @Test("Where there are records and no database, it was lost: nothing is made, and what to do is said")
    func lost() throws {
        let vault = try TestVault()
        let (path, audit) = (vault.folder + "/new.sqlite", vault.folder + "/audit")
        let keys = StoreKeys(try TestVault.keys(TestVault.key).workerKeys())
        try FileManager.default.createDirectory(atPath: audit, withIntermediateDirectories: false)
        // Room that was reserved and never written to is no record.
        try Data().write(to: URL(filePath: audit + "/a.jsonl"))
        try Store.examine(path: path, audit: audit, keys: keys)
        try Data("{}\n".utf8).write(to: URL(filePath: audit + "/b.jsonl"))
        let refusals = [
            #expect(throws: VaultError.self) { try Store.prepare(path: path, audit: audit, keys: keys) },
            #expect(throws: VaultError.self) { try Store.examine(path: path, audit: audit, keys: keys) },
        ]
        for sentence in refusals.map({ $0?.description ?? "" }) {
            #expect(sentence.contains(path) && sentence.contains("restore") && sentence.contains("move \(audit) away"))
        }
        #expect(
            try FileManager.default.contentsOfDirectory(atPath: vault.folder).filter { $0.hasPrefix("new") }.isEmpty)
        try FileManager.default.moveItem(atPath: audit, toPath: audit + ".old")
        try Store.prepare(path: path, audit: audit, keys: keys)
        // From then on the records are of this one.
        try FileManager.default.moveItem(atPath: audit + ".old", toPath: audit)
        try Store.prepare(path: path, audit: audit, keys: keys)
        try Store.examine(path: path, audit: audit, keys: keys)
    }

    @Test("The file is for its owner only")
    func mode() throws {
        let vault = try TestVault()
        let attributes = try FileManager.default.attributesOfItem(atPath: vault.path)
        #expect(attributes[.posixPermissions] as? Int == 0o600)
    }
}
