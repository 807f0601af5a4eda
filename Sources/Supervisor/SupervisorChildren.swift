import CLinux
import Glibc

// Starting, replacing and ending children.

extension Supervisor {
    var workers: [Child] {
        children.values.filter { if case .worker = $0.role { true } else { false } }
    }

    /// The keeper that serves now: not one that was told to leave.
    var keeper: Child? {
        children.values.first { $0.role == .keeper && !$0.isLeaving }
    }

    func start(_ role: Role) {
        do {
            let child = try Child.spawn(
                role, generation: generation, listener: plan.listener.descriptor, environment: plan.childEnvironment,
                at: now())
            children[child.pid] = child
            try plan.configuration.settings.withUnsafeBytes { try child.control.send(.settings, $0) }
            try plan.withKeys(role) { try child.control.send(.keys, $0) }
            switch role {
            case .keeper: for worker in workers where !worker.isLeaving { connect(worker, child) }
            case .worker: if let keeper { connect(child, keeper) }
            }
        } catch {
            plan.log("\(role) did not start: \(error)")
            if phase == .starting { return stop(code: 1) }
            replace(role)
        }
    }

    func startWorker() {
        lastWorker += 1
        start(.worker(lastWorker))
    }

    /// A socket pair, one end for each.
    private func connect(_ worker: Child, _ keeper: Child) {
        guard case .worker(let number) = worker.role, let (one, other) = try? ControlSocket.pair() else { return }
        let bytes = withUnsafeBytes(of: number.bigEndian) { [UInt8]($0) }
        // Either may be gone already; its successor is connected anew.
        bytes.withUnsafeBytes { bytes in
            try? worker.control.send(.channel, bytes, descriptor: one.descriptor)
            try? keeper.control.send(.channel, bytes, descriptor: other.descriptor)
        }
        close(one.descriptor)
        close(other.descriptor)
    }

    func isReady(_ child: Child) {
        guard case .starting = child.state else { return }
        children[child.pid]?.state = .ready
        if phase == .starting {
            if child.role == .keeper { for _ in 0..<plan.configuration.workers { startWorker() } }
            guard workers.count == plan.configuration.workers, workers.allSatisfy({ $0.state == .ready }) else {
                return
            }
            phase = .running
            plan.log("answering requests with \(plan.configuration.workers) workers")
            plan.notifier.ready()
        }
        finishReloadIfReady()
        succeed(child)
        // A SIGHUP that came while starting.
        beginReload()
    }

    func reap() {
        var status: Int32 = 0
        while case let pid = waitpid(-1, &status, WNOHANG), pid > 0 {
            // Its last words may still be unread.
            while let child = children[pid], !child.isSilent { listen(to: pid) }
            guard let child = children.removeValue(forKey: pid) else { continue }
            close(child.control.descriptor)
            ended(child, status)
        }
        if case .stopping = phase, workers.isEmpty, let keeper { leave(keeper) }
    }

    private func ended(_ child: Child, _ status: Int32) {
        let signal = status & 0x7F
        let how = signal == 0 ? "with status \(status >> 8 & 0xFF)" : "by signal \(signal)"
        var isStopping = false
        if case .stopping = phase { isStopping = true }
        let needsNoReplacement = recycleWithout(child)
        if status == 0, child.isLeaving || isStopping { return }
        plan.log("\(child.role) (pid \(child.pid)) ended \(how)")
        if child.isLeaving || needsNoReplacement { return }
        switch phase {
        case .stopping: return
        case .starting: stop(code: 1)
        case .running:
            switch reload {
            case .replacing where child.generation == generation && child.role != .keeper:
                refuseReload(child.complaint ?? "A worker of the new configuration ended \(how).")
            case .replacing where child.role != .keeper:
                // Its successor is one of those that are starting.
                return
            case .askingKeeper where child.role == .keeper:
                refuseReload(child.complaint ?? "The keeper ended \(how).")
                replace(.keeper)
            case .none, .askingKeeper, .replacing:
                replace(child.role)
            }
        }
    }

    /// Starts what a refused reload left missing.
    func replenish() {
        let due = replacements.count { $0.role != .keeper }
        let missing = plan.configuration.workers - workers.count { !$0.isLeaving } - due
        for _ in 0..<max(0, missing) { startWorker() }
    }

    func replace(_ role: Role) {
        let delay = role == .keeper ? keeperBurst.crashed(at: now()) : workerBurst.crashed(at: now())
        if delay > 0 { plan.log("waiting \(delay) ms before the next \(role.subcommand)") }
        replacements.append((now() + delay, role))
    }

    /// Lets a child finish what it has in flight.
    func leave(_ child: Child) {
        guard !child.isLeaving else { return }
        children[child.pid]?.state = .leaving(since: now())
        var hasNoSuccessor = false
        if case .stopping = phase { hasNoSuccessor = plan.listener.path != nil }
        withUnsafeBytes(of: UInt8(hasNoSuccessor ? 1 : 0)) { try? child.control.send(.drain, $0) }
    }

    /// At once, whatever it has in flight.
    func end(_ child: Child) {
        kill(child.pid, SIGKILL)
        children[child.pid]?.isKilled = true
    }

    func stop(code: Int32) {
        if case .stopping = phase { return }
        phase = .stopping(code: code)
        plan.notifier.stopping()
        // Nobody can connect any more; who has connected is answered.
        if let path = plan.listener.path { unlink(path) }
        replacements = []
        refuseReload("Toolshed is stopping.")
        for worker in workers { leave(worker) }
        if workers.isEmpty, let keeper { leave(keeper) }
    }

    func nextDeadline() -> Int64? {
        var deadlines = replacements.map(\.at) + children.values.compactMap(\.deadline)
        if case .askingKeeper(_, let deadline) = reload { deadlines.append(deadline) }
        if let due = recycling.due { deadlines.append(due) }
        if phase == .running { deadlines.append(nextLook) }
        return deadlines.min()
    }

    func runDeadlines(at now: Int64) {
        for child in children.values where (child.deadline ?? .max) <= now {
            plan.log("\(child.role) (pid \(child.pid)) took too long and is killed")
            end(child)
        }
        lookAfterWorkers(at: now)
        recycleNext()
        let due = replacements.filter { $0.at <= now }
        replacements.removeAll { $0.at <= now }
        for replacement in due {
            if replacement.role == .keeper { start(.keeper) } else { startWorker() }
        }
        if case .askingKeeper(_, let deadline) = reload, deadline <= now {
            refuseReload("The keeper did not answer the reload.")
        }
    }
}

extension Child {
    var isLeaving: Bool { if case .leaving = state { true } else { false } }

    /// When the supervisor's patience ends.
    var deadline: Int64? {
        if isKilled { return nil }
        switch state {
        case .starting(let since): return since + Supervisor.startMilliseconds
        case .ready: return nil
        case .leaving(let since):
            let isKeeper = role == .keeper
            return since + (isKeeper ? Supervisor.keeperGraceMilliseconds : Supervisor.workerGraceMilliseconds)
        }
    }
}
