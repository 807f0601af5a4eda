import Encoding
import Envelope
import Glibc
import Secrets
import Vault

/// What a worker asks of the keeper, one datagram each on the socketpair between them. Fixed binary, numbers big endian:
///
///     version 1 ‖ verb ‖ serial 8 ‖ subject 16 ‖ …
///     hold     … generation 8 ‖ seconds 4 ‖ key 32      not answered
///     refresh  … generation 8                           class ‖ number
///     forget   … what 1                                 class 0
///     count    …                                        class 0 ‖ number
///     answer   version 1 ‖ 0x80 ‖ serial 8 ‖ class 1 ‖ number 8
///
/// No answer carries a key or a token: after a refresh the worker reads the row with its caller's key. One key goes the
/// other way, unasked, when a worker is attached: that of codes and other things that live for minutes.
///
///     minute   version 1 ‖ 0x81 ‖ key 32
public enum KeeperRequest: Sendable {
    /// The keeper may keep this connection fresh for a while.
    case hold(ConnectionID, generation: Int64, seconds: UInt32, key: ConnectionKey)
    /// Asks for a generation newer than this one.
    case refresh(ConnectionID, generation: Int64)
    case forget(KeeperForgetting)
    /// How many of this person's connections are held.
    case count(PersonID)
}

/// Whose keys the keeper is to drop.
public enum KeeperForgetting: Hashable, Sendable {
    case connection(ConnectionID)
    case vault(VaultID)
    case person(PersonID)
    case all
}

public enum KeeperProtocolError: Error, Hashable, Sendable {
    case length(Int)
    case version(UInt8)
    case verb(UInt8)
    case value
    /// No secure memory for the key.
    case exhausted
}

public enum KeeperProtocol {
    static let version: UInt8 = 1
    static let headerSize = 26
    /// The longest datagram, a `hold`.
    public static let maximumSize = headerSize + 8 + 4 + 32
    public static let answerSize = 19

    enum Verb: UInt8 {
        case hold = 1
        case refresh, forget, count
    }
    static let answerVerb: UInt8 = 0x80
    static let minuteVerb: UInt8 = 0x81
    /// The longest datagram to a worker.
    public static let maximumAnswer = 34

    /// A socket holds a few hundred datagrams. One that is full for a moment is tried again, for as long as anybody waits.
    public static let tryAgainAfter = 20
    public static let mostTries = 400

    public enum Delivery { case sent, full, gone }

    /// Never waits.
    public static func send(_ datagram: UnsafeRawBufferPointer, to descriptor: Int32) -> Delivery {
        let flags = Int32(MSG_DONTWAIT) | Int32(MSG_NOSIGNAL)
        guard Glibc.send(descriptor, datagram.baseAddress, datagram.count, flags) < 0 else { return .sent }
        return errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS ? .full : .gone
    }

