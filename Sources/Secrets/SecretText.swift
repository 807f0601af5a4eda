/// A secret text with several owners, such as a provider's token on its way out: on the secure heap, wiped with its last
/// owner, printed as a placeholder, and not `Equatable`.
public final class SecretText: Sendable, CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    @usableFromInline let bytes: SecretBytes

    /// UTF-8.
    public init(copying bytes: UnsafeRawBufferPointer) throws(SecureHeapError) {
        self.bytes = try SecretBytes(copying: bytes)
    }

    public init(_ bytes: consuming SecretBytes) {
        self.bytes = bytes
    }

    /// The string given stays where it was: for texts that were in ordinary memory anyway.
    public init(_ text: String) throws(SecureHeapError) {
        bytes = try SecretBytes(count: text.utf8.count) { $0.copyBytes(from: text.utf8) }
    }

    /// Bytes of UTF-8.
    public var count: Int { bytes.count }

    @inlinable
    public func withUnsafeBytes<R: ~Copyable, Failure: Error>(
        _ body: (UnsafeRawBufferPointer) throws(Failure) -> R
    ) throws(Failure) -> R {
        try bytes.withUnsafeBytes(body)
    }

    /// Hands out an ordinary string, which is not wiped: only where an interface takes nothing else.
    public func withString<R: ~Copyable, Failure: Error>(
        _ body: (String) throws(Failure) -> R
    ) throws(Failure) -> R {
        let text = bytes.withUnsafeBytes { String(decoding: $0, as: UTF8.self) }
        return try body(text)
    }

    /// In constant time for a given length.
    public func matches(_ other: UnsafeRawBufferPointer) -> Bool {
        bytes.matches(other)
    }

    public var description: String { "‹secret›" }
    public var debugDescription: String { description }
    public var customMirror: Mirror { Mirror(self, children: []) }
}
