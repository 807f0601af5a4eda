import Encoding
import Providers
import Secrets
import Vault

/// When to refresh, and what to do when it is not known whether a refresh happened. Pure: a provider's habits as data.
public struct RefreshPolicy: Hashable, Sendable {
    /// A refresh may bring a new refresh token and end the old one.
    public var rotates: Bool
    /// How long a spent refresh token may be shown again; 0 not at all, or not documented.
    public var graceSeconds: Int64
    /// A refresh ends the access token before.
    public var oldAccessDies: Bool
    /// How long before its end a token is renewed at the latest.
    public var refreshBeforeSeconds: Int64
    /// The refresh token ends when it is not used for so long.
    public var idleSeconds: Int64?
    /// The refresh token's end is counted from the person's consent: a refresh does not move it.
    public var endsAbsolutely: Bool

    public init(
        rotates: Bool, graceSeconds: Int64 = 0, oldAccessDies: Bool = false, refreshBeforeSeconds: Int64 = 300,
        idleSeconds: Int64? = nil, endsAbsolutely: Bool = false
    ) {
        (self.rotates, self.graceSeconds, self.oldAccessDies) = (rotates, graceSeconds, oldAccessDies)
        (self.refreshBeforeSeconds, self.idleSeconds) = (refreshBeforeSeconds, idleSeconds)
        self.endsAbsolutely = endsAbsolutely
    }

    public init(_ provider: Provider) {
        let lifetime =
            provider.usesPKCE
            ? provider.expiry.refreshSecondsWithPKCE ?? provider.expiry.refreshSeconds : provider.expiry.refreshSeconds
        let unused = provider.expiry.unusedDays.map { $0 * 86_400 }
        let isAbsolute = provider.expiry.refreshClock == .absolute
        self.init(
            // "sometimes" may be now.
            rotates: provider.refresh.rotates != .no, graceSeconds: provider.refresh.graceSeconds ?? 0,
            oldAccessDies: provider.refresh.oldAccessDies, refreshBeforeSeconds: provider.refresh.refreshBeforeSeconds,
            idleSeconds: isAbsolute ? unused : [lifetime, unused].compactMap { $0 }.min(), endsAbsolutely: isAbsolute)
    }
}

// MARK: The plan after a success

extension RefreshPolicy {
    /// Connections that were used in the latest day (or three lives of a token) are renewed ahead of time; the others
    /// when they are asked for, and often enough that the refresh token does not end by idleness.
    public func nextRefreshAt(
        _ connection: ConnectionID, generation: Int64, receivedAt: Instant, expiresAt: Instant?,
        refreshExpiresAt: Instant?, lastUsedAt: Instant?
    ) -> Instant? {
        let jitter = Self.hash01(connection, generation)
        let alive = keepAlive(receivedAt: receivedAt, refreshExpiresAt: refreshExpiresAt, jitter: jitter)
        guard let expiresAt, expiresAt > receivedAt else { return alive }
        let life = expiresAt.milliseconds - receivedAt.milliseconds
        let recently = max(86_400_000, life.multipliedReportingOverflow(by: 3).partialValue)
        guard let lastUsedAt, receivedAt.milliseconds - lastUsedAt.milliseconds <= recently else {
            return alive ?? ahead(receivedAt, life, jitter)
        }
        let ahead = ahead(receivedAt, life, jitter)
        return alive.map { min($0, ahead) } ?? ahead
    }

    /// Between 0.70 and 0.85 of the token's life, always at the same place for one generation: no two connections that
    /// were made together stay together. Where the old token ends with the refresh, as late as is safe, because whoever
    /// was given it loses it then.
    private func ahead(_ receivedAt: Instant, _ life: Int64, _ jitter: Double) -> Instant {
        // Twice the lead, or 0.15 of a short life, and of that between a half and all.
        let late = min(0.15, Double(refreshBeforeSeconds) * 2000 / Double(life)) * (0.5 + 0.5 * jitter)
        let share = oldAccessDies ? 1 - late : 0.70 + 0.15 * jitter
        return Instant(milliseconds: receivedAt.milliseconds + Int64(Double(life) * share))
    }

    /// A quarter of the idle limit, at most 30 days, spread over a third of that.
    private func keepAlive(receivedAt: Instant, refreshExpiresAt: Instant?, jitter: Double) -> Instant? {
        let toEnd = endsAbsolutely ? nil : refreshExpiresAt.map { receivedAt.seconds(until: $0) }
        guard let limit = [idleSeconds, toEnd].compactMap({ $0 }).filter({ $0 > 0 }).min() else { return nil }
        let interval = Double(min(limit / 4, 30 * 86_400)) * (1 - jitter / 3)
        return receivedAt.adding(seconds: max(1, Int64(interval)))
    }

