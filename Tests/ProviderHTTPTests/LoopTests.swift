import Foundation
import OAuth
import ProviderHTTP
import Synchronization
import Testing

@Suite("The loop")
struct LoopTests {
    @Test("512 calls are under way at the same time, and each gets its answer")
    func parallel() async throws {
        let provider = try ProviderDouble()
        let loop = try LoopThread()
        try await loop.arm(provider, #"{"family": "generic", "endpoint": "token", "kind": "hold"}"#)
        async let kinds = withTaskGroup(of: String.self, returning: [String].self) { group in
            for _ in 0..<512 {
                group.addTask { await loop.send(.exchange(provider)).kind }
            }
            return await group.reduce(into: []) { $0.append($1) }
        }
        struct Waited: Decodable { let reached: Bool }
        let waited: Waited = try await loop.control(
            provider, "wait?family=generic&endpoint=exchange&count=512&timeout=12")
        #expect(waited.reached)
        #expect(loop.http.pending == 512)
        let _: Ignored = try await loop.control(provider, "release", "{}")
        #expect(await kinds == Array(repeating: "400", count: 512))
        #expect(loop.http.pending == 0)
    }

    @Test("Calls from many threads wake the loop and are answered on its one thread")
    func threads() async throws {
        let provider = try ProviderDouble()
        let loop = try LoopThread()
        let names = Mutex<Set<UInt>>([])
        await withCheckedContinuation { continuation in
            let left = Atomic<Int>(200)
            for _ in 0..<8 {
                Thread.detachNewThread {
                    for _ in 0..<25 {
                        loop.http.send(.exchange(provider)) { outcome in
                            #expect(outcome.kind == "400")
                            names.withLock { _ = $0.insert(UInt(pthread_self())) }
                            if left.subtract(1, ordering: .relaxed).newValue == 0 { continuation.resume() }
                        }
                    }
                }
            }
        }
        #expect(names.withLock { $0.count } == 1)
    }

    @Test("Providers that never answer hold up nobody else")
    func deadHost() async throws {
        let provider = try ProviderDouble()
        let silent = try Listener { _, fd in readToEnd(fd) }
        defer { silent.stop() }
        let loop = try LoopThread()
        var limits = ProviderCall.Limits()
        limits.allowsLoopbackHTTP = true
        (limits.connectMilliseconds, limits.totalMilliseconds) = (600_000, 600_000)
        for scheme in ["http", "https"] {
            let call = ProviderCall(method: "POST", url: "\(scheme)://127.0.0.1:\(silent.port)/", limits: limits)
            for _ in 0..<64 { loop.http.send(call) { _ in } }
        }
        for _ in 0..<10 {
            #expect(await loop.send(.exchange(provider)).kind == "400")
        }
        #expect(loop.http.pending == 128)
    }

    @Test("A completion may send the next call")
    func chain() async throws {
        let provider = try ProviderDouble()
        let loop = try LoopThread()
        let kind = await withCheckedContinuation { continuation in
            loop.http.send(.exchange(provider)) { _ in
                loop.http.send(.exchange(provider)) { continuation.resume(returning: $0.kind) }
            }
        }
        #expect(kind == "400")
    }

    @Test("Timers run in the order of their times, none before its own")
    func timers() async throws {
        let loop = try LoopThread()
        let start = ContinuousClock.now
        let fired = Mutex<[(Int, Duration)]>([])
        await withCheckedContinuation { continuation in
            for delay in [60, 20, 40, 0, 40, 80] {
                loop.http.after(milliseconds: delay) {
                    let count = fired.withLock { list in
                        list.append((delay, ContinuousClock.now - start))
                        return list.count
                    }
                    if count == 6 { continuation.resume() }
                }
            }
        }
        let order = fired.withLock { $0 }
        #expect(order.map(\.0) == [0, 20, 40, 40, 60, 80])
        // A millisecond less: the start was taken before the timers were.
        #expect(order.allSatisfy { $0.1 >= .milliseconds($0.0 - 1) })
    }

    @Test(
        "A watched descriptor is served when it has something, and when its other end is gone",
        arguments: [true, false])
    func watched(writes: Bool) async throws {
        let loop = try LoopThread()
        var ends: [Int32] = [0, 0]
        #expect(pipe(&ends) == 0)
        let (readEnd, writeEnd) = (ends[0], ends[1])
        let got = await withCheckedContinuation { continuation in
            loop.http.watch(fd: readEnd) {
                var byte: UInt8 = 0
                let count = read(readEnd, &byte, 1)
                loop.http.unwatch(fd: readEnd)
                close(readEnd)
                continuation.resume(returning: count)
            }
            if writes { #expect(Foundation.write(writeEnd, [1], 1) == 1) } else { close(writeEnd) }
        }
        #expect(got == (writes ? 1 : 0))
        if writes { close(writeEnd) }
    }

    @Test("Stopping answers what is under way and what comes after")
    func stop() async throws {
        let provider = try ProviderDouble()
        let other = try LoopThread()
        let loop = try LoopThread()
        try await other.arm(provider, #"{"family": "generic", "endpoint": "token", "kind": "hold"}"#)
        async let held = loop.send(.exchange(provider)).kind
        let _: Ignored = try await other.control(provider, "wait?family=generic&endpoint=exchange")
        loop.http.stop()
        #expect(await held == "lost")
        #expect(await loop.send(.exchange(provider)).kind == "notSent")
        #expect(loop.http.pending == 0)
    }
}
