/// What an identifier names. The prefix keeps one kind from being read as another.
public protocol IDKind: Sendable {
    static var prefix: String { get }
}

public enum PersonKind: IDKind { public static let prefix = "u_" }
public enum VaultKind: IDKind { public static let prefix = "v_" }
public enum SlotKind: IDKind { public static let prefix = "s_" }
public enum ConnectionKind: IDKind { public static let prefix = "c_" }
public enum PluginKind: IDKind { public static let prefix = "p_" }
public enum RequestKind: IDKind { public static let prefix = "r_" }
public enum OutcomeKind: IDKind { public static let prefix = "o_" }
public enum ClientGrantKind: IDKind { public static let prefix = "g_" }
public enum PasskeyKind: IDKind { public static let prefix = "w_" }

public typealias PersonID = ID<PersonKind>
public typealias VaultID = ID<VaultKind>
public typealias SlotID = ID<SlotKind>
public typealias ConnectionID = ID<ConnectionKind>
public typealias PluginID = ID<PluginKind>
public typealias RequestID = ID<RequestKind>
public typealias OutcomeID = ID<OutcomeKind>
public typealias ClientGrantID = ID<ClientGrantKind>
public typealias PasskeyID = ID<PasskeyKind>

/// 128 random bits. Not a secret: identifiers appear in addresses, logs and the database.
public struct ID<Kind: IDKind>: Hashable, Sendable {
    public let high, low: UInt64

    @inlinable
    public init(high: UInt64, low: UInt64) {
        (self.high, self.low) = (high, low)
    }

    /// Exactly 16 bytes, most significant first.
    @inlinable
    public init?(bytes: UnsafeRawBufferPointer) {
        guard bytes.count == 16 else { return nil }
        self.init(
            high: UInt64(bigEndian: bytes.loadUnaligned(as: UInt64.self)),
            low: UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self)))
    }

    /// Exactly 16 bytes, most significant first.
    public init?(bytes: some Collection<UInt8>) {
        guard let id = Array(bytes).withUnsafeBytes({ ID(bytes: $0) }) else { return nil }
        self = id
    }

    /// The prefix of the kind, then 22 characters base64url (RFC 4648 §5) in their one canonical form.
    public init?(parsing text: String) {
        var text = text
        let prefix = Kind.prefix.utf8
        guard text.utf8.count == prefix.count + 22, text.utf8.starts(with: prefix) else { return nil }
        var words: (UInt64, UInt64) = (0, 0)
        let isCanonical = text.withUTF8 { text in
            let digits = UnsafeRawBufferPointer(UnsafeBufferPointer(rebasing: text[prefix.count...]))
            return withUnsafeMutableBytes(of: &words) { Base64URL.decode(digits, into: $0) } != nil
        }
        guard isCanonical else { return nil }
        self.init(high: UInt64(bigEndian: words.0), low: UInt64(bigEndian: words.1))
    }

    /// 16 bytes, most significant first.
    @inlinable
    public var bytes: [UInt8] {
        [UInt8](unsafeUninitializedCapacity: 16) { out, count in
            let target = UnsafeMutableRawBufferPointer(out)
            target.storeBytes(of: high.bigEndian, toByteOffset: 0, as: UInt64.self)
            target.storeBytes(of: low.bigEndian, toByteOffset: 8, as: UInt64.self)
            count = 16
        }
    }

    public var text: String {
        let prefix = Kind.prefix
        return String(unsafeUninitializedCapacity: prefix.utf8.count + 22) { out in
            var length = 0
            for byte in prefix.utf8 {
                out[length] = byte
                length += 1
            }
            let digits = UnsafeMutableRawBufferPointer(UnsafeMutableBufferPointer(rebasing: out[length..<length + 22]))
            withUnsafeBytes(of: (high.bigEndian, low.bigEndian)) { Base64URL.encode($0, into: digits) }
            return length + 22
        }
    }
}

extension ID: CustomStringConvertible {
    public var description: String { text }
}
