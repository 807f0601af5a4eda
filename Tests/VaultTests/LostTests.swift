import Encoding
import Envelope
import Foundation
import GRDB
import OAuth
import Secrets
import Testing

@testable import Vault

@Suite("Revoke as lost")
struct LostTests {
    let two: TwoVaults
    init() throws { two = try TwoVaults() }

    private func holder(_ kind: HolderKind) throws -> (id: SlotID, secret: SecretText) {
        try two.store.write {
            try $0.addSlot(kind, name: kind.rawValue, to: two.first.vault, lifetime: .untilRevoked, at: two.now)
        }
    }

    @Test("Every remaining holder goes on, whatever it is, and the lost one opens nothing")
    func remaining() throws {
        let id = try two.connect(two.first, "gho_one")
        let lost = try holder(.apiKey)
        let kept = try [HolderKind.apiKey, .cli, .recovery, .session].map { try holder($0).secret }
        #expect(try two.store.write { try $0.removeSlot(lost.id, of: two.person, kinds: [.apiKey]) })
        let result = try two.lose()
        #expect(result.left == 0)
        #expect(result.damaged == 0)
        for secret in kept + [two.firstCookie] {
            let slot = try two.vault.open(secret)
            #expect(slot.vault.version == 2)
            #expect(try two.access(id, slot) == "gho_one")
            try two.store.write { try $0.wrapVaultKey(of: slot) }
            #expect(try two.access(id, two.vault.open(secret)) == "gho_one")
        }
        let token = try two.vault.token(lost.secret)
        #expect(try two.store.read { try $0.openSlot(token, at: two.now) } == nil)
    }

