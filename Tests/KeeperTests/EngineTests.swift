import Broker
import Encoding
import Envelope
import GRDB
import OAuth
import ProviderHTTP
import Secrets
import Testing

@testable import Keeper
@testable import Vault

/// The engine step by step, where a history would hit a case by luck only.
@Suite("Refresh engine")
struct EngineTests {
    private let dice = Dice(21)
    private let clock = Simulation.Clock(wall: 1_800_000_000_000)
    private let shelf: Shelf
    private let model: ProviderModel
    private let provider: ProviderID
    private let engine: RefreshEngine
    private let waiter = RefreshEngine.Waiter(channel: 1, serial: 7)

    init() throws {
        shelf = try Shelf(dice, at: clock.moment.wall)
        model = ProviderModel(.rotatesStrictly, life: 600)
        provider = try ProviderID(parsing: "acme")
        engine = RefreshEngine(
            store: shelf.store, keys: shelf.keys, endpoints: [provider: model.endpoint()], random: dice.randomness,
            clock: { [clock] in clock.moment })
        // The bucket starts empty.
        _ = engine.handle([])
        clock.advance(1_000)
        _ = engine.handle([])
    }

    private func connect(life: Int64 = 600, background: Bool = false) throws -> ConnectionID {
        let pair = model.consent()
        let wall = clock.moment.wall
        let id = try shelf.connect(
            shelf.grant(
                provider, access: pair.access, refresh: pair.refresh, at: wall, life: life,
                // What has ended is renewed when it is asked for, here, and not because it is held.
                nextRefreshAt: wall.adding(seconds: life > 0 ? life * 3 / 4 : 3600)), background: background)
        // The gate knows the provider from its first look on.
        _ = engine.admission(to: provider, at: clock.moment.uptime)
        clock.advance(1_000)
        return id
    }

    private func hold(_ id: ConnectionID, generation: Int64 = 1, seconds: UInt32 = 900) throws -> RefreshEngine.Event {
        .asked(.hold(id, generation: generation, seconds: seconds, key: try shelf.key(id)), by: waiter)
    }

    private func refresh(_ id: ConnectionID, _ generation: Int64 = 1) -> RefreshEngine.Event {
        .asked(.refresh(id, generation: generation), by: waiter)
    }

    private func sent(_ effects: [RefreshEngine.Effect]) -> [(id: UInt64, token: String)] {
        effects.compactMap { effect in
            guard case .send(let id, let call, _) = effect else { return nil }
            return (id, call.body?.withString { $0 } ?? "")
        }
    }

    private func answers(_ effects: [RefreshEngine.Effect]) -> [KeeperAnswer] {
        effects.compactMap { effect in
            guard case .answer(_, let answer) = effect else { return nil }
            return answer
        }
    }

    private func provide(_ sent: (id: UInt64, token: String)) -> RefreshEngine.Event {
        .completed(
            call: sent.id, .success(ProviderModel.reply(model.refresh(sent.token, at: clock.moment.uptime))))
    }

    private func count() -> KeeperAnswer? {
        answers(engine.handle([.asked(.count(shelf.vault.person), by: waiter)])).first
    }

    @Test("Who asks without a key is told so, and nothing is sent")
    func noKey() throws {
        let id = try connect(life: 0)
        let effects = engine.handle([refresh(id)])
        #expect(answers(effects) == [.noKey])
        #expect(sent(effects).isEmpty)
        #expect(try shelf.state(id).intent == .none)
    }

    @Test("All who ask wait for one call, and are answered after the commit")
    func singleFlight() throws {
        let id = try connect(life: 0)
        let effects = engine.handle([try hold(id), refresh(id), refresh(id)])
        let calls = sent(effects)
        #expect(calls.count == 1)
        #expect(answers(effects).isEmpty)
        // Before anything was sent it was written down.
        guard case .armed = try shelf.state(id).intent else {
            Issue.record("not armed")
            return
        }
        #expect(answers(engine.handle([refresh(id)])).isEmpty)
        let landed = engine.handle([provide(calls[0])])
        #expect(answers(landed) == Array(repeating: .refresh(.refreshed(generation: 2)), count: 3))
        // Who comes late with the old generation is told at once.
        #expect(answers(engine.handle([refresh(id)])) == [.refresh(.refreshed(generation: 2))])
    }