    /// What the keeper says when a worker is attached; nil: it has no key.
    public static func withMinute<R>(_ key: MinuteKey, _ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R? {
        try key.withUnsafeBytes { bytes in
            try withUnsafeTemporaryAllocation(byteCount: maximumAnswer, alignment: 8) { buffer in
                defer { wipe(buffer) }
                var writer = FixedWriter(buffer)
                writer.put(version)
                writer.put(minuteVerb)
                writer.put(bytes)
                return try body(UnsafeRawBufferPointer(buffer))
            }
        }
    }

    /// The key, if this is what it says.
    public static func minute(in datagram: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer? {
        guard datagram.count == maximumAnswer, datagram[0] == version, datagram[1] == minuteVerb else { return nil }
        return UnsafeRawBufferPointer(rebasing: datagram[2...])
    }
}

extension KeeperRequest {
    /// The datagram, in memory that is wiped afterwards.
    public func withEncoded<R>(serial: UInt64, _ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R {
        try withUnsafeTemporaryAllocation(byteCount: KeeperProtocol.maximumSize, alignment: 8) { buffer in
            defer { wipe(buffer) }
            var writer = FixedWriter(buffer)
            writer.put(KeeperProtocol.version)
            switch self {
            case .hold(let connection, let generation, let seconds, let key):
                writer.put(KeeperProtocol.Verb.hold.rawValue)
                writer.put(serial)
                writer.put(connection)
                writer.put(UInt64(bitPattern: generation))
                writer.put(seconds)
                key.key.withUnsafeBytes { writer.put($0) }
            case .refresh(let connection, let generation):
                writer.put(KeeperProtocol.Verb.refresh.rawValue)
                writer.put(serial)
                writer.put(connection)
                writer.put(UInt64(bitPattern: generation))
            case .forget(let forgetting):
                writer.put(KeeperProtocol.Verb.forget.rawValue)
                writer.put(serial)
                switch forgetting {
                case .connection(let id):
                    writer.put(id)
                    writer.put(UInt8(1))
                case .vault(let id):
                    writer.put(id)
                    writer.put(UInt8(2))
                case .person(let id):
                    writer.put(id)
                    writer.put(UInt8(3))
                case .all:
                    writer.put(ConnectionID(high: 0, low: 0))
                    writer.put(UInt8(4))
                }
            case .count(let person):
                writer.put(KeeperProtocol.Verb.count.rawValue)
                writer.put(serial)
                writer.put(person)
            }
            return try body(UnsafeRawBufferPointer(rebasing: buffer[..<writer.count]))
        }
    }

    public static func decode(
        _ datagram: UnsafeRawBufferPointer
    ) throws(KeeperProtocolError) -> (serial: UInt64, request: KeeperRequest) {
        guard datagram.count >= KeeperProtocol.headerSize, datagram.count <= KeeperProtocol.maximumSize else {
            throw .length(datagram.count)
        }
        var reader = FixedReader(datagram)
        let version = reader.byte()
        guard version == KeeperProtocol.version else { throw .version(version) }
        let code = reader.byte()
        guard let verb = KeeperProtocol.Verb(rawValue: code) else { throw .verb(code) }
        let serial = reader.word()
        let (high, low) = (reader.word(), reader.word())
        let rest =
            switch verb {
            case .hold: 44
            case .refresh: 8
            case .forget: 1
            case .count: 0
            }
        guard reader.left == rest else { throw .length(datagram.count) }
        switch verb {
        case .hold:
            let generation = Int64(bitPattern: reader.word())
            let seconds = reader.half()
            guard generation > 0 else { throw .value }
            do {
                let key = ConnectionKey(try Key(copying: reader.rest()))
                return (
                    serial,
                    .hold(ConnectionID(high: high, low: low), generation: generation, seconds: seconds, key: key)
                )
            } catch {
                throw .exhausted
            }
        case .refresh:
            let generation = Int64(bitPattern: reader.word())
            guard generation > 0 else { throw .value }
            return (serial, .refresh(ConnectionID(high: high, low: low), generation: generation))
        case .forget:
            switch reader.byte() {
            case 1: return (serial, .forget(.connection(ConnectionID(high: high, low: low))))
            case 2: return (serial, .forget(.vault(VaultID(high: high, low: low))))
            case 3: return (serial, .forget(.person(PersonID(high: high, low: low))))
            case 4: return (serial, .forget(.all))
            default: throw .value
            }
        case .count: return (serial, .count(PersonID(high: high, low: low)))
        }
    }
}

/// What comes back on the channel.
public enum KeeperAnswer: Hashable, Sendable {
    case done
    case count(Int64)
    case refresh(RefreshAnswer)
    /// A refresh was asked for and the keeper holds no key for the connection.
    case noKey

    private var wire: (code: UInt8, number: Int64) {
        switch self {
        case .done: (0, 0)
        case .count(let count): (1, count)
        case .refresh(.refreshed(let generation)): (2, generation)
        case .refresh(.reauthorize): (3, 0)
        case .refresh(.retryLater(let seconds)): (4, seconds)
        case .refresh(.misconfigured): (5, 0)
        case .refresh(.unavailable): (6, 0)
        case .noKey: (7, 0)
        }
    }

    public func encode(serial: UInt64) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: KeeperProtocol.answerSize) { out, count in
            var writer = FixedWriter(UnsafeMutableRawBufferPointer(out))
            writer.put(KeeperProtocol.version)
            writer.put(KeeperProtocol.answerVerb)
            writer.put(serial)
            writer.put(wire.code)
            writer.put(UInt64(bitPattern: wire.number))
            count = writer.count
        }
    }

    public static func decode(
        _ datagram: UnsafeRawBufferPointer
    ) throws(KeeperProtocolError) -> (serial: UInt64, answer: KeeperAnswer) {
        guard datagram.count == KeeperProtocol.answerSize else { throw .length(datagram.count) }
        var reader = FixedReader(datagram)
        let version = reader.byte()
        guard version == KeeperProtocol.version else { throw .version(version) }
        let verb = reader.byte()
        guard verb == KeeperProtocol.answerVerb else { throw .verb(verb) }
        let serial = reader.word()
        let code = reader.byte()
        let number = Int64(bitPattern: reader.word())
        guard number >= 0 else { throw .value }
        switch code {
        case 0: return (serial, .done)
        case 1: return (serial, .count(number))
        case 2: return (serial, .refresh(.refreshed(generation: number)))
        case 3: return (serial, .refresh(.reauthorize))
        case 4: return (serial, .refresh(.retryLater(seconds: number)))
        case 5: return (serial, .refresh(.misconfigured))
        case 6: return (serial, .refresh(.unavailable))
        case 7: return (serial, .noKey)
        default: throw .value
        }
    }
}
