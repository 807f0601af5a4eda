/// Answers requests on one thread, and owns what that thread owns (its database connection).
///
/// It is made on its thread, and never leaves it.
public struct Handler<Resumption: Sendable> {
    /// Answers a new request, or sets it aside.
    let respond: (Exchange) -> Verdict
    /// Goes on with a request that was set aside, with what it waited for.
    let resume: (Exchange, Resumption) -> Verdict

    public init(
        respond: @escaping (Exchange) -> Verdict,
        resume: @escaping (Exchange, Resumption) -> Verdict
    ) {
        self.respond = respond
        self.resume = resume
    }
}

/// Names one waiting of one request. Given to whoever will know the answer; worthless after its first use.
public struct Ticket: Hashable, Sendable {
    let number: UInt64
}

/// Why a pool did not start.
public enum PoolError: Error, Sendable, Equatable {
    case system(call: String, errno: Int32)
    /// libfcgi still makes its own system calls: it was linked in a way that our definitions do not reach.
    case unguarded
}
