import Encoding
import Envelope
import GRDB
import OAuth
import Secrets
import Testing

@testable import Vault

@Suite("What becomes of the same account in two vaults, and of different ones")
struct MergeTests {
    let two: TwoVaults
    init() throws { two = try TwoVaults() }

    @Test("Different accounts are all kept, and none becomes the default by linking")
    func different() throws {
        let here = try two.connect(two.first, "gho_first", account: "1")
        let there = try two.connect(two.second, "gho_second", account: "2")
        _ = try two.store.write { try $0.setDefault(true, there, of: two.person) }
        try two.link()
        #expect(try two.connection(here).status == .active)
        #expect(try two.connection(there).status == .active)
        #expect(try two.count("SELECT count(*) FROM connection WHERE is_default") == 0)
    }

    @Test("A default of one's own stays, and so does one at a service that the other side does not have")
    func defaults() throws {
        let here = try two.connect(two.first, "gho_first", account: "1")
        _ = try two.store.write { try $0.setDefault(true, here, of: two.person) }
        let there = try two.connect(two.second, "gho_second", account: "2")
        _ = try two.store.write { try $0.setDefault(true, there, of: two.person) }
        try two.link()
        #expect(try two.connection(here).isDefault)
        #expect(try !two.connection(there).isDefault)
    }

    @Test("Of the same account the one with more scopes stays, on whichever side it was")
    func moreScopes() throws {
        let here = try two.connect(two.first, "gho_first", scopes: ["repo"], after: 60)
        let there = try two.connect(two.second, "gho_second", scopes: ["gist", "repo"])
        try two.link()
        #expect(try two.connection(there).status == .active)
        #expect(try two.connection(here).status == .unused)
        #expect(try two.vault.vend(two.firstCookie, person: two.person) == ["gho_second"])
    }

    @Test("Then the newer one, and one that works before all")
    func newerAndLive() throws {
        let older = try two.connect(two.first, "gho_older")
        let newer = try two.connect(two.second, "gho_newer", after: 60)
        try two.link()
        #expect(try two.connection(older).status == .unused)
        #expect(try two.connection(newer).status == .active)

        let again = try TwoVaults()
        let dead = try again.connect(again.first, "gho_dead", scopes: ["gist", "repo", "user"], after: 60)
        let live = try again.connect(again.second, "gho_live")
        try again.store.write { try $0.setStatus(.reauthorize, of: dead) }
        try again.link()
        #expect(try again.connection(live).status == .active)
        #expect(try again.connection(dead).status == .unused)
    }

    @Test("The other one is of use until the first has vended once")
    func untilVended() throws {
        let kept = try two.connect(two.first, "gho_first")
        let used = try two.connect(two.second, "gho_second", after: 60)
        try two.link()
        func fold(_ event: AuditEvent, at: Int64) throws {
            let record =
                "{\"id\":\"\(Base64URL.encode(Randomness.system.bytes(16)))\",\"at\":\(at),"
                + "\"event\":\"\(event.rawValue)\",\"person\":\"\(two.person.text)\",\"connection\":\"\(used.text)\"}"
            let line = try #require(AuditLine(parsing: Array(record.utf8)))
            var uses = RecentUses()
            uses.take([line])
            try two.store.write { rows in
                for (used, use) in uses.due(at: nil) { try rows.moveLastUse(of: used, to: use) }
            }
        }
        try fold(.refreshed, at: two.now.milliseconds + 5)
        // From before, only read late.
        try fold(.vended, at: two.now.milliseconds - 1)
        func spent() throws -> [ConnectionID] {
            try two.store.read { try $0.spentReserve(in: two.first.vault.id, limit: 9).map(\.id) }
        }
        #expect(try two.connection(kept).status == .unused)
        #expect(try spent() == [])
        try fold(.vended, at: two.now.milliseconds + 10)
        #expect(try spent() == [kept])
        #expect(try two.store.read { try $0.reserve(behind: used).map(\.id) } == [kept])
        #expect(try two.access(used, two.vault.open(two.firstCookie)) == "gho_second")
    }

    @Test("What is in reserve shares the grant of the one before it, which does not share its own")
    func sharedGrant() throws {
        let reserve = try two.connect(two.first, "gho_first")
        let used = try two.connect(two.second, "gho_second", after: 60)
        try two.link()
        let (kept, better) = (try two.connection(reserve), try two.connection(used))
        #expect(try two.store.read { try $0.mayShareGrant(kept) })
        #expect(try !two.store.read { try $0.mayShareGrant(better) })
    }

    @Test("If the first turns out to be dead, the other takes its place again")
    func standsIn() throws {
        let kept = try two.connect(two.first, "gho_first")
        let used = try two.connect(two.second, "gho_second", after: 60)
        try two.link()
        try two.store.write { try $0.markRefused(used, generation: 1) }
        #expect(try two.connection(kept).status == .active)
        #expect(try two.access(kept, two.vault.open(two.secondCookie)) == "gho_first")
    }

    @Test("Revoking the account takes what was kept of it, too")
    func revoked() throws {
        _ = try two.connect(two.first, "gho_first")
        let used = try two.connect(two.second, "gho_second", after: 60)
        try two.link()
        #expect(try two.store.write { try $0.removeConnection(used, of: two.person, at: two.now) })
        #expect(try two.count("SELECT count(*) FROM connection") == 0)
    }

