import Encoding
import Envelope
import GRDB
import OAuth
import Secrets
import Testing

@testable import Vault

@Suite("Log keys")
struct LogKeyTests {
    let two: TwoVaults
    var now: Instant { two.now }

    init() throws { two = try TwoVaults() }

    /// As a vend seals it, with what is in the credential and nothing of the vault.
    private func claim(_ reason: String, tool: String = "", of id: ConnectionID, by slot: OpenSlot) throws -> [UInt8]? {
        let credential = try two.store.read { rows in
            let connection = try #require(try rows.connection(id))
            return try rows.openCredential(of: connection, with: rows.openKey(of: connection, with: slot.vault))
        }
        return try credential.withEncoded {
            try ActivityClaim.sealed(
                reason: reason, tool: tool, with: CredentialView($0), connection: id, .system)
        }
    }

    private func log(of id: ConnectionID, by slot: OpenSlot) throws -> ActivityLog {
        try two.store.read { try $0.log(of: id, with: slot.vault) }
    }

    private func reopened(_ cookie: SecretText) throws -> OpenSlot { try two.vault.open(cookie) }

    private func read(
        _ claim: [UInt8]?, of id: ConnectionID, by slot: OpenSlot, after seconds: Int64 = 0
    ) throws -> ActivityClaim? {
        try log(of: id, by: slot).read(claim, at: now.adding(seconds: seconds))
    }

