import Broker
import Encoding
import Envelope
import Foundation
import GRDB
import OAuth
import ProviderHTTP
import Synchronization
import Testing

@testable import Keeper
@testable import Vault

/// One history: the real engine on a real database, everything else simulated and left to the dice.
final class Simulation {
    final class Clock: Sendable {
        let wall: Atomic<Int64>
        let uptime = Atomic<Int64>(1_000_000)
        init(wall: Int64) { self.wall = Atomic(wall) }

        var moment: Moment {
            Moment(
                wall: Instant(milliseconds: wall.load(ordering: .relaxed)), uptime: uptime.load(ordering: .relaxed))
        }

        func advance(_ milliseconds: Int64) {
            wall.add(milliseconds, ordering: .relaxed)
            uptime.add(milliseconds, ordering: .relaxed)
        }
    }

    /// What must have happened somewhere in a run, or the run proves nothing.
    struct Sometimes {
        var ambiguous = 0, adoptedFromJournal = 0, fenceFailed = 0, halfOpen = 0, lostRotation = 0, crashes = 0
        var rekeyedUnderWay = 0, diskFailed = 0, replayed = 0, revived = 0, refreshed = 0

        static func += (all: inout Sometimes, one: Sometimes) {
            all.ambiguous += one.ambiguous
            all.adoptedFromJournal += one.adoptedFromJournal
            all.fenceFailed += one.fenceFailed
            all.halfOpen += one.halfOpen
            all.lostRotation += one.lostRotation
            all.crashes += one.crashes
            all.rekeyedUnderWay += one.rekeyedUnderWay
            all.diskFailed += one.diskFailed
            all.replayed += one.replayed
            all.revived += one.revived
            all.refreshed += one.refreshed
        }
    }

    struct Broken: Error, CustomStringConvertible { let description: String }

    /// One keeper process.
    final class Process: CustomStringConvertible {
        var description: String { "process \(number)" }
        let engine: RefreshEngine
        let number: Int
        var isPaused = false
        init(_ engine: RefreshEngine, _ number: Int) { (self.engine, self.number) = (engine, number) }
    }

    final class Subject {
        let id: ConnectionID
        let provider: ProviderID
        let model: ProviderModel
        let isBackground: Bool
        var generation: Int64 = 1
        var status = ConnectionStatus.active
        /// Doubtful sends of the current generation: when the first was armed.
        var doubtSince: Instant?
        var doubtGeneration: Int64 = 0
        /// A fault struck between a request and the commit of its outcome.
        var wasStruck = false
        var cameDead = false
        var waiting: (generation: Int64, since: Int64)?
        init(_ id: ConnectionID, _ provider: ProviderID, _ model: ProviderModel, _ isBackground: Bool) {
            (self.id, self.provider, self.model, self.isBackground) = (id, provider, model, isBackground)
        }
    }

    enum Happening {
        case arrives(Call)
        case replies(Call, Result<ProviderReply, TransportFailure>)
        case vend(Int)
        case restart
        case pause
        case resume(Process)
        case healDisk
        case jump(Int64)
        case rekey(Int)
        case consent(Int)
    }

    final class Call: CustomStringConvertible {
        var description: String {
            "call \(id) of process \(process.number): \(token), generation \(generation), \(fate)"
        }

        let id: UInt64
        let process: Process
        let subject: Subject
        let token: String
        let generation: Int64
        /// What the provider is to do with it, or with its answer.
        let fate: Fate
        init(_ id: UInt64, _ process: Process, _ subject: Subject, _ token: String, _ generation: Int64, _ fate: Fate) {
            (self.id, self.process, self.subject, self.token) = (id, process, subject, token)
            (self.generation, self.fate) = (generation, fate)
        }
    }

    enum Fate: CaseIterable {
        case fine, notSent, lostOnTheWay, lostOnTheWayBack, failsBefore, failsAfter, tooMany, garbled, unlisted,
            badClient
    }

    let seed: UInt64
    let dice: Dice
    let clock: Clock
    let shelf: Shelf
    var some = Sometimes()
    var subjects: [Subject] = []
    var models: [ProviderID: ProviderModel] = [:]
    var limits: [ProviderID: ProviderGate.Limits] = [:]
    var current: Process?
    var processes = 0
    var agenda: [(at: Int64, order: Int, what: Happening)] = []
    var ordered = 0
    var sends: [ProviderID: [Int64]] = [:]
    /// Everything goes well from here on.
    var isHealthy = false
    var isOut: Set<ProviderID> = []
    var mayCrash = true
    var endpoints: [ProviderID: TokenEndpoint] = [:]
    /// Pairs that a living process has read and not stored, while the disk fails.
    var owed: [(subject: Subject, access: String, process: Process)] = []
    var diskFails = false

    var now: Int64 { clock.moment.uptime }

    init(seed: UInt64, shelf: Shelf, dice: Dice, clock: Clock) {
        (self.seed, self.dice, self.clock, self.shelf) = (seed, dice, clock, shelf)
    }

    /// What happened, for a history that is repeated.
    var isTraced = false
    func trace(_ what: @autoclosure () -> String) {
        if isTraced { print("\(now) \(what())") }
    }

    func fail(_ what: String) -> Broken { Broken(description: "seed \(seed), at \(now): \(what)") }

    // MARK: Setting up

    func provider(_ name: String, _ kind: ProviderModel.Kind, life: Int64) throws -> ProviderID {
        let id = try ProviderID(parsing: name)
        let model = ProviderModel(kind, life: life)
        models[id] = model
        endpoints[id] = model.endpoint()
        return id
    }

