import Synchronization

/// The requests that wait for the network, and those of them that may go on.
///
/// An answer can come before the handler that asked for it has returned; it is kept then, and taken up at once.
final class Waiting<Resumption: Sendable>: Sendable {
    private struct Entry {
        let exchange: Exchange
        let deadline: Int64
        let otherwise: Resumption
        /// The handler's thread is done with it.
        var isParked = false
        var answer: Resumption?
    }

    private struct State {
        var entries: [UInt64: Entry] = [:]
        var ready: [(Exchange, Resumption)] = []
        var next: UInt64 = 1
    }

    private let state = Mutex(State())
    private let count = Atomic<Int>(0)

    /// How many wait or are about to go on.
    var population: Int { count.load(ordering: .acquiring) }

    func add(_ exchange: Exchange, deadline: Int64, otherwise: Resumption, most: Int) -> Ticket? {
        state.withLock { state in
            guard state.entries.count < most else { return nil }
            let number = state.next
            state.next += 1
            state.entries[number] = Entry(exchange: exchange, deadline: deadline, otherwise: otherwise)
            count.wrappingAdd(1, ordering: .acquiringAndReleasing)
            exchange.ticket = number
            return Ticket(number: number)
        }
    }

    /// The handler has returned `.setAside`. Returns the answer when it is there already.
    func park(_ exchange: Exchange) -> Resumption? {
        state.withLock { state in
            guard let answer = state.entries[exchange.ticket]?.answer else {
                state.entries[exchange.ticket]?.isParked = true
                return nil
            }
            state.entries[exchange.ticket] = nil
            count.wrappingSubtract(1, ordering: .acquiringAndReleasing)
            return answer
        }
    }

    /// The handler answered although it held a ticket: the ticket is worthless now.
    func withdraw(_ exchange: Exchange) {
        guard exchange.ticket != 0 else { return }
        state.withLock { state in
            if state.entries.removeValue(forKey: exchange.ticket) != nil {
                count.wrappingSubtract(1, ordering: .acquiringAndReleasing)
            }
        }
        exchange.ticket = 0
    }

    /// False when the ticket is used or has expired. `isReady` says whether a thread has to be woken.
    func answer(_ ticket: Ticket, with answer: Resumption) -> (accepted: Bool, isReady: Bool) {
        state.withLock { state in
            guard let entry = state.entries[ticket.number], entry.answer == nil else { return (false, false) }
            guard entry.isParked else {
                state.entries[ticket.number]?.answer = answer
                return (true, false)
            }
            state.entries[ticket.number] = nil
            state.ready.append((entry.exchange, answer))
            return (true, true)
        }
    }

    /// Moves what waited too long to the ready ones; returns how many.
    func expire(at now: Int64) -> Int {
        state.withLock { state in
            var expired = 0
            for (number, entry) in state.entries where entry.isParked && entry.deadline <= now {
                state.entries[number] = nil
                state.ready.append((entry.exchange, entry.otherwise))
                expired += 1
            }
            return expired
        }
    }

    /// The next that may go on, and whether there are more.
    func takeReady() -> (exchange: Exchange, answer: Resumption, hasMore: Bool)? {
        state.withLock { state in
            guard !state.ready.isEmpty else { return nil }
            let (exchange, answer) = state.ready.removeFirst()
            count.wrappingSubtract(1, ordering: .acquiringAndReleasing)
            return (exchange, answer, !state.ready.isEmpty)
        }
    }
}
