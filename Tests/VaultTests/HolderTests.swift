import Encoding
import Envelope
import Foundation
import GRDB
import OAuth
import Secrets
import Testing

@testable import Vault

@Suite("Holders and what they open")
struct HolderTests {
    let vault: TestVault
    init() throws { vault = try TestVault() }

    @Test("An invitation makes a person once")
    func invitationOnce() throws {
        let made = try vault.store.write {
            try $0.invite(name: "O", expiresAt: vault.now.adding(seconds: 60), at: vault.now)
        }
        let first = try vault.store.write { try $0.acceptInvitation(try vault.token(made.code), at: vault.now) }
        let second = try vault.store.write { try $0.acceptInvitation(try vault.token(made.code), at: vault.now) }
        #expect(first != nil)
        #expect(second == nil)
    }

    @Test("A renewed invitation ends the old code, and an accepted person gets none")
    func renewed() throws {
        let made = try vault.store.write {
            try $0.invite(name: "O", expiresAt: vault.now.adding(seconds: 60), at: vault.now)
        }
        let renewed = try vault.store.write {
            try $0.renewInvitation(made.person, expiresAt: vault.now.adding(seconds: 60))
        }
        let code = try #require(renewed)
        #expect(try vault.store.write { try $0.acceptInvitation(try vault.token(made.code), at: vault.now) } == nil)
        #expect(try vault.store.write { try $0.acceptInvitation(try vault.token(code), at: vault.now) } != nil)
        #expect(try vault.store.write { try $0.renewInvitation(made.person, expiresAt: vault.now) } == nil)
    }

    @Test("An expired invitation makes nobody")
    func expiredInvitation() throws {
        let made = try vault.store.write { try $0.invite(name: "O", expiresAt: vault.now, at: vault.now) }
        #expect(try vault.store.write { try $0.acceptInvitation(try vault.token(made.code), at: vault.now) } == nil)
    }

    @Test("A session ends with its idle limit, its absolute limit, and its removal")
    func sessionEnds() throws {
        let (session, cookie) = try vault.person()
        let token = try vault.token(cookie)
        #expect(try vault.store.read { try $0.openSlot(token, at: vault.now.adding(seconds: 6 * 86_400)) } != nil)
        #expect(try vault.store.read { try $0.openSlot(token, at: vault.now.adding(seconds: 7 * 86_400)) } == nil)
        try vault.store.write { try $0.touchSlot(session, at: vault.now.adding(seconds: 6 * 86_400)) }
        #expect(try vault.store.read { try $0.openSlot(token, at: vault.now.adding(seconds: 12 * 86_400)) } != nil)
        #expect(try vault.store.write { try $0.removeSlot(session.id, of: session.person, kinds: [.session]) })
        #expect(try vault.store.read { try $0.openSlot(token, at: vault.now) } == nil)
    }

    @Test("A secret opens its own slot only")
    func wrongSecret() throws {
        let (session, _) = try vault.person()
        let stranger = try Token(issuing: .session, id: session.id, .system)
        #expect(try vault.store.read { try $0.openSlot(stranger, at: vault.now) } == nil)
        let unknown = try Token(issuing: .session, id: Randomness.system.id(), .system)
        #expect(try vault.store.read { try $0.openSlot(unknown, at: vault.now) } == nil)
    }

    @Test("Every holder of a vault vends the same token; a stranger's vault vends none")
    func holders() throws {
        let (session, cookie) = try vault.person()
        let key = try vault.store.write { rows in
            _ = try rows.insert(try vault.grant(), into: .open(session.vault), of: session.person, status: .active)
            return try rows.addSlot(.apiKey, name: "laptop", to: session.vault, lifetime: .untilRevoked, at: vault.now)
                .secret
        }
        #expect(try vault.vend(cookie, person: session.person) == ["gho_one"])
        #expect(try vault.vend(key, person: session.person) == ["gho_one"])
        let (_, other) = try vault.person("Mallory")
        #expect(try vault.vend(other, person: session.person) == [])
    }

    @Test("What was sealed to a locked vault opens with it, and is wrapped at first use")
    func lockedDestination() throws {
        let (session, cookie) = try vault.person()
        let id = try vault.store.write {
            try $0.insert(try vault.grant(), into: .locked(session.vault.id), of: session.person, status: .active)
        }
        #expect(try vault.vend(cookie, person: session.person) == ["gho_one"])
        try vault.store.write { rows in
            let connection = try #require(try rows.connection(id))
            #expect(connection.vaultKeyForm == .sealed)
            try rows.wrapKey(
                try rows.openKey(of: connection, with: session.vault), of: connection, under: session.vault)
        }
        #expect(try vault.store.read { try $0.connection(id)?.vaultKeyForm } == .wrapped)
        #expect(try vault.vend(cookie, person: session.person) == ["gho_one"])
    }

    @Test("A public key that somebody else put into the row is not sealed to")
    func swappedPublicKey() throws {
        let (session, _) = try vault.person()
        let forged = try PrivateKey(random: .system).publicKey
        try vault.store.write {
            _ = try $0.changed(
                "UPDATE vault SET public_key = ? WHERE id = ?", [forged.bytes.blob, session.vault.id.blob])
        }
        #expect(throws: VaultError.self) {
            try vault.store.write {
                try $0.insert(try vault.grant(), into: .locked(session.vault.id), of: session.person, status: .active)
            }
        }
    }
}
