import Encoding
import Foundation
import OAuth
import Testing

@testable import Assertions

/// Ceremonies that Yubico's fido2 and soft-webauthn made (Tests/Fixtures/vectors/webauthn.py), and every way to spoil them.
@Suite struct PasskeyTests {
    struct Ceremony {
        let origin, rpID: String
        let algorithm: Int64
        let id, spki: [UInt8]
        let create, get: [String: [UInt8]]

        func expecting(_ step: [String: [UInt8]]) -> Passkey.Expectation {
            Passkey.Expectation(challenge: step["challenge"]!, origin: origin, rpID: rpID)
        }

        func register() throws -> Passkey.Registration {
            try Passkey.register(
                credentialID: id, clientData: create["clientData"]!, authenticatorData: create["authenticatorData"]!,
                spki: spki, algorithm: algorithm, expecting: expecting(create))
        }

        func authenticate() throws -> UInt32 {
            try Passkey.authenticate(
                clientData: get["clientData"]!, authenticatorData: get["authenticatorData"]!,
                signature: get["signature"]!, spki: spki, algorithm: SignatureAlgorithm(rawValue: algorithm)!,
                expecting: expecting(get))
        }
    }

    static func ceremony(_ path: String) throws -> Ceremony {
        let file = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .appendingPathComponent("Fixtures/vectors/webauthn.json")
        let document = try #require(JSONValue(parsing: Array(Data(contentsOf: file))))
        let vector = try #require(document.value(at: path))
        func bytes(_ value: JSONValue?) throws -> [UInt8] {
            try #require(value?.string.flatMap { Base64URL.decode($0) })
        }
        func step(_ name: String) throws -> [String: [UInt8]] {
            guard case .object(let members)? = vector[name] else { return [:] }
            return try members.mapValues { try bytes($0) }
        }
        guard case .integer(let algorithm)? = vector["algorithm"] else { throw Passkey.Flaw.key }
        return Ceremony(
            origin: try #require(document["origin"]?.string), rpID: try #require(document["rpId"]?.string),
            algorithm: algorithm, id: try bytes(vector["id"]), spki: try bytes(vector["spki"]),
            create: try step("create"),
            get: try step("get"))
    }

    static let names = ["ES256", "EdDSA", "RS256"]

    @Test("What another implementation made and judged good is good", arguments: names)
    func good(name: String) throws {
        let ceremony = try Self.ceremony("verified.\(name)")
        let registration = try ceremony.register()
        #expect(registration.credentialID == ceremony.id && registration.algorithm.joseName == name)
        #expect(registration.counter == 1 && !registration.isSynced)
        #expect(try ceremony.authenticate() == 2)
    }

    @Test("An authenticator that verified nobody is refused")
    func unverified() throws {
        let ceremony = try Self.ceremony("unverified")
        #expect(throws: Passkey.Flaw.notVerified) { try ceremony.register() }
        #expect(throws: Passkey.Flaw.notVerified) { try ceremony.authenticate() }
    }

    @Test("Every bit of what is signed matters", arguments: names)
    func everyBit(name: String) throws {
        let good = try Self.ceremony("verified.\(name)")
        for part in ["authenticatorData", "signature", "clientData"] {
            for index in good.get[part]!.indices {
                var get = good.get
                get[part]![index] ^= 1 << UInt8(index % 8)
                let spoiled = Ceremony(
                    origin: good.origin, rpID: good.rpID, algorithm: good.algorithm, id: good.id, spki: good.spki,
                    create: good.create, get: get)
                #expect(throws: Passkey.Flaw.self, "\(part) \(index)") { try spoiled.authenticate() }
            }
        }
    }

