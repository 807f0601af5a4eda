import ArgumentParser
import Encoding
import Foundation
import Settings
import Vault

struct BackupCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "backup",
        abstract: "Copy the database and the audit files to a new folder, while the service runs.",
        discussion: """
            The folder appears when the copy is whole and was read through, not before. It holds no key: keep \
            ENCRYPTION_KEY and the configuration somewhere else.
            """)

    @Argument(help: "The folder to make, for instance /var/backups/toolshed/2026-11-22.")
    var folder: String

    @Flag(help: "Print JSON.")
    var json = false

    func run() throws {
        umask(0o077)
        let settings = try Administration.settings()
        let target = CopiedState(folder: folder)
        guard !target.exists else { throw CopyRefusal("\(folder) is there already; nothing was written.") }
        guard FileManager.default.fileExists(atPath: settings.databasePath) else {
            throw CopyRefusal("There is no database at \(settings.databasePath); nothing was written.")
        }
        let unfinished = CopiedState(folder: folder + ".partial")
        guard mkdir(unfinished.folder, 0o700) == 0 else {
            throw CopyRefusal("\(unfinished.folder) cannot be made", errno)
        }
        do {
            // The record of what happened comes second: what it has more than the database is taken in at the start.
            try Store.copy(path: settings.databasePath, to: unfinished.database)
            try unfinished.takeAudit(from: settings.auditFolder)
            try unfinished.sync()
            guard rename(unfinished.folder, target.folder) == 0 else {
                throw CopyRefusal("\(folder) cannot be made", errno)
            }
        } catch {
            try? FileManager.default.removeItem(atPath: unfinished.folder)
            throw error
        }
        let bytes = try target.bytes()
        show(json: json, "\(folder): \(bytes) bytes, read through and found whole") {
            $0.object {
                $0.member("folder", folder)
                $0.member("bytes", bytes)
            }
        }
    }
}

struct CopyRefusal: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) { self.description = description }

    init(_ what: String, _ code: Int32) { self.init("\(what) (\(String(cString: strerror(code)))).") }
}

/// A folder with what the state directory holds: a backup, or one in the making.
struct CopiedState {
    let folder: String

    var database: String { folder + "/toolshed.sqlite" }
    var audit: String { folder + "/audit" }
    var exists: Bool { FileManager.default.fileExists(atPath: folder) }

    func takeAudit(from source: String) throws {
        guard FileManager.default.fileExists(atPath: source) else { return }
        try FileManager.default.copyItem(atPath: source, toPath: audit)
    }

    /// Everything on the disk, files before the folders that name them.
    func sync() throws {
        let names = FileManager.default.enumerator(atPath: folder)?.compactMap { $0 as? String } ?? []
        for path in names.map({ "\(folder)/\($0)" }).reversed() + [folder] { try Self.sync(path) }
    }

    /// One file, or the names in one folder.
    static func sync(_ path: String) throws {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw CopyRefusal("\(path) cannot be read again.") }
        defer { close(descriptor) }
        guard fsync(descriptor) == 0 else { throw CopyRefusal("\(path) cannot be written", errno) }
    }

    func bytes() throws -> Int64 {
        let names = FileManager.default.enumerator(atPath: folder)?.compactMap { $0 as? String } ?? []
        return names.reduce(0) { sum, name in
            var status = stat()
            guard stat("\(folder)/\(name)", &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return sum }
            return sum + Int64(status.st_size)
        }
    }
}
