import CLinux
import Glibc
import Synchronization

/// Which of a pool's threads take up requests: as many as there is a processor for. Each one more would be woken for a
/// request that a running thread takes up just as soon, which costs more than answering it (docs/BENCHMARKS.md). The
/// others rest, one of them with an eye on the clock: when all that work have been with one request for a while, because
/// it computes or waits for a lock or for the disk, it joins them; whoever is one too many afterwards rests.
struct Shift: ~Copyable, Sendable {
    private static let patienceMilliseconds: Int32 = 10
    private static let idleMilliseconds: Int32 = 100

    private let most: Int
    private let awake: Atomic<Int>
    private let hasWatcher = Atomic<Bool>(false)
    /// A semaphore (eventfd(2)): written when a watcher goes to work, so that another one watches.
    private let relief: Int32

    init(threads: Int, most: Int) throws(PoolError) {
        self.most = most
        awake = Atomic(threads)
        relief = try PoolError.check("eventfd", eventfd(0, Int32(EFD_CLOEXEC | EFD_NONBLOCK | EFD_SEMAPHORE)))
    }

    deinit { close(relief) }

    /// To be called between two requests: true when this thread is to rest.
    func dismiss() -> Bool {
        guard awake.load(ordering: .relaxed) > most else { return false }
        var known = awake.load(ordering: .relaxed)
        while known > most {
            let result = awake.compareExchange(expected: known, desired: known - 1, ordering: .acquiringAndReleasing)
            if result.exchanged { return true }
            known = result.original
        }
        return false
    }

    /// Rests until this thread is needed: true. False when `finish` became readable.
    func rest(until finish: Int32, _ counters: borrowing Counters) -> Bool {
        while true {
            guard !hasWatcher.exchange(true, ordering: .acquiringAndReleasing) else {
                guard wait(milliseconds: -1, finish) else { return false }
                continue
            }
            let isNeeded = watch(finish, counters)
            if isNeeded { awake.wrappingAdd(1, ordering: .acquiringAndReleasing) }
            hasWatcher.store(false, ordering: .releasing)
            eventfd_write(relief, 1)
            return isNeeded
        }
    }

    private func watch(_ finish: Int32, _ counters: borrowing Counters) -> Bool {
        var answered = counters.answeredSoFar
        var milliseconds = Self.idleMilliseconds
        while true {
            guard wait(milliseconds: milliseconds, finish) else { return false }
            let now = counters.answeredSoFar
            let isBusy = counters.busyNow > 0
            if now == answered, isBusy, counters.busyNow >= awake.load(ordering: .relaxed),
                milliseconds == Self.patienceMilliseconds
            {
                return true
            }
            milliseconds = isBusy || now != answered ? Self.patienceMilliseconds : Self.idleMilliseconds
            answered = now
        }
    }

    private func wait(milliseconds: Int32, _ finish: Int32) -> Bool {
        var both = (
            pollfd(fd: relief, events: Int16(POLLIN), revents: 0), pollfd(fd: finish, events: Int16(POLLIN), revents: 0)
        )
        withUnsafeMutableBytes(of: &both) {
            _ = poll($0.baseAddress?.assumingMemoryBound(to: pollfd.self), 2, milliseconds)
        }
        var count: eventfd_t = 0
        if both.0.revents != 0 { eventfd_read(relief, &count) }
        return both.1.revents == 0
    }
}
