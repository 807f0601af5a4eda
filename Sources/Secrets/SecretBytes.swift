/// Secret bytes with one owner: on the secure heap, wiped when released, unprintable (a type that is not `Copyable`
/// converts to no existential, so interpolating it does not compile), comparable only in constant time.
public struct SecretBytes: ~Copyable, @unchecked Sendable {
    @usableFromInline let base: UnsafeMutableRawPointer
    public let count: Int

    /// `filling` must write all `count` bytes.
    public init(
        count: Int, filling: (UnsafeMutableRawBufferPointer) -> Void
    ) throws(SecureHeapError) {
        self.base = try SecureHeap.allocate(count)
        self.count = count
        filling(UnsafeMutableRawBufferPointer(start: base, count: count))
    }

    public init(copying bytes: UnsafeRawBufferPointer) throws(SecureHeapError) {
        try self.init(count: bytes.count) { $0.copyMemory(from: bytes) }
    }

    deinit {
        SecureHeap.wipeAndFree(base, count: count)
    }

    /// The pointer must not outlive `body`, and what it points to must not be copied to ordinary memory without need.
    @inlinable
    public borrowing func withUnsafeBytes<Result: ~Copyable, Failure: Error>(
        _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try body(UnsafeRawBufferPointer(start: base, count: count))
    }

    public mutating func withUnsafeMutableBytes<Result: ~Copyable, Failure: Error>(
        _ body: (UnsafeMutableRawBufferPointer) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try body(UnsafeMutableRawBufferPointer(start: base, count: count))
    }

    /// In constant time for a given length; lengths are not secret.
    public borrowing func matches(_ other: UnsafeRawBufferPointer) -> Bool {
        constantTimeEquals(UnsafeRawBufferPointer(start: base, count: count), other)
    }

    public borrowing func matches(_ other: borrowing SecretBytes) -> Bool {
        matches(UnsafeRawBufferPointer(start: other.base, count: other.count))
    }
}
