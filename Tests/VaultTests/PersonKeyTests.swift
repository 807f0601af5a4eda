import Encoding
import Envelope
import Foundation
import GRDB
import OAuth
import Secrets
import Testing

@testable import Vault

@Suite("The key of one person with a plugin")
struct PersonKeyTests {
    let vault: TestVault
    let first: Approver
    let second: Approver
    let plugin: OpenPlugin
    let general: SecretText

    /// A person with a connection.
    struct Approver {
        let session: OpenSlot
        let connection: ConnectionID

        init(_ vault: TestVault, _ name: String, _ access: String) throws {
            let session = try vault.person(name).session
            connection = try vault.store.write {
                try $0.insert(
                    try vault.grant(access), into: .open(session.vault), of: session.person, status: .active)
            }
            self.session = session
        }

        func approve(_ plugin: PluginID, _ vault: TestVault) throws {
            try vault.store.write { rows in
                let row = try #require(try rows.connection(connection))
                let key = try rows.openKey(of: row, with: session.vault)
                try rows.approve(plugin, for: row, key: key, scopes: ScopeSet(["repo"]), at: vault.now)
            }
        }
    }

    init() throws {
        vault = try TestVault()
        first = try Approver(vault, "Ada", "gho_ada")
        second = try Approver(vault, "Ben", "gho_ben")
        (plugin, general) = try vault.plugin()
    }

    func key(of approver: Approver, from secret: SecretText? = nil) throws -> SecretText {
        try vault.token(secret ?? general).forPerson(approver.session.person).text()
    }

    @discardableResult
    func register(_ approver: Approver, by secret: SecretText? = nil) throws -> SecretText {
        let made = try key(of: approver, from: secret)
        let opener = try opened(secret ?? general)
        let token = try vault.token(made)
        try vault.store.write {
            try $0.addPersonKey(token, of: opener, for: approver.session.person, at: vault.now)
        }
        return made
    }

    func opened(_ secret: SecretText) throws -> OpenPlugin {
        let token = try vault.token(secret)
        return try #require(try vault.store.read { try $0.openPlugin(token, at: vault.now) })
    }

    func vended(_ secret: SecretText, _ approver: Approver) throws -> [String] {
        try vault.vend(secret, person: approver.session.person)
    }

    func change(_ sql: String, _ arguments: StatementArguments = []) throws {
        try vault.store.write { _ = try $0.changed(sql, arguments) }
    }

    @Test("It opens what its person approved, before and after; the general key opens both persons'")
    func opens() throws {
        try first.approve(plugin.id, vault)
        #expect(try vended(general, first) == ["gho_ada"])
        let (ada, ben) = (try register(first), try register(second))
        #expect(try vended(ada, first) == ["gho_ada"])
        try second.approve(plugin.id, vault)
        #expect(try vended(ben, second) == ["gho_ben"])
        #expect(try vended(general, first) == ["gho_ada"])
        #expect(try vended(general, second) == ["gho_ben"])
        #expect(try opened(ada).person == first.session.person)
    }

    @Test("Whomever the statement is asked about, it finds its own person's")
    func othersAreNotFound() throws {
        let ada = try register(first)
        try first.approve(plugin.id, vault)
        try second.approve(plugin.id, vault)
        #expect(try vended(ada, second) == ["gho_ada"])
    }

    @Test("Another person's approval row does not open with it, wherever it is put")
    func swappedRows() throws {
        let ada = try register(first)
        try register(second)
        try first.approve(plugin.id, vault)
        try second.approve(plugin.id, vault)
        try change(
            "UPDATE approval SET person = ? WHERE person = ?",
            [Data(first.session.person.bytes), Data(second.session.person.bytes)])
        #expect(throws: EnvelopeError.doesNotOpen) { try vended(ada, first) }
    }

