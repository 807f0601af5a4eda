import Testing

@testable import Keeper

/// No window of any width has more than rate times width plus burst; `times` ascending, in milliseconds.
func isPaced(_ times: [Int64], perSecond: Double, burst: Double) -> Bool {
    // A bucket that starts full and must never be overdrawn says the same for all windows at once.
    var level = burst
    var before = times.first ?? 0
    for time in times {
        level = min(burst, level + Double(time - before) / 1000 * perSecond) - 1
        before = time
        if level < -1e-6 { return false }
    }
    return true
}

@Suite("Provider gate")
struct GateTests {
    @Test("However it is used, no window has more than rate times width plus burst, not even across restarts")
    func pacing() {
        for seed in UInt64(1)...200 {
            let dice = Dice(seed)
            let limits = ProviderGate.Limits(perSecond: 10, burst: 20, concurrent: 1000)
            var now: Int64 = 0
            var gate = ProviderGate(limits, at: now)
            var entered: [Int64] = []
            for _ in 0..<400 {
                now += dice.chance(0.02) ? dice.between(0, 60_000) : dice.between(0, 120)
                if dice.chance(0.01) { gate = ProviderGate(limits, at: now) }
                while gate.admission(at: now) == .go {
                    gate.enter(at: now)
                    gate.leave(.success, at: now, jitter: 0)
                    entered.append(now)
                }
            }
            #expect(isPaced(entered, perSecond: 10, burst: 20), "seed \(seed)")
        }
    }

    @Test("At most so many at a time")
    func concurrency() {
        var gate = ProviderGate(.init(perSecond: 1000, burst: 1000, concurrent: 3), at: 0)
        #expect(gate.capacity(at: 1_000) == 3)
        for _ in 0..<3 { gate.enter(at: 1_000) }
        #expect(gate.capacity(at: 1_000) == 0)
        gate.leave(.neutral, at: 1_000, jitter: 0)
        #expect(gate.capacity(at: 1_000) == 1)
    }

    @Test("Twenty failures close the way; one probe in ten seconds; a success opens it")
    func breaker() {
        var gate = ProviderGate(.init(perSecond: 1000, burst: 1000, concurrent: 100), at: 0)
        var now: Int64 = 1_000
        for _ in 0..<20 {
            #expect(gate.admission(at: now) == .go)
            gate.enter(at: now)
            gate.leave(.failure, at: now, jitter: 0)
            now += 100
        }
        #expect(gate.admission(at: now) == .wait(now - 100 + 10_000))
        now += 10_000
        #expect(gate.capacity(at: now) == 1)
        gate.enter(at: now)
        #expect(gate.capacity(at: now) == 0)
        gate.leave(.failure, at: now, jitter: 0.5)
        #expect(gate.admission(at: now) == .wait(now + 11_000))
        now += 11_000
        gate.enter(at: now)
        gate.leave(.success, at: now, jitter: 0)
        #expect(gate.capacity(at: now) == 100)
    }

    @Test("Failures among as many successes, and refusals of single grants, close nothing")
    func tolerance() {
        var gate = ProviderGate(.init(perSecond: 1000, burst: 1000, concurrent: 100), at: 0)
        for round in Int64(1)...200 {
            for verdict in [ProviderGate.Verdict.failure, .success, .neutral] {
                gate.enter(at: round * 100)
                gate.leave(verdict, at: round * 100, jitter: 0)
            }
        }
        #expect(gate.admission(at: 30_000) == .go)
    }

    @Test("A pause that was asked for is kept; a refused client is told from it, and ends")
    func pauses() {
        var gate = ProviderGate(.init(), at: 0)
        gate.pause(until: 5_000)
        gate.pause(until: 3_000)
        #expect(gate.admission(at: 2_000) == .wait(5_000))
        #expect(gate.admission(at: 5_000) == .go)
        gate.refuseClient(until: 60_000)
        #expect(gate.admission(at: 6_000) == .misconfigured(60_000))
        #expect(gate.admission(at: 60_000) == .go)
    }
}
