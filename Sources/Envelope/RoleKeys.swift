import Secrets

/// What every role has of the configured keys.
struct RoleKeys: Sendable {
    let outer: ConfiguredKeys<OuterRole>
    let tags: ConfiguredKeys<TagRole>
    /// Of the current key.
    let servicePublic: PublicKey
}

/// A worker's subkeys. It can seal to the service key and never open.
public final class WorkerKeys: Sendable {
    public let outer: OuterSeal
    public let tags: TagKey
    public let servicePublic: (id: UInt16, key: PublicKey)

    private let keys: RoleKeys

    init(_ keys: RoleKeys) {
        self.keys = keys
        outer = OuterSeal(keys.outer)
        tags = TagKey(keys.tags)
        servicePublic = (keys.outer.current.id, keys.servicePublic)
    }

    /// For the socket to the child; `.malformed` when another role's bundle arrives.
    public convenience init(decoding bytes: UnsafeRawBufferPointer) throws(EnvelopeError) {
        var reader = try RoleKeysReader(bytes, role: .worker)
        self.init(try reader.roleKeys())
        try reader.finish()
    }

    public func encode() throws(EnvelopeError) -> SecretBytes {
        try RoleKeysWriter.encode(keys, role: .worker, privates: nil)
    }
}

/// The keeper's subkeys: a worker's, and the private halves of the service keys.
public final class KeeperKeys: Sendable {
    public let outer: OuterSeal
    public let tags: TagKey
    public let servicePublic: (id: UInt16, key: PublicKey)

    private let keys: RoleKeys
    private let privates: ConfiguredKeys<ServiceRole>

    init(_ keys: RoleKeys, _ privates: ConfiguredKeys<ServiceRole>) {
        self.keys = keys
        self.privates = privates
        outer = OuterSeal(keys.outer)
        tags = TagKey(keys.tags)
        servicePublic = (keys.outer.current.id, keys.servicePublic)
    }

    public convenience init(decoding bytes: UnsafeRawBufferPointer) throws(EnvelopeError) {
        var reader = try RoleKeysReader(bytes, role: .keeper)
        let keys = try reader.roleKeys()
        self.init(keys, try reader.keys())
        try reader.finish()
    }

    public func encode() throws(EnvelopeError) -> SecretBytes {
        try RoleKeysWriter.encode(keys, role: .keeper, privates: privates)
    }

    /// `id` is the key id in the header of the box to be opened (`BoxHeader`).
    public func withServicePrivate<Result: ~Copyable>(
        id: UInt16, _ body: (borrowing PrivateKey) throws(EnvelopeError) -> Result
    ) throws(EnvelopeError) -> Result {
        let key = try privates.key(id).key.withUnsafeBytes { (bytes) throws(EnvelopeError) in
            try PrivateKey(copying: bytes)
        }
        return try body(key)
    }
}
