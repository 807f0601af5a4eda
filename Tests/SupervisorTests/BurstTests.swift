import Testing

@testable import Supervisor

@Suite struct BurstTests {
    @Test("Four crashes in ten seconds are replaced at once, the fifth waits, each further one twice as long")
    func backoff() {
        var burst = Burst()
        #expect((0..<4).map { burst.crashed(at: $0) } == [0, 0, 0, 0])
        #expect((4..<12).map { burst.crashed(at: $0) } == [500, 1000, 2000, 4000, 8000, 16000, 30000, 30000])
    }

    @Test("Rare crashes never wait")
    func rare() {
        var burst = Burst()
        for index in 0..<100 { #expect(burst.crashed(at: Int64(index) * 3000) == 0) }
    }

    @Test("After a quiet time it begins anew")
    func forgets() {
        var burst = Burst()
        for index in 0..<7 { _ = burst.crashed(at: Int64(index)) }
        #expect(burst.crashed(at: 60_000) == 0)
    }
}
