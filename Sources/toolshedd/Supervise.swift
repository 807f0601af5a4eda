import ArgumentParser
import Envelope
import Glibc
import Providers
import Secrets
import Settings
import Supervisor

struct Supervise: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Run the service: one keeper and the workers, replaced when they end.",
        discussion: """
            SIGHUP takes up changed configuration without losing a request; SIGTERM finishes what is in flight and \
            leaves. The listening socket comes from systemd (LISTEN_FDS), or is made in TOOLSHED_RUNTIME_DIR.
            """
    )

    func run() throws {
        hardenProcess()
        let code: Int32
        do {
            code = try Supervisor(plan(OwnEnvironment())).run()
        } catch {
            say("\(error)")
            throw ExitCode(78)
        }
        throw ExitCode(code)
    }

    private func plan(_ given: consuming OwnEnvironment) throws -> SupervisorPlan {
        try SecureHeap.start(bytes: 256 * 1024)
        let settings = try Settings.load(environment: given.variables)
        try settings.refuseUnfit()
        for warning in settings.warnings { say("warning: \(warning)") }
        let keys = try RoleKeyMaterial(try Settings.encryptionKeys(environment: given.variables))
        given.forget("ENCRYPTION_KEY")
        let environment = given
        let secrets = settings.catalogue.secretVariables
        for name in environment.variables.keys where secrets.contains(name) || name.hasSuffix("_SECRET") {
            OwnEnvironment.blank(name)
        }
        let listener =
            try ListeningSocket.inherited(environment: environment.variables)
            ?? ListeningSocket.bind(path: settings.runtimeDirectory + "/toolshedd.sock")
        return SupervisorPlan(
            configuration: ChildConfiguration(workers: settings.workers, settings: environment.childSettings()),
            listener: listener,
            childEnvironment: environment.childEnvironment,
            withKeys: keys.with,
            check: {
                do {
                    let settings = try Settings.load(environment: environment.variables)
                    try settings.refuseUnfit()
                    for warning in settings.warnings { say("warning: \(warning)") }
                    return .success(
                        ChildConfiguration(workers: settings.workers, settings: environment.childSettings()))
                } catch {
                    return .failure(Refusal("\(error)"))
                }
            },
            notifier: ServiceNotifier(environment: environment.variables),
            reloadStatus: ReloadStatus(runtimeDirectory: settings.runtimeDirectory),
            log: say)
    }
}

/// The subkeys of each role, in locked memory, for children that are started later. `ENCRYPTION_KEY` itself is not kept.
private final class RoleKeyMaterial {
    private let worker: SecretBytes
    private let keeper: SecretBytes

    init(_ keys: borrowing EncryptionKeys) throws {
        worker = try keys.workerKeys().encode()
        keeper = try keys.keeperKeys().encode()
    }

    func with(_ role: Role, _ body: (UnsafeRawBufferPointer) throws -> Void) throws {
        switch role {
        case .worker: try worker.withUnsafeBytes(body)
        case .keeper: try keeper.withUnsafeBytes(body)
        }
    }
}

/// One line to standard error, where systemd's journal or a file takes it up and adds the time.
func say(_ line: String) {
    let bytes = Array("toolshedd: \(line)\n".utf8)
    _ = write(2, bytes, bytes.count)
}
