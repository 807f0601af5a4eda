import Encoding
import Envelope
import Glibc
import Secrets

/// What is wrong with an audit file, and from which record on (records are counted from 0, the file's first line).
public struct AuditFinding: Hashable, Sendable {
    public enum Fault: String, Sendable {
        /// The record is not what was written, or was put in.
        case changed
        /// Records are gone before this one.
        case missing
        /// The file is shorter than it was at a checkpoint.
        case truncated
        /// The chain is whole but not the one that a checkpoint saw.
        case rewritten
        /// A checkpoint names a file that is not there, and was not removed by the service.
        case fileMissing = "file-missing"
        /// The file is as it was written; the table that people read does not have this record.
        case notListed = "not-listed"
        /// The table says something else.
        case listedOtherwise = "listed-otherwise"
        /// The table has records that are in no file.
        case unrecorded
    }

    /// What stands for the table where a file is named.
    public static let table = "activity"

    public let file: String
    public let record: Int64
    public let fault: Fault

    public var sentence: String {
        switch fault {
        case .changed: "record \(record) is not what was written"
        case .missing: "record \(record) is missing, others follow it"
        case .truncated: "record \(record) is missing, and all after it: the file was longer at a checkpoint"
        case .rewritten: "record \(record) or one soon after it was written anew: a checkpoint saw another"
        case .fileMissing: "the file is gone, which was there at a checkpoint"
        case .notListed: "record \(record) is here and not in what people read"
        case .listedOtherwise: "record \(record) is not what people read of it"
        case .unrecorded: "people read records that are in no file"
        }
    }
}

/// What a file was found to be.
public struct AuditFileReport: Sendable {
    public enum End: String, Sendable {
        case closed
        /// Its process still writes.
        case open
        /// Its process, or the machine, stopped in the middle of things. Nothing says that it was not cut off, except
        /// checkpoints.
        case abrupt
    }

    public let file: String
    /// Lines that are what was written.
    public var records: Int64 = 0
    public var end = End.abrupt
    /// Bytes of a line that was never finished.
    public var tornBytes = 0
    /// False: the key of this file was not given, so that only numbers and checkpoints were looked at.
    public var isAuthenticated = true
    /// Records that the keeper has not yet taken up into the table.
    public var waiting: Int64 = 0
    public var finding: AuditFinding?
}

/// Reads audit files as anybody can who is given them, and says where they are not what was written.
public struct AuditVerifier: Sendable {
    private let checkpoints: [String: [AuditCheckpoint]]
    private let removed: Set<String>
    private let key: AuditKeyPair?

    /// - Parameter log: lines with what the service said, from wherever it was kept.
    public init(log: some Sequence<Substring>, key: AuditKeyPair?) {
        var checkpoints: [AuditCheckpoint] = []
        var removed: Set<String> = []
        for line in log {
            if let checkpoint = AuditCheckpoint(parsing: line) { checkpoints.append(checkpoint) }
            if let file = AuditCheckpoint.removedFile(in: line) { removed.insert(file) }
        }
        self.checkpoints = Dictionary(grouping: checkpoints, by: \.file).mapValues { $0.sorted { $0.count < $1.count } }
        (self.removed, self.key) = (removed, key)
    }

    /// Every file of the folder, the oldest first, and those that should be there.
    ///
    /// - Parameter listing: the table that was filled from this folder, to be held against it.
    public func verify(folder: String, listing: AuditListing? = nil) throws -> [AuditFileReport] {
        let names = AuditFolder.names(in: folder)
        let contents = try names.map { try AuditContent(folder: folder, name: $0) }
        // A file says how far the one before it was.
        var checkpoints = checkpoints
        for content in contents {
            guard let previous = content.previous, names.contains(previous.file) else { continue }
            checkpoints[previous.file, default: []].append(previous)
            checkpoints[previous.file]?.sort { $0.count < $1.count }
        }
        var reports: [AuditFileReport] = []
        for content in contents { try reports.append(verify(content, checkpoints[content.name] ?? [], listing)) }
        for name in checkpoints.keys.sorted() where !names.contains(name) && !removed.contains(name) {
            var report = AuditFileReport(file: name)
            report.finding = AuditFinding(file: name, record: 0, fault: .fileMissing)
            reports.append(report)
        }
        // Only where every record was looked for does their number say something.
        if let listing, listing.hasOthers, reports.allSatisfy({ $0.finding == nil }) {
            var report = AuditFileReport(file: AuditFinding.table)
            report.finding = AuditFinding(file: report.file, record: 0, fault: .unrecorded)
            reports.append(report)
        }
        return reports
    }

