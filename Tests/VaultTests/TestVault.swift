import Encoding
import Envelope
import Foundation
import GRDB
import OAuth
import Secrets
import Testing

@testable import Vault

/// A real store in a folder of its own.
final class TestVault {
    static let key = "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA="

    let folder: String
    let store: Store
    let now = Instant(milliseconds: 1_790_000_000_000)
    var path: String { folder + "/toolshed.sqlite" }

    init(encryptionKey: String = TestVault.key) throws {
        if !SecureHeap.isStarted { try? SecureHeap.start(bytes: 1 << 20) }
        folder = NSTemporaryDirectory() + "vault-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        let keys = StoreKeys(try Self.keys(encryptionKey).workerKeys())
        try Store.prepare(path: folder + "/toolshed.sqlite", keys: keys)
        let writer = try Store.Writer(path: folder + "/toolshed.sqlite")
        store = try Store(path: folder + "/toolshed.sqlite", writer: writer, keys: keys, random: .system)
    }

    deinit { try? FileManager.default.removeItem(atPath: folder) }

    static func keys(_ text: String) throws -> EncryptionKeys {
        try SecretText(text).withUnsafeBytes { try EncryptionKeys(parsing: $0) }
    }

    func person(_ name: String = "Octavia") throws -> (session: OpenSlot, cookie: SecretText) {
        let invited = try store.write { try $0.invite(name: name, expiresAt: now.adding(seconds: 60), at: now) }
        let made = try store.write { rows in
            let vault = try #require(try rows.acceptInvitation(try token(invited.code), at: now))
            return try rows.addSlot(.session, name: "Browser", to: vault, lifetime: .session, at: now).secret
        }
        return (try open(made), made)
    }

    func token(_ text: SecretText) throws -> Token { try text.withUnsafeBytes { try Token(parsing: $0) } }

    func open(_ secret: SecretText) throws -> OpenSlot {
        let token = try token(secret)
        return try #require(try store.read { try $0.openSlot(token, at: now) })
    }

    func plugin(_ name: String = "Issue bot") throws -> (plugin: OpenPlugin, key: SecretText) {
        let made = try store.write { try $0.addPlugin(name: name, owner: nil, at: now) }
        let token = try token(made.secret)
        return (try #require(try store.read { try $0.openPlugin(token, at: now) }), made.secret)
    }

    func grant(_ access: String = "gho_one", scopes: [String] = ["repo"], account: String = "1") throws -> Grant {
        Grant(
            provider: try ProviderID(parsing: "github"),
            credential: try Credential(
                accessToken: try SecretText(access), refreshToken: try SecretText("ghr_" + access), tokenType: "bearer",
                accountID: account, accountLabel: "octo-\(account)", tenant: ""), scopes: ScopeSet(scopes),
            obtainedAt: now,
            expiresAt: now.adding(seconds: 3600), refreshExpiresAt: nil, nextRefreshAt: nil)
    }

    /// What a caller of vend gets, by the statement of the vend path.
    func vend(_ secret: SecretText, person: PersonID, provider: String = "github") throws -> [String] {
        let token = try token(secret)
        let statement = try VendStatement(store: store)
        let row = try statement.find(
            slot: token.id, kind: token.kind, provider: provider, person: person)
        let found = try #require(row)
        let caller = try #require(try store.open(found, with: token, at: now))
        return try found.candidates.filter(\.hasKey).map { candidate in
            let (key, _) = try store.openKey(of: candidate, for: caller)
            let opened = try store.openCredential(
                of: candidate, provider: try ProviderID(parsing: provider), with: key)
            return try opened.withUnsafeBytes {
                String(decoding: try CredentialView($0).accessToken, as: UTF8.self)
            }
        }
    }
}
