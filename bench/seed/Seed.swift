import ArgumentParser
import Encoding
import Envelope
import Foundation
import OAuth
import Secrets
import Settings
import Vault

/// Fills a database for `make bench`: persons, each with a vault, an API key and three connections, one of them
/// approved for the one plugin. Callers are written to a file that only its owner reads.
@main struct Seed: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "bench-seed")

    @Option(help: "How many vaults.")
    var vaults = 100_000

    @Option(help: "How many callers to write out; they are spread over all vaults.")
    var callers = 10_000

    @Option(help: "Where the callers go: one line each, user id, API key, plugin key.")
    var output: String

    private static let providers = ["github", "google", "slack"]

    func run() throws {
        try SecureHeap.start(bytes: 1 << 20)
        let environment = ProcessInfo.processInfo.environment
        let settings = try Settings.load(environment: environment)
        let keys = StoreKeys(try Settings.encryptionKeys(environment: environment).workerKeys())
        try Store.prepare(path: settings.databasePath, keys: keys)
        let writer = try Store.Writer(path: settings.databasePath)
        let store = try Store(path: settings.databasePath, writer: writer, keys: keys, random: .system)
        let now = Instant.now()
        let plugin = try store.write { try $0.addPlugin(name: "Benchmark", owner: nil, at: now) }

        umask(0o077)
        guard let file = fopen(output, "w") else { throw ValidationError("cannot write \(output)") }
        defer { fclose(file) }
        let every = max(1, vaults / callers)
        for start in stride(from: 0, to: vaults, by: 500) {
            try store.write { rows in
                for number in start..<min(start + 500, vaults) {
                    let made = try person(number, plugin: plugin.id, rows, at: now)
                    guard number % every == 0 else { continue }
                    made.key.withString { key in
                        plugin.secret.withString { pluginKey in
                            _ = fputs("\(made.person.text) \(key) \(pluginKey)\n", file)
                        }
                    }
                }
            }
        }
        try openEachOnce(store, plugin: plugin.secret, at: now)
    }

    private func person(
        _ number: Int, plugin: PluginID, _ rows: Rows, at now: Instant
    ) throws -> (person: PersonID, key: SecretText) {
        let invited = try rows.invite(name: "Person \(number)", expiresAt: now.adding(seconds: 60), at: now)
        let code = try invited.code.withUnsafeBytes { try Token(parsing: $0) }
        guard let vault = try rows.acceptInvitation(code, at: now) else { throw ValidationError("not accepted") }
        let key = try rows.addSlot(.apiKey, name: "bench", to: vault, lifetime: .untilRevoked, at: now)
        for (index, name) in Self.providers.enumerated() {
            let grant = Grant(
                provider: try ProviderID(parsing: name),
                credential: try Credential(
                    accessToken: try SecretText("gho_" + String(repeating: "t", count: 36)),
                    refreshToken: try SecretText("ghr_" + String(repeating: "r", count: 36)), tokenType: "bearer",
                    accountID: "\(number)", accountLabel: "octo-\(number)", tenant: ""),
                scopes: ScopeSet(["repo", "read:user"]), obtainedAt: now, expiresAt: now.adding(seconds: 86_400),
                refreshExpiresAt: nil, nextRefreshAt: nil)
            let id = try rows.insert(grant, into: .open(vault), of: vault.person, status: .active)
            guard index == 0, let connection = try rows.connection(id) else { continue }
            try rows.approve(
                plugin, for: connection, key: try rows.openKey(of: connection, with: vault), scopes: grant.scopes,
                at: now)
        }
        return (vault.person, key.secret)
    }

    /// A plugin's first use of an approval replaces the sealed form; what is measured is every later one.
    private func openEachOnce(_ store: Store, plugin: SecretText, at now: Instant) throws {
        let token = try plugin.withUnsafeBytes { try Token(parsing: $0) }
        let statement = try VendStatement(store: store)
        let persons = try store.read { try $0.personsWithApprovals() }
        for start in stride(from: 0, to: persons.count, by: 500) {
            try store.write { rows in
                for person in persons[start..<min(start + 500, persons.count)] {
                    let row = try statement.find(slot: token.id, kind: .plugin, provider: "github", person: person)
                    guard let row, let candidate = row.candidates.first,
                        let caller = try store.open(row, with: token, at: now)
                    else { throw ValidationError("a seeded approval does not open") }
                    let (key, _) = try store.openKey(of: candidate, for: caller)
                    try rows.replaceSealedForm(of: candidate, key: key, for: caller)
                }
            }
        }
    }
}
