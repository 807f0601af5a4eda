import Secrets

/// A key that authenticates one message and is then replaced by its own digest: whoever takes it from a running process
/// can make nothing up for what it authenticated before.
public struct EvolvingKey: ~Copyable, Sendable {
    public static let size = 32
    /// Bytes of what `authenticate` makes: HMAC-SHA-256.
    public static let valueSize = Digest.size

    private var key: SecretBytes

    public init(random: Randomness) throws(EnvelopeError) {
        key = try takingSecureMemory { () throws(SecureHeapError) in try random.secret(Self.size) }
    }

    /// `.malformed` unless there are 32 bytes.
    public init(_ bytes: consuming SecretBytes) throws(EnvelopeError) {
        guard bytes.count == Self.size else { throw .malformed }
        key = bytes
    }

    /// The key as it is now.
    public borrowing func withUnsafeBytes<Result, Failure: Error>(
        _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try key.withUnsafeBytes(body)
    }

    /// HMAC-SHA-256 (RFC 2104) of `previous` and then `message`, both as they are: `previous` always has the same length.
    public borrowing func authenticate(_ message: UnsafeRawBufferPointer, after previous: [UInt8]) -> [UInt8] {
        key.withUnsafeBytes { key in
            [UInt8](unsafeUninitializedCapacity: Digest.size) { out, count in
                hmac(key, into: UnsafeMutableRawPointer(out.baseAddress!)) {
                    $0.update(previous)
                    $0.update(message)
                }
                count = Digest.size
            }
        }
    }

    /// The next key, over this one: SHA-256 of a label and it.
    public mutating func evolve() {
        key.withUnsafeMutableBytes { key in
            Digest.with { digest in
                digest.begin()
                digest.update("toolshed/v1/audit.next-key")
                digest.update(UnsafeRawBufferPointer(key))
                digest.finish(into: key.baseAddress!)
            }
        }
    }
}

/// The pair whose private half an operator keeps elsewhere: `toolshedd audit key`.
public final class AuditKeyPair: Sendable {
    private let pair: PrivateKey
    public let publicKey: PublicKey

    public init(random: Randomness) throws(EnvelopeError) {
        pair = try PrivateKey(random: random)
        publicKey = try pair.publicKey
    }

    /// `.malformed` unless there are 32 bytes.
    public init(copying bytes: UnsafeRawBufferPointer) throws(EnvelopeError) {
        pair = try PrivateKey(copying: bytes)
        publicKey = try pair.publicKey
    }

    public func withPrivateBytes<Result, Failure: Error>(
        _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try pair.withUnsafeBytes(body)
    }

    public func open(_ box: [UInt8], _ data: AssociatedData) throws(EnvelopeError) -> SecretBytes {
        try HPKE.open(box, with: pair, info: data, data)
    }
}
