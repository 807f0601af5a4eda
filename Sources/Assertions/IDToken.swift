import Encoding
import OAuth
import Secrets

/// What an OpenID provider says of somebody (OpenID Connect Core 1.0 §2), after everything about it was checked (§3.1.3.7).
public struct IDToken: Sendable {
    public let subject: String
    /// As the provider writes it; selects nothing.
    public let name: String?

    public struct Expectation: Sendable {
        public let issuer, clientID, nonce: String
        /// Where it must say that the person was asked anew: not before this moment.
        public let askedSince: Instant?

        public init(issuer: String, clientID: String, nonce: String, askedSince: Instant? = nil) {
            (self.issuer, self.clientID, self.nonce, self.askedSince) = (issuer, clientID, nonce, askedSince)
        }
    }

    public enum Flaw: Error, Hashable, Sendable {
        case malformed, algorithm, key, signature, issuer, audience, expired, notYet, nonce, subject
        /// Not said when, or it was before (§3.1.2.1, max_age).
        case notAskedAnew
    }

    /// Clocks differ.
    static let leeway: Int64 = 60

    public init(
        verifying text: String, with keys: KeySet, expecting expected: Expectation, at now: Instant
    ) throws(Flaw) {
        guard text.utf8.count <= 16_384 else { throw .malformed }
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 3, let header = Self.object(parts[0]), let claims = Self.object(parts[1]),
            let signature = Base64URL.decode(parts[2])
        else { throw .malformed }
        // RFC 7515 §4.1.11: what must be understood and is not.
        guard header["crit"] == nil else { throw .malformed }
        guard let algorithm = header["alg"]?.string.flatMap({ SignatureAlgorithm(joseName: $0) }) else {
            throw .algorithm
        }
        let candidates = keys.candidates(algorithm, id: header["kid"]?.string)
        guard !candidates.isEmpty else { throw .key }
        let message = Array("\(parts[0]).\(parts[1])".utf8)
        guard let form = algorithm == .es256 ? Self.der(signature) : signature else { throw .signature }
        let isSigned = candidates.contains { entry in
            VerifyingKey(spki: entry.spki, algorithm: algorithm)?.isSignature(form, of: message) ?? false
        }
        guard isSigned else { throw .signature }
        try Self.check(claims, expected, at: now)
        guard let subject = claims["sub"]?.string, (1...255).contains(subject.utf8.count),
            subject.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F })
        else { throw .subject }
        self.subject = subject
        name = claims["name"]?.string
    }

    private static func check(_ claims: JSONValue, _ expected: Expectation, at now: Instant) throws(Flaw) {
        guard claims["iss"]?.string == expected.issuer else { throw .issuer }
        let audiences = claims["aud"]?.string.map { [$0] } ?? claims["aud"]?.array?.compactMap(\.string) ?? []
        guard audiences.contains(expected.clientID) else { throw .audience }
        // Among several, or where it says for whom it was made, it must have been made for us.
        if audiences.count > 1 || claims["azp"] != nil {
            guard claims["azp"]?.string == expected.clientID else { throw .audience }
        }
        let seconds = now.milliseconds / 1_000
        guard let expiry = Self.seconds(claims["exp"]), expiry + leeway > seconds else { throw .expired }
        guard let issued = Self.seconds(claims["iat"]), issued - leeway <= seconds else { throw .notYet }
        if claims["nbf"] != nil {
            guard let start = Self.seconds(claims["nbf"]), start - leeway <= seconds else { throw .notYet }
        }
        guard let nonce = claims["nonce"]?.string,
            constantTimeEquals(Array(nonce.utf8), Array(expected.nonce.utf8))
        else { throw .nonce }
        guard let since = expected.askedSince else { return }
        guard let asked = Self.seconds(claims["auth_time"]), asked + leeway >= since.milliseconds / 1_000,
            asked - leeway <= seconds
        else { throw .notAskedAnew }
    }

    private static func object(_ part: Substring) -> JSONValue? {
        guard let bytes = Base64URL.decode(part), let value = JSONValue(parsing: bytes), case .object = value else {
            return nil
        }
        return value
    }

    /// NumericDate (RFC 7519 §2), within what a clock can show.
    private static func seconds(_ value: JSONValue?) -> Int64? {
        let range: ClosedRange<Int64> = 0...4_102_444_800
        switch value {
        case .integer(let number) where range.contains(number): return number
        case .number(let number) where number >= 0 && number <= 4_102_444_800: return Int64(number)
        default: return nil
        }
    }

    /// `r ‖ s` (RFC 7518 §3.4) as OpenSSL reads it.
    private static func der(_ signature: [UInt8]) -> [UInt8]? {
        guard signature.count == 64 else { return nil }
        return DER.sequence(DER.integer(Array(signature[..<32])) + DER.integer(Array(signature[32...])))
    }
}
