import Encoding
import Envelope
import Glibc
import Secrets
import Synchronization

/// The closed list of what is recorded.
public enum AuditEvent: String, Sendable {
    case vended, refreshed
    case refreshFailed = "refresh-failed"
    case consented, declined, connected, removed
    /// What came from another account than the one that was meant was kept.
    case kept
    /// What the provider said when a connection was removed.
    case revoked
    case revocationUnsupported = "revocation-unsupported"
    case revocationFailed = "revocation-failed"
    case revocationNotAsked = "revocation-not-asked"
    case tokenReplaced = "token-replaced"
    case pluginApproved = "plugin-approved"
    case pluginWithdrawn = "plugin-withdrawn"
    case pluginMuted = "plugin-muted"
    case pluginUnmuted = "plugin-unmuted"
    case pluginLimited = "plugin-limited"
    // What the operator did to a plugin that this person let in.
    case pluginChanged = "plugin-changed"
    case pluginKeyChanged = "plugin-key-changed"
    case pluginKeyEnded = "plugin-key-ended"
    case pluginRemoved = "plugin-removed"
    /// A plugin of one's own gave its name to one of the operator's.
    case pluginRenamed = "plugin-renamed"
    case keyMade = "key-made"
    case keyRemoved = "key-removed"
    case signedIn = "signed-in"
    case signedOut = "signed-out"
    case mismatch
    case clientApproved = "client-approved"
    case clientRevoked = "client-revoked"
    /// It may use one more connection.
    case clientAllowed = "client-allowed"
    case codeReplayed = "code-replayed"
    case refreshReplayed = "refresh-replayed"
    case backgroundOn = "background-on"
    case backgroundOff = "background-off"
    case recoveryMade = "recovery-made"
    /// The key of a vault was given to a session of another one, and the two became one.
    case linkSealed = "link-sealed"
    case linked
    /// A key that no longer opened its vault was given the vault's key again.
    case unlocked
    /// A holder was revoked as lost: everything has new keys.
    case lost
    case paused, resumed
    case everythingStopped = "everything-stopped"
    case passkeyAdded = "passkey-added"
    case passkeyRemoved = "passkey-removed"
    /// Its counter went back: somebody may have a copy.
    case passkeySuspect = "passkey-suspect"
}

public struct AuditRecord: Sendable {
    public var event: AuditEvent
    public var person: PersonID
    public var provider: String?
    public var connection: ConnectionID?
    public var caller: String?
    public var callerKind: String?
    public var scopes: String?
    /// Reason, tool and account, sealed under the log key of the connection: see `ActivityClaim`.
    public var claim: [UInt8]?

    public init(
        _ event: AuditEvent, person: PersonID, provider: String? = nil, connection: ConnectionID? = nil,
        caller: String? = nil, callerKind: String? = nil, scopes: String? = nil, claim: [UInt8]? = nil
    ) {
        (self.event, self.person, self.provider, self.connection) = (event, person, provider, connection)
        (self.caller, self.callerKind, self.scopes, self.claim) = (caller, callerKind, scopes, claim)
    }
}

/// One append-only file per process, a record a line, each chained to those before it. A record is one write(2): it is in
/// the kernel before the answer goes out, so it survives the death of any process; `tend`, called twice a second, makes
/// it survive the machine's, and says from time to time how far the chain is.
public final class AuditLog: Sendable {
    public struct Unavailable: Error {}

    public static let checkpointSeconds: Int64 = 60

    private let folder: String
    private let options: AuditOptions
    private let random: Randomness
    private let say: @Sendable (String) -> Void
    private let file: Mutex<AuditFile>
    private let dirty = Atomic<Bool>(false)
    private let said: Mutex<(count: Int64, at: Instant)>

