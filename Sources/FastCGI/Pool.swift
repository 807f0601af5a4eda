import CFastCGI
import CLinux
import Glibc
import Synchronization
import Threads

/// A few threads around one epoll set, which answer the FastCGI requests of a listening socket.
///
/// The set holds the listener and every idle connection; a connection that becomes readable is taken by one thread,
/// which parses, answers and parks it again. A kept connection therefore costs a descriptor and no thread.
public final class Pool<Resumption: Sendable>: Sendable {
    public typealias MakeHandler = @Sendable (_ thread: Int, _ pool: Pool<Resumption>) throws -> Handler<Resumption>

    let limits: Limits
    let waiting = Waiting<Resumption>()
    let connections: Connections
    let counters = Counters()
    private let watch: Watch
    private let shift: Shift

    let listener: Int32
    private let threads: Int
    let peers: [uid_t]
    private let makeHandler: MakeHandler
    let epoll: Int32
    /// Edge-triggered: each write wakes one thread for the ready ones.
    let wake: Int32
    /// Level-triggered and never read: once written, every thread leaves.
    let finish: Int32
    let timer: Int32
    let flow = Mutex(Flow())
    let isDraining = Atomic<Bool>(false)
    let acceptsBacklog = Atomic<Bool>(false)

    struct Flow {
        var isListening = false
        var pausedUntil: Int64 = 0
        var isTicking = false
        var drainTicks = 0
        var isFinished = false
    }

    /// Takes over `listener` (a listening unix socket; it is made non-blocking), and answers only to `peers`.
    ///
    /// - Parameters:
    ///   - atWork: how many of the threads take up requests at a time; the others stand in for those that are held up.
    ///   - peers: user ids whose connections are accepted (SO_PEERCRED, unix(7)).
    public init(
        listener: Int32, threads: Int, atWork: Int? = nil, peers: [uid_t], limits: Limits = Limits(),
        makeHandler: @escaping MakeHandler
    ) throws(PoolError) {
        self.listener = listener
        self.threads = threads
        self.peers = peers
        self.limits = limits
        self.makeHandler = makeHandler
        try Parser.start()
        watch = Watch(threads: threads)
        shift = try Shift(threads: threads, most: max(1, min(atWork ?? threads, threads)))
        epoll = try PoolError.check("epoll_create1", epoll_create1(Int32(EPOLL_CLOEXEC)))
        wake = try PoolError.check("eventfd", eventfd(0, Int32(EFD_CLOEXEC | EFD_NONBLOCK)))
        finish = try PoolError.check("eventfd", eventfd(0, Int32(EFD_CLOEXEC | EFD_NONBLOCK)))
        timer = try PoolError.check(
            "timerfd_create",
            timerfd_create(CLOCK_MONOTONIC, Int32(TFD_CLOEXEC | TFD_NONBLOCK)))
        // By descriptor number: whatever else the process has open takes numbers too.
        connections = Connections(capacity: limits.connections + 4096)
        let flags = fcntl(listener, F_GETFL)
        _ = try PoolError.check("fcntl", fcntl(listener, F_SETFL, flags | O_NONBLOCK))
        try register(wake, EPOLLIN.rawValue | EPOLLET.rawValue)
        try register(finish, EPOLLIN.rawValue)
        try register(timer, EPOLLIN.rawValue | EPOLLET.rawValue)
    }

    deinit {
        for descriptor in [epoll, wake, finish, timer] { close(descriptor) }
    }

    /// Answers requests until drained. Every handler is made, each on its thread, before the first request is accepted;
    /// then `ready` is called. A handler that cannot be made ends the pool with its error.
    public func run(ready: () -> Void = {}) throws {
        var members: [pthread_t] = []
        var failure: (any Error)?
        let gate = Gate()
        do {
            for index in 0..<threads {
                members.append(
                    try startThread { [self] in
                        let handler = gate.arrive { try makeHandler(index, self) }
                        if let handler { serve(with: handler, number: index) }
                    })
            }
        } catch {
            failure = error
        }
        failure = failure ?? gate.wait(for: members.count)
        if failure == nil {
            do {
                try flow.withLock { flow throws(PoolError) in try listen(&flow) }
                ready()
            } catch {
                failure = error
            }
        }
        gate.open(for: members.count, proceed: failure == nil)
        for member in members { pthread_join(member, nil) }
        connections.takeAll { connections.close($0) }
        if let failure { throw failure }
    }

    /// Stops accepting, answers what is in flight (what waits for the network included), closes every connection right
    /// after its answer; then `run` returns. Any thread.
    ///
    /// - Parameter backlog: answer first what waits in the listener's queue: for a listener that nobody takes over.
    public func drain(backlog: Bool = false) {
        acceptsBacklog.store(backlog, ordering: .releasing)
        isDraining.store(true, ordering: .sequentiallyConsistent)
        flow.withLock { flow in
            if !backlog { ignoreListener(&flow) }
            tick(&flow)
        }
    }

