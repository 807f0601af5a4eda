import Encoding
import Secrets

/// Why `ENCRYPTION_KEY` was refused. Its sentences never repeat any of the value.
public enum EncryptionKeyError: Error, Equatable, Sendable, CustomStringConvertible {
    case missing
    /// `entry` counts from 1.
    case notBase64Of32Bytes(entry: Int)
    case notRandom(entry: Int)
    case wrongID(entry: Int)
    case duplicateID(UInt16)
    case duplicateKey(entry: Int)
    case tooMany(limit: Int)
    case exhausted

    public var description: String {
        self == .exhausted ? "ENCRYPTION_KEY: no locked memory left to hold it." : "\(reason). \(Self.expected)"
    }

    private var reason: String {
        switch self {
        case .missing: "ENCRYPTION_KEY is not set"
        case .notBase64Of32Bytes(let entry): "ENCRYPTION_KEY: \(Self.key(entry)) is not base64 of exactly 32 bytes"
        case .notRandom(let entry): "ENCRYPTION_KEY: \(Self.key(entry)) is one byte repeated, not a random key"
        case .wrongID(let entry): "ENCRYPTION_KEY: the id of \(Self.key(entry)) is not a number from 1 to 65535"
        case .duplicateID(let id): "ENCRYPTION_KEY: the id \(id) stands twice"
        case .duplicateKey(let entry): "ENCRYPTION_KEY: \(Self.key(entry)) is the same as an earlier one"
        case .tooMany(let limit): "ENCRYPTION_KEY: more than \(limit) keys"
        case .exhausted: "ENCRYPTION_KEY: no locked memory"
        }
    }

    private static let expected = """
        Expected: base64 of 32 random bytes, which 'openssl rand -base64 32' makes, or several as \
        'id:base64,id:base64' with the current one first.
        """

    private static func key(_ entry: Int) -> String { entry == 1 ? "the key" : "key number \(entry)" }
}

/// `ENCRYPTION_KEY` as configured, in the supervisor alone. Each other process gets subkeys of its role.
public struct EncryptionKeys: ~Copyable, Sendable {
    public static let maximumCount = 16
    /// The id of a key that stands alone. When it is rotated, the old key is written as `1:…`.
    public static let loneID: UInt16 = 1

    private enum ConfiguredRole {}

    /// Extracted (RFC 5869 §2.2), so that the value itself is never a key.
    private let roots: ConfiguredKeys<ConfiguredRole>

    /// `base64`, or `id:base64,id:base64` with the current key first; spaces and line ends around it are ignored.
    public init(parsing text: UnsafeRawBufferPointer) throws(EncryptionKeyError) {
        let text = Self.trimmed(text)
        guard text.count > 0 else { throw .missing }
        var roots: [ConfiguredKey<ConfiguredRole>] = []
        let entries = text.split(separator: UInt8(ascii: ","), omittingEmptySubsequences: false)
        for (index, entry) in entries.enumerated() {
            guard index < Self.maximumCount else { throw .tooMany(limit: Self.maximumCount) }
            let trimmed = Self.trimmed(UnsafeRawBufferPointer(rebasing: entry))
            let root = try Self.parse(trimmed, index + 1, of: entries.count)
            for earlier in roots {
                guard earlier.id != root.id else { throw .duplicateID(root.id) }
                guard !earlier.key.matches(root.key) else { throw .duplicateKey(entry: index + 1) }
            }
            roots.append(root)
        }
        self.roots = ConfiguredKeys(all: roots)
    }

    public var currentKeyID: UInt16 { roots.current.id }

    public borrowing func workerKeys() throws(EnvelopeError) -> WorkerKeys {
        WorkerKeys(try roleKeys())
    }

    public borrowing func keeperKeys() throws(EnvelopeError) -> KeeperKeys {
        let privates = try subkeys(ServiceRole.self, "toolshed/v1/service")
        return KeeperKeys(try roleKeys(), privates)
    }

    private borrowing func roleKeys() throws(EnvelopeError) -> RoleKeys {
        let service: Key<ServiceRole> = try roots.current.key.derive(ServiceRole.self, label: "toolshed/v1/service")
        return RoleKeys(
            outer: try subkeys(OuterRole.self, "toolshed/v1/outer"),
            tags: try subkeys(TagRole.self, "toolshed/v1/tags"),
            servicePublic: try PrivateKey(service).publicKey)
    }

    private borrowing func subkeys<Role>(
        _ role: Role.Type, _ label: StaticString
    ) throws(EnvelopeError) -> ConfiguredKeys<Role> {
        var keys: [ConfiguredKey<Role>] = []
        for root in roots.all {
            keys.append(ConfiguredKey(id: root.id, key: try root.key.derive(role, label: label)))
        }
        return ConfiguredKeys(all: keys)
    }

    // MARK: Parsing

    private static func parse(
        _ entry: UnsafeRawBufferPointer, _ number: Int, of count: Int
    ) throws(EncryptionKeyError) -> ConfiguredKey<ConfiguredRole> {
        guard let colon = entry.firstIndex(of: UInt8(ascii: ":")) else {
            guard count == 1 else { throw .wrongID(entry: number) }
            return ConfiguredKey(id: loneID, key: try root(entry, number))
        }
        let digits = entry[..<colon]
        guard digits.count <= 5, digits.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }),
            let id = UInt16(String(decoding: digits, as: UTF8.self)), id > 0
        else { throw .wrongID(entry: number) }
        return ConfiguredKey(id: id, key: try root(UnsafeRawBufferPointer(rebasing: entry[(colon + 1)...]), number))
    }

    private static func root(
        _ base64: UnsafeRawBufferPointer, _ number: Int
    ) throws(EncryptionKeyError) -> Key<ConfiguredRole> {
        var isDecoded = false
        do throws(EnvelopeError) {
            let value = try Key<ConfiguredRole> { out in
                isDecoded = Base64.decode(base64, into: out) != nil
                if !isDecoded { wipe(out) }
            }
            guard isDecoded else { throw EnvelopeError.malformed }
            guard value.withUnsafeBytes({ bytes in bytes.contains { $0 != bytes[0] } }) else {
                throw EnvelopeError.doesNotOpen
            }
            return try value.withUnsafeBytes { (bytes) throws(EnvelopeError) in
                try Key { out in
                    salt.withUTF8Buffer { salt in
                        HKDF.extract(salt: UnsafeRawBufferPointer(salt), into: out.baseAddress!) { $0.update(bytes) }
                    }
                }
            }
        } catch {
            switch error {
            case .malformed: throw .notBase64Of32Bytes(entry: number)
            case .doesNotOpen: throw .notRandom(entry: number)
            default: throw .exhausted
            }
        }
    }

    private static let salt: StaticString = "toolshed/v1/encryption-key"

    private static func trimmed(_ text: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
        func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || (0x09...0x0D).contains(byte) }
        guard let first = text.firstIndex(where: { !isSpace($0) }), let last = text.lastIndex(where: { !isSpace($0) })
        else { return UnsafeRawBufferPointer(start: nil, count: 0) }
        return UnsafeRawBufferPointer(rebasing: text[first...last])
    }
}