    private func verify(
        _ content: AuditContent, _ checkpoints: [AuditCheckpoint], _ listing: AuditListing?
    ) throws -> AuditFileReport {
        var report = AuditFileReport(file: content.name)
        report.tornBytes = content.tornBytes
        func fault(_ fault: AuditFinding.Fault, _ record: Int64) {
            // The earliest is the one to look at.
            if let known = report.finding, known.record <= record { return }
            report.finding = AuditFinding(file: content.name, record: record, fault: fault)
        }
        let key: EvolvingKey
        if let bytes = firstKey(of: content) {
            key = try EvolvingKey(bytes)
        } else {
            // What this one makes is not looked at.
            report.isAuthenticated = false
            if !content.isKeySealed { fault(.changed, 0) }
            key = try EvolvingKey(random: .system)
        }
        var chain = AuditChain(key)
        var trusted: Int64 = 0
        var pending = checkpoints[...]
        var listed: [(record: Int64, line: AuditLine)] = []
        let foldedBytes = listing?.foldedBytes(of: content.name) ?? 0
        for text in content.lines {
            guard let line = AuditEntry(text), report.end != .closed else {
                fault(.changed, report.records)
                break
            }
            guard line.number == report.records else {
                fault(line.number > report.records ? .missing : .changed, report.records)
                break
            }
            let value = chain.next(line.text)
            guard value.starts(with: line.mac) || !report.isAuthenticated else {
                fault(.changed, report.records)
                break
            }
            chain.advance(to: value)
            if listing != nil, let record = AuditLine(parsing: text) {
                if text.endIndex < foldedBytes { listed.append((report.records, record)) } else { report.waiting += 1 }
            }
            report.records += 1
            if line.isEnd { report.end = .closed }
            while let checkpoint = pending.first, checkpoint.count <= report.records {
                pending.removeFirst()
                let isSame =
                    report.isAuthenticated ? value == checkpoint.value : checkpoint.value.starts(with: line.mac)
                if isSame { trusted = checkpoint.count } else { fault(.rewritten, trusted) }
            }
        }
        if let found = try listing?.firstFault(among: listed) { fault(found.fault, found.record) }
        if content.lines.isEmpty { fault(.changed, 0) }
        if !pending.isEmpty { fault(.truncated, report.records) }
        if report.end != .closed, content.isBeingWritten { report.end = .open }
        return report
    }

    /// nil: it is sealed to a key that was not given, or is none.
    private func firstKey(of content: AuditContent) -> SecretBytes? {
        let bytes: SecretBytes?
        switch content.key {
        case .plain(let key): bytes = try? SecretBytes(count: key.count) { $0.copyBytes(from: key) }
        case .sealed(let box):
            if let key { bytes = try? key.open(box, Purpose.auditKey(content.name)) } else { bytes = nil }
        case nil: bytes = nil
        }
        guard let bytes, bytes.count == EvolvingKey.size else { return nil }
        return bytes
    }
}

/// What stands in a file.
private struct AuditContent {
    enum FirstKey {
        case plain([UInt8])
        case sealed([UInt8])
    }

    let name: String
    let lines: [ArraySlice<UInt8>]
    let tornBytes: Int
    let isBeingWritten: Bool
    private(set) var key: FirstKey?
    private(set) var previous: AuditCheckpoint?

    /// Not to be read without the operator's key; every other first line has a key that anybody can read.
    var isKeySealed: Bool { if case .sealed = key { true } else { false } }

    init(folder: String, name: String) throws {
        self.name = name
        let descriptor = open("\(folder)/\(name)", O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw AuditLog.Unavailable() }
        defer { close(descriptor) }
        isBeingWritten = flock(descriptor, LOCK_SH | LOCK_NB) != 0
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw AuditLog.Unavailable() }
        let bytes = [UInt8](unsafeUninitializedCapacity: Int(status.st_size)) { buffer, count in
            while count < buffer.count {
                let more = read(descriptor, buffer.baseAddress! + count, buffer.count - count)
                if more <= 0 { break }
                count += more
            }
        }
        let newline = UInt8(ascii: "\n")
        let whole = bytes.lastIndex(of: newline).map { $0 + 1 } ?? 0
        tornBytes = bytes.count - whole
        lines = bytes[..<whole].dropLast().split(separator: newline, omittingEmptySubsequences: false)
        if let first = lines.first { readHead(first) }
    }

    private mutating func readHead(_ line: ArraySlice<UInt8>) {
        var (file, count, value): (String?, Int64, [UInt8]) = (nil, 0, [])
        try? JSONReader.object(Array(line)) { (name, reader) throws(JSONError) in
            switch name {
            case "key": key = Base64URL.decode(try reader.string()).map(FirstKey.plain)
            case "sealedKey": key = Base64URL.decode(try reader.string()).map(FirstKey.sealed)
            case "previous": file = try reader.string()
            case "previousCount": count = try reader.integer()
            case "previousValue": value = Base64URL.decode(try reader.string()) ?? []
            default: break
            }
        }
        previous = file.map { AuditCheckpoint(file: $0, count: count, value: value) }
    }
}

/// A line as the chain sees it.
private struct AuditEntry {
    let text: ArraySlice<UInt8>
    let mac: [UInt8]
    private(set) var number: Int64 = -1
    private(set) var isEnd = false

    init?(_ line: ArraySlice<UInt8>) {
        guard let parts = AuditChain.split(line) else { return nil }
        (text, mac) = parts
        do {
            try JSONReader.object(Array(line)) { (name, reader) throws(JSONError) in
                switch name {
                case "n": number = try reader.integer()
                case "end": isEnd = try reader.bool()
                default: break
                }
            }
        } catch {
            return nil
        }
    }
}