    @Test(
        "A use of which nothing was said names its account all the same, and one of which much was said names all of it"
    )
    func said() throws {
        let id = try two.connect(two.first, "gho_one")
        let silent = try claim("", of: id, by: two.first)
        let telling = try claim("weekly – 数字", tool: "issues.list", of: id, by: two.first)
        #expect(try read(silent, of: id, by: two.first) == ActivityClaim(reason: "", tool: "", account: "octo-1"))
        #expect(
            try read(telling, of: id, by: two.first)
                == ActivityClaim(reason: "weekly – 数字", tool: "issues.list", account: "octo-1"))
        #expect(try read(nil, of: id, by: two.first)?.account == "octo-1")
    }

    @Test("What was recorded of one account stays that account's when the connection becomes another's")
    func reconnected() throws {
        let id = try two.connect(two.first, "gho_one")
        let old = try claim("before", of: id, by: two.first)
        var other = try two.vault.grant("gho_two", account: "2")
        other.obtainedAt = now.adding(seconds: 60)
        try two.store.write { [other] in
            try $0.replace(
                try #require(try $0.connection(id)), with: other, in: .open(two.first.vault), covers: { _, _ in true })
        }
        let new = try claim("", of: id, by: two.first)
        #expect(try read(old, of: id, by: two.first)?.account == "octo-1")
        // It was under way when the account changed.
        #expect(try read(old, of: id, by: two.first, after: 61)?.account == "octo-1")
        #expect(try read(new, of: id, by: two.first, after: 61)?.account == "octo-2")
        for (seconds, account) in [(-10, "octo-1"), (0, "octo-1"), (59, "octo-1"), (60, "octo-2"), (900, "octo-2")] {
            #expect(try read(nil, of: id, by: two.first, after: Int64(seconds))?.account == account)
        }
    }

    @Test("When the connection is gone its vault still reads what was said, and no other vault does")
    func removed() throws {
        let id = try two.connect(two.first, "gho_one")
        let said = try claim("why", tool: "which", of: id, by: two.first)
        #expect(try two.store.write { try $0.removeConnection(id, of: two.person, at: now) })
        #expect(try read(said, of: id, by: two.first)?.reason == "why")
        #expect(try read(nil, of: id, by: two.first, after: 5)?.account == "octo-1")
        #expect(try read(said, of: id, by: two.second) == nil)
        let (stranger, _) = try two.vault.person("Mallory")
        #expect(try read(said, of: id, by: stranger) == nil)
    }

    @Test("A vault with a new key reads on, and its old key reads nothing that is stored from then on")
    func lost() throws {
        let (id, gone) = (try two.connect(two.first, "gho_one"), try two.connect(two.first, "gho_two", account: "2"))
        let (said, saidOfGone) = (try claim("one", of: id, by: two.first), try claim("two", of: gone, by: two.first))
        #expect(try two.store.write { try $0.removeConnection(gone, of: two.person, at: now) })
        let old = two.first
        _ = try two.lose()
        let slot = try reopened(two.firstCookie)
        let since = try claim("since", of: id, by: slot)
        #expect(try read(said, of: id, by: slot)?.reason == "one")
        #expect(try read(since, of: id, by: slot)?.reason == "since")
        #expect(try read(saidOfGone, of: gone, by: slot) == ActivityClaim(reason: "two", tool: "", account: "octo-2"))
        for (claim, of) in [(said, id), (since, id), (saidOfGone, gone)] {
            #expect(try read(claim, of: of, by: old) == nil)
        }
    }

    @Test("Linked vaults read together what each read alone, of connections that are gone, too")
    func linked() throws {
        let (here, there) = (
            try two.connect(two.first, "gho_one"), try two.connect(two.second, "gho_two", account: "2")
        )
        let gone = try two.connect(two.second, "gho_three", account: "3")
        let said = [
            (here, try claim("here", of: here, by: two.first)), (there, try claim("there", of: there, by: two.second)),
            (gone, try claim("gone", of: gone, by: two.second)),
        ]
        #expect(try two.store.write { try $0.removeConnection(gone, of: two.person, at: now) })
        try two.link()
        for cookie in [two.firstCookie, two.secondCookie] {
            let slot = try reopened(cookie)
            #expect(try said.map { try read($0.1, of: $0.0, by: slot)?.reason } == ["here", "there", "gone"])
        }
        // A day later the vault that went is swept away; what it had has moved.
        _ = try two.store.write { try $0.sweep(at: now.adding(seconds: 86_401)) }
        #expect(try two.count("SELECT count(*) FROM vault") == 1)
        #expect(try read(said[2].1, of: gone, by: try reopened(two.firstCookie))?.account == "octo-3")
    }

    @Test("A key that came while the vault was closed is sealed to it, and wrapped once it was opened")
    func arrived() throws {
        let grant = try two.vault.grant("gho_one")
        let id = try two.store.write {
            try $0.insert(grant, into: .locked(two.first.vault.id), of: two.person, status: .active)
        }
        let said = try claim("while locked", of: id, by: two.first)
        #expect(try log(of: id, by: two.first).hasSealed)
        #expect(try read(said, of: id, by: two.first)?.reason == "while locked")
        try two.store.write { try $0.wrapLogKeys(of: id, with: two.first.vault) }
        #expect(try !log(of: id, by: two.first).hasSealed)
        #expect(try read(said, of: id, by: two.first)?.reason == "while locked")
        // Sealed again by whoever has no vault, and moved to the new key before it was ever opened.
        try two.store.write { rows in
            let connection = try #require(try rows.connection(id))
            let key = try rows.openKey(of: connection, with: two.first.vault)
            try rows.replaceKey(
                of: connection, credential: rows.openCredential(of: connection, with: key),
                generation: connection.generation, scopes: connection.scopes, at: now.adding(seconds: 1),
                covers: { _, _ in true })
        }
        let later = try claim("by the keeper", of: id, by: two.first)
        #expect(try log(of: id, by: two.first).hasSealed)
        _ = try two.lose()
        let slot = try reopened(two.firstCookie)
        #expect(try !log(of: id, by: slot).hasSealed)
        #expect(try read(said, of: id, by: slot)?.reason == "while locked")
        #expect(try read(later, of: id, by: slot)?.reason == "by the keeper")
    }

    @Test("A key in another row, of another connection or person, or for another vault does not open")
    func swapped() throws {
        let (one, other) = (try two.connect(two.first, "gho_one"), try two.connect(two.first, "gho_two", account: "2"))
        let said = try claim("why", of: one, by: two.first)
        let swaps = [
            "UPDATE log_key SET key = (SELECT key FROM log_key WHERE connection = x'\(Hex.encode(other.bytes))')",
            "UPDATE log_key SET connection = x'\(Hex.encode(other.bytes))'",
            "UPDATE log_key SET vault = x'\(Hex.encode(two.second.vault.id.bytes))'",
        ]
        for (number, swap) in swaps.enumerated() {
            struct Undone: Error {}
            #expect(throws: Undone.self) {
                try two.store.write { rows in
                    _ = try rows.changed("\(swap) WHERE connection = x'\(Hex.encode(one.bytes))'", [])
                    let (id, slot) =
                        number == 1 ? (other, two.first) : number == 2 ? (one, two.second) : (one, two.first)
                    #expect(try rows.log(of: id, with: slot.vault).read(said, at: now)?.reason != "why")
                    throw Undone()
                }
            }
        }
        #expect(try read(said, of: one, by: two.first)?.reason == "why")
        // A damaged key closes what was under it, and holds up neither the rest nor the loss of a holder.
        try two.change("UPDATE log_key SET key = zeroblob(100) WHERE connection = x'\(Hex.encode(other.bytes))'")
        _ = try two.lose()
        #expect(try read(said, of: one, by: try reopened(two.firstCookie))?.reason == "why")
    }

    @Test("A log key is forgotten with the records that were kept under it, and not before")
    func pruned() throws {
        let id = try two.connect(two.first, "gho_one")
        let gone = try two.connect(two.first, "gho_two", account: "2")
        let day: Int64 = 86_400
        try two.store.write { rows in
            _ = try rows.removeConnection(gone, of: two.person, at: now.adding(seconds: 5 * day))
            try rows.rekey(
                try #require(try rows.connection(id)), with: two.first.vault, background: false,
                at: now.adding(seconds: 20 * day), covers: { _, _ in true })
        }
        func left(before days: Int64) throws -> Int64 {
            _ = try two.store.write { try $0.pruneLogKeys(before: now.adding(seconds: days * day)) }
            return try two.count("SELECT count(*) FROM log_key")
        }
        #expect(try left(before: 5) == 3)
        #expect(try left(before: 6) == 3)
        #expect(try left(before: 7) == 2)
        #expect(try left(before: 19) == 2)
        // What is in use stays, however old it is.
        #expect(try left(before: 4000) == 1)
        #expect(try read(try claim("now", of: id, by: two.first), of: id, by: two.first)?.reason == "now")
    }
}
