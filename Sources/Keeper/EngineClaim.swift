import Broker
import Encoding
import Envelope
import OAuth
import Secrets
import Vault

extension RefreshEngine {
    enum Claimed {
        /// Armed, and to be sent once that is committed.
        case departing(Flight, ProviderCall)
        case answered(KeeperAnswer, dueAt: Instant?)
        /// Not before this uptime.
        case waiting(Int64)
    }

    /// Looks at the row as it is now and takes it if everything that a refresh needs is there.
    func claim(_ id: ConnectionID, _ rows: Rows, at moment: Moment) throws -> Claimed {
        guard let state = try rows.refreshState(of: id) else { return .answered(.refresh(.unavailable), dueAt: nil) }
        let connection = state.connection
        let waiters = wanted[id]?.waiters ?? []
        if !waiters.isEmpty, waiters.allSatisfy({ $0.generation < connection.generation }) {
            return .answered(.refresh(.refreshed(generation: connection.generation)), dueAt: state.nextRefreshAt)
        }
        if let obstacle = obstacle(state, isWaitedFor: !waiters.isEmpty, at: moment) { return obstacle }
        guard let endpoint = endpoints[connection.provider] else {
            try rows.postpone(state, until: moment.wall.adding(seconds: 600))
            return .answered(.refresh(.misconfigured), dueAt: nil)
        }
        if let doubt = try stillInDoubt(state, endpoint.policy, rows, at: moment) { return doubt }
        switch admission(to: connection.provider, at: moment.uptime) {
        case .go: break
        case .wait(let until): return .waiting(until)
        case .misconfigured(let until):
            let retryAt = Instant(milliseconds: moment.wall.milliseconds + until - moment.uptime)
            try rows.postpone(state, until: retryAt)
            return .answered(.refresh(.misconfigured), dueAt: retryAt)
        }
        return try takeOff(state, endpoint, rows, at: moment)
    }

    /// What the row itself says against it.
    private func obstacle(_ state: RefreshState, isWaitedFor: Bool, at moment: Moment) -> Claimed? {
        let connection = state.connection
        switch connection.status {
        case .active: break
        case .reauthorize: return .answered(.refresh(.reauthorize), dueAt: nil)
        case .paused, .unused: return .answered(.refresh(.unavailable), dueAt: nil)
        }
        guard connection.refreshable else { return .answered(.refresh(.reauthorize), dueAt: nil) }
        if state.isLeased(at: moment.wall) { return .waiting(moment.uptime + 1_000) }
        if let notBefore = state.notBefore, notBefore > moment.wall {
            let dueAt = max(notBefore, state.nextRefreshAt ?? notBefore)
            return .answered(.refresh(Self.later(notBefore, at: moment.wall)), dueAt: dueAt)
        }
        if isWaitedFor, !state.renewPending,
            let seconds = RefreshPolicy.tooSoon(
                obtainedAt: connection.obtainedAt, expiresAt: connection.expiresAt, at: moment.wall)
        {
            return .answered(.refresh(.retryLater(seconds: seconds)), dueAt: state.nextRefreshAt)
        }
        return nil
    }

    private func stillInDoubt(
        _ state: RefreshState, _ policy: RefreshPolicy, _ rows: Rows, at moment: Moment
    ) throws -> Claimed? {
        switch state.intent {
        case .none: return nil
        case .armed(let since): return try interrupted(state, since: since, policy, rows, at: moment)
        case .ambiguous(let since):
            // When it was planned a replay would have been harmless: this attempt comes later.
            guard
                let until = policy.heldBack(
                    inDoubtSince: since, expiresAt: state.connection.expiresAt, at: moment.wall)
            else { return nil }
            try rows.postpone(state, until: until)
            return .answered(.refresh(Self.later(until, at: moment.wall)), dueAt: until)
        }
    }

    /// A lease that ran out while its request was under way: as uncertain as after a crash.
    private func interrupted(
        _ state: RefreshState, since: Instant, _ policy: RefreshPolicy, _ rows: Rows, at moment: Moment
    ) throws -> Claimed {
        let retry = policy.retry(
            inDoubtSince: since, expiresAt: state.connection.expiresAt, failures: state.failures, random: random01(),
            at: moment.wall)
        try rows.markAmbiguous(state, retry: retry)
        return .answered(.refresh(Self.later(retry.asked, at: moment.wall)), dueAt: retry.planned)
    }

    private func takeOff(
        _ state: RefreshState, _ endpoint: TokenEndpoint, _ rows: Rows, at moment: Moment
    ) throws -> Claimed {
        let connection = state.connection
        guard let (key, credential) = try open(connection, rows, at: moment) else {
            // On, and not to be opened: its service key is not configured any more.
            if connection.background {
                try rows.postpone(state, until: moment.wall.adding(seconds: 3600), code: "no_key")
            }
            return .answered(.noKey, dueAt: nil)
        }
        guard let refreshToken = credential.refreshToken else {
            try rows.postpone(state, until: moment.wall.adding(seconds: 86_400), code: "no_refresh_token")
            return .answered(.refresh(.reauthorize), dueAt: nil)
        }
        let call: ProviderCall
        do throws(TokenEndpoint.Unusable) {
            call = try endpoint.call(refreshToken, connection.scopes)
        } catch {
            let retryAt = moment.wall.adding(seconds: error == .exhausted ? 5 : 30)
            try rows.postpone(state, until: retryAt)
            return .answered(.refresh(error == .notConfigured ? .misconfigured : .unavailable), dueAt: retryAt)
        }
        let until = moment.wall.adding(seconds: Self.leaseSeconds)
        guard let claim = try rows.arm(state, owner: owner, until: until, at: moment.wall) else {
            return .waiting(moment.uptime + 1_000)
        }
        lastCall += 1
        gates[connection.provider]?.enter(at: moment.uptime)
        let flight = Flight(
            claim: claim, credential: credential, key: key, endpoint: endpoint, call: lastCall, waiters: [])
        return .departing(flight, call)
    }

    /// With the key that a worker handed over, or with the service's while the owner lets it. nil: there is none.
    private func open(
        _ connection: Connection, _ rows: Rows, at moment: Moment
    ) throws -> (ConnectionKey, Credential)? {
        if let key = keyring.key(of: connection.id, at: moment.uptime) {
            do {
                return (key, try rows.openCredential(of: connection, with: key.key))
            } catch EnvelopeError.doesNotOpen {
                // The connection was given another key since.
                keyring.drop(connection.id)
            }
        }
        do {
            guard let key = try rows.openServiceKey(of: connection, with: keys) else { return nil }
            return (key, try rows.openCredential(of: connection, with: key.key))
        } catch EnvelopeError.doesNotOpen {
            return nil
        } catch EnvelopeError.unknownKey {
            return nil
        }
    }
}
