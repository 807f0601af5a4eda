import Encoding
import Envelope
import Foundation
import GRDB
import OAuth
import Secrets
import Testing

@testable import Vault

@Suite("Plugins and the connections they were given")
struct ApprovalTests {
    let vault: TestVault
    let session: OpenSlot
    let connection: ConnectionID

    init() throws {
        vault = try TestVault()
        let (session, _) = try vault.person()
        let grant = try vault.grant()
        self.session = session
        connection = try vault.store.write {
            try $0.insert(grant, into: .open(session.vault), of: session.person, status: .active)
        }
    }

    func approve(_ plugin: PluginID, scopes: [String] = ["repo"]) throws {
        try vault.store.write { rows in
            let row = try #require(try rows.connection(connection))
            let key = try rows.openKey(of: row, with: session.vault)
            try rows.approve(plugin, for: row, key: key, scopes: ScopeSet(scopes), at: vault.now)
        }
    }

    @Test("A plugin opens what it was given and nothing else")
    func given() throws {
        let (first, firstKey) = try vault.plugin("First")
        let (_, secondKey) = try vault.plugin("Second")
        try approve(first.id)
        #expect(try vault.vend(firstKey, person: session.person) == ["gho_one"])
        #expect(try vault.vend(secondKey, person: session.person) == [])
    }

    @Test("A plugin cannot open with an approval row that was made for another")
    func copiedRow() throws {
        let (first, _) = try vault.plugin("First")
        let (second, secondKey) = try vault.plugin("Second")
        try approve(first.id)
        try vault.store.write {
            _ = try $0.changed("UPDATE approval SET plugin = ?", [second.id.blob])
        }
        #expect(throws: EnvelopeError.doesNotOpen) { try vault.vend(secondKey, person: session.person) }
    }

    @Test("A consent that makes the token carry more leaves out the plugins approved for less")
    func outgrown() throws {
        let (narrow, narrowKey) = try vault.plugin("Narrow")
        let (wide, wideKey) = try vault.plugin("Wide")
        try approve(narrow.id, scopes: ["repo"])
        try approve(wide.id, scopes: ["repo", "gist"])
        try vault.store.write { rows in
            let row = try #require(try rows.connection(connection))
            try rows.replace(
                row, with: try vault.grant("gho_two", scopes: ["repo", "gist"]), in: .open(session.vault),
                covers: { $1.isSubset(of: $0) })
        }
        #expect(try vault.vend(narrowKey, person: session.person) == [])
        #expect(try vault.vend(wideKey, person: session.person) == ["gho_two"])
        let statuses = try vault.store.read { try $0.approvals(of: connection) }
        #expect(statuses.first { $0.plugin == narrow.id }?.status == .outgrown)
    }

