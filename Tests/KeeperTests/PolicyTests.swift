import Encoding
import Testing
import Vault

@testable import Keeper

@Suite("Refresh policy")
struct PolicyTests {
    private let dice = Dice(7)

    private func policies() -> [RefreshPolicy] {
        var all: [RefreshPolicy] = []
        for rotates in [true, false] {
            for grace: Int64 in [0, 60, 1800] {
                for dies in [true, false] {
                    for idle: Int64? in [nil, 15_811_200] {
                        all.append(
                            RefreshPolicy(
                                rotates: rotates, graceSeconds: grace, oldAccessDies: dies, idleSeconds: idle))
                    }
                }
            }
        }
        return all
    }

    @Test("A plan lies inside the token's life, is always the same, and differs between connections")
    func plan() throws {
        for policy in policies() {
            let lives: [Int64] = [1, 10, 60, 599, 600, 3600, 28_800, 86_400, 315_360_000]
            for life in lives {
                var plans: Set<Int64> = []
                for _ in 0..<100 {
                    let id = ConnectionID(high: dice.next(), low: dice.next())
                    let start = Instant(milliseconds: dice.between(0, 4_000_000_000_000))
                    func planned() -> Instant? {
                        policy.nextRefreshAt(
                            id, generation: 3, receivedAt: start, expiresAt: start.adding(seconds: life),
                            refreshExpiresAt: nil, lastUsedAt: start)
                    }
                    let next = try #require(planned())
                    #expect(next == planned())
                    #expect(next > start && next < start.adding(seconds: life))
                    let passed = Double(next.milliseconds - start.milliseconds) / Double(life * 1000)
                    // A refresh token that ends by idleness is used before, however long its access token lives.
                    guard policy.idleSeconds == nil || life <= 86_400 else { continue }
                    if policy.oldAccessDies {
                        #expect(passed >= 0.8499)
                        let left = Double(life * 1000) - Double(next.milliseconds - start.milliseconds)
                        #expect(left <= 600_000)
                    } else {
                        #expect(passed > 0.69 && passed < 0.86)
                    }
                    plans.insert(next.milliseconds - start.milliseconds)
                }
                if life >= 600, !plans.isEmpty { #expect(plans.count > 90) }
            }
        }
    }

    @Test("The jitter is uniform enough that no herd forms")
    func jitter() {
        var tenths = [Int](repeating: 0, count: 10)
        for index in 0..<100_000 {
            let share = RefreshPolicy.hash01(ConnectionID(high: UInt64(index), low: 5), Int64(index % 3))
            #expect(share >= 0 && share < 1)
            tenths[Int(share * 10)] += 1
        }
        #expect(tenths.allSatisfy { abs($0 - 10_000) < 600 })
    }

    @Test(
        "What nobody used lately is only kept alive, long before its idle limit; without a limit it is renewed as ever")
    func keepAlive() throws {
        let start = Instant(milliseconds: 1_800_000_000_000)
        let id = ConnectionID(high: 1, low: 2)
        let month: Int64 = 30 * 86_400
        func next(_ policy: RefreshPolicy, usedBefore: Int64, refreshEnds: Int64? = nil) -> Int64? {
            policy.nextRefreshAt(
                id, generation: 1, receivedAt: start, expiresAt: start.adding(seconds: 3600),
                refreshExpiresAt: refreshEnds.map { start.adding(seconds: $0) },
                lastUsedAt: start.adding(seconds: -usedBefore)
            ).map { start.seconds(until: $0) }
        }
        let idle = RefreshPolicy(rotates: true, idleSeconds: 180 * 86_400)
        #expect(try #require(next(idle, usedBefore: 60)) < 3600)
        let kept = try #require(next(idle, usedBefore: 2 * 86_400))
        #expect(kept > month / 2 && kept <= month)
        let short = try #require(next(RefreshPolicy(rotates: true), usedBefore: 2 * 86_400, refreshEnds: 86_400))
        #expect(short > 10_000 && short <= 86_400 / 4)
        #expect(try #require(next(RefreshPolicy(rotates: true), usedBefore: 2 * 86_400)) < 3600)
        // Counted from the consent: using it does not help.
        let absolute = RefreshPolicy(rotates: true, endsAbsolutely: true)
        #expect(try #require(next(absolute, usedBefore: 2 * 86_400, refreshEnds: month)) < 3600)
    }

    @Test("A token without an end is not renewed for its sake")
    func noExpiry() {
        let start = Instant(milliseconds: 0)
        let next = RefreshPolicy(rotates: true).nextRefreshAt(
            ConnectionID(high: 1, low: 1), generation: 1, receivedAt: start, expiresAt: nil, refreshExpiresAt: nil,
            lastUsedAt: start)
        #expect(next == nil)
    }

    @Test("Backoff grows to ten minutes and no further, and is never nothing")
    func backoff() {
        for failures in Int64(-1)...70 {
            for random in [0, 0.5, 0.999999] {
                let wait = RefreshPolicy.backoff(failures: failures, random: random)
                #expect(wait >= 200 && wait <= 600_000)
            }
        }
        #expect(RefreshPolicy.backoff(failures: 0, random: 0.999) < 1_000)
        #expect(RefreshPolicy.backoff(failures: 20, random: 0.999) > 590_000)
    }

    @Test("A refresh token in doubt is shown again at once only where that is harmless or nothing is left to lose")
    func doubt() {
        let now = Instant(milliseconds: 1_800_000_000_000)
        for policy in policies() {
            for _ in 0..<500 {
                let since = now.adding(seconds: -dice.between(0, 4000))
                let expiresAt = now.adding(seconds: dice.between(-3600, 3600))
                let retryAt = policy.retry(
                    inDoubtSince: since, expiresAt: expiresAt, failures: 0, random: dice.unit(), at: now
                ).planned
                #expect(retryAt > now)
                let isSoon = retryAt <= now.adding(seconds: 1)
                let mayReplay =
                    !policy.rotates || policy.graceSeconds * 500 >= retryAt.milliseconds - since.milliseconds
                if mayReplay || policy.oldAccessDies || expiresAt.adding(seconds: -30) <= now {
                    #expect(isSoon)
                } else {
                    #expect(retryAt == max(retryAt, expiresAt.adding(seconds: -30)))
                    #expect(isSoon || retryAt == expiresAt.adding(seconds: -30))
                }
            }
        }
    }

    @Test("Who asks waits no longer than for a probe, and never less than the doubt is held back")
    func asked() {
        let now = Instant(milliseconds: 1_800_000_000_000)
        for policy in policies() {
            for _ in 0..<500 {
                let since = now.adding(seconds: -dice.between(0, 4000))
                let expiresAt = now.adding(seconds: dice.between(-3600, 3600))
                let retry = policy.retry(
                    inDoubtSince: since, expiresAt: expiresAt, failures: dice.between(0, 30), random: dice.unit(),
                    at: now)
                #expect(retry.asked > now && retry.asked <= retry.planned)
                #expect(policy.heldBack(inDoubtSince: since, expiresAt: expiresAt, at: retry.asked) == nil)
                let lastMoment = expiresAt.adding(seconds: -30)
                #expect(retry.asked <= max(now.adding(seconds: 10), lastMoment))
            }
        }
        #expect(RefreshPolicy.retry(failures: 30, random: 0.5, at: now).planned == now.adding(seconds: 300))
    }

    @Test("What was renewed just now is not renewed again, unless it has ended")
    func tooSoon() {
        let start = Instant(milliseconds: 1_800_000_000_000)
        func wait(_ passed: Int64, life: Int64?) -> Int64? {
            RefreshPolicy.tooSoon(
                obtainedAt: start, expiresAt: life.map { start.adding(seconds: $0) }, at: start.adding(seconds: passed))
        }
        #expect(wait(10, life: 3600) == 50)
        #expect(wait(60, life: 3600) == nil)
        #expect(wait(1, life: 8) == 1)
        #expect(wait(2, life: 8) == nil)
        #expect(wait(11, life: 10) == nil)
        #expect(wait(59, life: nil) == 1)
    }
}
