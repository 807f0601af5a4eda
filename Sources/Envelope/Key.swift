import Encoding
import Secrets

// The roles of docs/KEYS.md. They exist at compile time only: a key of one role does not fit where another is asked for.
public enum VaultRole {}
public enum ConnectionRole {}
public enum DerivedRole {}
public enum HolderRole {}
public enum LogRole {}
public enum OnceRole {}
public enum TagRole {}

/// 32 bytes of one role, on the secure heap.
public struct Key<Role>: ~Copyable, Sendable {
    public static var size: Int { 32 }

    @usableFromInline let bytes: SecretBytes

    public init(random: Randomness) throws(EnvelopeError) {
        bytes = try takingSecureMemory { () throws(SecureHeapError) in try random.secret(Self.size) }
    }

    /// `.malformed` unless there are 32 bytes.
    public init(copying bytes: UnsafeRawBufferPointer) throws(EnvelopeError) {
        guard bytes.count == Self.size else { throw .malformed }
        self.bytes = try takingSecureMemory { () throws(SecureHeapError) in try SecretBytes(copying: bytes) }
    }

    /// `.malformed` unless there are 32 bytes.
    public init(_ bytes: consuming SecretBytes) throws(EnvelopeError) {
        guard bytes.count == Self.size else { throw .malformed }
        self.bytes = bytes
    }

    init(filling: (UnsafeMutableRawBufferPointer) -> Void) throws(EnvelopeError) {
        bytes = try takingSecureMemory { () throws(SecureHeapError) in
            try SecretBytes(count: Self.size, filling: filling)
        }
    }

    @inlinable
    public borrowing func withUnsafeBytes<Result: ~Copyable, Failure: Error>(
        _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try bytes.withUnsafeBytes(body)
    }

    /// For a key that takes on another role.
    consuming func takeBytes() -> SecretBytes { bytes }

    public init(copying bytes: [UInt8]) throws(EnvelopeError) {
        let copy: SecretBytes
        do {
            copy = try SecretBytes(count: bytes.count) { $0.copyBytes(from: bytes) }
        } catch {
            throw .exhausted
        }
        try self.init(copy)
    }

    /// For where one key must be in two places of a request.
    public borrowing func copy() throws(EnvelopeError) -> Key<Role> {
        try withUnsafeBytes { (bytes) throws(EnvelopeError) in try Key(copying: bytes) }
    }

    /// In constant time.
    public borrowing func matches(_ other: borrowing Key<Role>) -> Bool {
        bytes.matches(other.bytes)
    }

    /// HKDF-Expand (RFC 5869 §2.3; this key is uniform, so §3.3 lets the extraction go). `info` is the label and the
    /// context, each with its length in front as in `AssociatedData`.
    public borrowing func derive<Other>(
        _ role: Other.Type, label: StaticString, context: [UInt8] = []
    ) throws(EnvelopeError) -> Key<Other> {
        var info = AssociatedData(label)
        info.add(bytes: context)
        return try derive(role, info: info)
    }

    borrowing func derive<Other>(_ role: Other.Type, info: AssociatedData) throws(EnvelopeError) -> Key<Other> {
        try withUnsafeBytes { (key) throws(EnvelopeError) in
            try Key<Other> { out in HKDF.expand(key, into: out) { $0.update(info) } }
        }
    }
}

extension Key where Role == TagRole {
    /// HMAC-SHA-256, 32 bytes: recognises without revealing ("the same account again").
    public borrowing func tag(_ data: AssociatedData) -> [UInt8] {
        withUnsafeBytes { key in
            [UInt8](unsafeUninitializedCapacity: Digest.size) { out, count in
                hmac(key, into: UnsafeMutableRawPointer(out.baseAddress!)) { $0.update(data) }
                count = Digest.size
            }
        }
    }

    /// In constant time.
    public borrowing func matches(_ tag: [UInt8], _ data: AssociatedData) -> Bool {
        constantTimeEquals(tag, self.tag(data))
    }
}

extension Randomness {
    public func id<Kind>() -> ID<Kind> {
        let bytes = self.bytes(16)
        return ID(bytes: bytes)!
    }
}