    @Test("Keys are forgotten by connection, vault, person or all at once, and by themselves")
    func forgetting() throws {
        let (one, two) = (try connect(), try connect())
        for forgetting in [
            KeeperForgetting.vault(shelf.vault.id), .person(shelf.vault.person), .all,
        ] {
            _ = engine.handle([try hold(one), try hold(two)])
            #expect(count() == .count(2))
            #expect(answers(engine.handle([.asked(.forget(forgetting), by: waiter)])) == [.done])
            #expect(count() == .count(0))
        }
        _ = engine.handle([try hold(one), try hold(two, seconds: 60)])
        _ = engine.handle([.asked(.forget(.connection(one)), by: waiter)])
        #expect(count() == .count(1))
        clock.advance(60_001)
        #expect(count() == .count(0))
        #expect(engine.heldKeys == 0)
    }

    @Test("A key that was overtaken does not take the place of a newer one, and one that opens nothing is dropped")
    func staleKeys() throws {
        let id = try connect(life: 0)
        let old = try hold(id)
        try shelf.store.write {
            try $0.rekey(shelf.connection(id, $0), with: shelf.vault, background: false, at: clock.moment.wall) {
                _, _ in true
            }
        }
        _ = engine.handle([try hold(id, generation: 2), old])
        #expect(sent(engine.handle([refresh(id)])).count == 1)
        let other = try connect(life: 0)
        let stale = try hold(other)
        try shelf.store.write {
            try $0.rekey(shelf.connection(other, $0), with: shelf.vault, background: false, at: clock.moment.wall) {
                _, _ in
                true
            }
        }
        #expect(answers(engine.handle([stale, refresh(other)])) == [.noKey])
        #expect(engine.heldKeys == 1)
    }

    @Test("What is held is renewed ahead of time, once, and planned anew")
    func warm() throws {
        let id = try connect()
        _ = engine.handle([try hold(id)])
        let due = engine.nextWake()
        #expect(due <= clock.moment.uptime + RefreshEngine.pollEvery)
        clock.advance(460_000)
        let calls = sent(engine.handle([]))
        #expect(calls.count == 1)
        // Under way it wakes for nothing but polls.
        #expect(engine.nextWake() > clock.moment.uptime)
        _ = engine.handle([provide(calls[0])])
        #expect(try shelf.state(id).connection.generation == 2)
        clock.advance(100_000)
        #expect(sent(engine.handle([])).isEmpty)
    }

