import Encoding
import GRDB

extension Rows {
    /// What was stored while the clock was ahead, once it is set back: a token does not live longer for it, and nothing waits
    /// for a time that is far away. Returns how many connections it was. Nothing else is in the future by more than this.
    public func mendFutureTimes(at now: Instant) throws -> Int {
        try changed(
            """
            UPDATE connection SET
                expires_at_ms = CASE WHEN obtained_at_ms <= ?2 THEN expires_at_ms
                    -- When it came is not known: where another is to be had, this one is over.
                    WHEN refreshable = 1 THEN min(expires_at_ms, ?1)
                    ELSE expires_at_ms - obtained_at_ms + ?1 END,
                next_refresh_at_ms = CASE WHEN obtained_at_ms > ?2 AND refreshable = 1 THEN min(next_refresh_at_ms, ?1)
                    ELSE next_refresh_at_ms END,
                obtained_at_ms = CASE WHEN obtained_at_ms > ?2 THEN ?1 ELSE obtained_at_ms END,
                -- What is to be held back longer is held back by the policy, which is asked again.
                not_before_ms = CASE WHEN not_before_ms > ?3 THEN NULL ELSE not_before_ms END,
                -- Long enough ago for no grace.
                intent_at_ms = CASE WHEN intent_at_ms > ?2 THEN 1 ELSE intent_at_ms END,
                checked_at_ms = CASE WHEN checked_at_ms > ?2 THEN NULL ELSE checked_at_ms END,
                checks_since_ms = CASE WHEN checks_since_ms > ?2 THEN NULL ELSE checks_since_ms END
            WHERE obtained_at_ms > ?2 OR not_before_ms > ?3 OR intent_at_ms > ?2 OR checked_at_ms > ?2
                OR checks_since_ms > ?2
            """,
            [
                now.milliseconds, now.adding(seconds: Self.clockStepSeconds).milliseconds,
                now.adding(seconds: Self.longestPauseSeconds).milliseconds,
            ])
    }

    /// A clock that is off by less is slewed, or not worth a word.
    public static let clockStepSeconds: Int64 = 120
    /// No pause after a failure is longer; with a margin for clocks.
    private static let longestPauseSeconds: Int64 = 900
}
