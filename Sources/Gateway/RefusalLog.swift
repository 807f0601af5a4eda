import Broker
import Encoding
import FastCGI
import Logging
import Synchronization

/// What was refused to somebody who is not known: wrong keys, codes and origins. It is no part of the record that vending
/// waits for, so nobody can fill that one from outside; and this one is bounded, too. nginx's log has the addresses.
public final class RefusalLog: Sendable {
    static let burst = 50
    static let perSecond: Int64 = 5

    private struct Budget {
        var left = RefusalLog.burst
        var filledAt: Instant
        var unsaid = 0
    }

    private let budget: Mutex<Budget>
    private let say: @Sendable (String) -> Void

    public init(at now: Instant, say: @escaping @Sendable (String) -> Void) {
        budget = Mutex(Budget(filledAt: now))
        self.say = say
    }

    /// - Parameter room: which part of the service; never what was sent.
    func note(_ code: String, at room: String, _ now: Instant) {
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
        say("refused: \(code) at \(room)" + (unsaid > 0 ? ", and \(unsaid) more since the last line" : ""))
    }
}

extension Refusal {
    /// The code of a refusal to somebody who did not say who they are, or was not who they said.
    var stranger: String? {
        switch self {
        case .invalidToken: "invalid-token"
        case .crossSite: "cross-site"
        case .invalidInvitation: "invalid-invitation"
        default: nil
        }
    }
}

extension Exchange {
    /// The first two parts of the path, as far as they are words: what follows may be somebody's.
    var room: String {
        let parts = path.split(separator: "/").prefix(2).prefix { part in
            part.count <= 20 && part.allSatisfy { $0.isASCII && ($0.isLowercase || $0 == "-") }
        }
        return "/" + parts.joined(separator: "/")
    }
}