    /// Stable, uniform in 0..<1.
    public static func hash01(_ connection: ConnectionID, _ generation: Int64) -> Double {
        var state = connection.high ^ (connection.low &* 0x9E37_79B9_7F4A_7C15) ^ UInt64(bitPattern: generation)
        // The finalizer of SplitMix64.
        state = (state ^ (state >> 30)) &* 0xBF58_476D_1CE4_E5B9
        state = (state ^ (state >> 27)) &* 0x94D0_49BB_1331_11EB
        state ^= state >> 31
        return Double(state >> 11) / Double(UInt64(1) << 53)
    }
}

// MARK: Tokens that hardly live

extension RefreshPolicy {
    /// What lives as long as this is renewed no more often than its life says.
    static let briefMilliseconds: Int64 = 10_000
    /// How often one that is over as it comes is asked for in the end.
    static let deadPauseMilliseconds: Int64 = 60_000

    /// A provider that answers with no life at all, or with seconds, must not be asked once for each vend: of such tokens
    /// each in a row is followed by the next after twice the pause of the one before. What is over is still not handed out.
    static func pause(life milliseconds: Int64, inARow: Int64) -> Int64? {
        guard milliseconds < briefMilliseconds else { return nil }
        let longest = milliseconds > 0 ? briefMilliseconds : deadPauseMilliseconds
        return min(firstBackoffMilliseconds << min(max(inARow - 1, 0), 16), longest)
    }
}

// MARK: The plan after a failure

extension RefreshPolicy {
    public static let firstBackoffMilliseconds: Int64 = 1_000
    public static let longestBackoffMilliseconds: Int64 = 600_000

    /// Exponential with full jitter, `random` uniform in 0..<1; never less than a fifth of a second.
    public static func backoff(failures: Int64, random: Double) -> Int64 {
        let exponent = min(max(failures, 0), 20)
        let ceiling = min(firstBackoffMilliseconds << exponent, longestBackoffMilliseconds)
        return max(200, Int64(Double(ceiling) * random))
    }

    /// When to show a refresh token again that may have been spent.
    ///
    /// Where showing it again is harmless (it is not spent by use, or is still in its grace) soon. Otherwise a replay may
    /// make the provider end the access token that we still have: so that is used up first, unless the refresh in doubt
    /// has ended it anyway. Then nothing is left to lose, and the provider's answer decides.
    public func retry(
        inDoubtSince since: Instant, expiresAt: Instant?, failures: Int64, random: Double, at now: Instant
    ) -> Retry {
        let soon = Self.retry(failures: failures, random: random, at: now)
        func allowed(_ at: Instant) -> Instant {
            max(at, heldBack(inDoubtSince: since, expiresAt: expiresAt, at: at) ?? at)
        }
        return Retry(planned: allowed(soon.planned), asked: allowed(soon.asked))
    }

    /// Until when a refresh token in doubt must not be shown, from `now` on. nil: it may be.
    func heldBack(inDoubtSince since: Instant, expiresAt: Instant?, at now: Instant) -> Instant? {
        guard !isReplayHarmless(since: since, at: now), !oldAccessDies, let expiresAt else { return nil }
        let lastMoment = expiresAt.adding(seconds: -Self.lastMomentSeconds)
        return lastMoment > now ? lastMoment : nil
    }

    /// After an attempt that the provider left without an answer that is one. How often that happened says nothing about
    /// this connection, and the provider's gate slows down all of them together: whoever asks for this one waits no longer
    /// than the gate would have them wait, while a renewal ahead of time goes on more and more slowly.
    public static func retry(failures: Int64, random: Double, at now: Instant) -> Retry {
        let pause = backoff(failures: failures, random: random)
        return Retry(
            planned: Instant(milliseconds: now.milliseconds + pause),
            asked: Instant(milliseconds: now.milliseconds + min(pause, Breaker.probeEvery)))
    }

    /// Half of the grace is left as a margin for clocks and for the way there.
    public func isReplayHarmless(since: Instant, at: Instant) -> Bool {
        !rotates || (graceSeconds > 0 && at <= since.adding(seconds: graceSeconds / 2))
    }

    /// How long before its end a token counts as used up.
    static let lastMomentSeconds: Int64 = 30

    /// A connection that was renewed just now is not renewed again: nothing newer is to be had, and a caller that asks
    /// for more than tokens live must not make us a nuisance.
    public static func tooSoon(obtainedAt: Instant, expiresAt: Instant?, at now: Instant) -> Int64? {
        if let expiresAt, expiresAt <= now { return nil }
        let life = expiresAt.map { $0.milliseconds - obtainedAt.milliseconds } ?? .max
        let pause = min(60_000, life / 4)
        let passed = now.milliseconds - obtainedAt.milliseconds
        return passed >= 0 && passed < pause ? (pause - passed + 999) / 1000 : nil
    }
}
