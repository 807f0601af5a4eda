import ArgumentParser
import Encoding
import Envelope
import Foundation
import Secrets
import Settings
import Vault

/// What an operator's command works on: the same file and keys as the daemon's, whether it runs or not.
struct Administration {
    let settings: Settings
    let store: Store

    init() throws {
        hardenProcess()
        try SecureHeap.start(bytes: 1 << 20)
        let environment = ProcessInfo.processInfo.environment
        settings = try Settings.load(environment: environment)
        let keys = StoreKeys(try Settings.encryptionKeys(environment: environment).workerKeys())
        try Store.prepare(path: settings.databasePath, keys: keys)
        let writer = try Store.Writer(path: settings.databasePath)
        store = try Store(path: settings.databasePath, writer: writer, keys: keys, random: .system)
    }
}
