import Encoding
import Envelope
import OAuth
import Testing

@testable import Vault

@Suite("What a person takes back while an approval of theirs is under way")
struct TakenBackTests {
    let vault: TestVault
    let session: OpenSlot
    let connection: Connection

    init() throws {
        vault = try TestVault()
        let (session, _) = try vault.person()
        self.session = session
        let grant = try vault.grant()
        connection = try vault.store.write { rows in
            let id = try rows.insert(grant, into: .open(session.vault), of: session.person, status: .active)
            return try #require(try rows.connection(id))
        }
    }

    /// As far as the provider's page.
    func begin(_ plugins: [PluginID] = [], at provider: String = "github") throws -> AuthorizationSession {
        try vault.store.write { rows in
            let consent = ApprovedConsent(
                provider: try ProviderID(parsing: provider), vault: session.vault.id, asked: ScopeSet(["repo"]),
                shown: ScopeSet(["repo"]), sent: ScopeSet(["repo"]), extends: nil, separate: false, request: nil,
                plugins: plugins, clients: [], namedAccount: nil, after: try rows.lastTakenBack())
            let (state, _) = try rows.begin(consent, by: session, verifier: nil, redirectURI: "", at: vault.now)
            return try #require(try rows.authorization(state: state))
        }
    }

    func takenBack(since flow: AuthorizationSession) throws -> TakenBack {
        try vault.store.read { try $0.takenBack(since: flow) }
    }

    @Test("What was taken back before the approval has nothing to say about it")
    func before() throws {
        let plugin = try vault.plugin().plugin.id
        try vault.store.write { rows in
            _ = try rows.withdraw(plugin, of: session.person, at: vault.now)
            _ = try rows.setPaused(true, connection, at: vault.now)
            _ = try rows.stopEverything(of: session.person, but: session.id, at: vault.now)
            _ = try rows.removeConnection(connection.id, of: session.person, at: vault.now)
        }
        let taken = try takenBack(since: begin([plugin]))
        #expect(!taken.isEverything && !taken.asksAboutNew && taken.letsIn(plugin, isNew: true))
    }

    @Test("A plugin that was withdrawn or muted at the very same time as the approval is not let in, others are")
    func plugins() throws {
        let (one, other) = (try vault.plugin("One").plugin.id, try vault.plugin("Other").plugin.id)
        let takings: [(Rows) throws -> Void] = [
            { _ = try $0.withdraw(one, of: session.person, at: vault.now) },
            { try $0.setMuted(true, one, by: session.person, at: vault.now) },
        ]
        for take in takings {
            let flow = try begin([one, other])
            try vault.store.write { try take($0) }
            let taken = try takenBack(since: flow)
            #expect(!taken.letsIn(one, isNew: true) && !taken.letsIn(one, isNew: false))
            #expect(taken.letsIn(other, isNew: true) && !taken.asksAboutNew)
            #expect(try takenBack(since: begin([one])).letsIn(one, isNew: true), "approved again")
        }
    }

    @Test("A revoked connection concerns what is new at its provider, and nothing else")
    func revoked() throws {
        let plugin = try vault.plugin().plugin.id
        let (here, elsewhere) = (try begin([plugin]), try begin([plugin], at: "corp"))
        #expect(
            try vault.store.write { try $0.removeConnection(connection.id, of: session.person, at: vault.now) })
        let taken = try takenBack(since: here)
        #expect(taken.isRevoked && taken.asksAboutNew && !taken.letsIn(plugin, isNew: true))
        #expect(taken.letsIn(plugin, isNew: false))
        #expect(try !takenBack(since: elsewhere).isRevoked)
    }

    @Test("Paused stays paused, unless it was resumed since; a connection that nobody paused does not become so")
    func paused() throws {
        let flow = try begin()
        #expect(try !takenBack(since: flow).leavesPaused(connection))
        #expect(try vault.store.write { try $0.setPaused(true, connection, at: vault.now) })
        let paused = try #require(try vault.store.read { try $0.connection(connection.id) })
        #expect(try takenBack(since: flow).leavesPaused(paused))
        #expect(try takenBack(since: flow).asksAboutNew == false)
        #expect(try vault.store.write { try $0.setPaused(false, paused, at: vault.now) })
        #expect(try !takenBack(since: flow).leavesPaused(connection))
    }

    @Test("After everything was stopped nobody is let in, by another person's stop everybody")
    func stopped() throws {
        let plugin = try vault.plugin().plugin.id
        let (stranger, _) = try vault.person("Mallory")
        let flow = try begin([plugin])
        let outcome = try #require(OutcomeID(bytes: Array(repeating: 7, count: 16)))
        #expect(try vault.store.write { try $0.consume(flow, outcome: outcome, at: vault.now) })
        try vault.store.write {
            _ = try $0.stopEverything(of: stranger.person, but: stranger.id, at: vault.now)
        }
        #expect(try takenBack(since: flow).letsIn(plugin, isNew: true))
        try vault.store.write { _ = try $0.stopEverything(of: session.person, but: session.id, at: vault.now) }
        let taken = try takenBack(since: flow)
        #expect(taken.isEverything && taken.asksAboutNew && !taken.letsIn(plugin, isNew: false))
        let stopped = try #require(try vault.store.read { try $0.connection(connection.id) })
        #expect(taken.leavesPaused(stopped))
    }

    @Test("With the session that approved ends what it had begun; one that replaces it goes on with it")
    func sessionOver() throws {
        let plugin = try vault.plugin().plugin.id
        let flow = try begin([plugin])
        let next = try vault.store.write { rows in
            let made = try rows.addSlot(
                .session, name: "Browser", to: session.vault, lifetime: .session, at: vault.now)
            try rows.hand(session, over: made.id)
            _ = try rows.removeSlot(session.id, of: session.person, kinds: [.session])
            return made.id
        }
        #expect(try takenBack(since: flow).letsIn(plugin, isNew: true))
        try vault.store.write { _ = try $0.removeSlot(next, of: session.person, kinds: [.session]) }
        let taken = try takenBack(since: flow)
        #expect(taken.isSessionOver && taken.asksAboutNew && !taken.letsIn(plugin, isNew: false))
    }

    @Test("Kept for two days, and no number is given twice")
    func swept() throws {
        func number() throws -> Int64 { try vault.store.read { try $0.lastTakenBack() } }
        try vault.store.write { _ = try $0.setPaused(true, connection, at: vault.now) }
        let first = try number()
        try vault.store.write { _ = try $0.sweep(at: vault.now.adding(seconds: 86_400)) }
        #expect(try number() == first && first > 0)
        try vault.store.write { _ = try $0.sweep(at: vault.now.adding(seconds: 2 * 86_400)) }
        #expect(try number() == 0)
        try vault.store.write { _ = try $0.setPaused(true, connection, at: vault.now) }
        #expect(try number() > first)
    }
}
