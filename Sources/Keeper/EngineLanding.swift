import Broker
import Encoding
import OAuth
import ProviderHTTP
import Secrets
import Vault

// A call has ended: what it means for the provider's gate at once, and for the connection with the next transaction.

extension RefreshEngine {
    func land(
        _ call: UInt64, _ result: Result<ProviderReply, TransportFailure>, at moment: Moment, _ effects: inout [Effect]
    ) {
        guard let id = calls.removeValue(forKey: call), let flight = flights[id] else { return }
        let (outcome, verdict) = Self.judge(result, of: flight, at: moment.wall)
        flight.outcome = outcome
        arrived.append(id)
        let provider = flight.connection.provider
        gates[provider]?.leave(verdict, at: moment.uptime, jitter: random01())
        if case .success(let reply) = result, let seconds = Self.pause(asked: reply, at: moment.wall) {
            let wait = Double(seconds) * 1000 * (1 + 0.1 * random01())
            gates[provider]?.pause(until: moment.uptime + Int64(wait))
        }
        if case .refused(let code) = outcome, Self.speaksOfClient(code) {
            gates[provider]?.refuseClient(until: moment.uptime + 60_000)
        }
        if let sentence = troubles.note(outcome, of: provider, at: moment.uptime) { effects.append(.say(sentence)) }
    }

    /// invalid_client and unauthorized_client of RFC 6749 §5.2, and what providers say in their place.
    static func speaksOfClient(_ code: String) -> Bool { code.contains("client") }

    private static func judge(
        _ result: Result<ProviderReply, TransportFailure>, of flight: Flight, at now: Instant
    ) -> (FlightOutcome, ProviderGate.Verdict) {
        switch result {
        case .failure(let failure):
            switch failure {
            case .notSent: return (.notSent(code: failure.code), .failure)
            case .redirected: return (.refused(code: failure.code), .failure)
            case .lost, .tooLarge: return (.unknown(code: failure.code), .failure)
            }
        case .success(let reply):
            switch flight.endpoint.judge(reply, flight.connection.scopes, now) {
            case .tokens(let tokens): return (.renewed(tokens, at: now), .success)
            case .unknown(let code): return (.unknown(code: code), .failure)
            case .refused(let code, let kind):
                switch kind {
                case .reauthorize, .userAction: return (.dead(code: code), .neutral)
                case .config: return (.refused(code: code), .neutral)
                // What is not on a list as the end of a grant is not one.
                case .transient, .denied, .admin, .replay: return (.notDone(code: code), .neutral)
                }
            }
        }
    }

    /// Of Retry-After a second at least; a 429 without one gets five.
    private static func pause(asked reply: ProviderReply, at now: Instant) -> Int64? {
        guard reply.status == 429 || reply.status == 503 else { return nil }
        if let asked = reply.retryAfterSeconds(at: now) { return max(Int64(asked), 1) }
        return reply.status == 429 ? 5 : nil
    }

    // MARK: Into the store

    struct Settled {
        let id: ConnectionID
        let answer: KeeperAnswer
        /// When a held connection is to be renewed next.
        let dueAt: Instant?
        let record: AuditRecord?
    }

    func settle(_ flight: Flight, _ outcome: FlightOutcome, _ rows: Rows, at now: Instant) throws -> Settled {
        switch outcome {
        case .renewed(let tokens, let receivedAt):
            // Somebody else's token is for nobody here, and no reason to believe the next: it is not kept. What was there
            // is spent, so the person connects again, and sees whose account it is.
            if flight.endpoint.contradicts(flight.credential.accountID, tokens) {
                return try end(flight, code: "another_account", rows)
            }
            return try store(tokens, receivedAt, of: flight, rows)
        case .dead(let code): return try bury(flight, code: code, rows, at: now)
        case .refused(let code):
            // Refused for what the client is, the gate is closed for all its connections, and the row itself waits for
            // nothing, so that a repaired registration works at once. Refused for how this one asks, the row waits.
            let pause = Self.speaksOfClient(code) ? 0 : Int64(60_000 * (1 + random01()))
            let retry = Retry(Instant(milliseconds: now.milliseconds + pause))
            return try release(flight, code, retry, mayHaveHappened: false, answer: .misconfigured, rows, at: now)
        case .notDone(let code):
            // It answers, and says no to this one: whoever asks waits as well.
            let retry = Retry(retry(flight, inDoubt: flight.claim.wasAmbiguous, at: now).planned)
            return try release(flight, code, retry, mayHaveHappened: false, answer: nil, rows, at: now)
        case .notSent(let code):
            let retry = retry(flight, inDoubt: flight.claim.wasAmbiguous, at: now)
            return try release(flight, code, retry, mayHaveHappened: false, answer: nil, rows, at: now)
        case .unknown(let code):
            // A refresh token that is not spent by use is simply shown again.
            let isInDoubt = flight.endpoint.policy.rotates
            let retry = retry(flight, inDoubt: isInDoubt, at: now)
            return try release(flight, code, retry, mayHaveHappened: isInDoubt, answer: nil, rows, at: now)
        }
    }

    private func retry(_ flight: Flight, inDoubt: Bool, at now: Instant) -> Retry {
        guard inDoubt else {
            return RefreshPolicy.retry(failures: flight.claim.failures, random: random01(), at: now)
        }
        return flight.endpoint.policy.retry(
            inDoubtSince: flight.claim.since, expiresAt: flight.connection.expiresAt, failures: flight.claim.failures,
            random: random01(), at: now)
    }