    @Test("The old vault key, the old pair and the old connection keys open nothing that is there now")
    func allNew() throws {
        let id = try two.connect(two.first, "gho_one")
        let before = try two.connection(id)
        let oldKey = try two.store.read { ConnectionKey(try $0.openKey(of: before, with: two.first.vault)) }
        let oldPair = try two.count("SELECT hex(public_key) = '' FROM vault")
        let publicBefore = try two.store.read {
            try $0.row("SELECT public_key FROM vault WHERE id = ?", [two.first.vault.id.blob])?.bytes("public_key")
        }
        #expect(oldPair == 0)
        _ = try two.lose()
        let after = try two.connection(id)
        #expect(throws: EnvelopeError.doesNotOpen) {
            try two.store.read { _ = try $0.openKey(of: after, with: two.first.vault) }
        }
        #expect(throws: EnvelopeError.doesNotOpen) {
            try two.store.read { _ = try $0.openCredential(of: after, with: oldKey.key) }
        }
        let publicAfter = try two.store.read {
            try $0.row("SELECT public_key FROM vault WHERE id = ?", [two.first.vault.id.blob])?.bytes("public_key")
        }
        #expect(publicBefore != publicAfter)
    }

    @Test("Plugins and the service keep what they were let in to")
    func others() throws {
        let (plugin, key) = try two.vault.plugin()
        let id = try two.connect(two.first, "gho_one")
        try two.approve(plugin.id, for: id, by: two.first, scopes: ["repo"])
        try two.store.write { try $0.switchBackgroundOn(try two.connection(id), with: two.first.vault) }
        _ = try two.lose()
        #expect(try two.vault.vend(key, person: two.person) == ["gho_one"])
        let keeper = try TestVault.keys(TestVault.key).keeperKeys()
        let now = try two.connection(id)
        let opened = try two.store.read { rows in
            let key = try #require(try rows.openServiceKey(of: now, with: keeper))
            return try rows.openCredential(of: now, with: key.key).accessToken.withString { $0 }
        }
        #expect(opened == "gho_one")
    }

    @Test("What can be renewed is marked, at once, and stays so until it was")
    func marked() throws {
        let id = try two.connect(two.first, "gho_one")
        _ = try two.lose()
        let state = try #require(try two.store.read { try $0.refreshState(of: id) })
        #expect(state.renewPending)
        #expect(state.nextRefreshAt == two.now)
        #expect(try two.store.read { try $0.unsettled(in: two.first.vault.id).renew.map(\.id) } == [id])
        try two.store.write { rows in
            let armed = try #require(try rows.arm(state, owner: "k", until: two.now.adding(seconds: 30), at: two.now))
            let slot = try two.vault.open(two.firstCookie)
            let connection = try #require(try rows.connection(id))
            let key = try rows.openKey(of: connection, with: slot.vault)
            let credential = try rows.openCredential(of: connection, with: key)
            let renewal = Renewal(
                credential: credential, scopes: connection.scopes, receivedAt: two.now, expiresAt: nil,
                refreshExpiresAt: nil, nextRefreshAt: nil)
            #expect(try rows.store(renewal, for: armed, key: key, covers: { _, _ in true }) == .stored(generation: 2))
        }
        #expect(try two.store.read { try $0.unsettled(in: two.first.vault.id).isEmpty })
    }

    @Test("A refresh that was under way is stored under the new key, and the old key does not open it")
    func underWay() throws {
        let id = try two.connect(two.first, "gho_one")
        let before = try two.connection(id)
        let oldKey = try two.store.read { ConnectionKey(try $0.openKey(of: before, with: two.first.vault)) }
        let claim = try two.store.write { rows in
            let state = try #require(try rows.refreshState(of: id))
            return try rows.arm(state, owner: "k", until: two.now.adding(seconds: 30), at: two.now)
        }
        let armed = try #require(claim)
        var credential = try two.store.read { try $0.openCredential(of: before, with: oldKey.key) }
        credential.accessToken = try SecretText("gho_two")
        _ = try two.lose()
        let renewal = Renewal(
            credential: credential, scopes: before.scopes, receivedAt: two.now, expiresAt: nil, refreshExpiresAt: nil,
            nextRefreshAt: nil)
        _ = try two.store.write { try $0.store(renewal, for: armed, key: oldKey.key, covers: { _, _ in true }) }
        #expect(try two.access(id, two.vault.open(two.firstCookie)) == "gho_two")
        let after = try two.connection(id)
        #expect(throws: EnvelopeError.doesNotOpen) {
            try two.store.read { _ = try $0.openCredential(of: after, with: oldKey.key) }
        }
    }

    @Test("A consent that comes back meanwhile is kept: sealed to the vault as it is now")
    func consentMeanwhile() throws {
        let stale = two.first.vault
        _ = try two.lose()
        let id = try two.store.write {
            try $0.insert(
                try two.vault.grant("gho_late", account: "7"), into: .open(stale), of: two.person, status: .active)
        }
        #expect(try two.access(id, two.vault.open(two.firstCookie)) == "gho_late")
    }

    @Test("The same account is still recognised")
    func tags() throws {
        let id = try two.connect(two.first, "gho_one", account: "42")
        _ = try two.lose()
        let slot = try two.vault.open(two.firstCookie)
        let tag = try two.store.read {
            try $0.accountTag(provider: try ProviderID(parsing: "github"), accountID: "42", in: slot.vault)
        }
        #expect(try two.connection(id).isAccount(tag))
    }

    @Test("A key that changed once cannot be changed again by who had it open before")
    func stale() throws {
        let stale = two.first.vault
        _ = try two.lose()
        #expect(throws: VaultError.self) {
            try two.store.write { try $0.replaceKey(of: stale, covers: TwoVaults.covers, at: two.now) }
        }
        #expect(throws: VaultError.self) {
            try two.store.write { try $0.addSlot(.cli, name: "c", to: stale, lifetime: .untilRevoked, at: two.now) }
        }
    }

    @Test(
        "A holder whose public key was exchanged is left out, known, and can be let in again",
        arguments: ["public_key", "vault_tag"])
    func exchanged(_ column: String) throws {
        let key = try holder(.apiKey)
        _ = try two.connect(two.first, "gho_one")
        try two.change("UPDATE slot SET \(column) = randomblob(32) WHERE kind = 'api-key'")
        #expect(try two.lose().left == 1)
        let token = try two.vault.token(key.secret)
        #expect(try two.store.read { try $0.openSlot(token, at: two.now) } == nil)
        guard case .locked(let locked)? = try two.store.read({ try $0.openCaller(token, at: two.now) }) else {
            throw VaultError.conflict
        }
        #expect(locked.id == key.id)
        let slot = try two.vault.open(two.firstCookie)
        #expect(try !two.store.write { try $0.unlock(key.id, in: two.second.vault) }, "another vault's")
        if column == "vault_tag" {
            #expect(try two.store.write { try $0.unlock(key.id, in: slot.vault) })
            #expect(try two.vault.vend(key.secret, person: two.person) == ["gho_one"])
        } else {
            #expect(throws: VaultError.self) { try two.store.write { try $0.unlock(key.id, in: slot.vault) } }
        }
    }

    @Test("A connection that does not open holds up nothing, and is counted")
    func damaged() throws {
        let broken = try two.connect(two.first, "gho_broken", account: "2")
        let whole = try two.connect(two.first, "gho_whole", account: "3")
        try two.store.write {
            _ = try $0.changed("UPDATE connection SET vault_key = randomblob(90) WHERE id = ?", [broken.blob])
        }
        #expect(try two.lose().damaged == 1)
        #expect(try two.access(whole, two.vault.open(two.firstCookie)) == "gho_whole")
    }

    @Test("It is all or nothing: an error at the end leaves every holder and every connection as they were")
    func atomic() throws {
        let id = try two.connect(two.first, "gho_one")
        struct Stop: Error {}
        #expect(throws: Stop.self) {
            try two.store.write { rows in
                _ = try rows.replaceKey(of: two.first.vault, covers: TwoVaults.covers, at: two.now)
                throw Stop()
            }
        }
        #expect(try two.access(id, two.vault.open(two.firstCookie)) == "gho_one")
        #expect(try two.vault.open(two.firstCookie).vault.version == 1)
    }
}
