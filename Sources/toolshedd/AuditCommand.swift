import ArgumentParser
import Encoding
import Envelope
import Foundation
import Secrets
import Settings
import Vault

struct AuditCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "audit", abstract: "Check the record of what happened.",
        subcommands: [Verify.self, Refold.self, MakeKey.self])

    struct Verify: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Say whether the audit files are what was written, and people read what is in them.",
            discussion: """
                Exits 0 when they are, 1 when one is not, with the first record that is not what was written, 2 when \
                one could not be checked because its key was not given. The end of a file, and whether it was written \
                anew as a whole, can only be judged by checkpoints that were kept elsewhere.
                """)

        @Option(help: "The folder with the files (default: the service's, held against its database, too).")
        var folder: String?

        @Option(help: "A file with what the service said, or - for standard input: journalctl -u toolshedd -o cat.")
        var checkpoints: String?

        @Option(help: "The file that 'toolshedd audit key' wrote, where audit_key is set.")
        var key: String?

        @Flag(help: "Print JSON.")
        var json = false

        func run() throws {
            hardenProcess()
            try SecureHeap.start(bytes: 256 * 1024)
            let settings =
                try folder == nil ? Settings.load(environment: ProcessInfo.processInfo.environment) : nil
            let folder = self.folder ?? settings?.auditFolder ?? ""
            let log = try checkpoints.map { try AuditCommand.text(of: $0) } ?? ""
            let pair = try key.map { try AuditCommand.pair(in: $0) }
            let verifier = AuditVerifier(log: log.split(whereSeparator: \.isNewline), key: pair)
            let reports: [AuditFileReport]
            do {
                reports = try verifier.verify(
                    folder: folder, listing: settings.flatMap { try AuditCommand.listing($0) })
            } catch {
                throw ValidationError("The files of \(folder) cannot be read.")
            }
            show(json: json, reports.map(Self.line).joined(separator: "\n")) { Self.write(reports, to: &$0) }
            if checkpoints == nil {
                complain("without --checkpoints, a file that was cut off or written anew is not noticed")
            }
            if reports.contains(where: { $0.finding != nil }) { throw ExitCode(1) }
            if reports.contains(where: { !$0.isAuthenticated }) { throw ExitCode(2) }
        }

        private static func line(_ report: AuditFileReport) -> String {
            if let finding = report.finding {
                return "\(report.file): \(finding.fault.rawValue): \(finding.sentence)"
            }
            var line = "\(report.file): \(report.records) records"
            line += report.isAuthenticated ? ", as they were written" : ", not checked: its key was not given"
            switch report.end {
            case .closed: break
            case .open: line += "; still being written"
            case .abrupt: line += "; its process stopped without closing it"
            }
            if report.tornBytes > 0, report.end != .open {
                line += ", in the middle of a record (\(report.tornBytes) bytes)"
            }
            if report.waiting > 0 { line += "; \(report.waiting) of them not yet in what people read" }
            return line
        }

        private static func write(_ reports: [AuditFileReport], to writer: inout JSONWriter) {
            writer.object { writer in
                writer.member("ok", reports.allSatisfy { $0.finding == nil && $0.isAuthenticated })
                writer.array("files", reports) { writer, report in
                    writer.member("file", report.file)
                    writer.member("records", report.records)
                    writer.member("end", report.end.rawValue)
                    writer.member("tornBytes", Int64(report.tornBytes))
                    writer.member("authenticated", report.isAuthenticated)
                    writer.member("waiting", report.waiting)
                    guard let finding = report.finding else { return }
                    writer.member("fault", finding.fault.rawValue)
                    writer.member("record", finding.record)
                }
            }
        }
    }

    struct Refold: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Make what people read say what the audit files say.",
            discussion: "Refuses when a file is not what was written: then there is nothing to go by.")

        @Option(help: "The file that 'toolshedd audit key' wrote, where audit_key is set.")
        var key: String?

        @Flag(help: "Print JSON.")
        var json = false

        func run() throws {
            let administration = try Administration()
            let settings = administration.settings
            let reports = try AuditVerifier(log: [], key: key.map { try AuditCommand.pair(in: $0) })
                .verify(folder: settings.auditFolder)
            if let finding = reports.compactMap(\.finding).first {
                throw ValidationError("\(finding.file): \(finding.sentence). Nothing was changed.")
            }
            let now = Instant.now()
            let done = try AuditFolder(store: administration.store, folder: settings.auditFolder)
                .foldAnew(keptSince: AuditCommand.kept(settings, at: now), at: now)
            show(json: json, "\(done.put) records put back, \(done.removed) taken out") { writer in
                writer.beginObject()
                writer.key("put")
                writer.integer(Int64(done.put))
                writer.key("removed")
                writer.integer(Int64(done.removed))
                writer.endObject()
            }
        }
    }

    private static func listing(_ settings: Settings) throws -> AuditListing? {
        try AuditListing(database: settings.databasePath, keptSince: kept(settings, at: .now()))
    }

    /// What is older the service may have forgotten by now.
    private static func kept(_ settings: Settings, at now: Instant) -> Instant? {
        settings.audit.keepDays == 0 ? nil : now.adding(seconds: -settings.audit.keepDays * 86_400)
    }

    struct MakeKey: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "key", abstract: "Make the key that audit files can be verified with.",
            discussion: """
                Writes the secret half to a new file, to be kept off this machine, and prints the line for \
                toolshed.yaml.
                """)

        @Argument(help: "The file to write.")
        var file: String

        @Flag(help: "Print JSON.")
        var json = false

        func run() throws {
            hardenProcess()
            try SecureHeap.start(bytes: 256 * 1024)
            let pair = try AuditKeyPair(random: .system)
            let descriptor = open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
            guard descriptor >= 0 else {
                throw ValidationError("\(file) cannot be made (\(String(cString: strerror(errno)))).")
            }
            defer { close(descriptor) }
            let text = pair.withPrivateBytes { Base64URL.encode([UInt8]($0)) } + "\n"
            let bytes = Array(text.utf8)
            guard write(descriptor, bytes, bytes.count) == bytes.count, fsync(descriptor) == 0 else {
                throw ValidationError("\(file) cannot be written.")
            }
            let line = Base64URL.encode(pair.publicKey.bytes)
            show(json: json, "audit_key: \(line)") { writer in
                writer.object {
                    $0.member("file", file)
                    $0.member("auditKey", line)
                }
            }
        }
    }

    private static func text(of path: String) throws -> String {
        let data =
            path == "-" ? FileHandle.standardInput.readDataToEndOfFile() : FileManager.default.contents(atPath: path)
        guard let data else { throw ValidationError("\(path) cannot be read.") }
        return String(decoding: data, as: UTF8.self)
    }

    private static func pair(in path: String) throws -> AuditKeyPair {
        let line = try text(of: path).trimmingCharacters(in: .whitespacesAndNewlines)
        guard let bytes = Base64URL.decode(line),
            let pair = try? bytes.withUnsafeBytes({ try AuditKeyPair(copying: $0) })
        else { throw ValidationError("\(path) is not what 'toolshedd audit key' wrote.") }
        return pair
    }
}
