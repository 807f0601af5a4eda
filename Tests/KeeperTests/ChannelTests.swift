import Broker
import Encoding
import Envelope
import Foundation
import Gateway
import Glibc
import ProviderHTTP
import Secrets
import Synchronization
import Testing
import Threads
import Vault

@testable import Keeper

/// Values from other threads, waited for.
private final class Inbox<Value: Sendable>: Sendable {
    private let values = Mutex<[Value]>([])
    private let arrived = DispatchSemaphore(value: 0)

    func put(_ value: Value) {
        values.withLock { $0.append(value) }
        arrived.signal()
    }

    func next() throws -> Value {
        guard arrived.wait(timeout: .now() + 20) == .success else { throw Missing() }
        return values.withLock { $0.removeFirst() }
    }

    var isEmpty: Bool { values.withLock { $0.isEmpty } }
    struct Missing: Error {}
}

@Suite("Channel between worker and keeper")
struct ChannelTests {
    private typealias Asked = (request: KeeperRequest, waiter: RefreshEngine.Waiter)

    /// An I/O loop on a thread, for as long as this lives.
    private final class Loop: Sendable {
        let http: ProviderHTTP
        init() throws {
            http = try ProviderHTTP()
            _ = try startThread { [http] in http.run() }
        }
        deinit { http.stop() }
    }

    private let worker: Loop
    private let keeper: Loop
    private let channel: KeeperChannel
    private let id = ConnectionID(high: 1, low: 2)

    init() throws {
        _ = Shelf.heap
        (worker, keeper) = (try Loop(), try Loop())
        channel = KeeperChannel(http: worker.http, warmSeconds: 900)
    }

    /// A keeper's end, and what was asked on it.
    private func attach() throws -> (channels: WorkerChannels, asked: Inbox<Asked>, worker: Int32) {
        var ends: [Int32] = [-1, -1]
        guard socketpair(AF_UNIX, Int32(SOCK_SEQPACKET.rawValue), 0, &ends) == 0 else { throw Inbox<Int>.Missing() }
        let asked = Inbox<Asked>()
        let channels = WorkerChannels(http: keeper.http) { asked.put(($0, $1)) }
        channels.attach(ends[0])
        channel.attach(ends[1])
        return (channels, asked, ends[1])
    }

    private func key() throws -> ConnectionKey { ConnectionKey(try Key(random: .system)) }

    @Test("A refresh is asked and answered, many at a time")
    func refreshes() throws {
        let end = try attach()
        let answers = Inbox<RefreshAnswer>()
        for generation in Int64(1)...100 { channel.refresh(id, generation) { answers.put($0) } }
        for _ in 1...100 {
            let (request, waiter) = try end.asked.next()
            guard case .refresh(id, let generation) = request else { throw Inbox<Int>.Missing() }
            end.channels.answer(waiter, .refresh(.refreshed(generation: generation + 1)))
        }
        var seen: Set<RefreshAnswer> = []
        for _ in 1...100 { seen.insert(try answers.next()) }
        #expect(seen == Set((Int64(2)...101).map { RefreshAnswer.refreshed(generation: $0) }))
    }

