import COpenSSL
import Secrets

/// An X25519 public key (RFC 7748). Whether it is a good one shows when something is sealed to it.
public struct PublicKey: Hashable, Sendable {
    public static let size = 32

    public let bytes: [UInt8]

    public init?(bytes: [UInt8]) {
        guard bytes.count == Self.size else { return nil }
        self.bytes = bytes
    }
}

/// An X25519 private key (RFC 7748): 32 random bytes, clamped by whoever uses them.
public struct PrivateKey: ~Copyable, Sendable {
    private enum Role {}

    private let scalar: Key<Role>

    public init(random: Randomness) throws(EnvelopeError) {
        scalar = try Key(random: random)
    }

    init<Other>(_ key: consuming Key<Other>) throws(EnvelopeError) {
        scalar = try Key(key.takeBytes())
    }

    init(copying bytes: UnsafeRawBufferPointer) throws(EnvelopeError) {
        scalar = try Key(copying: bytes)
    }

    /// Computed anew each time (about 50 µs): ask once and keep it.
    public var publicKey: PublicKey {
        get throws(EnvelopeError) { try agreement().publicKey }
    }

    public borrowing func wrap<Outer>(
        under key: borrowing Key<Outer>, _ data: AssociatedData, _ random: Randomness
    ) throws(EnvelopeError) -> [UInt8] {
        try AEAD.wrap(scalar, under: key, data, random)
    }

    public static func unwrap<Outer>(
        _ box: [UInt8], under key: borrowing Key<Outer>, _ data: AssociatedData
    ) throws(EnvelopeError) -> PrivateKey {
        try PrivateKey(AEAD.unwrap(box, as: Role.self, under: key, data))
    }

    /// The symmetric key of the same holder, so that what it uses often costs no public-key operation:
    /// HKDF-Expand of the private half.
    public borrowing func holderKey() throws(EnvelopeError) -> Key<HolderRole> {
        try scalar.derive(HolderRole.self, label: "toolshed/v1/holder")
    }

    borrowing func withUnsafeBytes<Result, Failure: Error>(
        _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try scalar.withUnsafeBytes(body)
    }

    borrowing func agreement() throws(EnvelopeError) -> Agreement {
        try scalar.withUnsafeBytes { (bytes) throws(EnvelopeError) in try Agreement(bytes) }
    }
}

/// A private key in the form that OpenSSL computes with. Making it costs a public-key operation. OpenSSL 3.0 has its copy
/// in ordinary memory and wipes it when it is freed, so one of these lives no longer than one seal or open.
struct Agreement: ~Copyable {
    private let key: OpaquePointer

    fileprivate init(_ scalar: UnsafeRawBufferPointer) throws(EnvelopeError) {
        let bytes = scalar.baseAddress?.assumingMemoryBound(to: UInt8.self)
        guard let key = EVP_PKEY_new_raw_private_key_ex(nil, "X25519", nil, bytes, scalar.count) else {
            ERR_clear_error()
            throw .exhausted
        }
        self.key = key
    }

    deinit {
        EVP_PKEY_free(key)
    }

    var publicKey: PublicKey {
        var count = PublicKey.size
        let bytes = [UInt8](unsafeUninitializedCapacity: PublicKey.size) { out, filled in
            guard EVP_PKEY_get_raw_public_key(key, out.baseAddress, &count) == 1 else { fatalError("X25519 failed") }
            filled = count
        }
        return PublicKey(bytes: bytes)!
    }

    /// RFC 7748 §6.1, with its check: `out` takes the 32 bytes of the shared secret.
    borrowing func agree(with peer: PublicKey, into out: UnsafeMutableRawBufferPointer) throws(EnvelopeError) {
        guard let other = EVP_PKEY_new_raw_public_key_ex(nil, "X25519", nil, peer.bytes, peer.bytes.count),
            let context = EVP_PKEY_CTX_new_from_pkey(nil, key, nil)
        else { throw .exhausted }
        defer {
            EVP_PKEY_CTX_free(context)
            EVP_PKEY_free(other)
        }
        var count = out.count
        guard EVP_PKEY_derive_init(context) == 1, EVP_PKEY_derive_set_peer(context, other) == 1,
            EVP_PKEY_derive(context, out.baseAddress?.assumingMemoryBound(to: UInt8.self), &count) == 1,
            count == out.count, out.reduce(0, |) != 0
        else {
            ERR_clear_error()
            throw .weakPublicKey
        }
    }
}
