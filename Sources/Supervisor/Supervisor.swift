import CLinux
import Glibc

/// What a reload can change.
public struct ChildConfiguration: Sendable {
    /// How many workers answer requests at a time.
    public var workers: Int
    /// Sent to every child before its keys, see `OwnEnvironment.childSettings`.
    public var settings: [UInt8]

    public init(workers: Int, settings: [UInt8]) {
        self.workers = workers
        self.settings = settings
    }
}

/// What the supervisor is told by its main program; it knows no setting and no key itself.
public struct SupervisorPlan {
    public var configuration: ChildConfiguration
    public var listener: ListeningSocket
    /// The environment of every child: nothing secret.
    public var childEnvironment: [String]
    /// Calls its argument with the key material of a role.
    public var withKeys: (Role, (UnsafeRawBufferPointer) throws -> Void) throws -> Void
    /// Reads the configuration anew, or says why it is wrong.
    public var check: () -> Result<ChildConfiguration, Refusal>
    public var notifier: ServiceNotifier
    public var reloadStatus: ReloadStatus
    public var log: (String) -> Void

    public init(
        configuration: ChildConfiguration, listener: ListeningSocket, childEnvironment: [String],
        withKeys: @escaping (Role, (UnsafeRawBufferPointer) throws -> Void) throws -> Void,
        check: @escaping () -> Result<ChildConfiguration, Refusal>, notifier: ServiceNotifier,
        reloadStatus: ReloadStatus,
        log: @escaping (String) -> Void
    ) {
        self.configuration = configuration
        self.listener = listener
        self.childEnvironment = childEnvironment
        self.withKeys = withKeys
        self.check = check
        self.notifier = notifier
        self.reloadStatus = reloadStatus
        self.log = log
    }
}

/// Keeps one keeper and a number of workers running.
///
/// One thread, one loop: signals, what children say, and deadlines. The keeper comes first, because it recovers the
/// database; then the workers; from then on whatever ends is replaced, whatever is healthy is left alone.
public final class Supervisor {
    enum Phase: Equatable {
        case starting
        case running
        case stopping(code: Int32)
    }

    enum Reload {
        case none
        /// The keeper is asked first: it can refuse.
        case askingKeeper(ChildConfiguration, deadline: Int64)
        /// New workers start beside the old ones.
        case replacing(before: ChildConfiguration)
    }

    static let startMilliseconds: Int64 = 20_000
    static let workerGraceMilliseconds: Int64 = 12_000
    static let keeperGraceMilliseconds: Int64 = 15_000

    var plan: SupervisorPlan
    var phase = Phase.starting
    var reload = Reload.none
    var reloadIsWanted = false
    var generation = 1
    var children: [pid_t: Child] = [:]
    var replacements: [(at: Int64, role: Role)] = []
    var keeperBurst = Burst()
    var workerBurst = Burst()
    var lastWorker: UInt32 = 0
    var recycling = Recycling()
    var nextLook: Int64 = 0

    public init(_ plan: SupervisorPlan) {
        self.plan = plan
    }

    /// Runs until SIGTERM or SIGINT, or until the start fails. Call it while the process has one thread.
    ///
    /// - Returns: the exit status: 0, or 1 when the start failed (it was logged why).
    public func run() throws -> Int32 {
        let signals = try takeSignals()
        start(.keeper)
        while true {
            if case .stopping(let code) = phase, children.isEmpty { return code }
            waitForEvents(signals)
            runDeadlines(at: now())
        }
    }

    /// From here on these arrive at the descriptor only, also for threads that are started later.
    private func takeSignals() throws -> Int32 {
        var wanted = sigset_t()
        sigemptyset(&wanted)
        for signal in [SIGCHLD, SIGTERM, SIGINT, SIGHUP] { sigaddset(&wanted, signal) }
        sigprocmask(SIG_BLOCK, &wanted, nil)
        let descriptor = signalfd(-1, &wanted, Int32(SFD_CLOEXEC | SFD_NONBLOCK))
        guard descriptor >= 0 else { throw SpawnError.system(call: "signalfd", errno: errno) }
        return descriptor
    }

    private func waitForEvents(_ signals: Int32) {
        let listening = children.values.filter { !$0.isSilent }
        var polled = [pollfd(fd: signals, events: Int16(POLLIN), revents: 0)]
        polled += listening.map { pollfd(fd: $0.control.descriptor, events: Int16(POLLIN), revents: 0) }
        let timeout = nextDeadline().map { Int32(max(0, min($0 - now(), 60_000))) } ?? -1
        guard poll(&polled, nfds_t(polled.count), timeout) > 0 else { return }
        // What a child said before it ended explains its end.
        for (child, polled) in zip(listening, polled.dropFirst()) where polled.revents != 0 { listen(to: child.pid) }
        if polled[0].revents != 0 { readSignals(signals) }
    }

    private func readSignals(_ descriptor: Int32) {
        var info = signalfd_siginfo()
        while read(descriptor, &info, MemoryLayout<signalfd_siginfo>.size) > 0 {
            switch Int32(bitPattern: info.ssi_signo) {
            case SIGCHLD: reap()
            case SIGHUP: reloadIsWanted = true
            default: stop(code: 0)
            }
        }
        beginReload()
    }

    func listen(to pid: pid_t) {
        guard let child = children[pid] else { return }
        do {
            guard let message = try child.control.receive(flags: Int32(MSG_DONTWAIT)) else {
                children[pid]?.isSilent = true
                return
            }
            handle(message, from: child)
        } catch {
            if case .system(_, EAGAIN) = error { return }
            children[pid]?.isSilent = true
        }
    }

    private func handle(_ message: ControlMessage, from child: Child) {
        switch message.tag {
        case .ready: isReady(child)
        case .failed:
            children[child.pid]?.complaint = message.text
            plan.log("\(child.role) (pid \(child.pid)): \(message.text)")
        case .reloaded: keeperReloaded()
        case .refused: refuseReload(message.text)
        case .worn: isWorn(child, message.text)
        case .looked: children[child.pid]?.unanswered = 0
        case .settings, .keys, .channel, .reload, .drain, .look:
            plan.log("\(child.role) said what only the supervisor says")
        }
    }

    func now() -> Int64 {
        var now = timespec()
        clock_gettime(CLOCK_MONOTONIC, &now)
        return Int64(now.tv_sec) * 1000 + Int64(now.tv_nsec) / 1_000_000
    }
}