    func connect(_ provider: ProviderID, background: Bool) throws {
        guard let model = models[provider] else { return }
        let pair = model.consent()
        let wall = clock.moment.wall
        let id = try shelf.connect(
            shelf.grant(
                provider, access: pair.access, refresh: pair.refresh, at: wall, life: model.life,
                nextRefreshAt: wall.adding(seconds: model.life * 3 / 4)), background: background)
        subjects.append(Subject(id, provider, model, background))
    }

    func plan(_ what: Happening, in milliseconds: Int64) {
        ordered += 1
        agenda.append((now + milliseconds, ordered, what))
    }

    // MARK: Processes

    func start() throws {
        processes += 1
        let engine = RefreshEngine(
            store: shelf.store, keys: shelf.keys, endpoints: endpoints, random: dice.randomness,
            clock: { [clock] in clock.moment })
        do {
            let before = try snapshot()
            let adopted = try shelf.count("SELECT count(*) FROM rotation_journal WHERE adopted = 1")
            try engine.recover()
            if try snapshot() != before { try noticeAll(after: .recovery) }
            some.adoptedFromJournal +=
                try shelf.count("SELECT count(*) FROM rotation_journal WHERE adopted = 1") - adopted
            guard try shelf.count("SELECT count(*) FROM connection WHERE intent = 'armed'") == 0 else {
                throw fail("somebody else's request is still taken to be under way")
            }
            // I10
            let once = try snapshot()
            try engine.recover()
            guard try snapshot() == once else { throw fail("recovery is not idempotent") }
        } catch is DatabaseError {
            // The disk fails at the start: the supervisor tries again.
            plan(.restart, in: 1_000)
            return
        }
        current = Process(engine, processes)
    }

    private func snapshot() throws -> [String] {
        try shelf.store.read { rows in
            try rows.rows(
                """
                SELECT hex(id) || status || generation || key_version || hex(credential) || intent || failures
                    || coalesce(lease_owner, '') || lease_epoch || coalesce(next_refresh_at_ms, '')
                    || coalesce(not_before_ms, '') AS line
                FROM connection ORDER BY id
                """, []
            ).map { $0.text("line") }
        }
    }

    func crash() {
        guard mayCrash, !isHealthy else { return }
        some.crashes += 1
        trace("crash of \(current?.number ?? 0)")
        strikeFlights()
        current = nil
        plan(.restart, in: dice.between(10, 5_000))
    }

    /// The process sleeps, a successor starts, and later it wakes with its answers unread.
    func pause() {
        guard mayCrash, !isHealthy, let process = current, !process.engine.flights.isEmpty else { return }
        strikeFlights()
        process.isPaused = true
        current = nil
        plan(.resume(process), in: dice.between(1_000, 120_000))
        plan(.restart, in: dice.between(10, 1_000))
    }

    private func strikeFlights() {
        for id in current?.engine.flights.keys.map({ $0 }) ?? [] {
            subjects.first { $0.id == id }?.wasStruck = true
        }
        owed = []
    }

    // MARK: Running

    func run(for milliseconds: Int64) throws {
        let end = now + milliseconds
        var standing = 0
        while now < end {
            let wake = current.map { $0.engine.nextWake() } ?? .max
            let index = agenda.indices.min { (agenda[$0].at, agenda[$0].order) < (agenda[$1].at, agenda[$1].order) }
            let next = min(wake, index.map { agenda[$0].at } ?? .max, end)
            if next > now {
                clock.advance(next - now)
                standing = 0
            } else {
                standing += 1
                guard standing < 1_000 else {
                    let engine = current?.engine
                    throw fail(
                        "the engine spins: arrived \(engine?.arrived.count ?? 0), wanted \(engine?.wanted.count ?? 0), poll in \((engine?.pollAt ?? 0) &- now), paused for \((engine?.pausedUntil ?? 0) &- now), keys \(engine?.keyring.entries.values.map { "\($0.until &- now) \(($0.dueAt?.milliseconds ?? 0) - clock.moment.wall.milliseconds)" } ?? [])"
                    )
                }
            }
            if let index, agenda[index].at <= now {
                let what = agenda.remove(at: index).what
                try happen(what)
            } else if wake <= now, let process = current {
                try turn(process, [])
            }
        }
    }

    private func happen(_ what: Happening) throws {
        trace("\(what)")
        switch what {
        case .arrives(let call): arrive(call)
        case .replies(let call, let result): try reply(call, result)
        case .vend(let index): try vend(subjects[index])
        case .restart: if current == nil { try start() }
        case .pause: pause()
        case .resume(let process): try resume(process)
        case .healDisk: try setDisk(fails: false)
        case .jump(let milliseconds): clock.wall.add(milliseconds, ordering: .relaxed)
        case .rekey(let index): try rekey(subjects[index])
        case .consent(let index): try consentAgain(subjects[index])
        }
    }

    /// One step of a process, then everything outside it, with the end of the world between any two.
    func turn(_ process: Process, _ events: [RefreshEngine.Event]) throws {
        let wasProbing = isOut.filter { process.engine.gates[$0]?.isProbing ?? false }
        let effects = process.engine.handle(events)
        try noticeAll(after: .step(process))
        for effect in effects {
            if dice.chance(isHealthy ? 0 : 0.01), process === current {
                crash()
                return
            }
            switch effect {
            case .send(let id, let call, let deadline):
                try send(id, call, process, deadline: Int64(deadline), wasProbing: wasProbing)
            case .answer(let waiter, let answer): try answered(Int(waiter.serial), answer)
            case .record, .say: break
            }
        }
    }
}