    private func store(_ tokens: CredentialTokens, _ receivedAt: Instant, of flight: Flight, _ rows: Rows) throws
        -> Settled
    {
        let connection = flight.connection
        let policy = flight.endpoint.policy
        var credential = flight.credential
        credential.accessToken = tokens.accessToken
        credential.tokenType = tokens.tokenType
        // RFC 6749 §6: when none comes, the old one stays.
        if let refreshToken = tokens.refreshToken { credential.refreshToken = refreshToken }
        let refreshExpiresAt = refreshExpiry(tokens, receivedAt, of: flight)
        let pause = pause(tokens, receivedAt, of: flight)
        let planned = policy.nextRefreshAt(
            connection.id, generation: connection.generation + 1, receivedAt: receivedAt, expiresAt: tokens.expiresAt,
            refreshExpiresAt: refreshExpiresAt, lastUsedAt: connection.lastUsedAt ?? connection.createdAt)
        let next = planned.map { max($0, pause?.until ?? $0) }
        let renewal = Renewal(
            credential: credential, scopes: tokens.scopes, receivedAt: receivedAt, expiresAt: tokens.expiresAt,
            refreshExpiresAt: refreshExpiresAt, nextRefreshAt: next, pause: pause)
        let end = try rows.store(renewal, for: flight.claim, key: flight.key.key, covers: flight.endpoint.covers)
        switch end {
        case .stored(let generation), .adopted(let generation):
            // What is over as it comes is nothing to hand out.
            let isOver = tokens.expiresAt.map { $0 <= receivedAt } ?? false
            let answer =
                if isOver, let pause { Self.later(pause.until, at: receivedAt) } else {
                    RefreshAnswer.refreshed(generation: generation)
                }
            return Settled(
                id: connection.id, answer: .refresh(answer), dueAt: next,
                record: record(.refreshed, connection, scopes: tokens.scopes.text))
        case .journaled(let current):
            return Settled(
                id: connection.id, answer: .refresh(.refreshed(generation: current)), dueAt: nil, record: nil)
        case .removed:
            return Settled(id: connection.id, answer: .refresh(.unavailable), dueAt: nil, record: nil)
        }
    }

    private func pause(_ tokens: CredentialTokens, _ receivedAt: Instant, of flight: Flight) -> Renewal.Pause? {
        guard let expiresAt = tokens.expiresAt else { return nil }
        let inARow = flight.claim.brief + 1
        return RefreshPolicy.pause(life: expiresAt.milliseconds - receivedAt.milliseconds, inARow: inARow).map {
            Renewal.Pause(inARow: inARow, until: Instant(milliseconds: receivedAt.milliseconds + $0))
        }
    }

    private func refreshExpiry(_ tokens: CredentialTokens, _ receivedAt: Instant, of flight: Flight) -> Instant? {
        let before = flight.connection.refreshExpiresAt
        if flight.endpoint.policy.endsAbsolutely { return before ?? tokens.refreshExpiresAt }
        if tokens.refreshToken != nil { return tokens.refreshExpiresAt }
        // It was used just now, and kept: its idle time begins anew.
        return flight.endpoint.policy.idleSeconds.map { receivedAt.adding(seconds: $0) } ?? before
    }

    /// The provider said that the grant is gone. Believed only if nobody else has the row by now, and if no pair in the
    /// journal is left to try.
    private func bury(_ flight: Flight, code: String, _ rows: Rows, at now: Instant) throws -> Settled {
        let connection = flight.connection
        if let generation = try rows.adoptLatest(for: flight.claim, key: flight.key.key) {
            return Settled(
                id: connection.id, answer: .refresh(.refreshed(generation: generation)), dueAt: now, record: nil)
        }
        // After a doubtful attempt the answer says that it was not lost on the way there, but on the way back.
        return try end(flight, code: flight.claim.wasAmbiguous ? "lost_rotation" : code, rows)
    }

    private func end(_ flight: Flight, code: String, _ rows: Rows) throws -> Settled {
        let connection = flight.connection
        if try rows.markReauthorize(flight.claim, code: code) {
            return Settled(
                id: connection.id, answer: .refresh(.reauthorize), dueAt: nil,
                record: record(.refreshFailed, connection, scopes: nil))
        }
        return Settled(id: connection.id, answer: try lookAgain(flight, rows), dueAt: nil, record: nil)
    }

    private func release(
        _ flight: Flight, _ code: String, _ retry: Retry, mayHaveHappened: Bool, answer: RefreshAnswer?,
        _ rows: Rows, at now: Instant
    ) throws -> Settled {
        let id = flight.connection.id
        let isOurs = try rows.release(
            flight.claim, code: code.cut(to: 128), retry: retry, mayHaveHappened: mayHaveHappened)
        guard isOurs else {
            return Settled(id: id, answer: try lookAgain(flight, rows), dueAt: nil, record: nil)
        }
        let answer = answer ?? Self.later(retry.asked, at: now)
        return Settled(id: id, answer: .refresh(answer), dueAt: retry.planned, record: nil)
    }

    /// Somebody else has the row: what it says now is the answer.
    private func lookAgain(_ flight: Flight, _ rows: Rows) throws -> KeeperAnswer {
        guard let state = try rows.refreshState(of: flight.connection.id) else { return .refresh(.unavailable) }
        if state.connection.generation > flight.connection.generation {
            return .refresh(.refreshed(generation: state.connection.generation))
        }
        return .refresh(state.connection.status == .reauthorize ? .reauthorize : .retryLater(seconds: 1))
    }

    private func record(_ event: AuditEvent, _ connection: Connection, scopes: String?) -> AuditRecord {
        AuditRecord(
            event, person: connection.person, provider: connection.provider.json, connection: connection.id,
            callerKind: "keeper", scopes: scopes)
    }
}
