import CLinux
import Encoding
import Envelope
import Glibc
import Secrets

/// How audit files are kept.
public struct AuditOptions: Sendable {
    /// Who can read the first key of each file; nobody in particular without.
    public var publicKey: PublicKey?
    /// Room on the disk that is the record's alone.
    public var reserveBytes: Int64
    /// A file that is longer or older is followed by another.
    public var fileBytes: Int64
    public var fileSeconds: Int64

    public init(
        publicKey: PublicKey? = nil, reserveBytes: Int64 = 16 << 20, fileBytes: Int64 = 64 << 20,
        fileSeconds: Int64 = 86_400
    ) {
        (self.publicKey, self.reserveBytes) = (publicKey, reserveBytes)
        (self.fileBytes, self.fileSeconds) = (fileBytes, fileSeconds)
    }
}

/// An audit file that this process writes. The kernel's lock on it says to others that it is still being written.
struct AuditFile: ~Copyable {
    let name: String
    let openedAt: Instant
    let descriptor: Int32
    private var chain: AuditChain
    private(set) var size: Int64 = 0
    private var reservedUntil: Int64 = 0
    /// False: the disk was full and left part of a line, which could not be taken back yet.
    private var isWhole = true

    /// Opens a new file and writes its first line, which says how to verify the rest, and how far `previous` was.
    static func begin(
        in folder: String, options: AuditOptions, after previous: AuditCheckpoint?, at now: Instant,
        _ random: Randomness
    ) throws(AuditLog.Unavailable) -> AuditFile {
        let key: EvolvingKey
        do { key = try EvolvingKey(random: random) } catch { throw AuditLog.Unavailable() }
        var milliseconds = now.milliseconds - 1
        var (name, descriptor): (String, Int32)
        repeat {
            milliseconds += 1
            name = "\(milliseconds)-\(getpid()).jsonl"
            descriptor = open("\(folder)/\(name)", O_WRONLY | O_APPEND | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        } while descriptor < 0 && errno == EEXIST
        guard descriptor >= 0 else { throw AuditLog.Unavailable() }
        var line = JSONWriter(capacity: 512)
        line.beginObject()
        line.key("chain")
        line.integer(1)
        line.key("at")
        line.integer(now.milliseconds)
        let hasKey = put(key, of: name, for: options.publicKey, in: &line, random)
        if let previous {
            line.key("previous")
            line.string(previous.file)
            line.key("previousCount")
            line.integer(previous.count)
            line.key("previousValue")
            line.string(Base64URL.encode(previous.value))
        }
        flock(descriptor, LOCK_EX | LOCK_NB)
        var file = AuditFile(name: name, openedAt: now, descriptor: descriptor, chain: AuditChain(key))
        file.reserve(options.reserveBytes)
        guard hasKey, file.append(&line) else {
            unlink("\(folder)/\(name)")
            throw AuditLog.Unavailable()
        }
        line.wipe()
        return file
    }

    /// The first key: for whoever has the operator's, or for anybody.
    private static func put(
        _ key: borrowing EvolvingKey, of file: String, for publicKey: PublicKey?, in line: inout JSONWriter,
        _ random: Randomness
    ) -> Bool {
        guard let publicKey else {
            line.key("key")
            line.string(key.withUnsafeBytes { Base64URL.encode([UInt8]($0)) })
            return true
        }
        let binding = Purpose.auditKey(file)
        let sealed = key.withUnsafeBytes { try? HPKE.seal($0, to: publicKey, info: binding, binding, random) }
        guard let sealed else { return false }
        line.key("sealedKey")
        line.string(Base64URL.encode(sealed))
        return true
    }

    private init(name: String, openedAt: Instant, descriptor: Int32, chain: consuming AuditChain) {
        (self.name, self.openedAt, self.descriptor) = (name, openedAt, descriptor)
        self.chain = chain
    }

    deinit { close(descriptor) }

    var checkpoint: AuditCheckpoint { AuditCheckpoint(file: name, count: chain.count, value: chain.value) }

    /// One write(2). False: nothing of it is in the file.
    mutating func append(_ line: inout JSONWriter) -> Bool {
        guard isWhole || takeBack() else { return false }
        let next = chain.finish(&line)
        let count = line.byteCount
        let written = line.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
        guard written == count else {
            if written > 0 { isWhole = takeBack() }
            return false
        }
        chain.advance(to: next)
        size += Int64(count)
        return true
    }

    private mutating func takeBack() -> Bool {
        isWhole = ftruncate(descriptor, off_t(size)) == 0
        return isWhole
    }

    /// Room for another `bytes`, taken before the disk is full of other things. A file system that cannot do so leaves
    /// the file without.
    mutating func reserve(_ bytes: Int64) {
        guard bytes > 0, reservedUntil < size + bytes / 2 else { return }
        if clinux_reserve(descriptor, 0, off_t(size + bytes)) == 0 { reservedUntil = size + bytes }
    }

    /// The last line, after which nothing may come.
    mutating func end(at now: Instant) {
        var line = JSONWriter(capacity: 128)
        line.beginObject()
        line.key("end")
        line.bool(true)
        line.key("at")
        line.integer(now.milliseconds)
        _ = append(&line)
        // Gives back what was reserved and not used.
        ftruncate(descriptor, off_t(size))
        fdatasync(descriptor)
    }
}
