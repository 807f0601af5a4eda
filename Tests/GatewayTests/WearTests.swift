import Encoding
import Synchronization
import Testing

@testable import Gateway

@Suite("What a worker says of itself")
struct WearTests {
    @Test(
        "Bounds lie within a fifth of what is configured, and both ends are reached", arguments: [0, 1, 65_535, 30_000])
    func spread(spread: Int) {
        let wear = Wear(requests: 200, bytes: 1 << 30, spread: spread)
        #expect((160...240).contains(wear.requests))
        #expect((858_993_000...1_288_491_000).contains(wear.bytes))
        #expect(Wear(requests: 200, bytes: 0, spread: 0).requests == 160)
        #expect(Wear(requests: 200, bytes: 0, spread: 65_535).requests == 240)
    }

    @Test("Enough is enough of either, and 0 is never")
    func reason() {
        let wear = Wear(requests: 1000, bytes: 100 << 20, spread: 32_768)
        #expect(wear.reason(answered: 999, bytes: 99 << 20) == nil)
        #expect(wear.reason(answered: 1001, bytes: 0) == "1001 requests answered")
        #expect(wear.reason(answered: 0, bytes: 101 << 20) == "101 MB of memory held")
        #expect(Wear(requests: 0, bytes: 0, spread: 5).reason(answered: .max - 1, bytes: .max - 1) == nil)
    }

    @Test("A process knows what it holds by itself")
    func held() {
        let before = Wear.heldBytes()
        #expect(before > 1 << 20)
        let block = [UInt8](repeating: 1, count: 64 << 20)
        #expect(Wear.heldBytes() - before > 48 << 20)
        #expect(block.last == 1)
    }

    @Test("Lines from outside come fifty at once and five a second, and what was left out is counted")
    func bounded() {
        let said = Mutex<[String]>([])
        let start = Instant(milliseconds: 1_800_000_000_000)
        let log = BoundedLog(at: start) { line in said.withLock { $0.append(line) } }
        for number in 0..<80 { log.note("line \(number)", start) }
        #expect(said.withLock { $0.count } == 50)
        for number in 0..<20 { log.note("later \(number)", start.adding(seconds: 2)) }
        #expect(said.withLock { $0.count } == 60)
        #expect(said.withLock { $0[50] } == "later 0, and 30 more since the last line")
        #expect(said.withLock { $0[51] } == "later 1")
    }
}
