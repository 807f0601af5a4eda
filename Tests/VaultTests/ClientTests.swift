import Encoding
import Envelope
import GRDB
import OAuth
import Secrets
import Testing

@testable import Vault

@Suite("What OAuth clients hold")
struct ClientTests {
    let vault: TestVault

    init() throws {
        vault = try TestVault()
        try vault.store.keys.minute.makeNew(.system)
    }

    private func letIn(
        _ session: OpenSlot, client: String = "mc_x", kind: ClientGrant.Kind = .mcp
    ) throws -> (grant: ClientGrant, code: SecretText) {
        try vault.store.write { rows in
            let id = try rows.insert(
                NewClientGrant(
                    client: client, kind: kind, name: "Agent", destination: "app.example",
                    scope: ScopeSet(["vault:use"]), resource: "https://vault.example/mcp"),
                of: session.person, at: vault.now)
            let code = try rows.issueCode(
                for: id, named: "Agent", scope: ScopeSet(["vault:use"]), redirectURI: "https://app.example/cb",
                challenge: "c", from: session.vault, at: vault.now)
            return (try #require(try rows.clientGrant(id)), code)
        }
    }

    private func tokens(_ grant: ClientGrant, _ session: OpenSlot) throws -> IssuedTokens {
        try vault.store.write {
            try $0.issueTokens(
                for: grant, scope: grant.scope, refreshScope: grant.scope, from: session.vault, at: vault.now)
        }
    }

    private func count(_ table: String) throws -> Int {
        try vault.store.read { try $0.row("SELECT count(*) AS n FROM \(table)", [])?["n"] ?? 0 }
    }

    @Test("A code opens its vault while the keeper that told its key lives, and not after")
    func codes() throws {
        let session = try vault.person().session
        let code = try letIn(session).code
        #expect(try vault.open(code).vault.id == session.vault.id)
        try vault.store.keys.minute.makeNew(.system)
        let token = try vault.token(code)
        #expect(try vault.store.read { try $0.openSlot(token, at: vault.now) } == nil)
    }

    @Test("A code ends once")
    func codeOnce() throws {
        let made = try letIn(try vault.person().session)
        let token = try vault.token(made.code)
        let code = try #require(try vault.store.read { try $0.clientToken(token) })
        #expect(try vault.store.write { try $0.endCode(code, at: vault.now) })
        #expect(try !vault.store.write { try $0.endCode(code, at: vault.now) })
    }

    @Test("What a client asks is its own under each of its tokens, and nobody else's")
    func sameCaller() throws {
        let session = try vault.person().session
        let (grant, other) = (try letIn(session).grant, try letIn(session).grant)
        let first = try vault.open(try tokens(grant, session).access)
        let second = try vault.open(try tokens(grant, session).access)
        let third = try vault.open(try tokens(other, session).access)
        #expect(first.derived.matches(second.derived) && !first.derived.matches(third.derived))
        #expect(OpenCaller.holder(first).id == grant.id.bytes && OpenCaller.holder(first).text == grant.id.text)
        #expect(OpenCaller.holder(first).kind == .access)
    }

    @Test("A superseded refresh token gives what replaced it for a minute, to whoever has it and nobody else")
    func superseded() throws {
        let session = try vault.person().session
        let grant = try letIn(session).grant
        let (old, new) = (try tokens(grant, session), try tokens(grant, session))
        let secret = try #require(old.refresh)
        let token = try vault.token(secret)
        let known = try #require(try vault.store.read { try $0.clientToken(token) })
        #expect(try vault.store.write { try $0.supersede(known, token: token, by: new, at: vault.now) })
        #expect(try vault.store.read { try $0.openSlot(token, at: vault.now) } == nil)
        let ended = try #require(try vault.store.read { try $0.clientToken(token) })
        let again = try vault.store.read {
            try $0.successor(of: ended, token: token, at: vault.now.adding(seconds: 59))
        }
        let same = try #require(again)
        #expect(new.access.withUnsafeBytes { same.access.matches($0) })
        #expect(
            try vault.store.read { try $0.successor(of: ended, token: token, at: vault.now.adding(seconds: 60)) } == nil
        )
        let stranger = try vault.token(try #require(new.refresh))
        #expect(throws: EnvelopeError.self) {
            try vault.store.read { try $0.successor(of: ended, token: stranger, at: vault.now) }
        }
    }

