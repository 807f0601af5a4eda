import CFastCGI
import CLinux
import Glibc
import Synchronization

/// Where the threads of a pool meet before the first request: either all have a handler, or none serves.
final class Gate: Sendable {
    private struct State {
        var failure: (any Error)?
        var proceeds = false
    }

    private let state = Mutex(State())
    // Two counting semaphores (sem_init(3)); Swift's Mutex has no condition variable.
    nonisolated(unsafe) private let arrived: UnsafeMutablePointer<sem_t>
    nonisolated(unsafe) private let opened: UnsafeMutablePointer<sem_t>

    init() {
        arrived = .allocate(capacity: 1)
        opened = .allocate(capacity: 1)
        sem_init(arrived, 0, 0)
        sem_init(opened, 0, 0)
    }

    deinit {
        for semaphore in [arrived, opened] {
            sem_destroy(semaphore)
            semaphore.deallocate()
        }
    }

    /// Makes this thread's handler, waits for the others, and returns it when all have theirs.
    func arrive<Handler>(_ make: () throws -> Handler) -> Handler? {
        var made: Handler?
        do {
            made = try make()
        } catch {
            state.withLock { $0.failure = $0.failure ?? error }
        }
        sem_post(arrived)
        while sem_wait(opened) != 0 {}
        return state.withLock { $0.proceeds } ? made : nil
    }

    func wait(for count: Int) -> (any Error)? {
        for _ in 0..<count { while sem_wait(arrived) != 0 {} }
        return state.withLock { $0.failure }
    }

    func open(for count: Int, proceed: Bool) {
        state.withLock { $0.proceeds = proceed }
        for _ in 0..<count { sem_post(opened) }
    }
}

/// What one request thread keeps between requests.
final class RequestThread {
    let intake: UnsafeMutablePointer<Intake>
    /// Its place among the threads of its pool.
    let number: Int
    /// How many requests it has taken up, or gone on with.
    var taken: UInt32 = 0
    private var idle: Exchange?

    init(limits: Limits, number: Int = 0) {
        self.number = number
        intake = .allocate(capacity: 1)
        intake.initialize(to: Intake(limits))
        clinux_set_thread_slot(intake)
    }

    func leave() {
        clinux_set_thread_slot(nil)
        intake.deinitialize(count: 1)
        intake.deallocate()
    }

    func exchange() -> Exchange {
        if let idle { return idle }
        let made = Exchange()
        idle = made
        return made
    }

    /// The exchange waits for the network now; the next request gets another one.
    func lose(_ exchange: Exchange) {
        if idle === exchange { idle = nil }
    }
}

enum Parser {
    /// Readies libfcgi once in a process, and makes sure that it reads through the guard.
    static func start() throws(PoolError) {
        try outcome.get()
    }

    private static let outcome: Result<Void, PoolError> = {
        // FCGX_Init installs handlers for these three, over an ignore as well; ours stay.
        let signals = [SIGPIPE, SIGUSR1, SIGTERM]
        var before = Array(repeating: sigaction(), count: signals.count)
        for index in signals.indices { sigaction(signals[index], nil, &before[index]) }
        FCGX_Init()
        for index in signals.indices { sigaction(signals[index], &before[index], nil) }
        return isGuarded() ? .success(()) : .failure(.unguarded)
    }()

    /// One read of nothing: had libfcgi made it itself, the intake would not have seen it.
    private static func isGuarded() -> Bool {
        var pair: [Int32] = [-1, -1]
        guard socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0, &pair) == 0 else {
            return false
        }
        close(pair[1])
        defer { close(pair[0]) }
        let thread = RequestThread(limits: Limits())
        defer { thread.leave() }
        _ = thread.exchange().receive(from: pair[0], thread.intake, Limits())
        return thread.intake.pointee.reads == 1
    }
}

extension PoolError {
    static func check(_ call: String, _ result: Int32) throws(PoolError) -> Int32 {
        guard result >= 0 else { throw .system(call: call, errno: errno) }
        return result
    }
}

/// Counted by all request threads; read for `/metrics`.
struct Counters: ~Copyable, Sendable {
    private let accepted = Atomic<Int>(0)
    private let answered = Atomic<Int>(0)
    private let malformed = Atomic<Int>(0)
    private let foreign = Atomic<Int>(0)
    private let busy = Atomic<Int>(0)

    func countAccepted() { accepted.wrappingAdd(1, ordering: .relaxed) }
    func countMalformed() { malformed.wrappingAdd(1, ordering: .relaxed) }
    func countForeign() { foreign.wrappingAdd(1, ordering: .relaxed) }
    func begin() { busy.wrappingAdd(1, ordering: .relaxed) }
    func end() { busy.wrappingSubtract(1, ordering: .relaxed) }
    func countAnswered() { answered.wrappingAdd(1, ordering: .relaxed) }

    var answeredSoFar: Int { answered.load(ordering: .relaxed) }
    var busyNow: Int { busy.load(ordering: .relaxed) }

    func snapshot() -> PoolStatus {
        var status = PoolStatus()
        status.accepted = accepted.load(ordering: .relaxed)
        status.answered = answered.load(ordering: .relaxed)
        status.malformed = malformed.load(ordering: .relaxed)
        status.foreign = foreign.load(ordering: .relaxed)
        status.busyThreads = busy.load(ordering: .relaxed)
        return status
    }
}
