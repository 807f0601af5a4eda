import ArgumentParser
import Encoding
import Foundation
import Providers
import Settings
import Vault

struct RestoreCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "restore", abstract: "Put a backup in the place of the database, while the service is stopped.",
        discussion: """
            The copy is read through and must fit ENCRYPTION_KEY before anything is touched. What people took back after \
            the backup was made is there again. Refresh tokens that providers have replaced since then are dead, which \
            shows when they are used: then these people are told, and connect again.
            """)

    @Argument(help: "A folder that 'toolshedd backup' made.")
    var folder: String

    @Flag(help: "Where there is a database already: keep it in a folder beside it.")
    var replace = false

    @Flag(help: "Print JSON.")
    var json = false

    func run() throws {
        umask(0o077)
        let (settings, keys) = try Administration.settingsAndKeys()
        let files = FileManager.default
        let source = CopiedState(folder: folder)
        guard files.fileExists(atPath: source.database) else {
            throw CopyRefusal("\(source.database) is not there; nothing was changed.")
        }
        let lock = try Administration.lock(
            settings, orSay: "The service is running; nothing was changed. Stop it: systemctl stop toolshedd.socket")
        let isThere = files.fileExists(atPath: settings.databasePath)
        guard replace || !isThere else {
            throw CopyRefusal(
                "There is a database at \(settings.databasePath); nothing was changed. With --replace it is kept beside."
            )
        }
        let staged = CopiedState(folder: "\(settings.stateDirectory)/restore.partial")
        do {
            if staged.exists { try files.removeItem(atPath: staged.folder) }
            try files.createDirectory(atPath: staged.folder, withIntermediateDirectories: false)
            try files.copyItem(atPath: source.database, toPath: staged.database)
            // A copy of the whole folder of a stopped service has one, and what was committed last is in it.
            if files.fileExists(atPath: source.database + "-wal") {
                try files.copyItem(atPath: source.database + "-wal", toPath: staged.database + "-wal")
            }
            try Store.prepare(path: staged.database, keys: keys)
            try Store.verify(path: staged.database)
            let steady = settings.catalogue.providers.values.filter { $0.refresh.rotates == .no }
            try Store.doubt(path: staged.database, butNotOf: steady.map(\.id))
            for ending in ["-wal", "-shm"] { unlink(staged.database + ending) }
            try staged.takeAudit(from: source.audit)
            try staged.sync()
        } catch {
            try? files.removeItem(atPath: staged.folder)
            throw error
        }
        // Where the database was lost, what was recorded since the backup is there still.
        let kept = isThere || files.fileExists(atPath: settings.auditFolder) ? try Self.moveAside(settings) : nil
        // The database goes last and in one step: there is one at every moment, the old or the new.
        if files.fileExists(atPath: staged.audit) {
            try files.moveItem(atPath: staged.audit, toPath: settings.auditFolder)
        }
        guard rename(staged.database, settings.databasePath) == 0 else {
            throw CopyRefusal("\(settings.databasePath) cannot be written", errno)
        }
        try files.removeItem(atPath: staged.folder)
        // What is in the files was on the disk before; only their names are new here.
        try CopiedState.sync(settings.stateDirectory)
        _ = consume lock
        report(settings, kept: kept)
    }

    /// What is there now, under a name of its own. The database stays in place until the new one takes it.
    private static func moveAside(_ settings: Settings) throws -> String {
        let kept = "\(settings.stateDirectory)/replaced-\(Instant.now().milliseconds)"
        let files = FileManager.default
        try files.createDirectory(atPath: kept, withIntermediateDirectories: false)
        if files.fileExists(atPath: settings.databasePath) {
            try files.linkItem(atPath: settings.databasePath, toPath: kept + "/toolshed.sqlite")
        }
        // A log of changes belongs to its database: beside another one it would be taken for that one's.
        for ending in ["-wal", "-shm"] where files.fileExists(atPath: settings.databasePath + ending) {
            try files.moveItem(atPath: settings.databasePath + ending, toPath: kept + "/toolshed.sqlite" + ending)
        }
        if files.fileExists(atPath: settings.auditFolder) {
            try files.moveItem(atPath: settings.auditFolder, toPath: kept + "/audit")
        }
        return kept
    }

    private func report(_ settings: Settings, kept: String?) {
        var plain = "\(settings.databasePath) is that of \(folder) now; start the service."
        if let kept { plain += " What was there is in \(kept)." }
        show(json: json, plain) {
            $0.object {
                $0.member("database", settings.databasePath)
                if let kept { $0.member("kept", kept) }
            }
        }
    }
}
