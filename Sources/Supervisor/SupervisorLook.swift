import Glibc

// Workers that do not answer: one thread of theirs, or all of them.

extension Supervisor {
    private static let lookMilliseconds: Int64 = 3_000

    /// Asks every worker to look at its threads, and has those replaced that did not answer for some rounds. Rounds are
    /// counted, not seconds: after the machine slept, nobody is late. The keeper is not asked: it alone may have a refresh
    /// under way, whose answer must not be lost, and one that is stopped goes on where it was.
    func lookAfterWorkers(at now: Int64) {
        guard phase == .running, now >= nextLook else { return }
        nextLook = now + Self.lookMilliseconds
        for worker in workers where worker.state == .ready && !worker.isSilent {
            if worker.unanswered == 0 { try? worker.control.send(.look) }
            // Whoever is held by a debugger is looked at by somebody already.
            let unanswered = isTraced(worker.pid) ? 1 : worker.unanswered + 1
            children[worker.pid]?.unanswered = unanswered
            if unanswered == Child.patience {
                isWorn(
                    worker, "it has not answered for \((Int64(Child.patience) - 1) * Self.lookMilliseconds / 1000) s")
            }
        }
    }

    /// Stopped by ptrace(2): state "t" of /proc/PID/stat (proc(5)), behind the name in parentheses.
    private func isTraced(_ pid: pid_t) -> Bool {
        let file = open("/proc/\(pid)/stat", O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return false }
        defer { close(file) }
        var text = [UInt8](repeating: 0, count: 512)
        let count = read(file, &text, text.count)
        guard count > 0, let end = text[..<count].lastIndex(of: 0x29), end + 2 < count else { return false }
        return text[end + 2] == 0x74
    }
}

extension Child {
    static let patience = 5

    /// It does not even say that it is there.
    var isStuck: Bool { unanswered >= Self.patience }
}
