/// Where the time of a request goes, to a few milliseconds: the clock that costs no more than a read of memory.
public struct Timing: Sendable {
    /// For what a request is set aside.
    public enum Wait: Sendable {
        /// A server elsewhere.
        case network
        /// Another process of ours.
        case neighbour
    }

    private let began: Int64
    private var waiting: (for: Wait, since: Int64)?
    /// Milliseconds, of all times that it waited.
    public private(set) var network: Int64 = 0
    public private(set) var neighbour: Int64 = 0

    init() { began = Self.now }

    /// It is set aside.
    public mutating func wait(for what: Wait) { waiting = (what, Self.now) }

    /// A thread has it again.
    public mutating func goOn() {
        guard let waiting else { return }
        let waited = Self.now - waiting.since
        switch waiting.for {
        case .network: network += waited
        case .neighbour: neighbour += waited
        }
        self.waiting = nil
    }

    /// Since its first byte was read.
    public var total: Int64 { Self.now - began }

    private static var now: Int64 { monotonicMilliseconds() }
}
