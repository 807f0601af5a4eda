import Encoding
import Envelope
import GRDB
import OAuth
import Secrets
import Testing

@testable import Vault

@Suite("Vaults that are left over")
struct EmptyVaultTests {
    let two: TwoVaults
    /// When they are old enough.
    var later: Instant { two.now.adding(seconds: 86_401) }

    init() throws { two = try TwoVaults() }

    private func left(at now: Instant? = nil) throws -> Set<VaultID> {
        Set(try two.store.read { try $0.leftVaults(after: nil, at: now ?? later) }.left)
    }

    private func signOut(_ slot: OpenSlot) throws {
        _ = try two.store.write { try $0.removeSlot(slot.id, of: two.person, kinds: [.session]) }
    }

    @Test("An empty vault that nobody opens goes after a day, with what only it could read; the others stay")
    func goes() throws {
        let id = try two.connect(two.second, "gho_one")
        #expect(try left().isEmpty)
        try signOut(two.second)
        // Its connection can still be deleted by its person, who sees it as locked.
        #expect(try left().isEmpty)
        #expect(try two.store.write { try $0.removeConnection(id, of: two.person, at: two.now) })
        #expect(try left(at: two.now.adding(seconds: 3600)).isEmpty)
        #expect(try left() == [two.second.vault.id])
        #expect(try two.count("SELECT count(*) FROM log_key") == 1)
        #expect(try two.store.write { try $0.removeLeft([two.second.vault.id, two.first.vault.id], at: later) } == 1)
        #expect(try two.count("SELECT count(*) FROM vault") == 1)
        #expect(try two.count("SELECT count(*) FROM log_key") == 0)
        #expect(try two.vault.open(two.firstCookie).vault.id == two.first.vault.id)
    }

    @Test(
        "What could still open a vault, or come to it, keeps it: a code, an offer, a consent, a request, a vault on its way"
    )
    func stays() throws {
        let vault = two.second.vault
        let code = try two.store.write {
            try $0.addSlot(.recovery, name: "", to: vault, lifetime: .untilRevoked, at: two.now).id
        }
        let offer = try two.sealed()
        try signOut(two.first)
        #expect(try left().isEmpty, "its key was given to the other browser, which has not accepted yet")
        try two.change("DELETE FROM link WHERE id = x'\(Hex.encode(offer.bytes))'")
        #expect(try left() == [two.first.vault.id])
        try signOut(two.second)
        #expect(try left() == [two.first.vault.id], "a code opens the second")
        try two.change("DELETE FROM slot WHERE id = x'\(Hex.encode(code.bytes))'")
        #expect(try left() == [two.first.vault.id, vault.id])
        let (mine, person) = ("x'\(Hex.encode(vault.id.bytes))'", "x'\(Hex.encode(two.person.bytes))'")
        let keeps = [
            """
            INSERT INTO request (id_hash, nonce, caller, caller_kind, person, vault, provider, scopes, optional_scopes,
                need_hash, claim, status, created_at_ms, expires_at_ms)
            VALUES (x'01', x'01', x'01', 'api-key', \(person), \(mine), 'github', '', '', x'01', x'01', 'pending', 0, 0)
            """,
            """
            INSERT INTO connection (id, vault, person, provider, status, scopes, is_default, generation, key_version,
                credential, vault_key, vault_key_form, obtained_at_ms, refreshable, created_at_ms)
            VALUES (x'01', \(mine), \(person), 'github', 'reauthorize', '', 0, 1, 1, x'01', x'01', 'sealed', 0, 0, 0)
            """,
            """
            INSERT INTO vault (id, person, key_version, public_key, public_tag, private_key, merged_into, merged_at_ms,
                created_at_ms)
            VALUES (x'01', \(person), 1, x'01', x'01', x'01', \(mine), 0, 0)
            """,
        ]
        for (keep, table) in zip(keeps, ["request", "connection", "vault"]) {
            try two.change(keep)
            #expect(try left() == [two.first.vault.id], "\(table)")
            #expect(try two.store.write { try $0.removeLeft([vault.id], at: later) } == 0, "\(table)")
            let key = table == "request" ? "id_hash" : "id"
            try two.change("DELETE FROM \(table) WHERE \(key) = x'01'")
            #expect(try left().contains(vault.id))
        }
    }

    @Test("Rounds go through all vaults, a bounded number at a time, and each looks up what it needs")
    func rounds() throws {
        let number = Rows.vaultsAtOnce + 10
        try two.change(
            """
            WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < \(number))
            INSERT INTO vault (id, person, key_version, public_key, public_tag, private_key, created_at_ms)
            SELECT randomblob(16), (SELECT id FROM person), 1, x'01', x'01', x'01', 0 FROM n
            """)
        var (found, after, rounds): (Set<VaultID>, VaultID?, Int) = ([], nil, 0)
        repeat {
            let round = try two.store.read { try $0.leftVaults(after: after, at: later) }
            found.formUnion(round.left)
            after = round.next
            rounds += 1
        } while after != nil
        #expect(rounds == 2 && found.count == number)
        #expect(!found.contains(two.first.vault.id) && !found.contains(two.second.vault.id))
    }
}
