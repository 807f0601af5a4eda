import ArgumentParser
import Encoding
import Foundation
import Keeper
import Settings
import Vault

struct StatusCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status", abstract: "Say whether the service runs, and how much is in its database.",
        discussion: "Exits 0 when it runs, 3 when it does not. Nothing is changed, and no secret is needed.")

    @Flag(help: "Print JSON.")
    var json = false

    func run() throws {
        let settings = try Administration.settings()
        let isRunning = Self.isRunning(settings)
        let summary = try StoreSummary(path: settings.databasePath)
        show(json: json, Self.lines(settings, isRunning, summary)) {
            Self.write(settings, isRunning, summary, to: &$0)
        }
        if !isRunning { throw ExitCode(3) }
    }

    /// The keeper holds this lock from before the first request until after the last.
    private static func isRunning(_ settings: Settings) -> Bool {
        let path = settings.databasePath + ".keeper"
        guard FileManager.default.fileExists(atPath: path) else { return false }
        do {
            _ = try KeeperLock(path: path, patienceMilliseconds: 0)
            return false
        } catch {
            return true
        }
    }

    private static func lines(_ settings: Settings, _ isRunning: Bool, _ summary: StoreSummary?) -> String {
        let service = "service: \(isRunning ? "running" : "stopped")"
        guard let summary else {
            let next = AuditFolder.hasRecords(settings.auditFolder) ? "it was lost" : "the first start makes it"
            return "\(service)\ndatabase: none at \(settings.databasePath); \(next)"
        }
        var database = "database: \(settings.databasePath), \(summary.bytes) bytes"
        database += " and \(summary.walBytes) in its log, schema \(summary.schema.found)"
        if summary.schema.found < summary.schema.known {
            database += " (the next start brings it to \(summary.schema.known))"
        }
        let statuses = summary.connections.map { "\($0.count) \($0.status.rawValue)" }.joined(separator: ", ")
        return """
            \(service)
            \(database)
            people: \(summary.people), vaults: \(summary.vaults), plugins: \(summary.plugins)
            connections: \(statuses)
            """
    }

    private static func write(
        _ settings: Settings, _ isRunning: Bool, _ summary: StoreSummary?, to writer: inout JSONWriter
    ) {
        writer.object { writer in
            writer.member("running", isRunning)
            writer.member("database", settings.databasePath)
            guard let summary else { return }
            writer.member("bytes", summary.bytes)
            writer.member("walBytes", summary.walBytes)
            writer.member("schema", Int64(summary.schema.found))
            writer.member("schemaKnown", Int64(summary.schema.known))
            writer.member("people", Int64(summary.people))
            writer.member("vaults", Int64(summary.vaults))
            writer.member("plugins", Int64(summary.plugins))
            writer.key("connections")
            writer.object {
                for (status, count) in summary.connections { $0.member(status.key, Int64(count)) }
            }
        }
    }
}

extension ConnectionStatus {
    fileprivate var key: StaticString {
        switch self {
        case .active: "active"
        case .unused: "unused"
        case .paused: "paused"
        case .reauthorize: "reauthorize"
        }
    }
}
