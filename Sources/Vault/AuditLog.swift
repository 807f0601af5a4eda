import CLinux
import Encoding
import Envelope
import Glibc
import Secrets
import Synchronization

/// The closed list of what is recorded.
public enum AuditEvent: String, Sendable {
    case vended, refreshed
    case refreshFailed = "refresh-failed"
    case consented, declined, connected, removed, revoked
    case pluginApproved = "plugin-approved"
    case pluginWithdrawn = "plugin-withdrawn"
    case keyMade = "key-made"
    case keyRemoved = "key-removed"
    case signedIn = "signed-in"
    case signedOut = "signed-out"
    case mismatch
    case clientApproved = "client-approved"
    case clientRevoked = "client-revoked"
    case codeReplayed = "code-replayed"
    case refreshReplayed = "refresh-replayed"
    case backgroundOn = "background-on"
    case backgroundOff = "background-off"
    case recoveryMade = "recovery-made"
    case paused, resumed
    case everythingStopped = "everything-stopped"
}

public struct AuditRecord: Sendable {
    public var event: AuditEvent
    public var person: PersonID
    public var provider: String?
    public var connection: ConnectionID?
    public var caller: String?
    public var callerKind: String?
    public var scopes: String?
    /// Reason and tool, sealed under the log key of the connection.
    public var claim: [UInt8]?

    public init(
        _ event: AuditEvent, person: PersonID, provider: String? = nil, connection: ConnectionID? = nil,
        caller: String? = nil, callerKind: String? = nil, scopes: String? = nil, claim: [UInt8]? = nil
    ) {
        (self.event, self.person, self.provider, self.connection) = (event, person, provider, connection)
        (self.caller, self.callerKind, self.scopes, self.claim) = (caller, callerKind, scopes, claim)
    }
}

/// One append-only file per process, a record a line. A record is one write(2): it is in the kernel before the answer
/// goes out, so it survives the death of any process; `flush` within a second makes it survive the machine's.
public final class AuditLog: Sendable {
    public struct Unavailable: Error {}

    private let descriptor: Int32
    private let dirty = Atomic<Bool>(false)
    /// A disk that was full left half a line: the next record begins one of its own.
    private let isTorn = Atomic<Bool>(false)

    public init(folder: String, at now: Instant) throws(Unavailable) {
        mkdir(folder, 0o700)
        let path = "\(folder)/\(now.milliseconds)-\(getpid()).jsonl"
        descriptor = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw Unavailable() }
    }

    deinit { close(descriptor) }

    public func record(_ record: AuditRecord, id: [UInt8], at now: Instant) throws(Unavailable) {
        var line = JSONWriter(capacity: 512)
        line.beginObject()
        line.key("id")
        line.string(Base64URL.encode(id))
        line.key("at")
        line.integer(now.milliseconds)
        func field(_ name: StaticString, _ value: String?) {
            guard let value else { return }
            line.key(name)
            line.string(value)
        }
        field("event", record.event.rawValue)
        field("person", record.person.text)
        field("provider", record.provider)
        field("connection", record.connection?.text)
        field("caller", record.caller)
        field("kind", record.callerKind)
        field("scopes", record.scopes)
        field("claim", record.claim.map { Base64URL.encode($0) })
        line.endObject()
        let newline: [UInt8] = [UInt8(ascii: "\n")]
        let bytes = (isTorn.exchange(false, ordering: .relaxed) ? newline : []) + line.bytes + newline
        // A short write leaves half a line, which the reader skips; the record then counts as not written.
        guard bytes.withUnsafeBytes({ write(descriptor, $0.baseAddress, $0.count) }) == bytes.count else {
            isTorn.store(true, ordering: .relaxed)
            throw Unavailable()
        }
        dirty.store(true, ordering: .relaxed)
    }

    public func flush() {
        if dirty.exchange(false, ordering: .relaxed) { fdatasync(descriptor) }
    }
}

/// Reason and tool of a vend, readable only with a log key that stands in the credential.
public enum ActivityClaim {
    private static let keySize = 32

    public static func seal(
        reason: String, tool: String, logKeys: UnsafeRawBufferPointer, connection: ConnectionID, _ random: Randomness
    ) throws -> [UInt8]? {
        guard !(reason.isEmpty && tool.isEmpty), logKeys.count >= keySize else { return nil }
        let key = try Key<LogRole>(copying: UnsafeRawBufferPointer(rebasing: logKeys[..<keySize]))
        return try Array("\(reason)\u{0}\(tool)".utf8).withUnsafeBytes {
            try AEAD.seal($0, under: key, Purpose.claim(connection), random)
        }
    }

    public static func open(
        _ claim: [UInt8], logKeys: SecretText, connection: ConnectionID
    ) throws -> (reason: String, tool: String) {
        let opened = try logKeys.withUnsafeBytes { keys in
            for start in stride(from: 0, to: keys.count - keySize + 1, by: keySize) {
                let key = try Key<LogRole>(copying: UnsafeRawBufferPointer(rebasing: keys[start..<start + keySize]))
                if let opened = try? AEAD.open(claim, under: key, Purpose.claim(connection)) { return opened }
            }
            throw EnvelopeError.doesNotOpen
        }
        let parts = opened.withUnsafeBytes { String(decoding: $0, as: UTF8.self) }
            .split(separator: "\u{0}", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        return (parts.first ?? "", parts.count > 1 ? parts[1] : "")
    }
}
