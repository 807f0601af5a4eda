import CLinux
import Glibc
import Synchronization

/// Which descriptors are open connections, and who may touch each.
///
/// A thread that epoll hands a connection to takes it (`parked` to `busy`); the sweep of a draining pool takes what is
/// still parked (`parked` to `busy` as well). One of them wins; the other leaves the number alone.
struct Connections: ~Copyable, Sendable {
    private enum State {
        static let closed: UInt8 = 0
        static let parked: UInt8 = 1
        static let busy: UInt8 = 2
    }

    // Every element is atomic, and the storage lives as long as the pool.
    nonisolated(unsafe) private let states: UnsafeMutablePointer<Atomic<UInt8>>
    private let capacity: Int
    private let openCount = Atomic<Int>(0)

    init(capacity: Int) {
        self.capacity = capacity
        states = .allocate(capacity: capacity)
        for index in 0..<capacity { (states + index).initialize(to: Atomic(State.closed)) }
    }

    deinit {
        states.deinitialize(count: capacity)
        states.deallocate()
    }

    var open: Int { openCount.load(ordering: .acquiring) }

    /// False when the number is beyond the table.
    func add(_ descriptor: Int32) -> Bool {
        guard descriptor >= 0, Int(descriptor) < capacity else { return false }
        openCount.wrappingAdd(1, ordering: .acquiringAndReleasing)
        states[Int(descriptor)].store(State.parked, ordering: .releasing)
        return true
    }

    func take(_ descriptor: Int32) -> Bool {
        states[Int(descriptor)].compareExchange(
            expected: State.parked, desired: State.busy, ordering: .acquiringAndReleasing
        ).exchanged
    }

    func park(_ descriptor: Int32) {
        states[Int(descriptor)].store(State.parked, ordering: .releasing)
    }

    /// Closes a connection that the caller has taken.
    func close(_ descriptor: Int32) {
        states[Int(descriptor)].store(State.closed, ordering: .releasing)
        Glibc.close(descriptor)
        openCount.wrappingSubtract(1, ordering: .acquiringAndReleasing)
    }

    /// Takes every parked connection, one after the other.
    func takeAll(_ body: (Int32) -> Void) {
        for descriptor in 0..<Int32(capacity) where take(descriptor) { body(descriptor) }
    }
}
