/// What stands between us and one provider: how fast, how many at a time, whether it asked for a pause, whether it is
/// down, whether it knows us. Measured in uptime, and empty at the start, so that a restart is no licence for a burst.
struct ProviderGate {
    struct Limits: Hashable, Sendable {
        var perSecond: Double = 10
        var burst: Double = 20
        var concurrent = 16
    }

    enum Admission: Hashable {
        case go
        /// Not before this uptime.
        case wait(Int64)
        /// The provider does not accept our client; asked again at this uptime.
        case misconfigured(Int64)
    }

    enum Verdict { case success, failure, neutral }

    private let limits: Limits
    private var tokens: Double = 0
    private var filledAt: Int64
    private(set) var inFlight = 0
    var isProbing: Bool { breaker.isProbing }
    private var notBefore: Int64 = .min
    private var clientRefusedUntil: Int64?
    private var breaker = Breaker()

    init(_ limits: Limits, at uptime: Int64) {
        self.limits = limits
        filledAt = uptime
    }

    mutating func admission(at uptime: Int64) -> Admission {
        fill(at: uptime)
        if let until = clientRefusedUntil, uptime < until { return .misconfigured(until) }
        if uptime < notBefore { return .wait(notBefore) }
        if let probe = breaker.closedUntil(at: uptime) { return .wait(probe) }
        // An end of a call wakes the engine; the time is only a net.
        if inFlight >= limits.concurrent { return .wait(uptime + 1_000) }
        if tokens < 1 { return .wait(uptime + max(1, Int64((1 - tokens) / limits.perSecond * 1000 + 0.999))) }
        return .go
    }

    /// How many could go now.
    mutating func capacity(at uptime: Int64) -> Int {
        guard admission(at: uptime) == .go else { return 0 }
        return breaker.isProbing ? 1 : min(Int(tokens), limits.concurrent - inFlight)
    }

    mutating func enter(at uptime: Int64) {
        tokens -= 1
        inFlight += 1
        breaker.entered(at: uptime)
    }

    /// Admitted, and not sent after all.
    mutating func leaveUnsent() {
        tokens = min(limits.burst, tokens + 1)
        inFlight -= 1
        breaker.withdrawn()
    }

    mutating func leave(_ verdict: Verdict, at uptime: Int64, jitter: Double) {
        inFlight -= 1
        breaker.record(verdict, at: uptime, jitter: jitter)
        if verdict == .success { clientRefusedUntil = nil }
    }

    /// It asked for a pause (429 or 503): the others wait too.
    mutating func pause(until uptime: Int64) { notBefore = max(notBefore, uptime) }

    /// `invalid_client`: nothing that we hold is dead, and nothing works until someone repairs the registration.
    mutating func refuseClient(until uptime: Int64) { clientRefusedUntil = uptime }
    mutating func admitClient() { clientRefusedUntil = nil }

    private mutating func fill(at uptime: Int64) {
        guard uptime > filledAt else { return }
        tokens = min(limits.burst, tokens + Double(uptime - filledAt) / 1000 * limits.perSecond)
        filledAt = uptime
    }
}

/// Opens after 20 failures that are more than half of a minute's calls; then one call at a time, every ten seconds, finds
/// out whether the provider is back.
struct Breaker {
    private enum State: Hashable {
        case closed
        case open(probeAt: Int64)
        case probing
    }

    static let window: Int64 = 60_000
    static let failures = 20
    static let probeEvery: Int64 = 10_000

    private var state = State.closed
    private var outcomes: [(at: Int64, failed: Bool)] = []

    var isProbing: Bool { state != .closed }

    /// Until when no call may go; nil when one may.
    func closedUntil(at uptime: Int64) -> Int64? {
        switch state {
        case .closed: nil
        case .open(let probeAt): uptime < probeAt ? probeAt : nil
        case .probing: uptime + 1_000
        }
    }

    mutating func entered(at uptime: Int64) {
        if case .open = state { state = .probing }
    }

    mutating func withdrawn() {
        if state == .probing { state = .open(probeAt: 0) }
    }

    mutating func record(_ verdict: ProviderGate.Verdict, at uptime: Int64, jitter: Double) {
        switch (state, verdict) {
        case (.closed, .neutral): return
        // It answers: that a person's grant is gone says nothing about the provider.
        case (_, .success), (.probing, .neutral):
            if state != .closed { outcomes = [] }
            state = .closed
        case (.probing, .failure), (.open, .failure):
            state = .open(probeAt: uptime + Self.probeEvery + Int64(Double(Self.probeEvery) * 0.2 * jitter))
        case (.open, .neutral): return
        case (.closed, .failure): break
        }
        guard state == .closed else { return }
        outcomes.append((uptime, verdict == .failure))
        outcomes.removeAll { $0.at <= uptime - Self.window }
        let failed = outcomes.count { $0.failed }
        if failed >= Self.failures, failed * 2 > outcomes.count {
            outcomes = []
            state = .open(probeAt: uptime + Self.probeEvery + Int64(Double(Self.probeEvery) * 0.2 * jitter))
        }
    }
}
