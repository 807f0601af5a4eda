import Glibc

/// Reads on where it left off in every audit file and folds what is new into the tables: one transaction a round. The
/// files stay as they are; they are the proof.
public final class AuditFolder {
    private let store: Store
    private let folder: String
    /// How far each file is folded; the table has the truth, this spares reading it every second.
    private var folded: [String: Int64]?
    /// Largest piece read of one file in one round.
    private let pieceBytes: Int

    public init(store: Store, folder: String, pieceBytes: Int = 1 << 20) {
        (self.store, self.folder, self.pieceBytes) = (store, folder, pieceBytes)
    }

    private struct Piece {
        let name: String
        let lines: [AuditLine]
        let end: Int64
        let isLast: Bool
    }

    /// Returns how many records were taken, and whether there is more to take at once.
    public func fold() throws -> (records: Int, hasMore: Bool) {
        var known = try folded ?? store.read { try $0.foldedBytes() }
        let pieces = names().compactMap { read($0, from: known[$0] ?? 0) }
        guard !pieces.isEmpty else {
            folded = known
            return (0, false)
        }
        // After a failure the table is asked again.
        folded = nil
        try store.write { rows in
            for piece in pieces { try rows.fold(piece.lines, of: piece.name, upTo: piece.end) }
        }
        for piece in pieces { known[piece.name] = piece.end }
        folded = known
        return (pieces.reduce(0) { $0 + $1.lines.count }, pieces.contains { !$0.isLast })
    }

    private func names() -> [String] {
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
    private func read(_ name: String, from offset: Int64) -> Piece? {
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
        guard let newline = bytes.lastIndex(of: UInt8(ascii: "\n")) else { return nil }
        let end = offset + Int64(newline) + 1
        return Piece(
            name: name,
            lines: bytes[...newline].split(separator: UInt8(ascii: "\n")).compactMap(AuditLine.init(parsing:)),
            end: end, isLast: end == Int64(status.st_size) || bytes.count < pieceBytes)
    }
}
