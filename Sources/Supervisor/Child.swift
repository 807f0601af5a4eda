import CLinux
import Glibc

/// What a child process is for.
public enum Role: Hashable, Sendable, CustomStringConvertible {
    case keeper
    case worker(UInt32)

    /// The subcommand of the same binary.
    public var subcommand: String {
        switch self {
        case .keeper: "keep"
        case .worker: "work"
        }
    }

    public var description: String {
        switch self {
        case .keeper: "keeper"
        case .worker(let number): "worker \(number)"
        }
    }
}

public enum SpawnError: Error, Equatable, Sendable {
    case system(call: String, errno: Int32)
}

/// One child process.
struct Child {
    enum State: Equatable {
        case starting(since: Int64)
        case ready
        /// It was told to leave.
        case leaving(since: Int64)
    }

    let pid: pid_t
    let role: Role
    let generation: Int
    let control: ControlSocket
    var state: State
    /// It said why it could not start.
    var complaint: String?
    /// Its control socket has ended; the process may still be ending.
    var isSilent = false
    var isKilled = false
    /// For how many rounds it has not answered a `look`.
    var unanswered = 0

    /// Starts this binary again in a role. Nothing of this process crosses but the listening socket (0), the control
    /// socket (3), standard output and error: no memory, no other descriptor, no blocked or ignored signal, and the
    /// environment that is given. `fork` alone is never used: locks of other threads would stay locked in the child.
    static func spawn(
        _ role: Role, generation: Int, listener: Int32, environment: [String], at now: Int64
    ) throws -> Child {
        let (ours, theirs) = try ControlSocket.pair()
        defer { close(theirs.descriptor) }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        if case .worker = role {
            posix_spawn_file_actions_adddup2(&actions, listener, 0)
        } else {
            posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        }
        posix_spawn_file_actions_adddup2(&actions, theirs.descriptor, ControlSocket.inherited.descriptor)
        clinux_spawn_close_from(&actions, ControlSocket.inherited.descriptor + 1)

        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var none = sigset_t()
        var all = sigset_t()
        sigemptyset(&none)
        sigfillset(&all)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setsigdefault(&attributes, &all)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))

        var pid: pid_t = 0
        let failure = withCStrings(["toolshedd", role.subcommand]) { arguments in
            withCStrings(environment) { environment in
                posix_spawn(&pid, "/proc/self/exe", &actions, &attributes, arguments, environment)
            }
        }
        guard failure == 0 else {
            close(ours.descriptor)
            throw SpawnError.system(call: "posix_spawn", errno: failure)
        }
        // A child that does not read must not stop the supervisor.
        var patience = timeval(tv_sec: 1, tv_usec: 0)
        setsockopt(ours.descriptor, SOL_SOCKET, SO_SNDTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
        return Child(pid: pid, role: role, generation: generation, control: ours, state: .starting(since: now))
    }
}

private func withCStrings<R>(_ strings: [String], _ body: ([UnsafeMutablePointer<CChar>?]) -> R) -> R {
    let copies = strings.map { strdup($0) }
    defer { for copy in copies { free(copy) } }
    return body(copies + [nil])
}
