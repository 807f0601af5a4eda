import Glibc

/// Milliseconds of CLOCK_BOOTTIME, which no setting of the clock moves and which counts a suspended machine's sleep.
struct Uptime: Comparable, Sendable {
    let milliseconds: Int64

    static func now() -> Uptime {
        var time = timespec()
        clock_gettime(CLOCK_BOOTTIME, &time)
        return Uptime(milliseconds: Int64(time.tv_sec) * 1000 + Int64(time.tv_nsec) / 1_000_000)
    }

    func adding(milliseconds more: Int) -> Uptime { Uptime(milliseconds: milliseconds + Int64(more)) }

    static func < (one: Uptime, other: Uptime) -> Bool { one.milliseconds < other.milliseconds }
}

/// Bodies to run at a time: a binary heap, the next one first; those of the same millisecond in the order they came.
struct Timers {
    private struct Entry {
        let due: Uptime
        let order: UInt64
        let body: @Sendable () -> Void

        func isBefore(_ other: Entry) -> Bool { due == other.due ? order < other.order : due < other.due }
    }

    private var heap: [Entry] = []
    private var added: UInt64 = 0

    var next: Uptime? { heap.first?.due }

    mutating func add(due: Uptime, _ body: @escaping @Sendable () -> Void) {
        added += 1
        heap.append(Entry(due: due, order: added, body: body))
        var child = heap.count - 1
        while child > 0, heap[child].isBefore(heap[(child - 1) / 2]) {
            heap.swapAt(child, (child - 1) / 2)
            child = (child - 1) / 2
        }
    }

    /// The next body that is due, taken out.
    mutating func popDue(at now: Uptime) -> (@Sendable () -> Void)? {
        guard let first = heap.first, first.due <= now else { return nil }
        heap.swapAt(0, heap.count - 1)
        heap.removeLast()
        var parent = 0
        while true {
            let children = (2 * parent + 1)..<min(2 * parent + 3, max(heap.count, 2 * parent + 1))
            guard let least = children.min(by: { heap[$0].isBefore(heap[$1]) }), heap[least].isBefore(heap[parent])
            else { break }
            heap.swapAt(parent, least)
            parent = least
        }
        return first.body
    }
}
