import Encoding
import Envelope
import Secrets

/// What an authenticator and a browser say in a WebAuthn ceremony (W3C Web Authentication Level 3), checked without CBOR:
/// with `attestation: "none"` the browser hands over the public key as a SubjectPublicKeyInfo.
public enum Passkey {
    /// What the ceremony has to be about.
    public struct Expectation: Sendable {
        public let challenge: [UInt8]
        public let origin: String
        /// The host of the origin.
        public let rpID: String

        public init(challenge: [UInt8], origin: String, rpID: String) {
            (self.challenge, self.origin, self.rpID) = (challenge, origin, rpID)
        }
    }

    public enum Flaw: Error, Hashable, Sendable {
        case clientData, type, challenge, origin, authenticatorData, relyingParty, notPresent, notVerified, credential,
            key, signature
    }

    /// A new credential (§7.1).
    public struct Registration: Sendable {
        public let credentialID: [UInt8]
        public let spki: [UInt8]
        public let algorithm: SignatureAlgorithm
        public let counter: UInt32
        /// The credential may be on several devices (BE), so its counter says nothing.
        public let isSynced: Bool
    }

    /// The steps of §7.1 that are left without an attestation statement.
    public static func register(
        credentialID: [UInt8], clientData: [UInt8], authenticatorData: [UInt8], spki: [UInt8], algorithm: Int64,
        expecting expected: Expectation
    ) throws(Flaw) -> Registration {
        try check(clientData, type: "webauthn.create", expected)
        let data = try AuthenticatorData(parsing: authenticatorData, rpID: expected.rpID)
        guard let attested = data.credentialID, attested == credentialID, (16...1023).contains(credentialID.count)
        else {
            throw .credential
        }
        guard let algorithm = SignatureAlgorithm(rawValue: algorithm),
            VerifyingKey(spki: spki, algorithm: algorithm) != nil
        else { throw .key }
        return Registration(
            credentialID: credentialID, spki: spki, algorithm: algorithm, counter: data.counter, isSynced: data.isSynced
        )
    }

    /// §7.2: what the authenticator counted up to.
    public static func authenticate(
        clientData: [UInt8], authenticatorData: [UInt8], signature: [UInt8], spki: [UInt8],
        algorithm: SignatureAlgorithm, expecting expected: Expectation
    ) throws(Flaw) -> UInt32 {
        try check(clientData, type: "webauthn.get", expected)
        let data = try AuthenticatorData(parsing: authenticatorData, rpID: expected.rpID)
        guard let key = VerifyingKey(spki: spki, algorithm: algorithm) else { throw .key }
        guard key.isSignature(signature, of: authenticatorData + sha256(clientData)) else { throw .signature }
        return data.counter
    }

    /// §7.2 step 22: zero on both sides means that the authenticator does not count.
    public static func hasGoneBack(_ counter: UInt32, stored: UInt32) -> Bool {
        (counter != 0 || stored != 0) && counter <= stored
    }

    /// Which challenge was answered: to look it up, and use it up, before anything else is believed.
    public static func challenge(in clientData: [UInt8]) -> [UInt8]? {
        var challenge: [UInt8]?
        try? JSONReader.object(clientData) { (name, reader) throws(JSONError) in
            if name == "challenge" { challenge = Base64URL.decode(try reader.string()) }
        }
        return challenge
    }

    /// §5.8.1. Members are compared as they are; unknown ones are left alone, because more will be added.
    private static func check(_ clientData: [UInt8], type: String, _ expected: Expectation) throws(Flaw) {
        var texts: [String: String] = [:]
        var isCrossOrigin = false
        do {
            try JSONReader.object(clientData) { (name, reader) throws(JSONError) in
                switch name {
                case "type", "challenge", "origin":
                    guard texts[name] == nil else { throw JSONError.duplicateMember(name) }
                    texts[name] = try reader.string()
                case "crossOrigin": isCrossOrigin = try reader.kind == .bool ? try reader.bool() : true
                default: break
                }
            }
        } catch {
            throw .clientData
        }
        guard texts["type"] == type else { throw .type }
        guard let challenge = texts["challenge"].flatMap({ Base64URL.decode($0) }),
            constantTimeEquals(challenge, expected.challenge)
        else { throw .challenge }
        guard texts["origin"] == expected.origin, !isCrossOrigin else { throw .origin }
    }
}

/// §6.1: `rpIdHash 32 ‖ flags 1 ‖ signCount 4 ‖ (aaguid 16 ‖ length 2 ‖ credential id ‖ COSE key) ‖ extensions`.
struct AuthenticatorData {
    let counter: UInt32
    let isSynced: Bool
    let credentialID: [UInt8]?

    private enum Flag {
        static let present: UInt8 = 0x01
        static let verified: UInt8 = 0x04
        static let backupEligible: UInt8 = 0x08
        static let backedUp: UInt8 = 0x10
        static let attested: UInt8 = 0x40
    }

    init(parsing bytes: [UInt8], rpID: String) throws(Passkey.Flaw) {
        guard bytes.count >= 37 else { throw .authenticatorData }
        guard constantTimeEquals(Array(bytes[..<32]), sha256(Array(rpID.utf8))) else { throw .relyingParty }
        let flags = bytes[32]
        guard flags & Flag.present != 0 else { throw .notPresent }
        guard flags & Flag.verified != 0 else { throw .notVerified }
        guard flags & Flag.backedUp == 0 || flags & Flag.backupEligible != 0 else { throw .authenticatorData }
        isSynced = flags & Flag.backupEligible != 0
        counter = bytes[33..<37].reduce(0) { $0 << 8 | UInt32($1) }
        guard flags & Flag.attested != 0 else {
            credentialID = nil
            return
        }
        guard bytes.count >= 55 else { throw .authenticatorData }
        let length = Int(bytes[53]) << 8 | Int(bytes[54])
        guard bytes.count > 55 + length else { throw .authenticatorData }
        credentialID = Array(bytes[55..<55 + length])
    }
}
