import Encoding

/// RFC 7636 with S256 only.
public enum PKCE {
    public static let method = "S256"

    /// A verifier of 43 characters from 32 random bytes (section 4.1).
    public static func verifier(random: [UInt8]) -> String {
        precondition(random.count == 32, "RFC 7636 section 7.1 recommends 32 octets")
        return Base64URL.encode(random)
    }

    /// BASE64URL(SHA256(ASCII(verifier))) (section 4.2). The hash is the caller's.
    public static func challenge(verifier: String, sha256: ([UInt8]) -> [UInt8]) -> String {
        Base64URL.encode(sha256(Array(verifier.utf8)))
    }
}
