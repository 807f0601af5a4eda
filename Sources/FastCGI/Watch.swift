import Glibc
import Synchronization

/// Which of a pool's threads are with the same request look after look: a disk that does not answer, a lock that nobody
/// gives back. No deadline of ours ends that, so somebody else has to see it.
///
/// Counted are looks, not seconds: a process that was stopped as a whole, or a machine that slept, has looked at nothing
/// meanwhile, and nobody is cut off for it.
struct Watch: ~Copyable, Sendable {
    /// A slot's value: 0 for a thread without a request; else a number that no two of its requests share, and the
    /// connection above it.
    private static let isCut: UInt64 = 1 << 63
    private static let stride = 8

    private struct Seen {
        var value: UInt64 = 0
        var looks = 0
    }

    // Every element is atomic, and the storage lives as long as the pool. A cache line for each: they are written with
    // every request, and by their own thread only.
    nonisolated(unsafe) private let slots: UnsafeMutablePointer<Atomic<UInt64>>
    private let threads: Int
    private let seen: Mutex<[Seen]>

    init(threads: Int) {
        self.threads = threads
        slots = .allocate(capacity: threads * Self.stride)
        for index in 0..<threads * Self.stride { (slots + index).initialize(to: Atomic(0)) }
        seen = Mutex(Array(repeating: Seen(), count: threads))
    }

    deinit {
        slots.deinitialize(count: threads * Self.stride)
        slots.deallocate()
    }

    /// This thread has this connection from now on.
    func begin(_ thread: RequestThread, _ connection: Int32) {
        thread.taken &+= 1
        slots[thread.number * Self.stride].store(
            UInt64(UInt32(bitPattern: connection)) << 32 & ~Self.isCut | UInt64(thread.taken), ordering: .relaxed)
    }

    /// It lets go of it: to be called before the connection can be closed or be another thread's.
    func end(_ thread: RequestThread) {
        let before = slots[thread.number * Self.stride].exchange(0, ordering: .acquiringAndReleasing)
        // Whoever cuts it off may be about to: the connection's number must not be another connection's by then.
        if before & Self.isCut != 0 { seen.withLock { _ in } }
    }

    /// Cuts the connections of those that were with the same request at so many looks in a row.
    ///
    /// - Returns: how many threads are so, those that were cut before included.
    func look(patience: Int) -> Int {
        seen.withLock { seen in
            var stuck = 0
            for thread in 0..<threads {
                let slot = slots + thread * Self.stride
                let value = slot.pointee.load(ordering: .acquiring)
                if value & Self.isCut != 0 {
                    stuck += 1
                } else if value == 0 || value != seen[thread].value {
                    seen[thread] = Seen(value: value, looks: value == 0 ? 0 : 1)
                } else {
                    seen[thread].looks += 1
                    guard seen[thread].looks >= patience else { continue }
                    let cut = slot.pointee.compareExchange(
                        expected: value, desired: value | Self.isCut, ordering: .acquiringAndReleasing)
                    guard cut.exchanged else { continue }
                    shutdown(Int32(bitPattern: UInt32(value >> 32)), Int32(SHUT_RDWR))
                    stuck += 1
                }
            }
            return stuck
        }
    }
}
