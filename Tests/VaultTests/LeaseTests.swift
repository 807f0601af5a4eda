import Encoding
import Envelope
import Foundation
import OAuth
import Secrets
import Testing

@testable import Vault

@Suite("Leases and renewals")
struct LeaseTests {
    let kept: KeptVault
    init() throws { kept = try KeptVault() }

    private func store(_ renewal: Renewal, _ claim: Claim, _ key: ConnectionKey) throws -> RenewalEnd {
        try kept.store.write { try $0.store(renewal, for: claim, key: key.key) { _, _ in true } }
    }

    @Test("One lease at a time, and its end is a time")
    func exclusive() throws {
        let id = try kept.connect()
        #expect(try kept.arm(id) != nil)
        #expect(try kept.arm(id, owner: "k2") == nil)
        #expect(try kept.arm(id, owner: "k1") == nil)
        let later = try #require(try kept.arm(id, owner: "k2", at: kept.start.adding(seconds: 30)))
        #expect(later.wasAmbiguous)
        #expect(later.since == kept.start)
    }

    @Test("A row that moved since it was read cannot be claimed")
    func staleRead() throws {
        let id = try kept.connect()
        let seen = try kept.state(id)
        let claim = try #require(try kept.arm(id))
        #expect(try kept.store.write { try $0.release(claim, code: "x", retry: nil, mayHaveHappened: false) })
        let again = try kept.store.write {
            try $0.arm(seen, owner: "k2", until: kept.start.adding(seconds: 30), at: kept.start)
        }
        #expect(again == nil)
    }

    @Test("A renewal is the next generation, opens with the vault, and keeps what was not renewed")
    func renewed() throws {
        let id = try kept.connect()
        let claim = try #require(try kept.arm(id))
        let end = try store(kept.renewal("access-2", at: kept.start), claim, kept.key(id))
        #expect(end == .stored(generation: 2))
        let state = try kept.state(id)
        #expect(state.intent == .none)
        #expect(!state.isLeased(at: kept.start))
        #expect(state.nextRefreshAt == kept.start.adding(seconds: 2700))
        #expect(try kept.access(id) == "access-2")
        #expect(try kept.scalar("SELECT count(*) FROM rotation_journal") == 0)
    }

