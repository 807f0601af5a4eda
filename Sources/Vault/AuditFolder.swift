import Encoding
import Glibc

/// Reads on where it left off in every audit file and folds what is new into the tables: one transaction a round. The
/// files stay as they are; they are the proof.
public final class AuditFolder {
    let store: Store
    public let folder: String
    /// How far each file is folded; the table has the truth, this spares reading it every second.
    private var folded: [String: Int64]?
    /// Largest piece read of one file in one round.
    private let pieceBytes: Int
    private var uses = RecentUses()

    public init(store: Store, folder: String, pieceBytes: Int = 8 << 20) {
        (self.store, self.folder, self.pieceBytes) = (store, folder, pieceBytes)
    }

    struct Piece {
        let name: String
        let lines: [AuditLine]
        let end: Int64
        let isLast: Bool
    }

    /// Returns how many records were taken, and whether there is more to take at once. Without a time, "last used" of
    /// everything is brought up to date, however short a while ago it last was.
    public func fold(at now: Instant? = nil) throws -> (records: Int, hasMore: Bool) {
        var known = try folded ?? store.read { try $0.foldedBytes() }
        let pieces = Self.names(in: folder).compactMap { read($0, from: known[$0] ?? 0) }
        for piece in pieces { uses.take(piece.lines) }
        let due = uses.due(at: now)
        guard !pieces.isEmpty || !due.isEmpty else {
            folded = known
            return (0, false)
        }
        // After a failure the table is asked again.
        folded = nil
        try store.write { rows in
            for piece in pieces { try rows.fold(piece.lines, of: piece.name, upTo: piece.end) }
            for (used, use) in due { try rows.moveLastUse(of: used, to: use) }
        }
        uses.settle(due, at: now)
        for piece in pieces { known[piece.name] = piece.end }
        folded = known
        return (pieces.reduce(0) { $0 + $1.lines.count }, pieces.contains { !$0.isLast })
    }

    /// Whether anything was ever recorded there. A process writes its first record after the database is made.
    public static func hasRecords(_ folder: String) -> Bool {
        names(in: folder).contains { name in
            var status = stat()
            return stat("\(folder)/\(name)", &status) == 0 && status.st_size > 0
        }
    }

    /// When the newest file was begun, by the clock of that time: its name says it.
    public static func newestBegan(in folder: String) -> Instant? {
        names(in: folder).compactMap { Int64($0.prefix { $0 != "-" }) }.max().map { Instant(milliseconds: $0) }
    }

    static func names(in folder: String) -> [String] {
        guard let directory = opendir(folder) else { return [] }
        defer { closedir(directory) }
        var names: [String] = []
        while let entry = readdir(directory) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name.hasSuffix(".jsonl") { names.append(name) }
        }
        return names.sorted()
    }

    /// The whole lines after `offset`. What follows the last newline is still being written, or was never finished.
    func read(_ name: String, from offset: Int64) -> Piece? {
        let path = "\(folder)/\(name)"
        var status = stat()
        guard stat(path, &status) == 0, Int64(status.st_size) > offset else { return nil }
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        let wanted = min(Int(Int64(status.st_size) - offset), pieceBytes)
        let bytes = [UInt8](unsafeUninitializedCapacity: wanted) { buffer, count in
            count = max(0, pread(descriptor, buffer.baseAddress, wanted, off_t(offset)))
        }
        let (lines, read) = bytes.withUnsafeBytes { Self.lines(in: $0) }
        guard read > 0 else { return nil }
        let end = offset + Int64(read)
        return Piece(
            name: name, lines: lines, end: end, isLast: end == Int64(status.st_size) || bytes.count < pieceBytes)
    }

    /// The records, and how many bytes of whole lines there were.
    private static func lines(in bytes: UnsafeRawBufferPointer) -> (lines: [AuditLine], read: Int) {
        var lines: [AuditLine] = []
        var start = 0
        while start < bytes.count, let base = bytes.baseAddress,
            let newline = memchr(base + start, Int32(UInt8(ascii: "\n")), bytes.count - start)
        {
            let end = newline - UnsafeMutableRawPointer(mutating: base)
            if let line = AuditLine(parsing: UnsafeRawBufferPointer(rebasing: bytes[start..<end])) {
                lines.append(line)
            }
            start = end + 1
        }
        return (lines, start)
    }
}

/// What was used, and by whom, since it was last written down. A connection that is used all the time is written once a
/// minute, not once a round.
struct RecentUses {
    enum Used: Hashable {
        case connection(ConnectionID)
        case slot(SlotID)
        case plugin(PluginID, PersonID, PluginKeyInUse)
    }

    struct Use {
        var at: Int64
        var by: String?

        fileprivate mutating func replace(with use: Use) {
            if use.at >= at { self = use }
        }
    }

    private static let pauseMilliseconds: Int64 = 60_000

    private var waiting: [Used: Use] = [:]
    private var written: [Used: Int64] = [:]

    mutating func take(_ lines: [AuditLine]) {
        for line in lines {
            if line.event == AuditEvent.vended.rawValue, let connection = line.connection {
                note(.connection(connection), Use(at: line.at, by: line.caller))
            }
            if line.event == AuditEvent.vended.rawValue, let key = line.kind.flatMap(PluginKeyInUse.init),
                let plugin = line.caller.flatMap({ PluginID(parsing: $0) })
            {
                note(.plugin(plugin, line.person, key), Use(at: line.at))
            }
            if let slot = line.caller.flatMap({ SlotID(parsing: $0) }) { note(.slot(slot), Use(at: line.at)) }
        }
    }

    private mutating func note(_ used: Used, _ use: Use) {
        waiting[used, default: use].replace(with: use)
    }

    func due(at now: Instant?) -> [Used: Use] {
        guard let now else { return waiting }
        return waiting.filter { used, _ in now.milliseconds - (written[used] ?? 0) >= Self.pauseMilliseconds }
    }

    /// `due` is in the tables now.
    mutating func settle(_ due: [Used: Use], at now: Instant?) {
        for used in due.keys { waiting[used] = nil }
        guard let now else { return }
        written = written.filter { now.milliseconds - $0.value < Self.pauseMilliseconds }
        for used in due.keys { written[used] = now.milliseconds }
    }
}
