import Broker
import Encoding
import Envelope
import OAuth
import ProviderHTTP
import Secrets
import Vault

/// Refreshes, and nobody else does: one path for tokens that a caller waits for and for those renewed ahead of time.
///
/// A state machine of one thread: events come in as a batch, everything that they change is one transaction, and what is
/// to be done outside (send, answer, record) comes back as values after it is committed. So nothing is sent before its
/// intent is durable, nobody is answered before the outcome is, and a test can end the world between any two steps.
public final class RefreshEngine {
    public enum Event: Sendable {
        case asked(KeeperRequest, by: Waiter)
        case completed(call: UInt64, Result<ProviderReply, TransportFailure>)
    }

    public enum Effect: Sendable {
        case send(call: UInt64, ProviderCall, deadlineMilliseconds: Int)
        case answer(Waiter, KeeperAnswer)
        case record(AuditRecord)
        /// To the operator.
        case say(String)
    }

    /// Who waits for an answer: opaque here.
    public struct Waiter: Hashable, Sendable {
        public let channel: UInt64
        public let serial: UInt64

        public init(channel: UInt64, serial: UInt64) { (self.channel, self.serial) = (channel, serial) }
    }

    /// One hard deadline for a call: less than half of a lease, and than what a leaving keeper is given.
    public static let deadlineMilliseconds = 12_000
    static let leaseSeconds: Int64 = 40
    /// A commit that took longer than this leaves too little of the lease: what it armed is not sent.
    static let longestCommit: Int64 = 5_000
    /// How long a caller waits before it is told to come again; workers wait 8 seconds.
    static let patience: Int64 = 7_000
    static let pollEvery: Int64 = 5_000
    static let mostClaims = 16
    static let mostStumbles = 30

    let store: Store
    let keys: KeeperKeys
    let random: Randomness
    let clock: @Sendable () -> Moment
    let failed: @Sendable (any Error) -> Void
    /// This keeper, among all that ever were.
    let owner: String
    var endpoints: [ProviderID: TokenEndpoint]

    var keyring = Keyring()
    var gates: [ProviderID: ProviderGate] = [:]
    var troubles = Troubles()
    /// From the claim to the commit of its outcome.
    var flights: [ConnectionID: Flight] = [:]
    var calls: [UInt64: ConnectionID] = [:]
    /// Asked for, and not claimed yet.
    var wanted: [ConnectionID: Wanted] = [:]
    /// Answers of providers whose outcome is not committed yet.
    var arrived: [ConnectionID] = []
    var lastCall: UInt64 = 0
    var pollAt: Int64 = .min
    /// After the database failed.
    var pausedUntil: Int64 = .min
    public private(set) var isStopping = false

    struct Wanted {
        var provider: ProviderID
        var waiters: [(waiter: Waiter, generation: Int64)]
        var since: Int64
        var notBefore: Int64
    }

    public init(
        store: Store, keys: KeeperKeys, endpoints: [ProviderID: TokenEndpoint], random: Randomness,
        clock: @escaping @Sendable () -> Moment, failed: @escaping @Sendable (any Error) -> Void = { _ in }
    ) {
        (self.store, self.keys, self.endpoints) = (store, keys, endpoints)
        (self.random, self.clock, self.failed) = (random, clock, failed)
        owner = Hex.encode(random.bytes(16))
    }

    /// Takes a batch in and does what can be done now.
    public func handle(_ events: [Event]) -> [Effect] {
        let moment = clock()
        var effects: [Effect] = []
        keyring.dropExpired(at: moment.uptime)
        for event in events {
            switch event {
            case .asked(let request, let waiter): take(request, waiter, at: moment, &effects)
            case .completed(let call, let result): land(call, result, at: moment, &effects)
            }
        }
        if moment.uptime >= pausedUntil || !arrived.isEmpty { work(at: moment, &effects) }
        giveUpWaiting(at: clock(), &effects)
        return effects
    }

    /// The uptime of the next thing to do without an event.
    public func nextWake() -> Int64 {
        let moment = clock()
        var next = isStopping ? Int64.max : pollAt
        for entry in wanted.values { next = min(next, entry.notBefore, entry.since + Self.patience) }
        if !isStopping, let due = keyring.nextUptime(at: moment) { next = min(next, due) }
        if !arrived.isEmpty { next = moment.uptime }
        return max(next, pausedUntil, moment.uptime)
    }

    /// Claims nothing any more. What is in flight is finished; `isIdle` says when.
    public func stop() -> [Effect] {
        isStopping = true
        defer { wanted = [:] }
        return wanted.values.flatMap(\.waiters).map { .answer($0.waiter, .refresh(.unavailable)) }
    }

    public var isIdle: Bool { flights.isEmpty }

    public func replace(endpoints: [ProviderID: TokenEndpoint]) {
        self.endpoints = endpoints
        // A repaired registration is tried at once; pacing goes on.
        for id in gates.keys { gates[id]?.admitClient() }
    }

    public var heldKeys: Int { keyring.count }

