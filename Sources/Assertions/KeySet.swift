import Encoding
import OAuth

/// The public keys of an issuer of ID tokens (RFC 7517), those of them that we can use.
public struct KeySet: Sendable {
    struct Entry: Sendable {
        let id: String?
        let algorithm: SignatureAlgorithm
        let spki: [UInt8]
    }

    let entries: [Entry]

    /// nil: not a key set. Keys of other kinds, for encryption, or malformed, are left out.
    public init?(parsing body: [UInt8]) {
        guard let keys = JSONValue(parsing: body)?["keys"]?.array, keys.count <= 64 else { return nil }
        entries = keys.compactMap(Self.entry)
    }

    /// The keys that may have signed: of the algorithm, and of the id where the token names one.
    func candidates(_ algorithm: SignatureAlgorithm, id: String?) -> [Entry] {
        entries.filter { $0.algorithm == algorithm && (id == nil || $0.id == id) }
    }

    private static func entry(_ key: JSONValue) -> Entry? {
        guard key["use"] == nil || key["use"]?.string == "sig" else { return nil }
        func bytes(_ name: String) -> [UInt8]? { key[name]?.string.flatMap { Base64URL.decode($0) } }
        let made: (SignatureAlgorithm, [UInt8])?
        switch key["kty"]?.string {
        case "RSA":
            made =
                if let n = bytes("n"), let e = bytes("e") { (.rs256, SPKI.rsa(modulus: n, exponent: e)) } else { nil }
        case "EC" where key["crv"]?.string == "P-256":
            made = if let x = bytes("x"), let y = bytes("y") { SPKI.p256(x: x, y: y).map { (.es256, $0) } } else { nil }
        case "OKP" where key["crv"]?.string == "Ed25519":
            made = bytes("x").flatMap { SPKI.ed25519($0) }.map { (.eddsa, $0) }
        default: made = nil
        }
        guard let (algorithm, spki) = made, key["alg"] == nil || key["alg"]?.string == algorithm.joseName else {
            return nil
        }
        return Entry(id: key["kid"]?.string, algorithm: algorithm, spki: spki)
    }
}

/// SubjectPublicKeyInfo (RFC 5280 §4.1.2.7) from the numbers of a JWK, so that there is one way to read a key.
enum SPKI {
    static func rsa(modulus: [UInt8], exponent: [UInt8]) -> [UInt8] {
        let key = DER.sequence(DER.integer(modulus) + DER.integer(exponent))
        return DER.sequence(DER.sequence(rsaEncryption + [0x05, 0x00]) + DER.bits(key))
    }

    static func p256(x: [UInt8], y: [UInt8]) -> [UInt8]? {
        guard x.count == 32, y.count == 32 else { return nil }
        return DER.sequence(DER.sequence(ecPublicKey + prime256v1) + DER.bits([0x04] + x + y))
    }

    static func ed25519(_ x: [UInt8]) -> [UInt8]? {
        guard x.count == 32 else { return nil }
        return DER.sequence(DER.sequence([0x06, 0x03, 0x2B, 0x65, 0x70]) + DER.bits(x))
    }

    private static let rsaEncryption: [UInt8] = [0x06, 0x09, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01, 0x01]
    private static let ecPublicKey: [UInt8] = [0x06, 0x07, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x02, 0x01]
    private static let prime256v1: [UInt8] = [0x06, 0x08, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07]
}

/// ITU-T X.690, as much of it as a public key and an ECDSA signature need.
enum DER {
    static func sequence(_ content: [UInt8]) -> [UInt8] { [0x30] + length(content.count) + content }

    static func bits(_ content: [UInt8]) -> [UInt8] { [0x03] + length(content.count + 1) + [0x00] + content }

    /// Of a number without sign, most significant byte first.
    static func integer(_ bytes: [UInt8]) -> [UInt8] {
        var content = Array(bytes.drop { $0 == 0 })
        if content.isEmpty { content = [0] }
        if content[0] & 0x80 != 0 { content.insert(0, at: 0) }
        return [0x02] + length(content.count) + content
    }

    private static func length(_ count: Int) -> [UInt8] {
        if count < 0x80 { return [UInt8(count)] }
        if count < 0x100 { return [0x81, UInt8(count)] }
        return [0x82, UInt8(truncatingIfNeeded: count >> 8), UInt8(truncatingIfNeeded: count)]
    }
}
