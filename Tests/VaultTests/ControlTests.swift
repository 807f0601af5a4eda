import Encoding
import Envelope
import OAuth
import Secrets
import Testing

@testable import Vault

@Suite("What a person does to their connections")
struct ControlTests {
    let vault: TestVault
    let session: OpenSlot
    let cookie: SecretText

    init() throws {
        vault = try TestVault()
        (session, cookie) = try vault.person()
    }

    func connect(_ access: String = "gho_one", account: String = "1") throws -> Connection {
        let grant = try vault.grant(access, account: account)
        let id = try vault.store.write {
            try $0.insert(grant, into: .open(session.vault), of: session.person, status: .active)
        }
        return try row(id)
    }

    func row(_ id: ConnectionID) throws -> Connection { try #require(try vault.store.read { try $0.connection(id) }) }

    func label(_ id: ConnectionID) throws -> String {
        let connection = try row(id)
        return try vault.store.read { rows in
            let key = try rows.openKey(of: connection, with: session.vault)
            return try rows.openCredential(of: connection, with: key).label
        }
    }

    @Test("A label is sealed with the credential and goes with it to a new key")
    func labelled() throws {
        let connection = try connect()
        try vault.store.write { try $0.setLabel("Work", of: connection, with: session.vault) }
        #expect(try label(connection.id) == "Work")
        let stored = try row(connection.id)
        #expect(!stored.credential.contains(subsequence: Array("Work".utf8)))
        try vault.store.write {
            try $0.rekey(stored, with: session.vault, background: false, at: vault.now) { _, _ in true }
        }
        #expect(try row(connection.id).keyVersion == stored.keyVersion + 1)
        #expect(try label(connection.id) == "Work")
    }

    @Test("A label for a row that has moved since it was read is refused, not written over it")
    func moved() throws {
        let before = try connect()
        try vault.store.write {
            try $0.rekey(before, with: session.vault, background: false, at: vault.now) { _, _ in true }
        }
        #expect(throws: EnvelopeError.doesNotOpen) {
            // The old row's key no longer opens what is there now; what was read is opened as it was.
            let now = try row(before.id)
            try vault.store.write { rows in
                _ = try rows.openCredential(of: now, with: try rows.openKey(of: before, with: session.vault))
            }
        }
        #expect(throws: VaultError.self) {
            try vault.store.write { try $0.setLabel("Late", of: before, with: session.vault) }
        }
        #expect(try label(before.id) == "")
    }

    @Test("Paused is no candidate of a vend, and resumes; what waits for a person is not paused on top")
    func paused() throws {
        let connection = try connect()
        #expect(try vault.store.write { try $0.setPaused(true, connection, at: vault.now) })
        #expect(try vault.vend(cookie, person: session.person) == [])
        let paused = try row(connection.id)
        #expect(try vault.store.write { try $0.setPaused(true, paused, at: vault.now) }, "once more is the same")
        #expect(try vault.store.write { try $0.setPaused(false, paused, at: vault.now) })
        #expect(try vault.vend(cookie, person: session.person) == ["gho_one"])
        try vault.store.write { try $0.setStatus(.reauthorize, of: connection.id) }
        let waiting = try row(connection.id)
        #expect(try !vault.store.write { try $0.setPaused(true, waiting, at: vault.now) })
    }

    @Test("Pages of connections are in order, hold when the last one shown is gone, and end")
    func pages() throws {
        let ids = try (0..<5).map { try connect("gho_\($0)", account: "\($0)").id }.sorted {
            $0.blob.lexicographicallyPrecedes($1.blob)
        }
        let first = try vault.store.read { try $0.connections(of: session.person, after: nil, limit: 2) }
        #expect(first.map(\.id) == Array(ids[..<2]))
        let last = try #require(first.last)
        let cursor = try #require(ConnectionCursor(parsing: last.cursor.text))
        #expect(try vault.store.write { try $0.removeConnection(ids[1], of: session.person, at: vault.now) })
        let rest = try vault.store.read { try $0.connections(of: session.person, after: cursor, limit: 10) }
        #expect(rest.map(\.id) == Array(ids[2...]))
        for wrong in ["", "1", "1.", "x.c_AAAAAAAAAAAAAAAAAAAAAA", "1.c_A"] {
            #expect(ConnectionCursor(parsing: wrong) == nil)
        }
    }

    @Test("A connection of the same account may share its grant, one of another account shares none")
    func twins() throws {
        let (one, two, other) = (try connect(account: "1"), try connect(account: "1"), try connect(account: "2"))
        #expect(try vault.store.read { try $0.mayShareGrant(one) && $0.mayShareGrant(two) })
        #expect(try !vault.store.read { try $0.mayShareGrant(other) })
        #expect(try vault.store.write { try $0.removeConnection(two.id, of: session.person, at: vault.now) })
        #expect(try !vault.store.read { try $0.mayShareGrant(one) })
    }

    @Test("An account that is not known may be any that is here, on either side")
    func unnamed() throws {
        let named = try connect(account: "1")
        #expect(try !vault.store.read { try $0.mayShareGrant(named) })
        let unnamed = try connect(account: "")
        #expect(try vault.store.read { try $0.mayShareGrant(named) && $0.mayShareGrant(unnamed) })
        #expect(try vault.store.write { try $0.removeConnection(named.id, of: session.person, at: vault.now) })
        #expect(try !vault.store.read { try $0.mayShareGrant(unnamed) })
    }

    @Test(
        "A connection of the same person in another vault may share it, one of another person or provider does not count"
    )
    func elsewhere() throws {
        let here = try connect()
        let (stranger, _) = try vault.person("Somebody else")
        var other = try vault.grant()
        other.provider = try ProviderID(parsing: "google")
        let (theirs, google) = (try vault.grant(), other)
        let second = try vault.store.write { rows in
            _ = try rows.insert(theirs, into: .open(stranger.vault), of: stranger.person, status: .active)
            let second = try rows.makeVault(for: session.person, at: vault.now)
            _ = try rows.insert(google, into: .open(second), of: session.person, status: .active)
            return second
        }
        #expect(try !vault.store.read { try $0.mayShareGrant(here) })
        let there = try vault.store.write {
            try $0.insert(theirs, into: .open(second), of: session.person, status: .active)
        }
        let row = try row(there)
        #expect(try vault.store.read { try $0.mayShareGrant(here) && $0.mayShareGrant(row) })
    }

    @Test("What waits for Keep does not become the default")
    func unusedDefault() throws {
        let (used, waiting) = (try connect(), try connect("gho_two", account: "2"))
        try vault.store.write { rows in
            #expect(try rows.setDefault(true, used.id, of: session.person))
            try rows.setStatus(.unused, of: waiting.id)
            #expect(try !rows.setDefault(true, waiting.id, of: session.person))
        }
        #expect(try row(used.id).isDefault)
    }

    @Test("A vault that waits for a new key makes every vend of its holders wait for it, and none of its plugins'")
    func markedVault() throws {
        let connection = try connect()
        let (plugin, pluginKey) = try vault.plugin()
        try vault.store.write { rows in
            let key = try rows.openKey(of: connection, with: session.vault)
            try rows.approve(plugin.id, for: connection, key: key, scopes: connection.scopes, at: vault.now)
        }
        func waits(_ secret: SecretText) throws -> Bool {
            let token = try vault.token(secret)
            let found = try VendStatement(store: vault.store)
                .find(slot: token.id, kind: token.kind, provider: "github", person: session.person)
            return try #require(found?.candidates.first).rekeyPending
        }
        #expect(try !waits(cookie))
        try vault.store.write { try $0.markForRekey(session.vault.id, of: session.person) }
        #expect(try waits(cookie))
        #expect(try !waits(pluginKey))
        _ = try vault.store.write { try $0.replaceKey(of: session.vault, covers: { _, _, _ in true }, at: vault.now) }
        #expect(try !waits(cookie))
    }

    @Test("Stopping everything leaves this session and the ways back in, and marks what others have seen for a new key")
    func stopped() throws {
        let connection = try connect()
        let (plugin, pluginKey) = try vault.plugin()
        let (stranger, strangersCookie) = try vault.person("Somebody else")
        let theirs = try vault.grant("gho_theirs")
        try vault.store.write { rows in
            let key = try rows.openKey(of: connection, with: session.vault)
            try rows.approve(plugin.id, for: connection, key: key, scopes: connection.scopes, at: vault.now)
            _ = try rows.addSlot(.apiKey, name: "Key", to: session.vault, lifetime: .untilRevoked, at: vault.now)
            _ = try rows.addSlot(.recovery, name: "Code", to: session.vault, lifetime: .untilRevoked, at: vault.now)
            _ = try rows.insert(theirs, into: .open(stranger.vault), of: stranger.person, status: .active)
        }
        let stopped = try vault.store.write {
            try $0.stopEverything(of: session.person, but: session.id, at: vault.now)
        }
        #expect([stopped.connections, stopped.plugins, stopped.holders] == [1, 1, 1])
        #expect(try vault.vend(cookie, person: session.person) == [])
        #expect(try vault.vend(pluginKey, person: session.person) == [])
        let row = try row(connection.id)
        #expect(row.status == .paused && row.rekeyPending && !row.background)
        #expect(try vault.store.read { try $0.hasRecoveryCode(session.vault.id) })
        #expect(try vault.vend(strangersCookie, person: stranger.person) == ["gho_theirs"])
        let again = try vault.store.write { try $0.stopEverything(of: session.person, but: session.id, at: vault.now) }
        #expect([again.connections, again.plugins, again.holders] == [0, 0, 0])
    }
}

extension [UInt8] {
    fileprivate func contains(subsequence: [UInt8]) -> Bool {
        guard count >= subsequence.count else { return false }
        return (0...(count - subsequence.count)).contains { Array(self[$0..<($0 + subsequence.count)]) == subsequence }
    }
}
