import Encoding
import Synchronization

/// Lines that anybody from outside can cause: so many at once and so many a second, then a count. Nobody fills a disk.
final class BoundedLog: Sendable {
    static let burst = 50
    static let perSecond: Int64 = 5

    private struct Budget {
        var left = BoundedLog.burst
        var filledAt: Instant
        var unsaid = 0
    }

    private let budget: Mutex<Budget>
    private let say: @Sendable (String) -> Void

    init(at now: Instant, say: @escaping @Sendable (String) -> Void) {
        budget = Mutex(Budget(filledAt: now))
        self.say = say
    }

    func note(_ line: @autoclosure () -> String, _ now: Instant) {
        let unsaid: Int? = budget.withLock { budget in
            let seconds = max(0, budget.filledAt.seconds(until: now))
            if seconds > 0 {
                budget.left = Int(min(Int64(Self.burst), Int64(budget.left) + min(seconds, 3600) * Self.perSecond))
                budget.filledAt = now
            }
            guard budget.left > 0 else {
                budget.unsaid += 1
                return nil
            }
            budget.left -= 1
            defer { budget.unsaid = 0 }
            return budget.unsaid
        }
        guard let unsaid else { return }
        say(line() + (unsaid > 0 ? ", and \(unsaid) more since the last line" : ""))
    }
}
