import Encoding
import Envelope
import OAuth
import Secrets
import Testing

@testable import Vault

@Suite("Rotating ENCRYPTION_KEY")
struct RotateKeyTests {
    private let old = Base64.encode(Randomness.system.bytes(32))
    private let new = Base64.encode(Randomness.system.bytes(32))

    private func keys(_ text: String) throws -> KeeperKeys {
        try Array(text.utf8).withUnsafeBytes { try EncryptionKeys(parsing: $0).keeperKeys() }
    }

    private func open(_ kept: KeptVault, _ keys: KeeperKeys) throws -> Store {
        try Store.prepare(path: kept.path, keys: StoreKeys(keys))
        return try Store(
            path: kept.path, writer: Store.Writer(path: kept.path), keys: StoreKeys(keys), random: .system)
    }

    @Test("After it the old key is needed for nothing, and everybody still gets in")
    func rotated() throws {
        let kept = try KeptVault(encryptionKey: "1:\(old)")
        let plain = try kept.connect()
        let background = try kept.connect("other")
        try kept.store.write { try $0.switchBackgroundOn(kept.state(background).connection, with: kept.vault) }
        let session = try kept.store.write {
            try $0.addSlot(.session, name: "laptop", to: kept.vault, lifetime: .session, at: kept.start).secret
        }
        let plugin = try kept.store.write { rows in
            let plugin = try rows.addPlugin(name: "p", owner: nil, at: kept.start)
            for id in [plain, background] {
                guard let connection = try rows.connection(id) else { throw VaultError.conflict }
                let key = try rows.openKey(of: connection, with: kept.vault)
                try rows.approve(plugin.id, for: connection, key: key, scopes: ScopeSet(["read"]), at: kept.start)
            }
            return plugin
        }
        let before = try kept.state(background).connection

        let both = try keys("2:\(new),1:\(old)")
        let rotation = KeyRotation(store: try open(kept, both), keys: both, batch: 1)
        let progress = try rotation.run(at: kept.start)
        #expect(progress.failed == 0)
        #expect(progress.rekeyed == 1)
        #expect(progress.resealed > 5)
        #expect(progress.retagged > 2)
        #expect(try rotation.run(at: kept.start) == KeyRotation.Progress())

        let alone = try keys("2:\(new)")
        let store = try open(kept, alone)
        let vault = try store.write { rows in
            let token = try session.withUnsafeBytes { try Token(parsing: $0) }
            guard let slot = try rows.openSlot(token, at: kept.start) else { throw VaultError.conflict }
            return slot.vault
        }
        for id in [plain, background] {
            let access = try store.read { rows in
                guard let connection = try rows.connection(id) else { throw VaultError.conflict }
                return try rows.openCredential(of: connection, with: rows.openKey(of: connection, with: vault))
            }.accessToken.withString { $0 }
            #expect(access == "access-1")
        }
        // The service key of the old time opens nothing any more, the one of the new time does.
        let after = try kept.state(background).connection
        #expect(after.keyVersion == before.keyVersion + 1)
        let fresh = try #require(try store.read { try $0.openServiceKey(of: after, with: alone) })
        #expect(try store.read { try $0.openCredential(of: after, with: fresh.key) }.accountLabel == "octo")
        let stale = try #require(try kept.store.read { try $0.openServiceKey(of: before, with: kept.keys) })
        #expect(throws: EnvelopeError.doesNotOpen) {
            _ = try store.read { try $0.openCredential(of: after, with: stale.key) }
        }
        // The plugin was given the new key.
        #expect(try store.read { try $0.approvals(of: background) }.map(\.status) == [.live])
        #expect(
            try store.write { rows in
                let token = try plugin.secret.withUnsafeBytes { try Token(parsing: $0) }
                let opened = try rows.openPlugin(token, at: kept.start)
                return opened?.id == plugin.id
            })
    }

    @Test("Without the key that something is sealed under it stays as it is, and is told")
    func missing() throws {
        let kept = try KeptVault(encryptionKey: "1:\(old)")
        _ = try kept.connect()
        let other = try keys("3:\(new)")
        let rotation = KeyRotation(
            store: try Store(
                path: kept.path, writer: Store.Writer(path: kept.path), keys: StoreKeys(other), random: .system),
            keys: other)
        let progress = try rotation.run(at: kept.start)
        #expect(progress.failed > 0)
        #expect(progress.resealed == 0 && progress.rekeyed == 0)
    }
}
