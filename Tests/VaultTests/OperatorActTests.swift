import Encoding
import Envelope
import GRDB
import OAuth
import Secrets
import Testing

@testable import Vault

@Suite("What the operator does to a plugin")
struct OperatorActTests {
    @Test("It concerns those who let the plugin in and have not withdrawn it, and whose own it is")
    func concerned() throws {
        let two = try TwoVaults()
        let (plugin, _) = try two.vault.plugin()
        let (stranger, _) = try two.vault.person("Mallory")
        func concerned(_ id: PluginID) throws -> [PersonID] { try two.store.read { try $0.persons(concernedBy: id) } }
        #expect(try concerned(plugin.id).isEmpty)
        for (account, access) in [("1", "gho_one"), ("2", "gho_two")] {
            let id = try two.connect(two.first, access, account: account)
            try two.approve(plugin.id, for: id, by: two.first, scopes: ["repo"])
        }
        #expect(try concerned(plugin.id) == [two.person])
        _ = try two.store.write { try $0.withdraw(plugin.id, of: two.person, at: two.now) }
        #expect(try concerned(plugin.id).isEmpty)
        let own = try two.store.write { try $0.addPlugin(name: "Mine", owner: stranger.person, at: two.now).id }
        #expect(try concerned(own) == [stranger.person])
    }

    @Test("Every act but the first has an event of that name")
    func events() {
        #expect(OperatorAct.allCases.filter { $0.event == nil } == [.pluginAdded])
        #expect(OperatorAct.allCases.compactMap(\.event).map(\.rawValue).allSatisfy { $0.hasPrefix("plugin-") })
    }
}
