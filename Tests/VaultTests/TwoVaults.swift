import Encoding
import Envelope
import GRDB
import OAuth
import Secrets
import Testing

@testable import Vault

/// One person with two browsers that know nothing of each other, each with a vault of its own.
final class TwoVaults {
    let vault: TestVault
    let first: OpenSlot
    let second: OpenSlot
    let firstCookie: SecretText
    let secondCookie: SecretText

    var store: Store { vault.store }
    var now: Instant { vault.now }
    var person: PersonID { first.person }

    init() throws {
        vault = try TestVault()
        (first, firstCookie) = try vault.person()
        let (person, now) = (first.person, vault.now)
        secondCookie = try vault.store.write { rows in
            let other = try rows.makeVault(for: person, at: now)
            return try rows.addSlot(.session, name: "Other browser", to: other, lifetime: .session, at: now).secret
        }
        second = try vault.open(secondCookie)
    }

    static let covers: Coverage = { _, approved, token in token.isSubset(of: approved) }

    func connect(
        _ slot: OpenSlot, _ access: String, scopes: [String] = ["repo"], account: String = "1", after seconds: Int64 = 0
    ) throws -> ConnectionID {
        var grant = try vault.grant(access, scopes: scopes, account: account)
        grant.obtainedAt = now.adding(seconds: seconds)
        return try store.write { [grant] in
            try $0.insert(grant, into: .open(slot.vault), of: slot.person, status: .active)
        }
    }

    /// As far as the second browser has been given the first one's key.
    func sealed() throws -> LinkID {
        let (link, code) = try store.write { try $0.offerLink(by: first, at: now) }
        let claim = try store.write { try $0.claimLink(code: code, by: second, at: now) }
        guard case .claimed(link.id) = claim else { throw VaultError.conflict }
        guard try store.write({ try $0.sealLink(link.id, by: first, at: now) }) else { throw VaultError.conflict }
        return link.id
    }

    @discardableResult
    func link() throws -> LinkID {
        let id = try sealed()
        guard try accept(id) else { throw VaultError.conflict }
        return id
    }

    func accept(_ id: LinkID) throws -> Bool {
        let slot = try vault.open(secondCookie)
        return try store.write { try $0.acceptLink(id, by: slot, covers: Self.covers, at: now) }
    }

    func lose() throws -> Rekeyed {
        let slot = try vault.open(firstCookie)
        return try store.write { try $0.replaceKey(of: slot.vault, covers: Self.covers, at: now) }
    }

    func connection(_ id: ConnectionID) throws -> Connection {
        try #require(try store.read { try $0.connection(id) })
    }

    /// The access token of a connection as this holder opens it.
    func access(_ id: ConnectionID, _ slot: OpenSlot) throws -> String {
        try store.read { rows in
            let connection = try #require(try rows.connection(id))
            return try rows.openCredential(of: connection, with: try rows.openKey(of: connection, with: slot.vault))
                .accessToken.withString { $0 }
        }
    }

    func approve(_ plugin: PluginID, for id: ConnectionID, by slot: OpenSlot, scopes: [String]) throws {
        try store.write { rows in
            let connection = try #require(try rows.connection(id))
            let key = try rows.openKey(of: connection, with: slot.vault)
            try rows.approve(plugin, for: connection, key: key, scopes: ScopeSet(scopes), at: now)
        }
    }

    func change(_ sql: String) throws { _ = try store.write { try $0.changed(sql, []) } }

    func count(_ sql: String) throws -> Int64 { try store.read { try $0.row(sql, [])?[0] ?? -1 } }
}
