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
        guard let id = text.withUTF8({ ID(utf8: UnsafeRawBufferPointer($0)) }) else { return nil }
        self = id
    }

    /// The same from bytes.
    public init?(utf8 text: UnsafeRawBufferPointer) {
        guard let words = IDText.words(of: text, prefix: Kind.prefix) else { return nil }
        self.init(high: words.high, low: words.low)
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

    public var text: String { IDText.text(prefix: Kind.prefix, high, low) }
}

/// Not generic, so that it is one piece of code for every kind.
enum IDText {
    static let digits = 22

    static func words(of text: UnsafeRawBufferPointer, prefix: String) -> (high: UInt64, low: UInt64)? {
        let length = prefix.utf8.count
        guard text.count == length + digits, prefix.utf8.elementsEqual(text[..<length]) else { return nil }
        var words: (UInt64, UInt64) = (0, 0)
        let isCanonical = withUnsafeMutableBytes(of: &words) {
            Base64URL.decode(UnsafeRawBufferPointer(rebasing: text[length...]), into: $0) != nil
        }
        return isCanonical ? (UInt64(bigEndian: words.0), UInt64(bigEndian: words.1)) : nil
    }

    /// `out` has the room for the prefix and the digits.
    static func write(prefix: String, _ high: UInt64, _ low: UInt64, to out: UnsafeMutableRawBufferPointer) {
        var length = 0
        for byte in prefix.utf8 {
            out[length] = byte
            length += 1
        }
        let digits = UnsafeMutableRawBufferPointer(rebasing: out[length..<length + digits])
        withUnsafeBytes(of: (high.bigEndian, low.bigEndian)) { Base64URL.encode($0, into: digits) }
    }

    static func text(prefix: String, _ high: UInt64, _ low: UInt64) -> String {
        let length = prefix.utf8.count + digits
        return String(unsafeUninitializedCapacity: length) { out in
            write(
                prefix: prefix, high, low,
                to: UnsafeMutableRawBufferPointer(rebasing: UnsafeMutableRawBufferPointer(out)[..<length]))
            return length
        }
    }
}

extension ID: CustomStringConvertible {
    public var description: String { text }
}
