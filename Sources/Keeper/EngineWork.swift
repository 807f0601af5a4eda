import Broker
import Encoding
import Envelope
import OAuth
import Secrets
import Vault

// One transaction: the outcomes that have arrived, and the claims of what goes out next.

extension RefreshEngine {
    func work(at moment: Moment, _ effects: inout [Effect]) {
        let landed = arrived.compactMap { id in
            flights[id].flatMap { flight in flight.outcome.map { (flight, $0) } }
        }
        let candidates = isStopping || moment.uptime < pausedUntil ? [] : gather(at: moment)
        guard !landed.isEmpty || !candidates.isEmpty else { return }
        var settled: [Settled] = []
        var claims: [(id: ConnectionID, claimed: Claimed)] = []
        do {
            try store.write { rows in
                for (flight, outcome) in landed {
                    if let end = try settleAlone(flight, outcome, rows, at: moment.wall) { settled.append(end) }
                }
                for candidate in candidates where claims.count < Self.mostClaims {
                    claims.append((candidate, try claim(candidate, rows, at: moment)))
                }
            }
        } catch {
            // Nothing was committed. What a provider issued stays in memory until it can be.
            for case .departing(let flight, _) in claims.map(\.claimed) {
                gates[flight.connection.provider]?.leaveUnsent()
            }
            pausedUntil = moment.uptime + 1_000
            failed(error)
            return
        }
        for end in settled { conclude(end, &effects) }
        if !settled.isEmpty || candidates.count > claims.count { pollAt = min(pollAt, moment.uptime) }
        for (id, claimed) in claims { depart(id, claimed, at: moment, &effects) }
    }

    /// One outcome that cannot be stored (no secure memory, a damaged key of a holder) must not hold up the others. It
    /// is kept and tried again.
    private func settleAlone(_ flight: Flight, _ outcome: FlightOutcome, _ rows: Rows, at now: Instant) throws
        -> Settled?
    {
        do {
            return try rows.nested { try settle(flight, outcome, rows, at: now) }
        } catch let error where error is EnvelopeError || error is SecureHeapError || error is VaultError {
            pausedUntil = clock().uptime + 1_000
            failed(error)
            flight.stumbles += 1
            // A row that is damaged stays so; what the provider did is then as unknown as after a crash.
            if flight.stumbles == Self.mostStumbles { flight.outcome = .unknown(code: "not_storable") }
            return nil
        }
    }

    private func conclude(_ end: Settled, _ effects: inout [Effect]) {
        guard let flight = flights.removeValue(forKey: end.id) else { return }
        arrived.removeAll { $0 == end.id }
        if end.answer == .refresh(.reauthorize) { keyring.drop(end.id) } else { keyring.plan(end.id, dueAt: end.dueAt) }
        effects += flight.waiters.map { .answer($0.waiter, end.answer) }
        if let record = end.record { effects.append(.record(record)) }
    }

    private func depart(_ id: ConnectionID, _ claimed: Claimed, at moment: Moment, _ effects: inout [Effect]) {
        let entry = wanted[id]
        switch claimed {
        case .departing(let flight, let call):
            wanted[id] = nil
            flight.waiters = entry?.waiters ?? []
            flights[id] = flight
            // Until it has landed.
            keyring.plan(id, dueAt: nil)
            if clock().uptime - moment.uptime > Self.longestCommit {
                flight.outcome = .notSent(code: "stalled")
                arrived.append(id)
                gates[flight.connection.provider]?.leaveUnsent()
            } else {
                calls[flight.call] = id
                effects.append(.send(call: flight.call, call, deadlineMilliseconds: Self.deadlineMilliseconds))
            }
        case .answered(let answer, let dueAt):
            wanted[id] = nil
            effects += (entry?.waiters ?? []).map { .answer($0.waiter, answer) }
            keyring.plan(id, dueAt: dueAt)
        case .waiting(let until):
            keyring.plan(id, dueAt: Instant(milliseconds: moment.wall.milliseconds + until - moment.uptime))
            guard let entry else { return }
            if until - entry.since >= Self.patience {
                wanted[id] = nil
                let seconds = max(1, (until - moment.uptime + 999) / 1000)
                effects += entry.waiters.map { .answer($0.waiter, .refresh(.retryLater(seconds: seconds))) }
            } else {
                wanted[id]?.notBefore = until
            }
        }
    }

    // MARK: What is to be done

    /// First whom a caller waits for, then what is held, then what its owners opted in.
    private func gather(at moment: Moment) -> [ConnectionID] {
        var found: [ConnectionID] = []
        var seen: Set<ConnectionID> = []
        func add(_ id: ConnectionID) {
            if flights[id] == nil, seen.insert(id).inserted { found.append(id) }
        }
        let waited = wanted.filter { $0.value.notBefore <= moment.uptime }
        for (id, _) in waited.sorted(by: { $0.value.since < $1.value.since }) { add(id) }
        for id in keyring.due(at: moment.wall) { add(id) }
        if moment.uptime >= pollAt { for id in poll(at: moment) { add(id) } }
        return found
    }

    private func poll(at moment: Moment) -> [ConnectionID] {
        var ready: [ConnectionID] = []
        var next = moment.uptime + Self.pollEvery
        for provider in endpoints.keys {
            let capacity = capacity(of: provider, at: moment.uptime)
            let underWay = flights.values.count { $0.connection.provider == provider }
            let rows = try? store.read {
                try $0.due(
                    provider, before: moment.wall.adding(seconds: Self.pollEvery / 1000), limit: capacity + underWay + 1
                )
            }
            let waiting = (rows ?? []).filter { flights[$0.connection.id] == nil }
            let now = waiting.filter { ($0.nextRefreshAt ?? moment.wall) <= moment.wall }
            ready += now.prefix(capacity).map(\.connection.id)
            if now.count > capacity {
                // More than may go now: the gate says when.
                next = min(next, gateOpens(provider, at: moment.uptime))
            } else if let first = waiting.dropFirst(now.count).first?.nextRefreshAt {
                next = min(next, moment.uptime(of: first))
            }
        }
        pollAt = max(next, moment.uptime + 20)
        return ready
    }

    private func gate(_ provider: ProviderID, at uptime: Int64) -> ProviderGate {
        gates[provider] ?? ProviderGate(endpoints[provider]?.limits ?? .init(), at: uptime)
    }

    private func capacity(of provider: ProviderID, at uptime: Int64) -> Int {
        var gate = gate(provider, at: uptime)
        defer { gates[provider] = gate }
        return gate.capacity(at: uptime)
    }

    private func gateOpens(_ provider: ProviderID, at uptime: Int64) -> Int64 {
        switch admission(to: provider, at: uptime) {
        case .go: uptime + 20
        case .wait(let until), .misconfigured(let until): until
        }
    }

    func admission(to provider: ProviderID, at uptime: Int64) -> ProviderGate.Admission {
        var gate = gate(provider, at: uptime)
        defer { gates[provider] = gate }
        return gate.admission(at: uptime)
    }
}
