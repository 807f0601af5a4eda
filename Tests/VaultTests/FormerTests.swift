import Encoding
import GRDB
import Testing

@testable import Vault

@Suite("Who is gone")
struct FormerTests {
    @Test("Everybody keeps the name that the record needs, and one question tells who is still there")
    func names() throws {
        let vault = try TestVault()
        let (session, _) = try vault.person("Ada")
        let (stranger, _) = try vault.person("Mallory")
        let (operators, gone) = (try vault.plugin("Issue bot").plugin.id, try vault.plugin("Old bot").plugin.id)
        let key = try vault.store.write {
            try $0.addSlot(.apiKey, name: "nightly", to: session.vault, lifetime: .untilRevoked, at: vault.now).id
        }
        let own = try vault.store.write { try $0.addPlugin(name: "Sorter", owner: session.person, at: vault.now).id }
        func known(to person: PersonID) throws -> [String: CallerName] {
            let ids = [operators.text, gone.text, key.text, own.text, session.id.text, "operator", "p_x"]
            return try vault.store.read { try $0.callerNames(of: ids + ids, in: person, at: vault.now) }
        }
        let there = try known(to: session.person)
        #expect(
            there.mapValues(\.name) == [
                operators.text: "Issue bot", gone.text: "Old bot", key.text: "nightly", own.text: "Sorter",
                session.id.text: "Browser",
            ])
        #expect(there.values.allSatisfy { !$0.isEnded })
        try vault.store.write { rows in
            #expect(try rows.removePlugin(gone, at: vault.now))
            #expect(try !rows.removePlugin(gone, at: vault.now))
            #expect(try rows.removePlugin(own, at: vault.now))
            try rows.removeHolder(key)
        }
        let after = try known(to: session.person)
        #expect(after.mapValues(\.name) == there.mapValues(\.name))
        #expect(Set(after.filter(\.value.isEnded).keys) == [gone.text, key.text, own.text])
        // Another person's are nobody else's business; the operator's plugins are everybody's.
        #expect(Set(try known(to: stranger.person).keys) == [operators.text, gone.text])
        #expect(try vault.store.read { try $0.callerNames(of: [], in: session.person, at: vault.now) }.isEmpty)
    }

    @Test("A slot's id is not taken for a plugin's of the same bytes")
    func kinds() throws {
        let vault = try TestVault()
        let plugin = try vault.plugin("Issue bot").plugin.id
        let (session, _) = try vault.person()
        let alike = try #require(SlotID(bytes: plugin.bytes)).text
        #expect(try vault.store.read { try $0.callerNames(of: [alike], in: session.person, at: vault.now) }.isEmpty)
    }

    @Test("An expired holder is gone before it is swept")
    func expired() throws {
        let vault = try TestVault()
        let (session, _) = try vault.person()
        func isEnded(at time: Instant) throws -> Bool? {
            try vault.store.read {
                try $0.callerNames(of: [session.id.text], in: session.person, at: time)[session.id.text]?.isEnded
            }
        }
        #expect(try isEnded(at: vault.now) == false)
        #expect(try isEnded(at: vault.now.adding(seconds: 400 * 86_400)) == true)
    }

    @Test("Who is gone is listed a page at a time, the last first, and forgotten with the record")
    func listed() throws {
        let vault = try TestVault()
        let (session, _) = try vault.person("Ada")
        let keys = try (0..<5).map { number in
            try vault.store.write { rows in
                let key = try rows.addSlot(
                    .apiKey, name: "key \(number)", to: session.vault, lifetime: .untilRevoked, at: vault.now
                ).id
                try rows.removeHolder(key)
                return key.text
            }
        }
        var (listed, after): ([FormerCaller], FormerCursor?) = ([], nil)
        repeat {
            let page = try vault.store.read { [after] in
                try $0.formerCallers(of: session.person, after: after, limit: 2)
            }
            listed += page
            after = page.count == 2 ? page.last?.cursor : nil
        } while after != nil
        #expect(Set(listed.map(\.id)) == Set(keys) && listed.count == 5)
        #expect(listed.allSatisfy { $0.kind == "api-key" && $0.name.hasPrefix("key ") })
        #expect(zip(listed, listed.dropFirst()).allSatisfy { $0.endedAt >= $1.endedAt })
        // Of the operator's, which no record of this person is about, nothing.
        let plugin = try vault.plugin("Issue bot").plugin.id
        _ = try vault.store.write { try $0.removePlugin(plugin, at: vault.now) }
        #expect(try vault.store.read { try $0.formerCallers(of: session.person, limit: 10) }.count == 5)
        let last = try #require(listed.first).endedAt
        #expect(try vault.store.write { try $0.pruneFormer(before: last.adding(seconds: -60)) } == 0)
        #expect(try vault.store.write { try $0.pruneFormer(before: last.adding(seconds: 2 * 86_400)) } == 6)
        #expect(try vault.store.read { try $0.callerNames(of: keys, in: session.person, at: vault.now) }.isEmpty)
    }

    @Test("What a plugin that is gone may still hold is known until the connection has another token")
    func left() throws {
        let two = try TwoVaults()
        let (plugin, _) = try two.vault.plugin()
        let id = try two.connect(two.first, "gho_one")
        try two.approve(plugin.id, for: id, by: two.first, scopes: ["repo"])
        func left() throws -> [LeftToken] { try two.store.read { try $0.leftTokens(of: two.person, limit: 10) } }
        #expect(try left().isEmpty)
        _ = try two.store.write { try $0.removePlugin(plugin.id, at: two.now) }
        #expect(try left().map(\.connection) == [id])
        #expect(try left().map(\.plugin) == [plugin.id])
        #expect(try two.store.write { try $0.sweepLeft() } == 0)
        _ = try two.store.write { try $0.changed("UPDATE connection SET generation = generation + 1", []) }
        #expect(try left().isEmpty)
        #expect(try two.store.write { try $0.sweepLeft() } == 1)
    }
}
