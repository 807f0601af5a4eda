import Glibc

/// Which workers are to be replaced because they have served long enough. One at a time, and nobody leaves before another
/// is ready: at no moment are there fewer than configured, and at most one more.
struct Recycling {
    struct Change: Equatable {
        let old: pid_t
        let successor: Role
    }

    static let pauseMilliseconds: Int64 = 1_000

    var worn: [pid_t] = []
    var change: Change?
    /// After a successor that did not start.
    var notBefore: Int64 = 0

    /// When the next can be replaced, as far as time has a part in it.
    var due: Int64? { change == nil && !worn.isEmpty && notBefore > 0 ? notBefore : nil }
}

extension Supervisor {
    func isWorn(_ worker: Child, _ reason: String) {
        guard case .worker = worker.role, !worker.isLeaving, !recycling.worn.contains(worker.pid),
            recycling.change?.old != worker.pid
        else { return }
        plan.log("\(worker.role) (pid \(worker.pid)) is to be replaced: \(reason)")
        recycling.worn.append(worker.pid)
        recycleNext()
    }

    /// Only in a pool that is whole, and never beside a reload: that replaces everybody.
    func recycleNext() {
        guard phase == .running, case .none = reload, recycling.change == nil, now() >= recycling.notBefore,
            replacements.isEmpty, workers.allSatisfy({ $0.state == .ready }), !recycling.worn.isEmpty
        else { return }
        recycling.notBefore = 0
        let old = recycling.worn.removeFirst()
        startWorker()
        let successor = Role.worker(lastWorker)
        // One that could not be started is nobody's replacement: the old one is still there.
        replacements.removeAll { $0.role == successor }
        if workers.contains(where: { $0.role == successor }) {
            recycling.change = Recycling.Change(old: old, successor: successor)
        } else {
            recycling.worn.append(old)
            recycling.notBefore = now() + Recycling.pauseMilliseconds
        }
    }

    /// A successor is ready: the old one finishes what it has.
    func succeed(_ child: Child) {
        guard let change = recycling.change else { return recycleNext() }
        guard child.role == change.successor, let old = children[change.old] else { return }
        leave(old)
        // It would not even hear that it is to leave.
        if old.isStuck { end(old) }
    }

    /// - Returns: true when the pool is whole without this child.
    func recycleWithout(_ child: Child) -> Bool {
        recycling.worn.removeAll { $0 == child.pid }
        guard let change = recycling.change else { return false }
        defer { recycleNext() }
        if child.pid == change.old {
            recycling.change = nil
            // It broke down while its successor was on the way.
            return true
        }
        guard child.role == change.successor else { return false }
        recycling.change = nil
        guard case .starting = child.state, children[change.old] != nil else { return false }
        recycling.worn.append(change.old)
        recycling.notBefore = now() + max(Recycling.pauseMilliseconds, workerBurst.crashed(at: now()))
        return true
    }
}
