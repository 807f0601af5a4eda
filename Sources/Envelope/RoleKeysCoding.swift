import Secrets

/// The bundle on the socket between supervisor and child:
/// `0x01 ‖ role ‖ number of keys n ‖ n × id 2 ‖ n × outer 32 ‖ n × tags 32 ‖ service public 32 ‖ keeper: n × service private 32`.
enum RoleKeysRole: UInt8 {
    case worker = 0x77
    case keeper = 0x6B
}

private let bundleVersion: UInt8 = 1
private let headerCount = 3

enum RoleKeysWriter {
    static func encode(
        _ keys: RoleKeys, role: RoleKeysRole, privates: ConfiguredKeys<ServiceRole>?
    ) throws(EnvelopeError) -> SecretBytes {
        let number = keys.outer.all.count
        let keyCount = number * (privates == nil ? 2 : 3) + 1
        return try takingSecureMemory { () throws(SecureHeapError) in
            try SecretBytes(count: headerCount + 2 * number + 32 * keyCount) { out in
                var rest = out[...]
                func put(_ bytes: UnsafeRawBufferPointer) {
                    UnsafeMutableRawBufferPointer(rebasing: rest.prefix(bytes.count)).copyMemory(from: bytes)
                    rest = rest.dropFirst(bytes.count)
                }
                put([bundleVersion, role.rawValue, UInt8(number)])
                for key in keys.outer.all { put([UInt8(key.id >> 8), UInt8(key.id & 0xFF)]) }
                for key in keys.outer.all { key.key.withUnsafeBytes { put($0) } }
                for key in keys.tags.all { key.key.withUnsafeBytes { put($0) } }
                put(keys.servicePublic.bytes)
                for key in privates?.all ?? [] { key.key.withUnsafeBytes { put($0) } }

                func put(_ bytes: [UInt8]) { bytes.withUnsafeBytes { put($0) } }
            }
        }
    }
}

struct RoleKeysReader {
    private var rest: UnsafeRawBufferPointer
    private var ids: [UInt16] = []

    init(_ bytes: UnsafeRawBufferPointer, role: RoleKeysRole) throws(EnvelopeError) {
        rest = bytes
        let header = try take(headerCount)
        guard header[0] == bundleVersion else { throw .unknownFormat }
        guard header[1] == role.rawValue, header[2] > 0 else { throw .malformed }
        for _ in 0..<header[2] {
            let id = try take(2)
            ids.append(UInt16(id[0]) << 8 | UInt16(id[1]))
        }
    }

    mutating func keys<Role>() throws(EnvelopeError) -> ConfiguredKeys<Role> {
        var keys: [ConfiguredKey<Role>] = []
        for id in ids { keys.append(ConfiguredKey(id: id, key: try Key(copying: take(Key<Role>.size)))) }
        return ConfiguredKeys(all: keys)
    }

    mutating func roleKeys() throws(EnvelopeError) -> RoleKeys {
        let outer: ConfiguredKeys<OuterRole> = try keys()
        let tags: ConfiguredKeys<TagRole> = try keys()
        guard let service = PublicKey(bytes: Array(try take(PublicKey.size))) else { throw .malformed }
        return RoleKeys(outer: outer, tags: tags, servicePublic: service)
    }

    func finish() throws(EnvelopeError) {
        guard rest.isEmpty else { throw .malformed }
    }

    private mutating func take(_ count: Int) throws(EnvelopeError) -> UnsafeRawBufferPointer {
        guard rest.count >= count else { throw .malformed }
        defer { rest = UnsafeRawBufferPointer(rebasing: rest.dropFirst(count)) }
        return UnsafeRawBufferPointer(rebasing: rest.prefix(count))
    }
}