    @Test("An attempt that was not sent leaves no doubt; one that was leaves it, and keeps it")
    func doubt() throws {
        let id = try kept.connect()
        var claim = try #require(try kept.arm(id))
        let retry = kept.start.adding(seconds: 1)
        #expect(
            try kept.store.write { try $0.release(claim, code: "dns", retry: Retry(retry), mayHaveHappened: false) })
        #expect(try kept.state(id).intent == .none)
        #expect(try kept.state(id).notBefore == retry)
        claim = try #require(try kept.arm(id))
        #expect(
            try kept.store.write { try $0.release(claim, code: "lost", retry: Retry(retry), mayHaveHappened: true) })
        #expect(try kept.state(id).intent == .ambiguous(since: kept.start))
        claim = try #require(try kept.arm(id, at: kept.start.adding(seconds: 5)))
        #expect(claim.since == kept.start)
        #expect(
            try kept.store.write { try $0.release(claim, code: "dns", retry: Retry(retry), mayHaveHappened: false) })
        #expect(try kept.state(id).intent == .ambiguous(since: kept.start))
        #expect(try kept.state(id).failures == 3)
    }

    @Test("Whoever lost the lease changes nothing, and what it brought is adopted")
    func lostLease() throws {
        let id = try kept.connect()
        let key = try kept.key(id)
        let first = try #require(try kept.arm(id))
        let second = try #require(try kept.arm(id, owner: "k2", at: kept.start.adding(seconds: 31)))
        #expect(try !kept.store.write { try $0.release(first, code: "x", retry: nil, mayHaveHappened: false) })
        #expect(try !kept.store.write { try $0.markReauthorize(first, code: "x") })
        #expect(try store(kept.renewal("access-2", at: kept.start), first, key) == .adopted(generation: 2))
        #expect(try kept.access(id) == "access-2")
        // The second now lost the generation: its pair waits in the journal, and serves when the provider refuses.
        let late = kept.start.adding(seconds: 40)
        #expect(try store(kept.renewal("access-2b", at: late), second, key) == .journaled(current: 2))
        #expect(try !kept.store.write { try $0.markReauthorize(second, code: "invalid_grant") })
        #expect(try kept.access(id) == "access-2")
        let third = try #require(try kept.arm(id, at: late))
        #expect(try kept.store.write { try $0.adoptLatest(for: third, key: key.key) } == 3)
        #expect(try kept.access(id) == "access-2b")
        let fourth = try #require(try kept.arm(id, at: late))
        #expect(try kept.store.write { try $0.adoptLatest(for: fourth, key: key.key) } == nil)
    }

    @Test("A pair that comes after the grant was given up brings it back")
    func revival() throws {
        let id = try kept.connect()
        let key = try kept.key(id)
        let first = try #require(try kept.arm(id))
        let second = try #require(try kept.arm(id, owner: "k2", at: kept.start.adding(seconds: 31)))
        #expect(try kept.store.write { try $0.markReauthorize(second, code: "invalid_grant") })
        #expect(try kept.state(id).connection.status == .reauthorize)
        #expect(try store(kept.renewal("access-2", at: kept.start), first, key) == .adopted(generation: 2))
        #expect(try kept.state(id).connection.status == .active)
    }

    @Test("A connection that was given a new key under way is stored under yet another: the old one opens nothing new")
    func rekeyedUnderWay() throws {
        let id = try kept.connect()
        let old = try kept.key(id)
        let claim = try #require(try kept.arm(id))
        try kept.store.write {
            try $0.rekey(kept.state(id).connection, with: kept.vault, background: false, at: kept.start) { _, _ in true
            }
        }
        #expect(try store(kept.renewal("access-2", at: kept.start), claim, old) == .stored(generation: 2))
        let connection = try kept.state(id).connection
        #expect(connection.keyVersion == 3)
        #expect(try kept.access(id) == "access-2")
        #expect(throws: EnvelopeError.doesNotOpen) {
            _ = try kept.store.read { try $0.openCredential(of: connection, with: old.key) }
        }
    }

    @Test("A connection that was removed under way takes its pair along")
    func removed() throws {
        let id = try kept.connect()
        let key = try kept.key(id)
        let claim = try #require(try kept.arm(id))
        #expect(try kept.store.write { try $0.removeConnection(id, of: kept.person, at: kept.start) })
        #expect(try store(kept.renewal("access-2", at: kept.start), claim, key) == .removed)
    }

    @Test("Orphans become ambiguous once, and their late owner is fenced")
    func orphans() throws {
        let id = try kept.connect()
        let claim = try #require(try kept.arm(id, owner: "dead"))
        let retry = kept.start.adding(seconds: 10)
        for _ in 0..<2 {
            try kept.store.write { rows in
                for orphan in try rows.orphans(except: "k2") { try rows.markAmbiguous(orphan, retry: Retry(retry)) }
            }
        }
        let state = try kept.state(id)
        #expect(state.intent == .ambiguous(since: kept.start))
        #expect(state.leaseEpoch == 2)
        #expect(state.notBefore == retry)
        #expect(try !kept.store.write { try $0.release(claim, code: "x", retry: nil, mayHaveHappened: true) })
    }

    @Test("The journal is adopted without a key, once")
    func journalAtStart() throws {
        let id = try kept.connect()
        let key = try kept.key(id)
        let claim = try #require(try kept.arm(id))
        let current = try kept.state(id).connection
        try kept.store.write {
            try $0.journal(
                kept.renewal("access-2", at: kept.start), for: claim, key: key.key, current: current, adopted: false)
        }
        #expect(try kept.store.write { try $0.adoptJournal() } == 1)
        #expect(try kept.access(id) == "access-2")
        #expect(try kept.store.write { try $0.adoptJournal() } == 0)
        #expect(try kept.state(id).connection.generation == 2)
        #expect(try kept.store.write { try $0.sweepJournal(at: kept.start) } == 1)
    }

    @Test("Due are those whose owner opted in, by provider, longest waiting first")
    func due() throws {
        let provider = try ProviderID(parsing: "acme")
        let early = try kept.connect(lifetime: 600)
        let late = try kept.connect(lifetime: 3600)
        _ = try kept.connect("other", lifetime: 60)
        _ = try kept.connect(lifetime: 60)
        try kept.store.write { rows in
            for id in [early, late] { try rows.switchBackgroundOn(kept.state(id).connection, with: kept.vault) }
        }
        let end = kept.start.adding(seconds: 86_400)
        #expect(
            try kept.store.read { try $0.due(provider, before: end, limit: 9) }.map(\.connection.id) == [early, late])
        #expect(try kept.store.read { try $0.nextDue(provider) } == kept.start.adding(seconds: 450))
        #expect(try kept.store.read { try $0.due(provider, before: kept.start, limit: 9) }.isEmpty)
        // The keeper alone opens them.
        let connection = try kept.state(early).connection
        let key = try #require(try kept.store.read { try $0.openServiceKey(of: connection, with: kept.keys) })
        #expect(try kept.store.read { try $0.openCredential(of: connection, with: key.key) }.accountLabel == "octo")
    }
}
