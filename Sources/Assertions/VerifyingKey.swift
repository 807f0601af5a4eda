import COpenSSL

/// The signatures that this service verifies and never makes, by their COSE numbers (RFC 9053) and JOSE names (RFC 7518,
/// RFC 8037).
public enum SignatureAlgorithm: Int64, CaseIterable, Sendable {
    /// ECDSA on P-256 with SHA-256.
    case es256 = -7
    /// Ed25519.
    case eddsa = -8
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    case rs256 = -257

    public var joseName: String {
        switch self {
        case .es256: "ES256"
        case .eddsa: "EdDSA"
        case .rs256: "RS256"
        }
    }

    public init?(joseName: String) {
        guard let algorithm = Self.allCases.first(where: { $0.joseName == joseName }) else { return nil }
        self = algorithm
    }
}

/// Somebody else's public key, for one algorithm.
public struct VerifyingKey: ~Copyable {
    public let algorithm: SignatureAlgorithm
    private let key: OpaquePointer

    /// A SubjectPublicKeyInfo (RFC 5280 §4.1) and nothing after it. nil: not one, of another algorithm, of another curve
    /// than P-256, or an RSA modulus below 2048 bits or beyond 8192.
    public init?(spki: [UInt8], algorithm: SignatureAlgorithm) {
        guard spki.count <= 2048, let key = Self.decode(spki) else { return nil }
        guard Self.fits(key, algorithm) else {
            EVP_PKEY_free(key)
            return nil
        }
        self.key = key
        self.algorithm = algorithm
    }

    deinit {
        EVP_PKEY_free(key)
    }

    /// ECDSA signatures as DER (RFC 3279 §2.2.3), which is what OpenSSL and WebAuthn have.
    public borrowing func isSignature(_ signature: [UInt8], of message: [UInt8]) -> Bool {
        guard let context = EVP_MD_CTX_new() else { return false }
        defer {
            EVP_MD_CTX_free(context)
            ERR_clear_error()
        }
        let digest = algorithm == .eddsa ? nil : EVP_sha256()
        guard EVP_DigestVerifyInit(context, nil, digest, nil, key) == 1 else { return false }
        return EVP_DigestVerify(context, signature, signature.count, message, message.count) == 1
    }

    private static func decode(_ spki: [UInt8]) -> OpaquePointer? {
        spki.withUnsafeBufferPointer { bytes in
            var next = bytes.baseAddress
            let key = d2i_PUBKEY(nil, &next, bytes.count)
            ERR_clear_error()
            guard let key else { return nil }
            guard next == bytes.baseAddress.map({ $0 + bytes.count }) else {
                EVP_PKEY_free(key)
                return nil
            }
            return key
        }
    }

    private static func fits(_ key: OpaquePointer, _ algorithm: SignatureAlgorithm) -> Bool {
        defer { ERR_clear_error() }
        switch algorithm {
        case .es256: return EVP_PKEY_is_a(key, "EC") == 1 && group(of: key) == "prime256v1"
        case .eddsa: return EVP_PKEY_is_a(key, "ED25519") == 1
        case .rs256: return EVP_PKEY_is_a(key, "RSA") == 1 && (2048...8192).contains(EVP_PKEY_get_bits(key))
        }
    }

    private static func group(of key: OpaquePointer) -> String? {
        var name = [CChar](repeating: 0, count: 80)
        var count = 0
        guard EVP_PKEY_get_group_name(key, &name, name.count, &count) == 1 else { return nil }
        return String(decoding: name.prefix(count).map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
