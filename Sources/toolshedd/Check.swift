import ArgumentParser
import Encoding
import Envelope
import Foundation
import OAuth
import Providers
import Secrets
import Settings
import Vault

/// `toolshedd check`: reads everything that a start would read, and says what holds, what is unwise, or what is wrong.
struct Check: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Read the configuration and say what holds, without secrets.",
        discussion: "Exits 0 when the service would start with it, 78 when it would not; warnings go to standard error."
    )

    @Flag(help: "Print JSON.")
    var json = false

    func run() throws {
        hardenProcess()
        try SecureHeap.start(bytes: 256 * 1024)
        let environment = ProcessInfo.processInfo.environment
        let settings: Settings
        let keys: EncryptionKeys
        do throws(SettingsError) {
            settings = try Settings.load(environment: environment)
            try settings.refuseUnfit()
            keys = try Settings.encryptionKeys(environment: environment)
        } catch {
            if json { show(json: true, "") { Self.write(error, to: &$0) } }
            complain("\(error)")
            throw ExitCode(78)
        }
        let storeKeys = StoreKeys(try keys.workerKeys())
        do throws(VaultError) {
            try Store.examine(path: settings.databasePath, audit: settings.auditFolder, keys: storeKeys)
        } catch {
            if json { show(json: true, "") { Self.write("\(error)", to: &$0) } }
            complain("\(error)")
            throw ExitCode(78)
        }
        show(json: json, settings.effective()) { Self.write(settings, to: &$0) }
        for warning in settings.warnings { complain("warning: \(warning)") }
    }

    private static func write(_ settings: Settings, to writer: inout JSONWriter) {
        let configured = settings.catalogue.providers.values.filter(\.isConfigured).map(\.id).sorted().map(\.json)
        writer.object {
            $0.member("ok", true)
            $0.member("origin", settings.origin)
            $0.member("stateDirectory", settings.stateDirectory)
            $0.member("runtimeDirectory", settings.runtimeDirectory)
            $0.member("configDirectory", settings.configDirectory)
            $0.member("workers", Int64(settings.workers))
            $0.member("threads", Int64(settings.threads))
            $0.member("peerUser", settings.peerUser)
            $0.member("warmSeconds", Int64(settings.warmSeconds))
            $0.member("logLevel", settings.logLevel.rawValue)
            $0.member("slowMilliseconds", settings.process.slowMilliseconds)
            $0.member("recycleRequests", settings.process.recycleRequests)
            $0.member("recycleMegabytes", settings.process.recycleMegabytes)
            $0.member("walAlarmMegabytes", settings.process.walAlarmMegabytes)
            $0.member("walLimitMegabytes", settings.process.walLimitMegabytes)
            $0.member("failedAuthenticationsPerSecond", settings.process.failedAuthenticationsPerSecond)
            $0.member("configured", configured)
            $0.member("warnings", settings.warnings)
        }
    }

    private static func write(_ sentence: String, to writer: inout JSONWriter) {
        writer.object {
            $0.member("ok", false)
            $0.member("error", sentence)
        }
    }

    /// The sentence, and for a wrong file also where.
    private static func write(_ error: SettingsError, to writer: inout JSONWriter) {
        writer.object { writer in
            writer.member("ok", false)
            writer.member("error", "\(error)")
            if case .file(let wrong) = error {
                writer.member("file", wrong.place.file)
                if wrong.place.line > 0 { writer.member("line", Int64(wrong.place.line)) }
                writer.member("field", wrong.field)
            }
            if case .variable(let name, _, _) = error { writer.member("variable", name) }
        }
    }
}