    @Test("A connection that was renewed just now is not renewed again on anybody's word")
    func tooSoon() throws {
        let id = try connect()
        let effects = engine.handle([try hold(id), refresh(id)])
        #expect(sent(effects).isEmpty)
        guard case .refresh(.retryLater(let seconds)) = try #require(answers(effects).first) else {
            Issue.record("\(effects)")
            return
        }
        #expect(seconds > 50 && seconds <= 60)
    }

    /// The clock stands at Fri, 15 Jan 2027 08:00:02 GMT and some milliseconds when it is asked for.
    @Test(
        "A pause that a provider asks for, in seconds or as a date, holds for all its connections, and a caller is told how long",
        arguments: ["30", "Fri, 15 Jan 2027 08:00:33 GMT"])
    func pause(retryAfter: String) throws {
        let (one, two) = (try connect(life: 0), try connect(life: 0))
        let calls = sent(engine.handle([try hold(one), try hold(two), refresh(one)]))
        let reply = ProviderReply(status: 429, headers: ["retry-after": retryAfter])
        let landed = engine.handle([.completed(call: calls[0].id, .success(reply))])
        guard case .refresh(.retryLater) = try #require(answers(landed).first) else {
            Issue.record("\(landed)")
            return
        }
        #expect(try shelf.state(one).intent == .none)
        let effects = engine.handle([refresh(two)])
        #expect(sent(effects).isEmpty)
        guard case .refresh(.retryLater(let seconds)) = try #require(answers(effects).first) else {
            Issue.record("\(effects)")
            return
        }
        #expect(seconds >= 30 && seconds <= 33)
    }

    @Test("Who asks waits for no pause that an outage built up; what is renewed ahead of time does")
    func askedAfterAnOutage() throws {
        let id = try connect(life: 0)
        _ = engine.handle([try hold(id, seconds: 3600)])
        func ask() throws -> [RefreshEngine.Effect] { engine.handle([try hold(id, seconds: 3600), refresh(id)]) }
        func pause() throws -> Int64 {
            (try shelf.state(id).nextRefreshAt?.milliseconds ?? 0) - clock.moment.wall.milliseconds
        }
        var longest: Int64 = 0
        for _ in 0..<18 where longest < 60_000 {
            let call = try #require(sent(ask()).first)
            let landed = engine.handle([.completed(call: call.id, .failure(.notSent("refused")))])
            guard case .refresh(.retryLater(let seconds)) = try #require(answers(landed).first) else {
                Issue.record("\(landed)")
                return
            }
            #expect(seconds <= 11)
            longest = try pause()
            // By itself nothing happens before that; asked for, after ten seconds.
            if longest > 10_100 {
                clock.advance(9_990)
                #expect(sent(engine.handle([])).isEmpty)
                #expect(try sent(ask()).isEmpty)
                clock.advance(20)
                #expect(sent(engine.handle([])).isEmpty)
            } else {
                clock.advance(longest + 1)
            }
        }
        #expect(longest >= 60_000)
        #expect(answers(engine.handle([provide(try #require(sent(ask()).first))])).count == 1)
        #expect(try shelf.state(id).connection.generation == 2)
    }

    @Test("What the provider refuses one connection for now, it is not asked for on anybody's word")
    func askedAfterRefusals() throws {
        let id = try connect(life: 0)
        var longest: Int64 = 0
        for _ in 0..<30 where longest < 60_000 {
            let call = try #require(sent(engine.handle([try hold(id), refresh(id)])).first)
            let reply = ProviderReply(status: 400, body: Array("error something_new".utf8))
            _ = engine.handle([.completed(call: call.id, .success(reply))])
            let state = try shelf.state(id)
            #expect(state.notBefore == state.nextRefreshAt)
            longest = (state.notBefore?.milliseconds ?? 0) - clock.moment.wall.milliseconds
            clock.advance(longest - 1)
            #expect(sent(engine.handle([try hold(id), refresh(id)])).isEmpty)
            clock.advance(2)
        }
        #expect(longest >= 60_000)
    }

    @Test(
        "A provider whose tokens are over as they come is asked less and less, and what lives for seconds keeps a pace",
        arguments: [(0, 60_000), (1, 10_000), (9, 10_000)] as [(Int64, Int64)])
    func briefLives(life: Int64, longest: Int64) throws {
        let id = try connect(life: 0)
        func ask() throws -> [RefreshEngine.Effect] {
            let generation = try shelf.state(id).connection.generation
            return engine.handle([try hold(id, generation: generation), refresh(id, generation)])
        }
        var calls: [Int64] = []
        let end = clock.moment.uptime + 600_000
        while clock.moment.uptime < end {
            if let call = sent(try ask()).first {
                calls.append(clock.moment.uptime)
                let reply = ProviderReply(status: 200, body: Array("ok a\(calls.count) - \(life)".utf8))
                for answer in answers(engine.handle([.completed(call: call.id, .success(reply))])) {
                    // What is over is nothing to hand out.
                    guard case .refresh(.refreshed) = answer else {
                        #expect(life == 0)
                        continue
                    }
                    #expect(life > 0)
                }
            }
            clock.advance(250)
        }
        let pauses = zip(calls, calls.dropFirst()).map { $1 - $0 }
        #expect(try #require(pauses.first) <= 1_500 + life * 1000)
        #expect(pauses.suffix(5).allSatisfy { $0 >= longest - 250 && $0 <= longest + 1_000 })
        #expect(zip(pauses, pauses.dropFirst()).allSatisfy { $0 <= $1 + 3_000 })
        // It has come to its senses: nothing is left of it.
        clock.advance(longest)
        let call = try #require(sent(try ask()).first)
        _ = engine.handle([
            .completed(call: call.id, .success(ProviderReply(status: 200, body: Array("ok good -".utf8))))
        ])
        let state = try shelf.state(id)
        #expect(state.notBefore == nil && state.failures == 0 && state.lastCode == nil)
    }

    @Test("A refresh token in doubt is not shown on anybody's word while its access token lives")
    func askedInDoubt() throws {
        let id = try connect()
        clock.advance(455_000)
        let call = try #require(sent(engine.handle([try hold(id), refresh(id)])).first)
        _ = engine.handle([.completed(call: call.id, .failure(.lost("deadline")))])
        for _ in 0..<11 {
            clock.advance(9_000)
            #expect(sent(engine.handle([try hold(id), refresh(id)])).isEmpty)
        }
        clock.advance(30_000)
        #expect(sent(engine.handle([try hold(id), refresh(id)])).count == 1)
    }

    @Test("A refused client closes the gate, kills nothing, and a new configuration opens it")
    func refusedClient() throws {
        let (one, two) = (try connect(life: 0), try connect(life: 0))
        let calls = sent(engine.handle([try hold(one), try hold(two), refresh(one)]))
        let reply = ProviderReply(status: 401, body: Array("error invalid_client".utf8))
        #expect(
            answers(engine.handle([.completed(call: calls[0].id, .success(reply))])) == [.refresh(.misconfigured)])
        #expect(answers(engine.handle([refresh(two)])) == [.refresh(.misconfigured)])
        #expect(try shelf.state(one).connection.status == .active)
        engine.replace(endpoints: [provider: model.endpoint()])
        #expect(sent(engine.handle([refresh(one)])).count == 1)
    }

    @Test("The operator hears of a provider's trouble when it begins and when it ends, and not at every call")
    func troubles() throws {
        let id = try connect(life: 0)
        func said(_ reply: Result<ProviderReply, TransportFailure>) throws -> [String] {
            clock.advance(RefreshPolicy.longestBackoffMilliseconds / 20)
            let generation = try shelf.state(id).connection.generation
            let call = try #require(
                sent(engine.handle([try hold(id, generation: generation), refresh(id, generation)])).first)
            let effects = engine.handle([.completed(call: call.id, reply)])
            return effects.compactMap { if case .say(let sentence) = $0 { sentence } else { nil } }
        }
        let broken = Result<ProviderReply, TransportFailure>.failure(.notSent("Could not resolve hostname"))
        #expect(try said(broken).isEmpty && said(broken).isEmpty)
        #expect(
            try said(broken) == [
                "acme cannot be asked for tokens (not_sent: Could not resolve hostname); no connection is lost"
            ])
        #expect(try said(broken).isEmpty)
        #expect(
            try said(.success(ProviderReply(status: 200, body: Array("ok a - 0".utf8)))) == ["acme renews tokens again"]
        )
        clock.advance(60_000)
        let refused = ProviderReply(status: 401, body: Array("error invalid_client".utf8))
        let first = try said(.success(refused))
        #expect(first.count == 1 && first[0].hasPrefix("acme does not accept our client (invalid_client)"))
        clock.advance(120_000)
        #expect(try said(.success(refused)).isEmpty)
        clock.advance(Troubles.sayAgainAfter)
        #expect(try said(.success(refused)).count == 1)
        #expect(shownCode("a\nb") == "a code that is no plain word")
    }

    @Test("A leaving keeper claims nothing, finishes what is under way, and then is idle")
    func leaving() throws {
        let (one, two) = (try connect(life: 0), try connect(life: 0))
        let calls = sent(engine.handle([try hold(one), try hold(two), refresh(one)]))
        #expect(engine.stop().isEmpty)
        #expect(answers(engine.handle([refresh(two)])) == [.refresh(.unavailable)])
        #expect(!engine.isIdle)
        #expect(engine.nextWake() > clock.moment.uptime)
        #expect(answers(engine.handle([provide(calls[0])])) == [.refresh(.refreshed(generation: 2))])
        #expect(engine.isIdle)
    }

    @Test("While nothing can be stored nothing is sent, and what a provider gave is stored as soon as it can be")
    func failingDisk() throws {
        let (one, two) = (try connect(life: 0), try connect(life: 0))
        let calls = sent(engine.handle([try hold(one), try hold(two), refresh(one)]))
        func fail(_ fails: Bool) throws {
            try shelf.store.writer.queue.writeWithoutTransaction {
                try $0.execute(sql: "PRAGMA query_only = \(fails ? 1 : 0)")
            }
        }
        try fail(true)
        #expect(answers(engine.handle([provide(calls[0])])).isEmpty)
        #expect(sent(engine.handle([refresh(two)])).isEmpty)
        clock.advance(1_001)
        #expect(engine.handle([]).isEmpty)
        try fail(false)
        clock.advance(1_001)
        let effects = engine.handle([])
        #expect(answers(effects).contains(.refresh(.refreshed(generation: 2))))
        #expect(sent(effects).count == 1)
    }

    @Test("A removed, paused or given up connection is not refreshed")
    func gone() throws {
        let id = try connect(life: 0)
        let held = try hold(id)
        try shelf.store.write { try $0.setStatus(.paused, of: id) }
        #expect(answers(engine.handle([held, refresh(id)])) == [.refresh(.unavailable)])
        try shelf.store.write { try $0.setStatus(.reauthorize, of: id) }
        #expect(answers(engine.handle([held, refresh(id)])) == [.refresh(.reauthorize)])
        #expect(try shelf.store.write { try $0.removeConnection(id, of: shelf.vault.person, at: clock.moment.wall) })
        #expect(answers(engine.handle([held, refresh(id)])) == [.refresh(.unavailable)])
    }
}
