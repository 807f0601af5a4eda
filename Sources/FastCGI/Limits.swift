/// The bounds of one pool. Nothing that a peer sends makes it hold more.
public struct Limits: Sendable {
    /// A longer body is dropped and reported as too large.
    public var bodyBytes = 64 * 1024
    /// How much of a body that is too large is read, so that it can still be answered; beyond, the connection is closed.
    public var drainedBytes = 1024 * 1024
    public var parameterBytes = 128 * 1024
    public var parameters = 256
    /// Open connections, idle ones included; beyond, the rest waits in the listener's queue.
    public var connections = 2048
    /// A request's bytes arrive within this time, and each of its writes is taken within it.
    public var ioMilliseconds: Int64 = 5000
    /// How many requests may wait for the network at once (architecture.md "No request thread waits").
    public var setAside = 512
    /// How long one request may wait for the network in all, however often it is set aside.
    public var setAsideMilliseconds: Int64 = 8000

    /// A thread that has one request for so many looks (`Pool.look`) is stuck. At one every three seconds that is 12 to 15
    /// seconds: more than reading, writing and SQLite's patience may take together.
    public var looks = 5

    public init() {}
}

/// What a pool has done and is doing; for `/metrics`.
public struct PoolStatus: Sendable {
    public var accepted = 0
    public var answered = 0
    /// Connections closed because they carried no proper request.
    public var malformed = 0
    /// Connections closed because the peer was another user.
    public var foreign = 0
    public var open = 0
    public var busyThreads = 0
    public var threads = 0
    public var setAside = 0
    public var isDraining = false
}
