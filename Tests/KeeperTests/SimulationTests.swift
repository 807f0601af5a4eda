import Encoding
import Foundation
import OAuth
import Testing

@testable import Keeper
@testable import Vault

@Suite("Refresh engine against providers, faults and crashes", .serialized)
struct SimulationTests {
    /// TOOLSHED_SEED repeats one history; TOOLSHED_HISTORIES makes more of them. Repeating needs
    /// SWIFT_DETERMINISTIC_HASHING=1 as well.
    private static func number(_ name: String) -> UInt64? {
        ProcessInfo.processInfo.environment[name].flatMap { UInt64($0) }
    }

    private static let start: Int64 = 1_800_000_000_000

    private func seeds(_ usual: UInt64) -> [UInt64] {
        if let seed = Self.number("TOOLSHED_SEED") { return [seed] }
        let first = UInt64.random(in: 1...(UInt64.max >> 16))
        let count = max(1, usual * (Self.number("TOOLSHED_HISTORIES") ?? 100) / 100)
        print("first seed \(first), \(count) histories")
        return (first..<first + count).map { $0 }
    }

    private func simulation(_ seed: UInt64) throws -> Simulation {
        let dice = Dice(seed)
        let clock = Simulation.Clock(wall: Self.start)
        let world = Simulation(seed: seed, shelf: try Shelf(dice, at: clock.moment.wall), dice: dice, clock: clock)
        world.isTraced = Self.number("TOOLSHED_SEED") != nil
        return world
    }

    /// Some time with everything that can go wrong, then calm: what is lost is named, what is not works.
    private func troubled(_ seed: UInt64) throws -> Simulation.Sometimes {
        let world = try simulation(seed)
        let dice = world.dice
        for (index, kind) in ProviderModel.Kind.allCases.enumerated() {
            let provider = try world.provider("p\(index)", kind, life: dice.chance(0.5) ? 300 : 600)
            for _ in 0..<(1 + dice.below(2)) { try world.connect(provider, background: dice.chance(0.6)) }
        }
        try world.start()
        let span: Int64 = 2_400_000
        for _ in 0..<30 { world.plan(.vend(dice.below(world.subjects.count)), in: dice.between(0, span)) }
        if dice.chance(0.3) { world.plan(.jump(dice.between(-30_000, 600_000)), in: dice.between(0, span)) }
        var left = span
        while left > 0 {
            let part = dice.between(30_000, 400_000)
            try world.run(for: min(part, left))
            left -= part
            if dice.chance(0.2) {
                try world.setDisk(fails: true)
                world.plan(.healDisk, in: dice.between(100, 20_000))
            }
            if dice.chance(0.3), world.current != nil { world.crash() }
        }
        world.isHealthy = true
        try calm(world)
        return world.some
    }

    /// I6, I8: after some healthy time every connection that is not given up was renewed, and what it holds is live.
    private func calm(_ world: Simulation) throws {
        try world.run(for: 1_300_000)
        for (index, subject) in world.subjects.enumerated() where !subject.isBackground {
            for turn in 0..<6 { world.plan(.vend(index), in: Int64(turn) * 250_000) }
        }
        try world.run(for: 1_500_000)
        for subject in world.subjects where subject.status == .active {
            let state = try world.shelf.state(subject.id)
            let held = try world.shelf.tokens(subject.id)
            guard subject.model.isLive(held.refresh) else {
                throw world.fail("\(subject.model.kind) is active and dead (\(state.intent), \(state.lastCode ?? "-"))")
            }
            guard state.intent == .none || world.current?.engine.flights[subject.id] != nil else {
                throw world.fail("\(subject.model.kind) is still \(state.intent), leased by \(state.leaseOwner ?? "-")")
            }
            if subject.isBackground, let expiresAt = state.connection.expiresAt, expiresAt < world.clock.moment.wall {
                throw world.fail("a background connection was left to end")
            }
        }
        guard world.current != nil else { throw world.fail("no keeper") }
    }

    @Test(
        "Nothing is lost but what must be, nothing is shown twice but where it is harmless, nobody is given up in vain")
    func troubles() throws {
        var all = Simulation.Sometimes()
        for seed in seeds(30) { all += try troubled(seed) }
        print(all)
        guard Self.number("TOOLSHED_SEED") == nil else { return }
        #expect(all.ambiguous > 0)
        #expect(all.adoptedFromJournal > 0)
        #expect(all.fenceFailed > 0)
        #expect(all.lostRotation > 0)
        #expect(all.crashes > 0)
        #expect(all.rekeyedUnderWay > 0)
        #expect(all.diskFailed > 0)
        #expect(all.replayed > 0)
        #expect(all.refreshed > 0)
    }

    /// I7, I8, and the breaker: one provider is gone for a while, then back with all of them due at once.
    private func outage(_ seed: UInt64) throws -> Simulation.Sometimes {
        let world = try simulation(seed)
        let dice = world.dice
        let dead = try world.provider("dead", .unchanging, life: 600)
        let fine = try world.provider("fine", .rotatesStrictly, life: 600)
        for _ in 0..<30 { try world.connect(dead, background: true) }
        try world.connect(fine, background: true)
        // Alone at its provider: every probe is this one's.
        let alone = try world.provider("alone", .unchanging, life: 600)
        try world.connect(alone, background: true)
        world.isOut = [dead, alone]
        world.isHealthy = true
        try world.start()
        try world.run(for: dice.between(700_000, 1_500_000))
        // The other provider's connection never waited.
        let other = try world.shelf.state(world.subjects[30].id)
        guard let expiresAt = other.connection.expiresAt, expiresAt > world.clock.moment.wall else {
            throw world.fail("one dead provider held up another")
        }
        guard world.subjects.allSatisfy({ $0.status == .active }) else { throw world.fail("an outage killed a grant") }
        if dice.chance(0.5) {
            world.current = nil
            try world.start()
        }
        world.isOut = []
        // Whoever asks has a token again soon, however long the outage was.
        let lone = world.subjects[31]
        for turn in 0..<20 { world.plan(.vend(31), in: Int64(turn) * 2_000) }
        try world.run(for: 40_000)
        let asked = try world.shelf.state(lone.id)
        guard let expiresAt = asked.connection.expiresAt, expiresAt > world.clock.moment.wall else {
            throw world.fail("asked for after the outage, and not renewed: \(asked.failures) failures")
        }
        try world.run(for: 860_000)
        for subject in world.subjects {
            let state = try world.shelf.state(subject.id)
            guard let expiresAt = state.connection.expiresAt, expiresAt > world.clock.moment.wall else {
                throw world.fail("not renewed after the outage: \(state.lastCode ?? "-")")
            }
        }
        guard world.sends.values.allSatisfy({ isPaced($0, perSecond: 10, burst: 20) }) else {
            throw world.fail("too fast")
        }
        return world.some
    }

    @Test("A dead provider costs its own connections a wait and nothing else, and is found alive by single probes")
    func outages() throws {
        var all = Simulation.Sometimes()
        for seed in seeds(3) { all += try outage(seed) }
        print(all)
        #expect(all.halfOpen > 0)
    }
}
