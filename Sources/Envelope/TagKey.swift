import Secrets

/// Recognises what this installation wrote: HMAC-SHA-256 under a subkey of `ENCRYPTION_KEY`. A tag is the key id (2 bytes,
/// big endian) and 32 bytes.
public final class TagKey: Sendable {
    private let keys: ConfiguredKeys<TagRole>

    init(_ keys: ConfiguredKeys<TagRole>) {
        self.keys = keys
    }

    public var currentKeyID: UInt16 { keys.current.id }

    public func tag(_ data: AssociatedData) -> [UInt8] {
        Self.tag(data, keys.current)
    }

    /// In constant time. False, too, for a key that is no longer configured.
    public func matches(_ tag: [UInt8], _ data: AssociatedData) -> Bool {
        guard tag.count == 2 + Digest.size, let key = try? keys.key(UInt16(tag[0]) << 8 | UInt16(tag[1]))
        else { return false }
        return constantTimeEquals(tag, Self.tag(data, key))
    }

    private static func tag(_ data: AssociatedData, _ key: ConfiguredKey<TagRole>) -> [UInt8] {
        [UInt8(key.id >> 8), UInt8(key.id & 0xFF)] + key.key.tag(data)
    }
}
