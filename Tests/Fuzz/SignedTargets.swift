import COpenSSL
import Encoding
import Envelope
import OAuth

@testable import Assertions

extension Fuzz {
    private static let rpID = "toolshed.example.com"
    private static let expectation = Passkey.Expectation(
        challenge: Array("0123456789abcdef".utf8), origin: "https://toolshed.example.com", rpID: rpID)

    /// What a browser says, a line; then what an authenticator says, without the hash in front.
    static func passkey(_ bytes: [UInt8]) throws -> Verdict {
        let lines = bytes.split(separator: UInt8(ascii: "\n"), maxSplits: 1, omittingEmptySubsequences: false)
        let (client, rest) = (Array(lines[0]), lines.count == 2 ? Array(lines[1]) : [])
        let challenge = Passkey.challenge(in: client)
        let said = sha256(Array(rpID.utf8)) + rest
        guard let data = try? AuthenticatorData(parsing: said, rpID: rpID) else { return .reject }
        try promise(rest[0] & 0x05 == 0x05, "nobody was there")
        try promise((try? AuthenticatorData(parsing: said, rpID: "other.example.com")) == nil, "for another host")
        guard let id = data.credentialID else { return .reject }
        try promise(said.count > 55 + id.count && said[55...].starts(with: id), "a credential from nowhere")
        guard let spki = SPKI.ed25519(signer.publicKey) else { throw BrokenPromise(description: "no key") }
        let made = try? Passkey.register(
            credentialID: id, clientData: client, authenticatorData: said, spki: spki,
            algorithm: SignatureAlgorithm.eddsa.rawValue, expecting: expectation)
        guard let made else { return .reject }
        try promise(challenge == expectation.challenge, "another challenge was answered")
        let members = membersOnce(client)
        try promise(members["type"] == "webauthn.create", "another ceremony")
        try promise(members["origin"] == expectation.origin, "of another origin")
        try promise(made.credentialID == id && (16...1023).contains(id.count), "another credential")
        try promise(made.counter == said[33..<37].reduce(0) { $0 << 8 | UInt32($1) }, "another count")
        return .accept
    }

    /// Header and claims of an ID token, a line each; rightly signed, so that what they say decides.
    static func idtoken(_ bytes: [UInt8]) throws -> Verdict {
        let lines = bytes.split(separator: UInt8(ascii: "\n"), maxSplits: 1, omittingEmptySubsequences: false)
        guard lines.count == 2 else { return .reject }
        let (header, claims) = (Array(lines[0]), Array(lines[1]))
        let message = "\(Base64URL.encode(header)).\(Base64URL.encode(claims))"
        let text = "\(message).\(Base64URL.encode(signer.sign(Array(message.utf8))))"
        let expected = IDToken.Expectation(
            issuer: "https://id.example", clientID: "client", nonce: "nonce",
            askedSince: Instant(milliseconds: 1_800_000_000_000))
        guard let keys = KeySet(parsing: signer.keySet) else { throw BrokenPromise(description: "no keys") }
        func verify(_ text: String) -> IDToken? {
            try? IDToken(verifying: text, with: keys, expecting: expected, at: Instant(milliseconds: 1_800_000_030_000))
        }
        // The keys of an issuer are its own words as well.
        if let others = KeySet(parsing: claims) {
            for entry in others.entries { _ = VerifyingKey(spki: entry.spki, algorithm: entry.algorithm) }
        }
        guard let token = verify(text) else { return .reject }
        try promise(JSONValue(parsing: header)?["alg"] == "EdDSA", "by another algorithm")
        let said = JSONValue(parsing: claims)
        try promise(said?["iss"] == "https://id.example" && said?["nonce"] == "nonce", "of somebody else, or replayed")
        let audience = said?["aud"]?.array ?? [said?["aud"] ?? .null]
        try promise(audience.contains("client"), "for somebody else")
        try promise(audience.count == 1 || said?["azp"] == "client", "for several")
        let times = ["exp", "iat", "auth_time"].compactMap { said?[$0]?.text.flatMap(Double.init) }
        try promise(times.count == 3 && times[0] > 1_799_999_970 && times[1] <= 1_800_000_090, "not of now: \(times)")
        try promise((1_799_999_940...1_800_000_090).contains(times.last ?? 0), "asked at another time: \(times)")
        try promise((1...255).contains(token.subject.utf8.count), "a subject of no length or too long")
        try promise(said?["sub"]?.string == token.subject, "another subject")
        // The last byte but two is one whose bits all count.
        let place = text.index(text.endIndex, offsetBy: -3)
        let changed = text.replacingCharacters(at: place, with: text[place] == "A" ? "B" : "A")
        try promise(verify(changed) == nil, "the signature does not matter")
        return .accept
    }

    /// The members of an object that are texts; one that comes twice is none.
    private static func membersOnce(_ text: [UInt8]) -> [String: String] {
        var found: [(name: String, text: String)] = []
        try? JSONReader.object(text) { (name, reader) throws(JSONError) in
            if try reader.kind == .string { found.append((name, try reader.string())) }
        }
        return Dictionary(grouping: found, by: \.name).compactMapValues { $0.count == 1 ? $0[0].text : nil }
    }

    private static let signer = Signer()

    /// An issuer of one Ed25519 key (RFC 8032), which is known to all.
    private struct Signer: @unchecked Sendable {
        private let key: OpaquePointer
        let publicKey: [UInt8]

        init() {
            let secret = [UInt8](1...32)
            var out = [UInt8](repeating: 0, count: 32)
            var count = out.count
            guard let key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nil, secret, secret.count),
                EVP_PKEY_get_raw_public_key(key, &out, &count) == 1
            else { fatalError("no Ed25519") }
            (self.key, publicKey) = (key, out)
        }

        var keySet: [UInt8] {
            Array(#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"\#(Base64URL.encode(publicKey))"}]}"#.utf8)
        }

        func sign(_ message: [UInt8]) -> [UInt8] {
            var signature = [UInt8](repeating: 0, count: 64)
            var count = signature.count
            let context = EVP_MD_CTX_new()
            defer { EVP_MD_CTX_free(context) }
            guard EVP_DigestSignInit(context, nil, nil, nil, key) == 1,
                EVP_DigestSign(context, &signature, &count, message, message.count) == 1
            else { fatalError("Ed25519 does not sign") }
            return signature
        }
    }
}

extension String {
    fileprivate func replacingCharacters(at place: Index, with character: Character) -> String {
        var text = self
        text.replaceSubrange(place...place, with: String(character))
        return text
    }
}