    @Test("A family ends with everything it holds")
    func family() throws {
        let session = try vault.person().session
        let grant = try letIn(session).grant
        let issued = try tokens(grant, session)
        #expect(try vault.store.write { try $0.removeClientGrant(grant.id) })
        for secret in [issued.access, try #require(issued.refresh)] {
            let token = try vault.token(secret)
            #expect(try vault.store.read { try $0.openSlot(token, at: vault.now) } == nil)
            #expect(try vault.store.read { try $0.clientToken(token) } == nil)
        }
        #expect(try vault.store.read { try $0.clientGrants(of: session.person, at: vault.now).isEmpty })
    }

    @Test("B-DCR-9: what nobody authorized goes after a day, what was used stays while anything of it may live")
    func forgotten() throws {
        let document = try #require(JSONValue(parsing: Array(#"{"redirect_uris": ["https://a.example/cb"]}"#.utf8)))
        let metadata = try ClientMetadata(parsing: document) { $0 }
        let made = try vault.store.write { rows in
            (
                try rows.register(metadata, from: "4:01020304", at: vault.now).id,
                try rows.register(metadata, from: "4:01020305", at: vault.now).id
            )
        }
        let session = try vault.person().session
        _ = try tokens(try letIn(session, client: made.1).grant, session)
        func left(after days: Int64) throws -> [Bool] {
            let then = vault.now.adding(seconds: days * 86_400)
            return try vault.store.write { rows in
                _ = try rows.sweep(at: then)
                return [try rows.client(made.0, at: then) != nil, try rows.client(made.1, at: then) != nil]
            }
        }
        #expect(try left(after: 0) == [true, true])
        #expect(try left(after: 1) == [false, true])
        #expect(try left(after: 59) == [false, true])
        #expect(try left(after: 61) == [false, false])
        #expect(try count("client_grant") == 0 && count("client_token") == 0)
    }

    @Test("A device code's slot opens the vault that was approved, and no other")
    func device() throws {
        let (ada, ben) = (try vault.person("Ada").session, try vault.person("Ben").session)
        let begun = try vault.store.write {
            try $0.beginDevice(client: "toolshed-cli", from: "192.0.2.1", at: vault.now)
        }
        let read = try #require(UserCode.read(UserCode.shown(begun.userCode).lowercased()))
        let request = try #require(try vault.store.read { try $0.deviceRequest(userCode: read, at: vault.now) })
        let token = try vault.token(begun.code)
        #expect(try vault.store.read { try $0.openSlot(token, at: vault.now) } == nil)
        let grant = try letIn(ada, kind: .cli).grant
        try vault.store.write { try $0.approve(request, as: grant.id, named: "CLI", from: ada.vault, at: vault.now) }
        #expect(try vault.open(begun.code).vault.id == ada.vault.id)
        #expect(throws: (any Error).self) {
            try vault.store.write {
                try $0.approve(request, as: grant.id, named: "CLI", from: ben.vault, at: vault.now)
            }
        }
        #expect(try vault.store.read { try $0.deviceRequest(userCode: read, at: vault.now) } == nil)
    }

    @Test(
        "What may be typed as a user code", arguments: ["BCDF-GHJK", "bcdfghjk", " b c d f - g h j k ", "BCDF--GHJK"])
    func typed(text: String) {
        #expect(UserCode.read(text) == "BCDFGHJK")
    }

    @Test(
        "What may not",
        arguments: ["", "BCDFGHJ", "BCDFGHJKL", "BCDFGHJA", "BCDFGHJ0", "ÄCDFGHJK", String(repeating: "-", count: 60)])
    func notTyped(text: String) {
        #expect(UserCode.read(text) == nil)
    }
}
