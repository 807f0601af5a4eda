import ArgumentParser
import Encoding
import Envelope
import Foundation
import Secrets
import Settings
import Vault

struct RotateKey: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Move everything to the first key of ENCRYPTION_KEY, so that the others can be taken away.",
        discussion: """
            Put the new key in front (openssl rand -base64 32; 'id:new,id:old'), restart the service, run this, take the \
            old key away, restart. It may be interrupted and run again, and needs nobody's secret.
            """)

    @Flag(help: "Print JSON.")
    var json = false

    func run() throws {
        hardenProcess()
        try SecureHeap.start(bytes: 1 << 20)
        let environment = ProcessInfo.processInfo.environment
        let settings = try Settings.load(environment: environment)
        let keys = try Settings.encryptionKeys(environment: environment).keeperKeys()
        let storeKeys = StoreKeys(keys)
        try Store.prepare(path: settings.databasePath, audit: settings.auditFolder, keys: storeKeys)
        let store = try Store(
            path: settings.databasePath, writer: Store.Writer(path: settings.databasePath), keys: storeKeys,
            random: .system)
        let done = try KeyRotation(store: store, keys: keys).run(at: .now())
        let plain = """
            \(done.resealed) layers sealed anew, \(done.retagged) tags made anew, \(done.rekeyed) connections with \
            background refresh given a new key, \(done.failed) rows that no configured key opens
            """
        show(json: json, plain) {
            $0.beginObject()
            let members: [(StaticString, Int)] = [
                ("resealed", done.resealed), ("retagged", done.retagged), ("rekeyed", done.rekeyed),
                ("failed", done.failed),
            ]
            for (name, count) in members {
                $0.key(name)
                $0.integer(Int64(count))
            }
            $0.endObject()
        }
        // Another run with every key that is needed can still move them.
        if done.failed > 0 { throw ExitCode(1) }
    }
}