    /// Lets a request wait for the network. The handler returns `.setAside` afterwards, and its thread goes on to others.
    ///
    /// - Parameter otherwise: what the request is resumed with when no answer comes in time.
    /// - Returns: nil when too many wait, or this one has waited long enough: the handler answers by itself then.
    public func setAside(_ exchange: Exchange, otherwise: Resumption) -> Ticket? {
        let now = monotonicMilliseconds()
        if exchange.asideDeadline == 0 { exchange.asideDeadline = now + limits.setAsideMilliseconds }
        guard exchange.asideDeadline > now else { return nil }
        let ticket = waiting.add(
            exchange, deadline: exchange.asideDeadline, otherwise: otherwise, most: limits.setAside)
        if ticket != nil { flow.withLock { tick(&$0) } }
        return ticket
    }

    /// Hands what a request waited for to a request thread. Any thread; false when the ticket was used or has expired.
    @discardableResult
    public func resume(_ ticket: Ticket, with answer: Resumption) -> Bool {
        let result = waiting.answer(ticket, with: answer)
        if result.isReady { eventfd_write(wake, 1) }
        return result.accepted
    }

    /// For whoever watches this process, to be called every few seconds: how many threads have been with one request for
    /// `Limits.looks` calls. The connection of such a request is cut, so that the web server says so to whoever waits.
    public func look() -> Int { watch.look(patience: limits.looks) }

    public var status: PoolStatus {
        var status = counters.snapshot()
        status.open = connections.open
        status.threads = threads
        status.setAside = waiting.population
        status.isDraining = isDraining.load(ordering: .relaxed)
        return status
    }
}

// MARK: - The loop

extension Pool {
    private func serve(with handler: Handler<Resumption>, number: Int) {
        let thread = RequestThread(limits: limits, number: number)
        defer { thread.leave() }
        var event = epoll_event()
        while true {
            if shift.dismiss() {
                // Whoever works writes over its own traces; who rests would keep those of its last request.
                clinux_wipe_stack()
                guard shift.rest(until: finish, counters) else { return }
            }
            guard epoll_wait(epoll, &event, 1, -1) == 1 else { continue }
            switch event.data.fd {
            case finish: return
            case listener: accept()
            case wake: resumeNext(thread, handler)
            case timer: onTick { answer($0, thread, handler) }
            case let connection where connections.take(connection):
                // The end may have come with the bytes, as one event: there will be no other.
                let isLast = event.events & EPOLLRDHUP.rawValue != 0
                answer(connection, thread, handler, isLast: isLast)
            default: break
            }
        }
    }

    func answer(
        _ connection: Int32, _ thread: RequestThread, _ handler: Handler<Resumption>, isLast: Bool = false
    ) {
        var isKept: Bool
        repeat {
            let exchange = thread.exchange()
            thread.intake.pointee.begin()
            // Reading counts: a peer that sends slowly holds up its thread, and another must stand in for it.
            counters.begin()
            defer { counters.end() }
            watch.begin(thread, connection)
            if exchange.receive(from: connection, thread.intake, limits) {
                if isLast { exchange.request.pointee.keepConnection = 0 }
                let verdict = handler.respond(exchange)
                guard let keeps = conclude(exchange, verdict, thread, handler) else { return thread.lose(exchange) }
                isKept = keeps
            } else {
                isKept = thread.intake.pointee.foundNothing
                exchange.abandon()
                if thread.intake.pointee.isMalformed { counters.countMalformed() }
            }
            watch.end(thread)
            if !isKept { return connections.close(connection) }
        } while !connections.park(connection)
    }

    private func resumeNext(_ thread: RequestThread, _ handler: Handler<Resumption>) {
        guard let next = waiting.takeReady() else { return }
        if next.hasMore { eventfd_write(wake, 1) }
        next.exchange.ticket = 0
        counters.begin()
        defer { counters.end() }
        thread.intake.pointee.begin()
        let connection = next.exchange.connection
        watch.begin(thread, connection)
        guard let keeps = conclude(next.exchange, handler.resume(next.exchange, next.answer), thread, handler) else {
            return
        }
        watch.end(thread)
        if !keeps {
            connections.close(connection)
        } else if !connections.park(connection) {
            answer(connection, thread, handler)
        }
    }

    /// Sends the answer, and says whether the connection is kept; nil when the request waits now: then another thread may
    /// own the exchange already.
    private func conclude(
        _ exchange: Exchange, _ first: Verdict, _ thread: RequestThread, _ handler: Handler<Resumption>
    ) -> Bool? {
        var verdict = first
        while verdict == .setAside, exchange.ticket != 0 {
            let connection = exchange.connection
            watch.end(thread)
            guard let answer = waiting.park(exchange) else { return nil }
            watch.begin(thread, connection)
            exchange.ticket = 0
            verdict = handler.resume(exchange, answer)
        }
        waiting.withdraw(exchange)
        counters.countAnswered()
        if isDraining.load(ordering: .relaxed) { exchange.request.pointee.keepConnection = 0 }
        return exchange.finish()
    }
}
