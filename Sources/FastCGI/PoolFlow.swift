import CLinux
import Glibc
import Synchronization

// Accepting, pausing, deadlines and draining: what a pool does besides answering.

private let tickMilliseconds = 50
private let pauseMilliseconds: Int64 = 100

extension Pool {
    func register(_ descriptor: Int32, _ events: UInt32) throws(PoolError) {
        var event = epoll_event()
        event.events = events
        event.data.fd = descriptor
        _ = try PoolError.check("epoll_ctl", epoll_ctl(epoll, EPOLL_CTL_ADD, descriptor, &event))
    }

    /// EPOLLEXCLUSIVE: a new connection wakes one worker process, not all of them.
    func listen(_ flow: inout Flow) throws(PoolError) {
        guard !flow.isListening else { return }
        try register(listener, EPOLLIN.rawValue | EPOLLEXCLUSIVE.rawValue)
        flow.isListening = true
    }

    func ignoreListener(_ flow: inout Flow) {
        guard flow.isListening else { return }
        epoll_ctl(epoll, EPOLL_CTL_DEL, listener, nil)
        flow.isListening = false
    }

    /// Takes a few connections and leaves the rest to other threads and workers.
    func accept() {
        for _ in 0..<8 where mayAccept {
            let connection = clinux_accept(listener)
            guard connection >= 0 else { return onAcceptError(errno) }
            adopt(connection)
        }
    }

    private var mayAccept: Bool {
        !isDraining.load(ordering: .relaxed) || acceptsBacklog.load(ordering: .relaxed)
    }

    private func adopt(_ connection: Int32) {
        var user = uid_t.max
        var process: pid_t = 0
        guard clinux_peer(connection, &user, &process) == 0, peers.contains(user) else {
            counters.countForeign()
            close(connection)
            return
        }
        guard connections.add(connection) else {
            close(connection)
            return pause()
        }
        counters.countAccepted()
        do {
            try register(connection, EPOLLIN.rawValue | EPOLLRDHUP.rawValue | EPOLLET.rawValue)
        } catch {
            if connections.take(connection) { connections.close(connection) }
            return pause()
        }
        if connections.open >= limits.connections { pause() }
    }

    private func onAcceptError(_ code: Int32) {
        switch code {
        case EAGAIN, ECONNABORTED, EINTR: return
        // EMFILE, ENFILE, ENOBUFS, ENOMEM: the listener stays readable, so waiting for it again would spin.
        default: pause()
        }
    }

    private func pause() {
        flow.withLock { flow in
            ignoreListener(&flow)
            flow.pausedUntil = monotonicMilliseconds() + pauseMilliseconds
            tick(&flow)
        }
    }

    /// Starts the ticks that deadlines, pauses and draining need; they stop by themselves.
    func tick(_ flow: inout Flow) {
        guard !flow.isTicking else { return }
        flow.isTicking = true
        setTimer(milliseconds: tickMilliseconds)
    }

    private func setTimer(milliseconds: Int) {
        let period = timespec(tv_sec: 0, tv_nsec: milliseconds * 1_000_000)
        var setting = itimerspec(it_interval: period, it_value: period)
        timerfd_settime(timer, 0, &setting, nil)
    }

    func onTick(answer: (Int32) -> Void) {
        // A periodic timerfd goes on only when its count was read.
        var expirations: UInt64 = 0
        guard read(timer, &expirations, 8) == 8 else { return }
        if waiting.expire(at: monotonicMilliseconds()) > 0 { eventfd_write(wake, 1) }
        let drains = isDraining.load(ordering: .sequentiallyConsistent)
        if drains { sweep(answer) }
        flow.withLock { flow in
            if !drains, !flow.isListening, flow.pausedUntil <= monotonicMilliseconds(),
                connections.open < limits.connections
            {
                try? listen(&flow)
            }
            if drains, flow.drainTicks > 1, connections.open == 0, waiting.population == 0, !flow.isFinished {
                flow.isFinished = true
                eventfd_write(finish, 1)
            }
            if flow.isListening, !drains, waiting.population == 0 || flow.isFinished {
                flow.isTicking = false
                setTimer(milliseconds: 0)
            }
        }
    }

    /// Closes what is idle, and loses nothing: after `shutdown` the web server's next write fails at once, and what it
    /// had written before is answered first.
    private func sweep(_ answer: (Int32) -> Void) {
        let ticks = flow.withLock { flow in
            flow.drainTicks += 1
            return flow.drainTicks
        }
        if ticks == 1 {
            if acceptsBacklog.load(ordering: .acquiring) { acceptBacklog() }
            flow.withLock { ignoreListener(&$0) }
            return
        }
        connections.takeAll { connection in
            shutdown(connection, Int32(SHUT_RD))
            if clinux_waiting_bytes(connection) > 0 { answer(connection) } else { connections.close(connection) }
        }
    }

    private func acceptBacklog() {
        while true {
            let connection = clinux_accept(listener)
            guard connection >= 0 else { return }
            adopt(connection)
        }
    }
}