    @Test("Of more answers than a socket holds none is lost while the worker is busy with something else")
    func overflow() throws {
        var ends: [Int32] = [-1, -1]
        guard socketpair(AF_UNIX, Int32(SOCK_SEQPACKET.rawValue), 0, &ends) == 0 else { throw Inbox<Int>.Missing() }
        let channels = WorkerChannels(http: keeper.http) { _, _ in }
        channels.attach(ends[0])
        let serials = UInt64(1)...600
        for serial in serials {
            channels.answer(RefreshEngine.Waiter(channel: 1, serial: serial), .refresh(.refreshed(generation: 2)))
        }
        var patience = timeval(tv_sec: 10, tv_usec: 0)
        setsockopt(ends[1], SOL_SOCKET, SO_RCVTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
        var seen: Set<UInt64> = []
        var bytes = [UInt8](repeating: 0, count: KeeperProtocol.maximumAnswer)
        while seen.count < serials.count {
            let count = recv(ends[1], &bytes, bytes.count, 0)
            guard count > 0 else { break }
            seen.insert(try bytes[..<count].withUnsafeBytes { try KeeperAnswer.decode($0).serial })
        }
        #expect(seen.count == serials.count)
        close(ends[1])
    }

    @Test("More is asked than a socket holds, while the keeper is busy with something else, and nothing is lost")
    func manyQuestions() throws {
        var ends: [Int32] = [-1, -1]
        guard socketpair(AF_UNIX, Int32(SOCK_SEQPACKET.rawValue), 0, &ends) == 0 else { throw Inbox<Int>.Missing() }
        channel.attach(ends[1])
        for generation in Int64(1)...600 { channel.refresh(id, generation) { _ in } }
        channel.forget(.all)
        let asked = Inbox<Asked>()
        let channels = WorkerChannels(http: keeper.http) { asked.put(($0, $1)) }
        channels.attach(ends[0])
        var generations: Set<Int64> = []
        var forgotten = 0
        for _ in 1...601 {
            switch try asked.next().request {
            case .refresh(_, let generation): generations.insert(generation)
            case .forget: forgotten += 1
            case .hold, .count: throw Inbox<Int>.Missing()
            }
        }
        #expect(generations == Set(1...600) && forgotten == 1)
    }

    @Test("What an ended keeper was asked is asked of its successor")
    func replacement() throws {
        let first = try attach()
        let answers = Inbox<RefreshAnswer>()
        channel.refresh(id, 1) { answers.put($0) }
        _ = try first.asked.next()
        let second = try attach()
        let (request, waiter) = try second.asked.next()
        guard case .refresh(id, 1) = request else { throw Inbox<Int>.Missing() }
        second.channels.answer(waiter, .refresh(.reauthorize))
        #expect(try answers.next() == .reauthorize)
    }

    @Test("Asked while there is no keeper, it waits for one; and where none comes, for its deadline only")
    func absence() throws {
        let answers = Inbox<RefreshAnswer>()
        channel.refresh(id, 1, deadlineMilliseconds: 30) { answers.put($0) }
        #expect(try answers.next() == .unavailable)
        channel.refresh(id, 1) { answers.put($0) }
        let end = try attach()
        let (_, waiter) = try end.asked.next()
        end.channels.answer(waiter, .refresh(.misconfigured))
        #expect(try answers.next() == .misconfigured)
    }

    @Test("An answer that comes after the deadline reaches nobody")
    func late() throws {
        let end = try attach()
        let answers = Inbox<RefreshAnswer>()
        channel.refresh(id, 1, deadlineMilliseconds: 20) { answers.put($0) }
        let (_, waiter) = try end.asked.next()
        #expect(try answers.next() == .unavailable)
        end.channels.answer(waiter, .refresh(.refreshed(generation: 2)))
        channel.refresh(id, 7) { answers.put($0) }
        let (_, next) = try end.asked.next()
        end.channels.answer(next, .refresh(.refreshed(generation: 8)))
        #expect(try answers.next() == .refreshed(generation: 8))
        #expect(answers.isEmpty)
    }

    @Test("Junk on the channel harms nobody")
    func junk() throws {
        let end = try attach()
        let dice = Dice(5)
        for _ in 0..<50 {
            let bytes = dice.randomness.bytes(1 + dice.below(200))
            _ = send(end.worker, bytes, bytes.count, Int32(MSG_NOSIGNAL))
        }
        let answers = Inbox<RefreshAnswer>()
        channel.refresh(id, 1) { answers.put($0) }
        let (_, waiter) = try end.asked.next()
        end.channels.answer(waiter, .refresh(.retryLater(seconds: 3)))
        #expect(try answers.next() == .retryLater(seconds: 3))
    }

    @Test("A key is handed over once in a while, and again when it is needed, was dropped, or the keeper is another")
    func holding() throws {
        let end = try attach()
        let key = try key()
        func expectHold(_ asked: Inbox<Asked>) throws {
            guard case .hold(id, _, 900, let held) = try asked.next().request else { throw Inbox<Int>.Missing() }
            let isSame = held.key.matches(key.key)
            #expect(isSame)
        }
        for _ in 0..<5 { channel.hold(id, 1, key) }
        try expectHold(end.asked)
        channel.hold(id, 1, key, isNeeded: true)
        try expectHold(end.asked)
        channel.hold(id, 2, key)
        try expectHold(end.asked)
        channel.forget(.person(PersonID(high: 9, low: 9)))
        guard case .forget(.person) = try end.asked.next().request else { throw Inbox<Int>.Missing() }
        channel.hold(id, 2, key)
        try expectHold(end.asked)
        let answers = Inbox<RefreshAnswer>()
        channel.refresh(id, 2) { answers.put($0) }
        end.channels.answer(try end.asked.next().waiter, .noKey)
        #expect(try answers.next() == .unavailable)
        channel.hold(id, 2, key)
        try expectHold(end.asked)
        let other = try attach()
        channel.hold(id, 2, key)
        try expectHold(other.asked)
        #expect(end.asked.isEmpty)
    }

    @Test("A count comes back, or nothing where nobody answers")
    func counting() throws {
        let end = try attach()
        let counts = Inbox<Int64?>()
        channel.count(of: PersonID(high: 1, low: 1)) { counts.put($0) }
        end.channels.answer(try end.asked.next().waiter, .count(4))
        #expect(try counts.next() == 4)
        channel.count(of: PersonID(high: 1, low: 1), deadlineMilliseconds: 20) { counts.put($0) }
        #expect(try counts.next() == nil)
    }
}
