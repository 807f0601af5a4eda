import CLinux
import Glibc
import Logging
import Secrets
import Settings
import Supervisor
import Threads

/// What `work` and `keep` have in common: they are started by the supervisor, told their secrets by it, and leave when
/// it says so or is gone.
struct ChildProcess {
    let control = ControlSocket.inherited
    let inheritance: Inheritance

    enum Failure: Error, CustomStringConvertible {
        case notSupervised
        var description: String { "This subcommand is started by 'toolshedd supervise' only." }
    }

    /// What every child is given at its start: settings, the keys of its role, where to log. What they came in is wiped.
    func open<Keys>(
        _ role: String, _ decode: (UnsafeRawBufferPointer) throws -> Keys
    ) throws -> (settings: Settings, keys: Keys, log: Logger) {
        let settings = try Settings.load(environment: inheritance.environment)
        let keys = try inheritance.keys.withPayload(decode)
        inheritance.forget()
        var log = Logger(label: role) { _ in LogLines() }
        log.logLevel = Logger.Level(rawValue: settings.logLevel.rawValue) ?? .notice
        return (settings, keys, log)
    }

    /// - Parameter secureHeapBytes: the size of this process's locked memory.
    private init(secureHeapBytes: Int) throws {
        hardenProcess()
        // Started as /proc/self/exe, it would be listed as "exe".
        "toolshedd".withCString { _ = clinux_prctl(PR_SET_NAME, UInt(bitPattern: $0)) }
        // Where a unit's filter keeps its threads from a higher priority, libdispatch says so at each, and it does not matter.
        setenv("LIBDISPATCH_LOG", "NO", 0)
        // Before the first thread: libfcgi and others would otherwise be interrupted, and no thread but one may take
        // the signals.
        var all = sigset_t()
        sigfillset(&all)
        pthread_sigmask(SIG_SETMASK, &all, nil)
        try SecureHeap.start(bytes: secureHeapBytes)
        guard let inheritance = Inheritance.receive(from: .inherited, own: OwnEnvironment()) else {
            throw Failure.notSupervised
        }
        self.inheritance = inheritance
    }

    /// Hands every later message to `handle`, on a thread of its own; `leave` is called once, when the supervisor says
    /// so, is gone, or the process got SIGTERM. Its argument: nobody takes over the listening socket.
    func listen(
        leave: @escaping @Sendable (_ hasNoSuccessor: Bool) -> Void,
        handle: @escaping @Sendable (ControlMessage) -> Void
    ) throws {
        let control = control
        _ = try startThread {
            while let message = try? control.receive() {
                if message.tag == .drain {
                    leave(message.withPayload { $0.first == 1 })
                } else {
                    handle(message)
                }
            }
            leave(false)
        }
        _ = try startThread {
            var wanted = sigset_t()
            sigemptyset(&wanted)
            sigaddset(&wanted, SIGTERM)
            var signal: Int32 = 0
            while sigwait(&wanted, &signal) != 0 {}
            leave(false)
        }
    }

    /// Runs a child's main part; whatever it throws is told to the supervisor as one sentence.
    static func run(secureHeapBytes: Int, _ body: (ChildProcess) throws -> Void) -> Never {
        do {
            try body(try ChildProcess(secureHeapBytes: secureHeapBytes))
            exit(0)
        } catch Failure.notSupervised {
            say("\(Failure.notSupervised)")
            exit(64)
        } catch {
            try? ControlSocket.inherited.send(.failed, "\(error)")
            exit(78)
        }
    }
}
