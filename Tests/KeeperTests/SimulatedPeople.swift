import Broker
import Encoding
import Envelope
import GRDB
import OAuth
import Testing

@testable import Keeper
@testable import Vault

extension Simulation {
    enum Occasion {
        case recovery
        case step(Process)
        case person
    }

    /// A worker in the middle of a vend: hands over the key, and asks for a newer token when the one it has is ending.
    func vend(_ subject: Subject) throws {
        guard let process = current else { return }
        let state = try shelf.state(subject.id)
        let key = try shelf.key(subject.id)
        let nobody = RefreshEngine.Waiter(channel: 0, serial: 0)
        let generation = state.connection.generation
        var events: [RefreshEngine.Event] = [
            .asked(.hold(subject.id, generation: generation, seconds: 900, key: key), by: nobody)
        ]
        let isEnding = state.connection.expiresAt.map { $0 <= clock.moment.wall.adding(seconds: 60) } ?? false
        if isEnding, state.connection.status == .active, let index = subjects.firstIndex(where: { $0 === subject }) {
            subject.waiting = (generation, now)
            events.append(
                .asked(
                    .refresh(subject.id, generation: generation),
                    by: RefreshEngine.Waiter(channel: 1, serial: UInt64(index))))
        }
        try turn(process, events)
    }

    func answered(_ index: Int, _ answer: KeeperAnswer) throws {
        guard case .refresh(let answer) = answer, subjects.indices.contains(index) else { return }
        let subject = subjects[index]
        guard let waiting = subject.waiting else { return }
        subject.waiting = nil
        switch answer {
        case .refreshed(let generation):
            // Committed before anybody is answered.
            let state = try shelf.state(subject.id)
            guard generation > waiting.generation, state.connection.generation >= generation else {
                throw fail("answered \(generation) to \(waiting.generation), stored \(state.connection.generation)")
            }
        case .reauthorize:
            guard try shelf.state(subject.id).connection.status == .reauthorize else {
                throw fail("answered reauthorize, stored otherwise")
            }
        case .retryLater(let seconds):
            guard seconds >= 1 else { throw fail("retry after \(seconds)") }
        case .misconfigured, .unavailable: break
        }
    }

    func rekey(_ subject: Subject) throws {
        guard !diskFails else { return }
        if current?.engine.flights[subject.id] != nil { some.rekeyedUnderWay += 1 }
        let connection = try shelf.state(subject.id).connection
        try shelf.store.write {
            try $0.rekey(connection, with: shelf.vault, background: subject.isBackground, at: clock.moment.wall) {
                _, _ in true
            }
        }
    }

    /// The person consents anew, whatever is under way.
    func consentAgain(_ subject: Subject) throws {
        guard !diskFails else { return }
        let pair = subject.model.consent()
        let wall = clock.moment.wall
        let grant = try shelf.grant(
            subject.provider, access: pair.access, refresh: pair.refresh, at: wall, life: subject.model.life,
            nextRefreshAt: wall.adding(seconds: subject.model.life * 3 / 4))
        let connection = try shelf.state(subject.id).connection
        try shelf.store.write {
            try $0.replace(connection, with: grant, in: .open(shelf.vault)) { _, _ in true }
        }
        subject.wasStruck = false
        try notice(subject, after: .person)
    }

    func setDisk(fails: Bool) throws {
        diskFails = fails
        if fails { some.diskFailed += 1 }
        try shelf.store.writer.queue.writeWithoutTransaction {
            try $0.execute(sql: "PRAGMA query_only = \(fails ? 1 : 0)")
        }
    }

    func noticeAll(after occasion: Occasion) throws {
        let rows = try shelf.store.read {
            try $0.rows("SELECT id, generation, status FROM connection", [])
        }
        var seen: [ConnectionID: (Int64, String)] = [:]
        for row in rows { seen[try row.id("id")] = (row["generation"], row.text("status")) }
        for subject in subjects where seen[subject.id] ?? (0, "") != (subject.generation, subject.status.rawValue) {
            try notice(subject, after: occasion)
        }
        owed = try owed.filter { entry in
            guard entry.process === current, entry.process.engine.flights[entry.subject.id] != nil else {
                // I2, late: the disk is back and the process lived.
                let isStored = try shelf.tokens(entry.subject.id).access == entry.access
                let isJournaled = try shelf.journaled(entry.subject.id).contains { $0.access == entry.access }
                let wasReplaced = try shelf.count("SELECT count(*) FROM rotation_journal WHERE form = 'vault'") > 0
                guard entry.process !== current || isStored || isJournaled || wasReplaced else {
                    throw fail("an owed pair was dropped")
                }
                return false
            }
            return true
        }
    }

    /// What changed in a row, and whether it may have.
    private func notice(_ subject: Subject, after occasion: Occasion) throws {
        let state = try shelf.state(subject.id)
        let connection = state.connection
        trace("\(subject.model.kind): generation \(connection.generation), \(connection.status), \(state.intent)")
        // I3
        guard connection.generation >= subject.generation, connection.generation <= subject.generation + 1 else {
            throw fail("generation went from \(subject.generation) to \(connection.generation)")
        }
        if connection.generation > subject.generation {
            // A pair that comes late may be of a family that was ended meanwhile.
            subject.cameDead = try !subject.model.isLive(shelf.tokens(subject.id).refresh)
            if !subject.cameDead { subject.wasStruck = false }
        }
        if connection.status == .reauthorize, subject.status == .active { try isDeadIndeed(subject, state) }
        (subject.generation, subject.status) = (connection.generation, connection.status)
    }

    /// I5, I6: a person is asked only when the provider honours nothing that we hold, and a rotation was only lost where
    /// something struck between the request and the commit.
    private func isDeadIndeed(_ subject: Subject, _ state: RefreshState) throws {
        some.lostRotation += 1
        var held = [try shelf.tokens(subject.id).refresh]
        held += try shelf.journaled(subject.id).map(\.refresh)
        for token in held where subject.model.isLive(token) {
            throw fail("\(subject.model.kind) given up while \(token) is live: \(state.lastCode ?? "")")
        }
        guard subject.model.kind != .unchanging else { throw fail("an unchanging grant was given up") }
        guard subject.wasStruck else { throw fail("\(subject.model.kind) lost although nothing struck") }
        guard state.lastCode == "lost_rotation" || subject.cameDead else {
            throw fail("a loss without its name: \(state.lastCode ?? "")")
        }
    }
}
