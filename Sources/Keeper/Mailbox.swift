import CLinux
import Glibc
import Synchronization

/// Where other threads leave events for the engine's thread, which sleeps until there is one or its time has come.
final class Mailbox<Event: Sendable>: Sendable {
    private let events = Mutex<[Event]>([])
    private let bell: Int32

    /// nil: no descriptor to be had.
    init?() {
        bell = eventfd(0, Int32(EFD_CLOEXEC | EFD_NONBLOCK))
        guard bell >= 0 else { return nil }
    }

    deinit { close(bell) }

    func put(_ event: Event) {
        events.withLock { $0.append(event) }
        ring()
    }

    func ring() {
        var one: UInt64 = 1
        // Full means rung already.
        _ = write(bell, &one, 8)
    }

    /// Everything that has come, at the latest after `milliseconds`; perhaps nothing.
    func take(within milliseconds: Int64) -> [Event] {
        let waiting = take()
        guard waiting.isEmpty else { return waiting }
        var state = pollfd(fd: bell, events: Int16(POLLIN), revents: 0)
        poll(&state, 1, Int32(max(0, min(milliseconds, 60_000))))
        return take()
    }

    private func take() -> [Event] {
        // The bell first: what comes after this rings again.
        var count: UInt64 = 0
        _ = read(bell, &count, 8)
        return events.withLock { events in
            defer { events = [] }
            return events
        }
    }
}
