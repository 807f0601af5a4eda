import Encoding
import Testing

@testable import Assertions

/// Signatures of the RFCs' own examples, which are no ID tokens: that one gets as far as its claims shows that the
/// signature and the key were read rightly. Every wrong claim: Tests/EndToEnd/test_openid.py.
@Suite struct IDTokenTests {
    /// RFC 7515 appendix A.3.
    static let p256 = """
        {"keys": [{"kty": "EC", "crv": "P-256", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}
        """
    static let joe =
        "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
        + ".DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"

    func verify(_ token: String, _ keys: String = p256, issuer: String = "joe") throws -> IDToken {
        try IDToken(
            verifying: token, with: #require(KeySet(parsing: Array(keys.utf8))),
            expecting: IDToken.Expectation(issuer: issuer, clientID: "client", nonce: "nonce"),
            at: Instant(milliseconds: 1_300_819_000_000))
    }

    @Test("The signature of RFC 7515 A.3 is good, and then the claims are looked at")
    func example() throws {
        #expect(throws: IDToken.Flaw.issuer) { try verify(Self.joe, issuer: "jane") }
        #expect(throws: IDToken.Flaw.audience) { try verify(Self.joe) }
    }

    @Test("The signature of RFC 8037 A.4 is good")
    func edwards() throws {
        let spki = try #require(SPKI.ed25519(bytes("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo")))
        guard let key = VerifyingKey(spki: spki, algorithm: .eddsa) else {
            Issue.record("the key of RFC 8037 A.2 was refused")
            return
        }
        let message = Array("eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc".utf8)
        var signature = bytes("hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg")
        let good = key.isSignature(signature, of: message)
        signature[0] ^= 1
        let changed = key.isSignature(signature, of: message)
        #expect(good && !changed)
    }

    @Test("Every character of the signature matters, and every cut")
    func everyCharacter() throws {
        let dot = try #require(Self.joe.lastIndex(of: "."))
        let start = Self.joe.index(after: dot)
        for index in Self.joe[start...].indices.dropLast() {
            var token = Self.joe
            token.replaceSubrange(index...index, with: token[index] == "A" ? "B" : "A")
            #expect(throws: IDToken.Flaw.signature) { try verify(token) }
        }
        for count in 0..<Self.joe.count {
            #expect(throws: IDToken.Flaw.self) { try verify(String(Self.joe.prefix(count))) }
        }
    }

    @Test(
        "A header cannot choose another algorithm or key than the issuer's",
        arguments: [
            (#"{"alg":"none"}"#, IDToken.Flaw.algorithm), (#"{"alg":"HS256"}"#, .algorithm),
            (#"{"alg":"RS256"}"#, .key),
            (#"{"alg":"EdDSA"}"#, .key), (#"{"alg":"ES256","kid":"x"}"#, .key),
            (#"{"alg":"ES256","crit":["x"]}"#, .malformed),
            (#"{"alg":7}"#, .algorithm), ("[]", .malformed),
        ])
    func header(text: String, flaw: IDToken.Flaw) throws {
        let parts = Self.joe.split(separator: ".")
        #expect(throws: flaw) { try verify("\(Base64URL.encode(Array(text.utf8))).\(parts[1]).\(parts[2])") }
    }

    @Test("Of a key set only the keys count that can be used")
    func keySet() throws {
        let point =
            #""kty": "EC", "crv": "P-256", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0""#
        let others = [
            "{}", "7", #"{"kty": "oct", "k": "AA"}"#, "{\(point), \"use\": \"enc\"}", "{\(point), \"alg\": \"ES384\"}",
            #"{"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}"#, #"{"kty": "OKP", "crv": "X25519", "x": "AA"}"#,
            #"{"kty": "RSA", "n": "!"}"#,
        ]
        let keys = try #require(
            KeySet(parsing: Array("{\"keys\": [\(others.joined(separator: ",")), {\(point)}]}".utf8)))
        #expect(keys.entries.count == 1 && keys.entries[0].algorithm == .es256)
        for broken in ["", "null", "[]", "{}", #"{"keys": 7}"#] { #expect(KeySet(parsing: Array(broken.utf8)) == nil) }
        // A number that is too small for a modulus makes a key, and the key is refused when it is read.
        let small = try #require(KeySet(parsing: Array(#"{"keys": [{"kty": "RSA", "n": "AQAB", "e": "AQAB"}]}"#.utf8)))
        let read = VerifyingKey(spki: small.entries[0].spki, algorithm: .rs256) != nil
        #expect(!read)
    }

    private func bytes(_ text: String) -> [UInt8] { Base64URL.decode(text) ?? [] }
}