    @Test("Approved without the key at hand, a plugin gets it with the next new one if that covers the token")
    func waiting() throws {
        let (plugin, key) = try vault.plugin("Waits")
        let (narrow, narrowKey) = try vault.plugin("Narrow")
        let (withdrawn, withdrawnKey) = try vault.plugin("Withdrawn")
        let (held, heldKey) = try vault.plugin("Has it")
        try approve(held.id)
        try vault.store.write { rows in
            let row = try #require(try rows.connection(connection))
            for id in [plugin.id, withdrawn.id, held.id] {
                try rows.approveWhenOpen(id, for: row, scopes: ScopeSet(["repo"]), at: vault.now)
            }
            try rows.approveWhenOpen(narrow.id, for: row, scopes: ScopeSet(["gist"]), at: vault.now)
        }
        let marked = try #require(try vault.store.read { try $0.connection(connection) })
        #expect(marked.rekeyPending)
        #expect(try vault.vend(key, person: session.person) == [])
        #expect(try vault.vend(heldKey, person: session.person) == ["gho_one"], "who has it keeps it")
        #expect(try vault.store.write { try $0.withdraw(withdrawn.id, of: session.person, at: vault.now) } == [])
        try vault.store.write {
            try $0.rekey(marked, with: session.vault, background: false, at: vault.now) { $1.isSubset(of: $0) }
        }
        #expect(try vault.vend(key, person: session.person) == ["gho_one"])
        #expect(try vault.vend(heldKey, person: session.person) == ["gho_one"])
        for none in [narrowKey, withdrawnKey] { #expect(try vault.vend(none, person: session.person) == []) }
        let statuses = try vault.store.read { try $0.approvals(of: connection) }
        #expect(statuses.first { $0.plugin == narrow.id }?.status == .outgrown)
        #expect(statuses.first { $0.plugin == plugin.id }?.status == .live)
    }

    @Test("Which token a withdrawn plugin may still have is known until there is another one")
    func held() throws {
        let (plugin, _) = try vault.plugin()
        try approve(plugin.id)
        for _ in 0..<2 { _ = try vault.store.write { try $0.withdraw(plugin.id, of: session.person, at: vault.now) } }
        let generation = try #require(try vault.store.read { try $0.connection(connection) }).generation
        let approval = try #require(try vault.store.read { try $0.approvals(of: connection) }.first)
        #expect(approval.status == .withdrawn && approval.heldGeneration == generation)
    }

    @Test("A withdrawn plugin opens nothing, and the key it has seen opens nothing new")
    func withdrawn() throws {
        let (plugin, key) = try vault.plugin()
        try approve(plugin.id)
        let old = try vault.store.read { rows in
            ConnectionKey(try rows.openKey(of: try #require(try rows.connection(connection)), with: session.vault))
        }
        let marked = try vault.store.write { try $0.withdraw(plugin.id, of: session.person, at: vault.now) }
        #expect(marked == [connection])
        #expect(try vault.vend(key, person: session.person) == [])
        try vault.store.write { rows in
            try rows.rekey(
                try #require(try rows.connection(connection)), with: session.vault, background: false, at: vault.now,
                covers: { $1.isSubset(of: $0) })
        }
        let row = try #require(try vault.store.read { try $0.connection(connection) })
        #expect(!row.rekeyPending)
        #expect(throws: EnvelopeError.doesNotOpen) {
            try vault.store.read { try $0.openCredential(of: row, with: old.key) }
        }
    }

    @Test("A write that lost the race for a connection changes nothing")
    func lostRace() throws {
        let row = try #require(try vault.store.read { try $0.connection(connection) })
        let replace: (String) throws -> Void = { access in
            try vault.store.write {
                try $0.replace(
                    row, with: try vault.grant(access), in: .open(session.vault), covers: { $1.isSubset(of: $0) })
            }
        }
        try replace("gho_two")
        #expect(throws: VaultError.self) { try replace("gho_three") }
        #expect(try vault.store.read { try $0.connection(connection)?.generation } == 2)
    }

    @Test("Swapped credentials do not open: a row is bound to what, whose and which version it is")
    func swapped() throws {
        let other = try vault.store.write {
            try $0.insert(
                try vault.grant("gho_b", account: "2"), into: .open(session.vault), of: session.person, status: .active)
        }
        for column in ["credential", "vault_key"] {
            let before = try #require(try vault.store.read { try $0.connection(other) })
            try vault.store.write {
                _ = try $0.changed(
                    "UPDATE connection SET \(column) = (SELECT \(column) FROM connection WHERE id = ?) WHERE id = ?",
                    [connection.blob, other.blob])
            }
            let row = try #require(try vault.store.read { try $0.connection(other) })
            #expect(throws: EnvelopeError.doesNotOpen) {
                try vault.store.read {
                    _ = try $0.openCredential(of: row, with: try $0.openKey(of: row, with: session.vault))
                }
            }
            try vault.store.write {
                _ = try $0.changed(
                    "UPDATE connection SET credential = ?, vault_key = ? WHERE id = ?",
                    [before.credential.blob, before.vaultKey.blob, other.blob])
            }
        }
    }
}