    /// - Parameter say: is given each checkpoint; it belongs where whoever can change the files cannot change it.
    public init(
        folder: String, options: AuditOptions = AuditOptions(), at now: Instant, random: Randomness = .system,
        say: @escaping @Sendable (String) -> Void = { _ in }
    ) throws(Unavailable) {
        mkdir(folder, 0o700)
        (self.folder, self.options, self.random, self.say) = (folder, options, random, say)
        let first = try AuditFile.begin(in: folder, options: options, after: nil, at: now, random)
        let start = first.checkpoint
        file = Mutex(first)
        said = Mutex((start.count, now))
        say(start.text)
    }

    public func record(_ record: AuditRecord, id: [UInt8], at now: Instant) throws(Unavailable) {
        var line = begin(record.event.rawValue, id, at: now)
        line.key("person")
        line.string(record.person)
        line.field("provider", record.provider)
        if let connection = record.connection {
            line.key("connection")
            line.string(connection)
        }
        line.field("caller", record.caller)
        line.field("kind", record.callerKind)
        line.field("scopes", record.scopes)
        if let claim = record.claim {
            line.key("claim")
            claim.withUnsafeBytes { line.string(base64URL: $0) }
        }
        try append(&line)
    }

    /// A line of the operator's, about nobody: chained like the others, and in no table that people read.
    public func record(
        _ act: OperatorAct, of plugin: PluginID, id: [UInt8], at now: Instant
    ) throws(Unavailable) {
        var line = begin(act.rawValue, id, at: now)
        line.field("caller", plugin.text)
        line.field("kind", OperatorAct.callerKind)
        try append(&line)
    }

    @inline(__always)
    private func begin(_ event: String, _ id: [UInt8], at now: Instant) -> JSONWriter {
        var line = JSONWriter(capacity: 512)
        line.beginObject()
        line.key("id")
        id.withUnsafeBytes { line.string(base64URL: $0) }
        line.key("at")
        line.integer(now.milliseconds)
        line.field("event", event)
        return line
    }

    @inline(__always)
    private func append(_ line: inout JSONWriter) throws(Unavailable) {
        // The kernel would let only one thread at a time append to the file, too.
        guard file.withLock({ $0.append(&line) }) else { throw Unavailable() }
        dirty.store(true, ordering: .relaxed)
    }

    /// What is due twice a second: the disk, the reserve, a checkpoint, another file. One thread only.
    public func tend(at now: Instant) {
        let (descriptor, isDue) = file.withLock { file in
            file.reserve(options.reserveBytes)
            let age = file.openedAt.seconds(until: now)
            return (file.descriptor, file.size >= options.fileBytes || age >= options.fileSeconds)
        }
        if dirty.exchange(false, ordering: .relaxed) { fdatasync(descriptor) }
        if isDue { follow(at: now) }
        checkpoint(at: now, evenIfEarly: isDue)
    }

    /// The end of this process: the file is closed, and said to be.
    public func finish(at now: Instant) {
        file.withLock { $0.end(at: now) }
        checkpoint(at: now, evenIfEarly: true)
    }

    private func checkpoint(at now: Instant, evenIfEarly: Bool) {
        let last = said.withLock { $0 }
        guard evenIfEarly || last.at.seconds(until: now) >= Self.checkpointSeconds else { return }
        let reached = file.withLock { $0.checkpoint }
        guard reached.count != last.count || evenIfEarly else { return }
        said.withLock { $0 = (reached.count, now) }
        say(reached.text)
    }

    /// Goes on in another file. A disk without room for it lets this one go on.
    private func follow(at now: Instant) {
        let ended: AuditCheckpoint? = file.withLock { file in
            guard
                let next = try? AuditFile.begin(
                    in: folder, options: options, after: file.checkpoint, at: now, random)
            else { return nil }
            file.end(at: now)
            let ended = file.checkpoint
            file = next
            return ended
        }
        if let ended { say(ended.text) }
    }
}

extension JSONWriter {
    fileprivate mutating func field(_ name: StaticString, _ value: String?) {
        guard let value else { return }
        key(name)
        string(value)
    }
}