    // MARK: Requests of workers

    private func take(_ request: KeeperRequest, _ waiter: Waiter, at moment: Moment, _ effects: inout [Effect]) {
        switch request {
        case .hold(let id, let generation, let seconds, let key):
            hold(id, generation: generation, seconds: Int64(seconds), key: key, at: moment)
        case .refresh(let id, let generation):
            want(id, generation: generation, waiter, at: moment, &effects)
        case .forget(let forgetting):
            switch forgetting {
            case .connection(let id): keyring.drop(id)
            case .vault(let id): keyring.dropAll { $0.vault == id }
            case .person(let id): keyring.dropAll { $0.person == id }
            case .all: keyring.dropAll { _ in true }
            }
            effects.append(.answer(waiter, .done))
        case .count(let person):
            effects.append(.answer(waiter, .count(Int64(keyring.count(of: person, at: moment.uptime)))))
        }
    }

    /// The key is not tried here: one that does not open is found out, and dropped, when it is needed.
    private func hold(_ id: ConnectionID, generation: Int64, seconds: Int64, key: ConnectionKey, at moment: Moment) {
        guard !isStopping, seconds > 0, let state = try? store.read({ try $0.refreshState(of: id) }),
            state.connection.refreshable, state.connection.status == .active
        else { return }
        let connection = state.connection
        let entry = Keyring.Entry(
            key: key, generation: generation, vault: connection.vault, person: connection.person,
            until: moment.uptime + min(seconds, Keyring.longestSeconds) * 1000,
            // Under way: planned when it has landed. What was made without a plan is planned now.
            dueAt: flights[id] != nil ? nil : state.nextRefreshAt ?? plan(connection))
        keyring.hold(entry, of: id, at: moment.uptime)
    }

    private func plan(_ connection: Connection) -> Instant? {
        endpoints[connection.provider]?.policy.nextRefreshAt(
            connection.id, generation: connection.generation, receivedAt: connection.obtainedAt,
            expiresAt: connection.expiresAt, refreshExpiresAt: connection.refreshExpiresAt,
            lastUsedAt: connection.obtainedAt)
    }

    private func want(
        _ id: ConnectionID, generation: Int64, _ waiter: Waiter, at moment: Moment, _ effects: inout [Effect]
    ) {
        guard !isStopping else {
            effects.append(.answer(waiter, .refresh(.unavailable)))
            return
        }
        if let flight = flights[id] {
            flight.waiters.append((waiter, generation))
            return
        }
        if wanted[id] != nil {
            wanted[id]?.waiters.append((waiter, generation))
            return
        }
        guard let state = try? store.read({ try $0.refreshState(of: id) }) else {
            effects.append(.answer(waiter, .refresh(.unavailable)))
            return
        }
        wanted[id] = Wanted(
            provider: state.connection.provider, waiters: [(waiter, generation)], since: moment.uptime,
            notBefore: moment.uptime)
    }

    private func giveUpWaiting(at moment: Moment, _ effects: inout [Effect]) {
        for (id, entry) in wanted where moment.uptime - entry.since >= Self.patience {
            wanted[id] = nil
            let seconds = max(1, (entry.notBefore - moment.uptime + 999) / 1000)
            effects += entry.waiters.map { .answer($0.waiter, .refresh(.retryLater(seconds: seconds))) }
        }
    }

    static func later(_ retryAt: Instant, at now: Instant) -> RefreshAnswer {
        .retryLater(seconds: max(1, now.seconds(until: retryAt) + 1))
    }

    func random01() -> Double {
        Double(random.bytes(8).reduce(UInt64(0)) { $0 << 8 | UInt64($1) } >> 11) / Double(UInt64(1) << 53)
    }
}

/// One refresh under way.
final class Flight {
    let claim: Claim
    let credential: Credential
    let key: ConnectionKey
    let endpoint: TokenEndpoint
    let call: UInt64
    var waiters: [(waiter: RefreshEngine.Waiter, generation: Int64)]
    var outcome: FlightOutcome?
    /// How often the outcome could not be stored for a reason of its own.
    var stumbles = 0

    var connection: Connection { claim.connection }

    init(
        claim: Claim, credential: Credential, key: ConnectionKey, endpoint: TokenEndpoint, call: UInt64,
        waiters: [(waiter: RefreshEngine.Waiter, generation: Int64)]
    ) {
        (self.claim, self.credential, self.key) = (claim, credential, key)
        (self.endpoint, self.call, self.waiters) = (endpoint, call, waiters)
    }
}

/// What became of a request, in the terms of docs/ARCHITECTURE.md, refresh.
enum FlightOutcome {
    case renewed(CredentialTokens, at: Instant)
    /// The provider says that the grant is gone.
    case dead(code: String)
    /// It does not accept our client, or how we ask.
    case refused(code: String)
    /// It said no for now: it has done nothing.
    case notDone(code: String)
    /// It was not reached.
    case notSent(code: String)
    /// It may have done it.
    case unknown(code: String)
}
