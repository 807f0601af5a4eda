import ArgumentParser
import Encoding
import Envelope
import Foundation
import Keeper
import Secrets
import Settings
import Vault

/// What an operator's command works on: the same file and keys as the daemon's, whether it runs or not.
struct Administration {
    let settings: Settings
    let store: Store

    init() throws {
        let keys: StoreKeys
        (settings, keys) = try Self.settingsAndKeys()
        try Store.prepare(path: settings.databasePath, audit: settings.auditFolder, keys: keys)
        let writer = try Store.Writer(path: settings.databasePath)
        store = try Store(path: settings.databasePath, writer: writer, keys: keys, random: .system)
    }

    /// The configuration that a start would read. Secrets in it lie on the secure heap.
    static func settings(secureHeapBytes: Int = 256 * 1024) throws -> Settings {
        hardenProcess()
        try SecureHeap.start(bytes: secureHeapBytes)
        return try Settings.load(environment: ProcessInfo.processInfo.environment)
    }

    /// For what reads the database's keys, too.
    static func settingsAndKeys() throws -> (Settings, StoreKeys) {
        let settings = try settings(secureHeapBytes: 1 << 20)
        let keys = try Settings.encryptionKeys(environment: ProcessInfo.processInfo.environment)
        return (settings, StoreKeys(try keys.workerKeys()))
    }

    /// While it is held no service starts on this database. `running` is what to say where one does.
    static func lock(_ settings: Settings, orSay running: String) throws -> KeeperLock {
        do {
            return try KeeperLock(path: settings.databasePath + ".keeper", patienceMilliseconds: 0)
        } catch .another {
            throw CopyRefusal(running)
        }
    }
}
