import Encoding
import Envelope
import GRDB
import OAuth
import Secrets
import Testing

@testable import Vault

@Suite("Two vaults of one person become one")
struct LinkTests {
    let two: TwoVaults
    init() throws { two = try TwoVaults() }

    @Test("A code is read as people type it", arguments: ["k7m2-9xpq", "K7M2 9XPQ", " k 7 m 2 9 x p q ", "K7M29XPQ"])
    func typed(_ text: String) { #expect(LinkCode.parse(text) == "K7M29XPQ") }

    @Test("What looks alike is one character, and what cannot be a code is none")
    func alike() {
        #expect(LinkCode.parse("OOOOIIII") == "00001111")
        #expect(LinkCode.parse("LLLL0000") == "11110000")
        for wrong in [
            "", "K7M29XP", "K7M29XPQQ", "K7M29XPU", "K7M2/9XP", "ÀÀÀÀÀÀÀÀ", String(repeating: "A", count: 10_000),
        ] {
            #expect(LinkCode.parse(wrong) == nil, "\(wrong.prefix(12))")
        }
    }

    @Test("Everything of both sides opens for every holder of both sides")
    func everything() throws {
        let here = try two.connect(two.first, "gho_first", account: "1")
        let there = try two.connect(two.second, "gho_second", account: "2")
        let (key, code) = try two.store.write { rows in
            (
                try rows.addSlot(.apiKey, name: "k", to: two.second.vault, lifetime: .untilRevoked, at: two.now).secret,
                try rows.addSlot(.recovery, name: "r", to: two.first.vault, lifetime: .untilRevoked, at: two.now).secret
            )
        }
        try two.link()
        for secret in [two.firstCookie, two.secondCookie, key, code] {
            let slot = try two.vault.open(secret)
            #expect(slot.vault.id == two.first.vault.id)
            #expect(try two.access(here, slot) == "gho_first")
            #expect(try two.access(there, slot) == "gho_second")
            // Once more, by the wrapped form.
            try two.store.write { try $0.wrapVaultKey(of: slot) }
            let again = try two.vault.open(secret)
            #expect(!again.isSealed)
            #expect(try two.access(there, again) == "gho_second")
        }
        #expect(Set(try two.vault.vend(key, person: two.person)) == ["gho_first", "gho_second"])
    }

    @Test("A slot that came from the other vault serves the vend path sealed and wrapped")
    func vendPath() throws {
        _ = try two.connect(two.first, "gho_first")
        try two.link()
        #expect(try two.vault.vend(two.secondCookie, person: two.person) == ["gho_first"])
        let slot = try two.vault.open(two.secondCookie)
        try two.store.write { try $0.wrapVaultKey(of: slot) }
        #expect(try two.vault.vend(two.secondCookie, person: two.person) == ["gho_first"])
    }

    @Test("Nothing of a vault's key leaves before the code was typed, nor to any other session")
    func onlyThen() throws {
        let (link, code) = try two.store.write { try $0.offerLink(by: two.first, at: two.now) }
        #expect(try !two.store.write { try $0.sealLink(link.id, by: two.first, at: two.now) })
        #expect(try two.count("SELECT count(*) FROM link WHERE vault_key IS NOT NULL") == 0)
        _ = try two.store.write { try $0.claimLink(code: code, by: two.second, at: two.now) }
        #expect(try !two.store.write { try $0.sealLink(link.id, by: two.second, at: two.now) })
        #expect(try two.store.write { try $0.sealLink(link.id, by: two.first, at: two.now) })
        let third = try two.vault.open(
            two.store.write {
                try $0.addSlot(.session, name: "3", to: two.second.vault, lifetime: .session, at: two.now).secret
            })
        let given = try #require(try two.store.read { try $0.link(link.id) })
        #expect(try two.store.read { try $0.openLinked(given, by: third) } == nil)
        #expect(try !two.store.write { try $0.acceptLink(link.id, by: third, covers: TwoVaults.covers, at: two.now) })
    }

    @Test("A box moved to another offer does not open")
    func boundToOffer() throws {
        let id = try two.sealed()
        try two.change("UPDATE link SET id = randomblob(16)")
        let moved = try #require(try two.store.read { try $0.links(of: two.second, at: two.now) }.first)
        #expect(moved.id != id)
        #expect(throws: EnvelopeError.self) { try two.store.read { try $0.openLinked(moved, by: two.second) } }
    }

    @Test("Five wrong codes end an offer; another person's code is as unknown as none")
    func tries() throws {
        let (_, code) = try two.store.write { try $0.offerLink(by: two.first, at: two.now) }
        let stranger = try two.vault.person("Mallory").session
        func claim(_ code: String, _ slot: OpenSlot) throws -> Bool {
            if case .claimed = try two.store.write({ try $0.claimLink(code: code, by: slot, at: two.now) }) {
                true
            } else {
                false
            }
        }
        for _ in 0..<9 { #expect(try !claim(code, stranger)) }
        for _ in 0..<4 { #expect(try !claim("00000000", two.second)) }
        #expect(try two.count("SELECT tries FROM link") == 4)
        #expect(try !claim("!", two.second))
        #expect(try !claim(code, two.second))
        #expect(try two.count("SELECT count(*) FROM link") == 0)
    }

    @Test("Four wrong codes do not")
    func fourTries() throws {
        let (link, code) = try two.store.write { try $0.offerLink(by: two.first, at: two.now) }
        for _ in 0..<4 { _ = try two.store.write { try $0.claimLink(code: "00000000", by: two.second, at: two.now) } }
        let claim = try two.store.write { try $0.claimLink(code: code, by: two.second, at: two.now) }
        guard case .claimed(link.id) = claim else { throw VaultError.conflict }
    }

    @Test("A code lives ten minutes, what was sealed a day")
    func times() throws {
        let (link, code) = try two.store.write { try $0.offerLink(by: two.first, at: two.now) }
        let late = try two.store.write {
            try $0.claimLink(code: code, by: two.second, at: two.now.adding(seconds: 600))
        }
        guard case .unknown = late else { throw VaultError.conflict }
        _ = try two.store.write { try $0.claimLink(code: code, by: two.second, at: two.now.adding(seconds: 599)) }
        #expect(try !two.store.write { try $0.sealLink(link.id, by: two.first, at: two.now.adding(seconds: 600)) })
        #expect(try two.store.write { try $0.sealLink(link.id, by: two.first, at: two.now.adding(seconds: 599)) })
        let day = two.now.adding(seconds: 599 + 86_400)
        #expect(try !two.store.write { try $0.acceptLink(link.id, by: two.second, covers: TwoVaults.covers, at: day) })
        let before = day.adding(seconds: -1)
        #expect(
            try two.store.write { try $0.acceptLink(link.id, by: two.second, covers: TwoVaults.covers, at: before) })
    }

    @Test("Each step may be repeated")
    func repeated() throws {
        let there = try two.connect(two.second, "gho_second", account: "2")
        let (link, code) = try two.store.write { try $0.offerLink(by: two.first, at: two.now) }
        for _ in 0..<2 {
            let claim = try two.store.write { try $0.claimLink(code: code, by: two.second, at: two.now) }
            guard case .claimed(link.id) = claim else { throw VaultError.conflict }
        }
        for _ in 0..<2 { #expect(try two.store.write { try $0.sealLink(link.id, by: two.first, at: two.now) }) }
        for _ in 0..<3 { #expect(try two.accept(link.id)) }
        #expect(try two.access(there, two.vault.open(two.firstCookie)) == "gho_second")
        #expect(try !two.store.write { try $0.cancelLink(link.id, by: two.first) })
    }

    @Test("A code of one's own vault is told, and changes nothing")
    func ownVault() throws {
        let (_, code) = try two.store.write { try $0.offerLink(by: two.first, at: two.now) }
        let same = try two.vault.open(
            two.store.write {
                try $0.addSlot(.session, name: "2", to: two.first.vault, lifetime: .session, at: two.now).secret
            })
        guard case .alreadyTogether = try two.store.write({ try $0.claimLink(code: code, by: same, at: two.now) })
        else {
            throw VaultError.conflict
        }
        #expect(try two.count("SELECT tries FROM link") == 0)
    }

    @Test("When the key has changed since, nothing is accepted")
    func keyChanged() throws {
        let id = try two.sealed()
        try two.change("UPDATE link SET expires_at_ms = expires_at_ms")
        let kept = try #require(try two.store.read { try $0.link(id) })
        _ = try two.lose()
        #expect(try two.store.read { try $0.openLinked(kept, by: two.second) } == nil)
        #expect(try !two.accept(id))
    }

    @Test("A recovery code shown in another vault's session makes the same offer")
    func byCode() throws {
        let there = try two.connect(two.second, "gho_second", account: "2")
        let code = try two.store.write {
            try $0.addSlot(.recovery, name: "r", to: two.first.vault, lifetime: .untilRevoked, at: two.now).secret
        }
        let id = try two.store.write {
            try $0.offerLink(from: try two.vault.open(code), to: two.second.id, of: two.second.vault, at: two.now)
        }
        #expect(try two.accept(id))
        #expect(try two.access(there, two.vault.open(code)) == "gho_second")
    }

    @Test("A session whose public key was exchanged is given nothing")
    func forgedPair() throws {
        let (link, code) = try two.store.write { try $0.offerLink(by: two.first, at: two.now) }
        _ = try two.store.write { try $0.claimLink(code: code, by: two.second, at: two.now) }
        try two.change("UPDATE slot SET public_key = randomblob(32) WHERE name = 'Other browser'")
        #expect(throws: VaultError.self) {
            try two.store.write { try $0.sealLink(link.id, by: two.first, at: two.now) }
        }
        #expect(try two.count("SELECT count(*) FROM link WHERE vault_key IS NOT NULL") == 0)
    }

    @Test("What is on its way to the vault that went arrives in the one that stays")
    func onItsWay() throws {
        let stale = two.second.vault
        try two.link()
        let id = try two.store.write {
            try $0.insert(
                try two.vault.grant("gho_late", account: "9"), into: .open(stale), of: two.person, status: .active)
        }
        #expect(try two.connection(id).vault == two.first.vault.id)
        #expect(try two.access(id, two.vault.open(two.secondCookie)) == "gho_late")
    }

    @Test("Nobody is let in to a vault that went, or whose key changed, with what was open before")
    func staleVault() throws {
        let stale = two.second.vault
        try two.link()
        #expect(throws: VaultError.self) {
            try two.store.write { try $0.addSlot(.apiKey, name: "k", to: stale, lifetime: .untilRevoked, at: two.now) }
        }
    }

    @Test("After a day the row of the vault that went goes, and nothing with it")
    func swept() throws {
        let there = try two.connect(two.second, "gho_second", account: "2")
        try two.link()
        _ = try two.store.write { try $0.sweep(at: two.now.adding(seconds: 86_400)) }
        #expect(try two.count("SELECT count(*) FROM vault") == 1)
        #expect(try two.access(there, two.vault.open(two.firstCookie)) == "gho_second")
    }
}