    @Test("What was connected twice on one side stays two")
    func separate() throws {
        let wide = try two.connect(two.first, "gho_wide", scopes: ["gist", "repo"])
        let narrow = try two.connect(two.first, "gho_narrow", scopes: ["repo"])
        let there = try two.connect(two.second, "gho_there", scopes: ["repo"])
        try two.link()
        #expect(try two.connection(wide).status == .active)
        #expect(try two.connection(narrow).status == .active)
        #expect(try two.connection(there).status == .unused)
    }

    @Test("An account that was paused on either side is paused afterwards")
    func paused() throws {
        let here = try two.connect(two.first, "gho_first")
        let there = try two.connect(two.second, "gho_second", after: 60)
        try two.store.write { try $0.setStatus(.paused, of: here) }
        try two.link()
        #expect(try two.connection(there).status == .paused)
    }

    @Test("Plugins go on: with the moved connection, and with the one that took the place of theirs")
    func plugins() throws {
        let (moved, movedKey) = try two.vault.plugin("Moved")
        let (covered, coveredKey) = try two.vault.plugin("Covered")
        let (narrow, narrowKey) = try two.vault.plugin("Narrow")
        let there = try two.connect(two.second, "gho_moved", account: "2")
        try two.approve(moved.id, for: there, by: two.second, scopes: ["repo"])
        let here = try two.connect(two.first, "gho_small", scopes: ["repo"])
        let better = try two.connect(two.second, "gho_large", scopes: ["gist", "repo"])
        try two.approve(covered.id, for: here, by: two.first, scopes: ["gist", "repo"])
        try two.approve(narrow.id, for: here, by: two.first, scopes: ["repo"])
        try two.link()
        #expect(try two.vault.vend(movedKey, person: two.person) == ["gho_moved"])
        #expect(try two.vault.vend(coveredKey, person: two.person) == ["gho_large"])
        #expect(try two.vault.vend(narrowKey, person: two.person) == [])
        let approvals = try two.store.read { try $0.approvals(of: better) }
        #expect(approvals.first { $0.plugin == narrow.id }?.status == .outgrown)
        #expect(approvals.first { $0.plugin == covered.id }?.status == .live)
    }

    @Test("A plugin that was withdrawn on the better one gets nothing back")
    func withdrawn() throws {
        let (plugin, key) = try two.vault.plugin()
        let here = try two.connect(two.first, "gho_first")
        let there = try two.connect(two.second, "gho_second", after: 60)
        try two.approve(plugin.id, for: there, by: two.second, scopes: ["repo"])
        _ = try two.store.write { try $0.withdraw(plugin.id, of: two.person, at: two.now) }
        try two.approve(plugin.id, for: here, by: two.first, scopes: ["repo"])
        try two.link()
        #expect(try two.vault.vend(key, person: two.person) == [])
    }

    @Test("The old keys open nothing of what was moved")
    func newKeys() throws {
        let there = try two.connect(two.second, "gho_second", account: "2")
        let before = try two.connection(there)
        let oldKey = try two.store.read { ConnectionKey(try $0.openKey(of: before, with: two.second.vault)) }
        try two.link()
        let after = try two.connection(there)
        #expect(after.keyVersion == before.keyVersion + 1)
        #expect(throws: EnvelopeError.doesNotOpen) {
            try two.store.read { _ = try $0.openCredential(of: after, with: oldKey.key) }
        }
    }

    @Test("What arrived while the vault was locked is united with its account when it opens")
    func arrived() throws {
        let (plugin, key) = try two.vault.plugin()
        let before = try two.connect(two.first, "gho_before")
        try two.approve(plugin.id, for: before, by: two.first, scopes: ["gist", "repo"])
        var grant = try two.vault.grant("gho_arrived", scopes: ["gist", "repo"])
        grant.obtainedAt = two.now.adding(seconds: 60)
        let arrived = try two.store.write { [grant] in
            try $0.insert(grant, into: .locked(two.first.vault.id), of: two.person, status: .unused)
        }
        let found = try two.store.read { try $0.unsettled(in: two.first.vault.id) }
        #expect(found.merge.map(\.id) == [arrived])
        for _ in 0..<2 {
            try two.store.write {
                try $0.settleArrival(arrived, in: two.first.vault, covers: TwoVaults.covers, at: two.now)
            }
        }
        #expect(try two.connection(arrived).status == .active)
        #expect(try two.connection(before).status == .unused)
        #expect(try two.vault.vend(key, person: two.person) == ["gho_arrived"])
        #expect(try two.store.read { try $0.unsettled(in: two.first.vault.id).isEmpty })
    }

    @Test("Another account that arrived waits for the person as before")
    func anotherArrived() throws {
        _ = try two.connect(two.first, "gho_before")
        let arrived = try two.store.write {
            try $0.insert(
                try two.vault.grant("gho_other", account: "2"), into: .locked(two.first.vault.id), of: two.person,
                status: .unused)
        }
        try two.store.write {
            try $0.settleArrival(arrived, in: two.first.vault, covers: TwoVaults.covers, at: two.now)
        }
        #expect(try two.connection(arrived).status == .unused)
        #expect(try two.count("SELECT count(*) FROM connection WHERE superseded_by IS NOT NULL") == 0)
    }

    @Test("A damaged connection comes along as it is and holds up nothing")
    func damaged() throws {
        let broken = try two.connect(two.second, "gho_broken", account: "2")
        let whole = try two.connect(two.second, "gho_whole", account: "3")
        try two.store.write {
            _ = try $0.changed("UPDATE connection SET credential = randomblob(90) WHERE id = ?", [broken.blob])
        }
        try two.link()
        #expect(try two.access(whole, two.vault.open(two.firstCookie)) == "gho_whole")
        #expect(try two.store.write { try $0.removeConnection(broken, of: two.person, at: two.now) })
    }
}
