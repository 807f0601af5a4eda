import CLinux
import Glibc
import Synchronization

/// Which descriptors are open connections, and who may touch each.
///
/// epoll reports a connection once for all the bytes that came (EPOLLET), so that no request pays for arming it again. A
/// thread that is told of one takes it; where another thread has it, that one is left a note to look once more before it
/// lets go. The sweep of a draining pool takes what is parked. Whoever does not get a connection leaves its number alone.
struct Connections: ~Copyable, Sendable {
    private enum State {
        static let closed: UInt8 = 0
        static let parked: UInt8 = 1
        static let busy: UInt8 = 2
        static let busyAgain: UInt8 = 3
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
        guard descriptor >= 0, Int(descriptor) < capacity else { return false }
        while true {
            switch exchange(descriptor, from: State.parked, to: State.busy) {
            case State.parked: return true
            case State.busy:
                if exchange(descriptor, from: State.busy, to: State.busyAgain) == State.busy { return false }
            default: return false
            }
        }
    }

    /// Lets go of a connection; false when there is a note, and the caller still has it.
    func park(_ descriptor: Int32) -> Bool {
        if exchange(descriptor, from: State.busy, to: State.parked) == State.busy { return true }
        states[Int(descriptor)].store(State.busy, ordering: .releasing)
        return false
    }

    private func exchange(_ descriptor: Int32, from old: UInt8, to new: UInt8) -> UInt8 {
        states[Int(descriptor)].compareExchange(expected: old, desired: new, ordering: .acquiringAndReleasing).original
    }

    /// Closes a connection that the caller has taken.
    func close(_ descriptor: Int32) {
        states[Int(descriptor)].store(State.closed, ordering: .releasing)
        Glibc.close(descriptor)
        openCount.wrappingSubtract(1, ordering: .acquiringAndReleasing)
    }

    /// Takes every parked connection, one after the other.
    func takeAll(_ body: (Int32) -> Void) {
        for descriptor in 0..<Int32(capacity)
        where exchange(descriptor, from: State.parked, to: State.busy) == State.parked {
            body(descriptor)
        }
    }
}