    @Test("A pair that was moved to another person, or whose public half was exchanged, is given nothing")
    func tampered() throws {
        try register(first)
        try register(second)
        let columns = try vault.store.read {
            try $0.rows("SELECT person, private_key, public_key, public_tag FROM plugin_person", [])
        }
        let theirs = try #require(columns.first { $0.bytes("person") == second.session.person.bytes })
        let mine = Data(first.session.person.bytes)
        try change(
            "UPDATE plugin_person SET public_key = ?, public_tag = ? WHERE person = ?",
            [Data(theirs.bytes("public_key")), Data(theirs.bytes("public_tag")), mine])
        #expect(throws: (any Error).self) { try first.approve(plugin.id, vault) }
        try change(
            "UPDATE plugin_person SET private_key = ? WHERE person = ?", [Data(theirs.bytes("private_key")), mine])
        let newer = try vault.store.write {
            try $0.replaceKey(of: plugin, oldEndsAt: vault.now.adding(seconds: 60), at: vault.now)
        }
        #expect(throws: EnvelopeError.doesNotOpen) { try register(first, by: newer) }
    }

    @Test("Told twice it is there once, and only a general key tells")
    func onlyOnce() throws {
        let ada = try register(first)
        try register(first)
        let count = try vault.store.read {
            try $0.row(
                "SELECT (SELECT count(*) FROM plugin_person) + (SELECT count(*) FROM slot WHERE kind = 'plugin-person') AS n",
                [])
        }
        #expect(count?["n"] as Int? == 2)
        #expect(throws: VaultError.self) { try register(second, by: ada) }
    }

    @Test("A new key of the plugin gives new ones to the same pair; with the old key its own end")
    func keyChange() throws {
        let ada = try register(first)
        try first.approve(plugin.id, vault)
        let later = vault.now.adding(seconds: 60)
        let newer = try vault.store.write { try $0.replaceKey(of: plugin, oldEndsAt: later, at: vault.now) }
        let newerAda = try register(first, by: newer)
        for secret in [ada, newerAda, general, newer] { #expect(try vended(secret, first) == ["gho_ada"]) }
        let token = try vault.token(ada)
        #expect(try vault.store.read { try $0.openPlugin(token, at: later) } == nil)
        #expect(try vault.store.read { try $0.keys(of: plugin.id, at: vault.now).count } == 2)
        #expect(try vault.store.write { try $0.endReplacedKeys(of: plugin.id) } == 1)
        #expect(try vault.store.read { try $0.openPlugin(token, at: vault.now) } == nil)
        #expect(try vended(newerAda, first) == ["gho_ada"])
        try second.approve(plugin.id, vault)
        #expect(try vended(try register(second, by: newer), second) == ["gho_ben"])
    }

    @Test("The last use that is told of counts, in whichever order they are told")
    func lastUse() throws {
        let person = first.session.person
        #expect(try vault.store.read { try $0.keyInUse(plugin.id, with: person) } == nil)
        try register(first)
        #expect(try vault.store.read { try $0.keyInUse(plugin.id, with: person)?.key } == .own)
        for (key, at) in [(PluginKeyInUse.general, Int64(20)), (.own, 10)] {
            try vault.store.write { try $0.moveKeyInUse(of: plugin.id, with: person, to: key, at: at) }
        }
        #expect(try vault.store.read { try $0.keyInUse(plugin.id, with: person)?.key } == .general)
        try vault.store.write { try $0.moveKeyInUse(of: plugin.id, with: person, to: .own, at: 30) }
        let used = try #require(try vault.store.read { try $0.keyInUse(plugin.id, with: person) })
        #expect(used.key == .own && used.at == Instant(milliseconds: 30))
    }

    @Test("It goes with the plugin, and with its person")
    func removal() throws {
        let ada = try register(first)
        let ben = try register(second)
        try first.approve(plugin.id, vault)
        try change("DELETE FROM person WHERE id = ?", [Data(first.session.person.bytes)])
        let adas = try vault.token(ada)
        let bens = try vault.token(ben)
        #expect(try vault.store.read { try $0.openPlugin(adas, at: vault.now) } == nil)
        #expect(try opened(ben).id == plugin.id)
        #expect(try vault.store.write { try $0.removePlugin(plugin.id, at: vault.now) })
        #expect(try vault.store.read { try $0.openPlugin(bens, at: vault.now) } == nil)
    }
}
