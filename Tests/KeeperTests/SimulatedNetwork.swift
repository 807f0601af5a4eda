import Broker
import Encoding
import Envelope
import OAuth
import ProviderHTTP
import Secrets
import Testing

@testable import Keeper
@testable import Vault

extension Simulation {
    func fate(for provider: ProviderID) -> Fate {
        if isOut.contains(provider) { return dice.chance(0.5) ? .lostOnTheWay : .notSent }
        if isHealthy || dice.chance(0.6) { return .fine }
        return Fate.allCases[1 + dice.below(Fate.allCases.count - 1)]
    }

    func send(
        _ id: UInt64, _ call: ProviderCall, _ process: Process, deadline: Int64, wasProbing: Set<ProviderID>
    ) throws {
        guard let flight = process.engine.flights.values.first(where: { $0.call == id }),
            let subject = subjects.first(where: { $0.id == flight.connection.id })
        else { throw fail("a call of no flight") }
        let token = call.body?.withString { $0 } ?? ""
        if wasProbing.contains(subject.provider) { some.halfOpen += 1 }
        sends[subject.provider, default: []].append(now)
        try mayBeSent(subject, flight)
        let made = Call(id, process, subject, token, flight.connection.generation, fate(for: subject.provider))
        trouble(subject)
        let there = dice.between(5, 200)
        trace("send \(made)")
        switch made.fate {
        case .notSent: plan(.replies(made, .failure(.notSent("dns"))), in: there)
        case .lostOnTheWay:
            noteDoubt(made)
            plan(.replies(made, .failure(.lost("deadline"))), in: deadline)
        default: plan(.arrives(made), in: there)
        }
    }

    /// What else can happen while a request is under way.
    private func trouble(_ subject: Subject) {
        guard !isHealthy, let index = subjects.firstIndex(where: { $0 === subject }) else { return }
        if dice.chance(0.04) { plan(.rekey(index), in: dice.between(0, 500)) }
        if dice.chance(0.01) { plan(.consent(index), in: dice.between(0, 500)) }
        if dice.chance(0.05) { plan(.pause, in: dice.between(0, 400)) }
    }

    /// I1: what may have been spent is not shown again, but where that is harmless or the last thing to try.
    private func mayBeSent(_ subject: Subject, _ flight: Flight) throws {
        guard let since = subject.doubtSince, subject.doubtGeneration == flight.connection.generation else { return }
        some.replayed += 1
        let policy = subject.model.policy
        let wall = clock.moment.wall
        let lastMoment = flight.connection.expiresAt?.adding(seconds: -RefreshPolicy.lastMomentSeconds)
        guard
            policy.isReplayHarmless(since: since, at: wall) || policy.oldAccessDies
                || lastMoment.map({ wall >= $0 }) ?? true
        else {
            throw fail("generation \(flight.connection.generation) of \(subject.model.kind) was shown twice too early")
        }
    }

    private func noteDoubt(_ call: Call) {
        let subject = call.subject
        if subject.doubtGeneration != call.generation { subject.doubtSince = nil }
        subject.doubtGeneration = call.generation
        // When it was armed; the engine may know an earlier time, never a later one.
        subject.doubtSince = subject.doubtSince ?? clock.moment.wall
    }

    func arrive(_ call: Call) {
        let back = dice.between(5, 400)
        let model = call.subject.model
        func answer(_ reply: ProviderReply) { plan(.replies(call, .success(reply)), in: back) }
        switch call.fate {
        case .fine: answer(ProviderModel.reply(model.refresh(call.token, at: now)))
        case .lostOnTheWayBack:
            _ = model.refresh(call.token, at: now)
            call.subject.wasStruck = true
            noteDoubt(call)
            plan(.replies(call, .failure(.lost("deadline"))), in: 11_000)
        case .failsBefore:
            noteDoubt(call)
            answer(ProviderReply(status: 502, body: Array("<html>".utf8)))
        case .failsAfter:
            _ = model.refresh(call.token, at: now)
            call.subject.wasStruck = true
            noteDoubt(call)
            answer(ProviderReply(status: 500, body: []))
        case .garbled:
            _ = model.refresh(call.token, at: now)
            call.subject.wasStruck = true
            noteDoubt(call)
            answer(ProviderReply(status: 200, body: Array("{".utf8)))
        case .tooMany:
            let headers = dice.chance(0.5) ? ["retry-after": "\(dice.between(1, 30))"] : [:]
            answer(ProviderReply(status: 429, headers: headers, body: []))
        case .unlisted: answer(ProviderReply(status: 400, body: Array("error something_new".utf8)))
        case .badClient: answer(ProviderReply(status: 401, body: Array("error invalid_client".utf8)))
        case .notSent, .lostOnTheWay: break
        }
    }

    func reply(_ call: Call, _ result: Result<ProviderReply, TransportFailure>) throws {
        if call.process.isPaused {
            // Unread until it wakes.
            plan(.replies(call, result), in: 500)
            return
        }
        let isCurrent = call.process === current
        // A process that woke is not the current one; one that crashed reads nothing.
        guard isCurrent || call.process.engine.isStopping else { return }
        if !isHealthy, dice.chance(0.03), isCurrent {
            crash()
            return
        }
        let before = try shelf.state(call.subject.id)
        let journal = try shelf.count("SELECT count(*) FROM rotation_journal")
        try turn(call.process, [.completed(call: call.id, result)])
        let after = try shelf.state(call.subject.id)
        if case .success(let reply) = result, reply.status == 200, let access = Self.access(in: reply) {
            try isKept(access, call, before, journal: journal)
        } else if !isCurrent {
            // I4: whoever lost the lease changes nothing.
            if before.leaseOwner != call.process.engine.owner {
                some.fenceFailed += 1
                guard before.leaseEpoch == after.leaseEpoch, before.intent == after.intent,
                    before.failures == after.failures, before.connection.status == after.connection.status
                else { throw fail("a process without the lease changed the row") }
            }
        }
        if case .ambiguous = after.intent { some.ambiguous += 1 }
    }

    static func access(in reply: ProviderReply) -> String? {
        let words = String(decoding: reply.body, as: UTF8.self).split(separator: " ")
        return words.count == 3 && words[0] == "ok" ? String(words[1]) : nil
    }

    /// I2: a pair that a living process has read is stored, or in the journal; or, while the disk fails, still owed.
    private func isKept(_ access: String, _ call: Call, _ before: RefreshState, journal: Int) throws {
        let id = call.subject.id
        if try shelf.tokens(id).access == access {
            some.refreshed += 1
            if before.leaseOwner != call.process.engine.owner { some.fenceFailed += 1 }
            if try shelf.count("SELECT count(*) FROM rotation_journal WHERE adopted = 1") > 0,
                try shelf.count("SELECT count(*) FROM rotation_journal") > journal
            {
                some.adoptedFromJournal += 1
            }
            if before.connection.status == .reauthorize { some.revived += 1 }
            return
        }
        if try shelf.count("SELECT count(*) FROM rotation_journal") > journal {
            some.fenceFailed += 1
            return
        }
        guard call.process.engine.flights[id] != nil, diskFails || call.process !== current else {
            throw fail("a pair that was read is nowhere")
        }
        if call.process === current { owed.append((call.subject, access, call.process)) }
    }

    /// A process that slept is awake again, behind the times.
    func resume(_ process: Process) throws {
        process.isPaused = false
        // Its channels are gone: it finishes and leaves.
        _ = process.engine.stop()
    }
}
