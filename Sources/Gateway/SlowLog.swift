import Encoding
import FastCGI

/// Requests that took long: which route, and where the time went. Nothing that was sent, and no id.
public struct SlowLog: Sendable {
    /// 0: none is slow.
    let milliseconds: Int64
    let log: BoundedLog

    func look(at exchange: Exchange, status: Int) {
        let timing = exchange.timing
        let total = timing.total
        guard milliseconds > 0, total >= milliseconds else { return }
        let own = max(0, total - timing.network - timing.neighbour)
        log.note(
            "slow: \(exchange.method.word) \(exchange.room(4)) \(status) in \(total) ms"
                + " (here \(own), keeper \(timing.neighbour), provider \(timing.network))", .now())
    }
}

extension Method {
    fileprivate var word: String {
        switch self {
        case .get: "GET"
        case .head: "HEAD"
        case .post: "POST"
        case .put: "PUT"
        case .patch: "PATCH"
        case .delete: "DELETE"
        case .options: "OPTIONS"
        case .other: "another method"
        }
    }
}