    @Test("Cut short anywhere, it is refused", arguments: names)
    func everyCut(name: String) throws {
        let good = try Self.ceremony("verified.\(name)")
        for part in ["authenticatorData", "signature", "clientData"] {
            for count in 0..<good.get[part]!.count {
                var get = good.get
                get[part] = Array(get[part]![..<count])
                let cut = Ceremony(
                    origin: good.origin, rpID: good.rpID, algorithm: good.algorithm, id: good.id, spki: good.spki,
                    create: good.create, get: get)
                #expect(throws: Passkey.Flaw.self) { try cut.authenticate() }
            }
        }
        for count in 0..<55 + 32 {
            var create = good.create
            create["authenticatorData"] = Array(create["authenticatorData"]![..<count])
            let cut = Ceremony(
                origin: good.origin, rpID: good.rpID, algorithm: good.algorithm, id: good.id, spki: good.spki,
                create: create, get: good.get)
            #expect(throws: Passkey.Flaw.self) { try cut.register() }
        }
    }

    @Test("Another origin, host, challenge or key does not do")
    func foreign() throws {
        let good = try Self.ceremony("verified.ES256")
        let other = try Self.ceremony("verified.EdDSA")
        func with(
            origin: String? = nil, rpID: String? = nil, algorithm: Int64? = nil, spki: [UInt8]? = nil,
            challenge: [UInt8]? = nil
        ) -> Ceremony {
            var (create, get) = (good.create, good.get)
            if let challenge { (create["challenge"], get["challenge"]) = (challenge, challenge) }
            return Ceremony(
                origin: origin ?? good.origin, rpID: rpID ?? good.rpID, algorithm: algorithm ?? good.algorithm,
                id: good.id,
                spki: spki ?? good.spki, create: create, get: get)
        }
        #expect(throws: Passkey.Flaw.origin) { try with(origin: "https://vault.example:8443").authenticate() }
        #expect(throws: Passkey.Flaw.relyingParty) { try with(rpID: "example").authenticate() }
        #expect(throws: Passkey.Flaw.challenge) { try with(challenge: other.get["challenge"]).authenticate() }
        #expect(throws: Passkey.Flaw.challenge) { try with(challenge: []).authenticate() }
        #expect(throws: Passkey.Flaw.key) { try with(algorithm: -8).authenticate() }
        #expect(throws: Passkey.Flaw.key) { try with(algorithm: -8).register() }
        #expect(throws: Passkey.Flaw.key) { try with(algorithm: -7, spki: other.spki).register() }
        #expect(throws: Passkey.Flaw.key) { try with(spki: good.spki + [0]).register() }
        // Both ceremonies are told apart, or a registration could be replayed as a sign-in.
        let swapped = Ceremony(
            origin: good.origin, rpID: good.rpID, algorithm: good.algorithm, id: good.id, spki: good.spki,
            create: good.get,
            get: good.create.merging(["signature": [1]]) { $1 })
        #expect(throws: Passkey.Flaw.type) { try swapped.register() }
        #expect(throws: Passkey.Flaw.type) { try swapped.authenticate() }
    }

    @Test(
        "A counter that does not grow has gone back, except where nothing counts",
        arguments: [
            (UInt32(0), UInt32(0), false), (1, 0, false), (2, 1, false), (1, 1, true), (1, 2, true), (0, 1, true),
            (.max, .max - 1, false),
        ])
    func counter(shown: UInt32, stored: UInt32, isBack: Bool) {
        #expect(Passkey.hasGoneBack(shown, stored: stored) == isBack)
    }

    @Test("Client data with a member twice is refused, with unknown ones it is not")
    func clientData() throws {
        let good = try Self.ceremony("verified.ES256")
        func register(_ clientData: String) throws -> Passkey.Registration {
            try Passkey.register(
                credentialID: good.id, clientData: Array(clientData.utf8),
                authenticatorData: good.create["authenticatorData"]!, spki: good.spki, algorithm: good.algorithm,
                expecting: good.expecting(good.create))
        }
        let text = String(decoding: good.create["clientData"]!, as: UTF8.self)
        #expect(try register(text.replacing("{", with: "{\"new\": {\"a\": [1]}, ", maxReplacements: 1)).counter == 1)
        #expect(throws: Passkey.Flaw.clientData) {
            try register(text.replacing("{", with: "{\"type\": \"webauthn.create\", ", maxReplacements: 1))
        }
        for broken in ["", "null", "[]", text + "x", String(text.dropLast())] {
            #expect(throws: Passkey.Flaw.clientData) { try register(broken) }
        }
    }
}
