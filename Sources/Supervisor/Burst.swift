/// How long to wait before a crashed process is replaced.
///
/// At once, until there were five crashes in ten seconds (reliability.md R1); then twice as long each time, up to half
/// a minute. A quiet ten seconds forgets it all. Times are milliseconds of any clock that never jumps.
public struct Burst: Sendable {
    private static let window: Int64 = 10_000
    private static let most = 5
    private static let first: Int64 = 500
    private static let longest: Int64 = 30_000

    private var crashes: [Int64] = []
    private var delay: Int64 = 0

    public init() {}

    /// Counts a crash; returns the milliseconds to wait.
    public mutating func crashed(at now: Int64) -> Int64 {
        if let last = crashes.last, now - last > Self.window + delay { delay = 0 }
        crashes.removeAll { now - $0 > Self.window + delay }
        crashes.append(now)
        guard crashes.count >= Self.most || delay > 0 else { return 0 }
        delay = delay == 0 ? Self.first : min(delay * 2, Self.longest)
        return delay
    }
}
