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
        func putAudit() throws {
            guard files.fileExists(atPath: staged.audit) else { return }
            try files.moveItem(atPath: staged.audit, toPath: settings.auditFolder)
        }
        var aside = Aside(folder: "\(settings.stateDirectory)/replaced-\(Instant.now().milliseconds)")
        // The database stays in place until the new one takes it.
        try aside.take(settings.databasePath, as: "toolshed.sqlite", leaving: true)
        // A log of changes belongs to its database: beside another one it would be taken for that one's. It may be there
        // where the database is lost.
        for ending in ["-wal", "-shm"] {
            try aside.take(settings.databasePath + ending, as: "toolshed.sqlite" + ending)
        }
        if isThere {
            try aside.take(settings.auditFolder, as: "audit")
            try putAudit()
        }
        // In one step: where there was a database there is one at every moment, the old or the new.
        guard rename(staged.database, settings.databasePath) == 0 else {
            throw CopyRefusal("\(settings.databasePath) cannot be written", errno)
        }
        if !isThere {
            // Until one was there again, the records said that it was lost.
            try aside.take(settings.auditFolder, as: "audit")
            try putAudit()
        }
        try files.removeItem(atPath: staged.folder)
        // What is in the files was on the disk before; only their names are new here.
        try CopiedState.sync(settings.stateDirectory)
        _ = consume lock
        report(settings, kept: aside.isMade ? aside.folder : nil)
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

/// A folder for what was there, made when there is something to put into it.
private struct Aside {
    let folder: String
    private(set) var isMade = false

    init(folder: String) { self.folder = folder }

    /// Nothing where there is nothing. `leaving`: under its old name, too.
    mutating func take(_ path: String, as name: String, leaving: Bool = false) throws {
        let files = FileManager.default
        guard files.fileExists(atPath: path) else { return }
        if !isMade { try files.createDirectory(atPath: folder, withIntermediateDirectories: false) }
        isMade = true
        if leaving {
            try files.linkItem(atPath: path, toPath: "\(folder)/\(name)")
        } else {
            try files.moveItem(atPath: path, toPath: "\(folder)/\(name)")
        }
    }
}
