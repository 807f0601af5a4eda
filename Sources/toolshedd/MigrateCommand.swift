import ArgumentParser
import Encoding
import Foundation
import Settings
import Vault

struct MigrateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "migrate", abstract: "Bring the database to this version's schema, while the service is stopped.",
        discussion: """
            Every start does the same; here it can be done, and fail, before the start. All of it or nothing; a newer or \
            foreign database is refused and not touched. Back up first: there is no way back to the older version.
            """)

    @Flag(help: "Print JSON.")
    var json = false

    func run() throws {
        umask(0o077)
        let (settings, keys) = try Administration.settingsAndKeys()
        guard let before = try StoreSummary(path: settings.databasePath) else {
            throw CopyRefusal("There is no database at \(settings.databasePath); the first start makes it.")
        }
        if before.schema.found < before.schema.known {
            let lock = try Administration.lock(
                settings, orSay: "The service is running on the older schema; stop it first. Nothing was changed.")
            try Store.prepare(path: settings.databasePath, keys: keys)
            _ = consume lock
        }
        let plain =
            before.schema.found == before.schema.known
            ? "schema \(before.schema.known), nothing to do"
            : "schema \(before.schema.found) is \(before.schema.known) now"
        show(json: json, plain) {
            $0.object {
                $0.member("from", Int64(before.schema.found))
                $0.member("to", Int64(before.schema.known))
            }
        }
    }
}
