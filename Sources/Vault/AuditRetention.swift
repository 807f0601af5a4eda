import Encoding
import Glibc

extension AuditFolder {
    /// Removes what is older than has to be kept: records of the table, and files whose process is gone and whose
    /// records are all in the table. Returns the files' names.
    public func prune(before: Instant) throws -> [String] {
        var last: PersonID?
        while let next = try store.read({ try $0.nextActive(after: last) }) {
            last = next.person
            guard next.since < before else { continue }
            while try store.write({ try $0.pruneActivity(of: next.person, before: before) }) == Rows.pruneAtOnce {}
        }
        while try store.write({ try $0.pruneFormer(before: before) }) == Rows.pruneAtOnce {}
        while try store.write({ try $0.pruneLogKeys(before: before) }) == Rows.pruneAtOnce {}
        let known = try store.read { try $0.foldedBytes() }
        let names = Self.names(in: folder).filter { isFinished($0, folded: known[$0] ?? 0, before: before) }
        for name in names {
            // The file first: a row without a file is nothing, a file without a row would be read anew.
            guard unlink("\(folder)/\(name)") == 0 else { continue }
            try store.write { try $0.forgetAuditFile(name) }
        }
        return names
    }

    private func isFinished(_ name: String, folded: Int64, before: Instant) -> Bool {
        let descriptor = open("\(folder)/\(name)", O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return false }
        defer { close(descriptor) }
        var status = stat()
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0, fstat(descriptor, &status) == 0 else { return false }
        // What a killed process left unfinished at its end is never folded; it is less than a record.
        return Int64(status.st_mtim.tv_sec) * 1000 < before.milliseconds && Int64(status.st_size) - folded < 4096
    }
}
