import Encoding
import GRDB
import OAuth

/// The right to send one refresh request: everybody's writes about it are fenced by generation and epoch, so whoever
/// lost the lease in the meantime changes nothing.
public struct Claim: Sendable {
    /// The row as it was when it was claimed.
    public let connection: Connection
    public let wasAmbiguous: Bool
    /// When the first of the requests that are in doubt was armed; this one when none is.
    public let since: Instant
    public let failures: Int64
    /// How many renewals in a row brought a token that hardly lived (`Renewal.Pause`).
    public let brief: Int64
    let epoch: Int64
}

/// When a connection is tried again after a refresh that brought nothing.
public struct Retry: Hashable, Sendable {
    /// By itself.
    public let planned: Instant
    /// Because somebody asks for it; never later than that.
    public let asked: Instant

    public init(planned: Instant, asked: Instant) { (self.planned, self.asked) = (planned, min(asked, planned)) }

    public init(_ both: Instant) { self.init(planned: both, asked: both) }
}

extension Rows {
    /// Takes the lease and arms the intent. Durable before anything is sent: a crash from here on leaves a row that says
    /// so. nil: the row moved, or another holds the lease.
    public func arm(_ state: RefreshState, owner: String, until: Instant, at now: Instant) throws -> Claim? {
        let connection = state.connection
        let done = try changed(
            """
            UPDATE connection SET lease_owner = ?, lease_epoch = lease_epoch + 1, lease_until_ms = ?,
                intent_at_ms = CASE intent WHEN 'none' THEN ? ELSE intent_at_ms END,
                intent_generation = generation, intent = 'armed'
            WHERE id = ? AND generation = ? AND key_version = ? AND lease_epoch = ? AND status = 'active'
                AND refreshable = 1 AND (lease_owner IS NULL OR lease_until_ms <= ?)
            """,
            [
                owner, until.milliseconds, now.milliseconds, connection.id.blob, connection.generation,
                connection.keyVersion, state.leaseEpoch, now.milliseconds,
            ])
        guard done == 1 else { return nil }
        let since =
            switch state.intent {
            case .none: now
            case .armed(let since), .ambiguous(let since): since
            }
        return Claim(
            connection: connection, wasAmbiguous: state.intent != .none, since: since, failures: state.failures,
            brief: state.lastCode == Renewal.Pause.code ? state.failures : 0, epoch: state.leaseEpoch + 1)
    }

    /// Gives the lease back after an attempt that brought nothing. `mayHaveHappened`: the provider may have spent the
    /// refresh token; an earlier attempt's doubt is never taken away by a later one that was not sent.
    /// False when somebody else has the row by now.
    public func release(
        _ claim: Claim, code: String, retry: Retry?, mayHaveHappened: Bool
    ) throws -> Bool {
        try changed(
            """
            UPDATE connection SET lease_owner = NULL, lease_until_ms = NULL, intent = ?, failures = failures + 1,
                not_before_ms = ?, next_refresh_at_ms = coalesce(?, next_refresh_at_ms), last_code = ?
            WHERE id = ? AND generation = ? AND lease_epoch = ?
            """,
            [
                mayHaveHappened || claim.wasAmbiguous ? "ambiguous" : "none", retry?.asked.milliseconds,
                retry?.planned.milliseconds, code, claim.connection.id.blob, claim.connection.generation, claim.epoch,
            ]) == 1
    }

    /// The provider said that the grant is gone: a person must consent again. What is stored stays as it is.
    /// False when somebody else has the row by now: look again before believing it.
    public func markReauthorize(_ claim: Claim, code: String) throws -> Bool {
        let isMarked =
            try changed(
                """
                UPDATE connection SET status = 'reauthorize', lease_owner = NULL, lease_until_ms = NULL, intent = 'none',
                    next_refresh_at_ms = NULL, not_before_ms = NULL, last_code = ?
                WHERE id = ? AND generation = ? AND lease_epoch = ? AND status = 'active'
                """,
                [code, claim.connection.id.blob, claim.connection.generation, claim.epoch]) == 1
        if isMarked { try standIn(for: claim.connection.id) }
        return isMarked
    }

    /// Postpones a connection that was due and not attempted, without counting a failure.
    public func postpone(_ state: RefreshState, until: Instant, code: String? = nil) throws {
        _ = try changed(
            """
            UPDATE connection SET next_refresh_at_ms = ?, last_code = coalesce(?, last_code)
            WHERE id = ? AND generation = ? AND lease_epoch = ? AND lease_owner IS NULL
            """,
            [
                until.milliseconds, code, state.connection.id.blob, state.connection.generation, state.leaseEpoch,
            ])
    }

    /// Rows whose request was under way in a process that is no more. Only for the one keeper, at its start.
    public func orphans(except owner: String) throws -> [RefreshState] {
        try rows(
            """
            SELECT \(RefreshState.columns) FROM connection
            WHERE intent = 'armed' AND (lease_owner IS NULL OR lease_owner != ?)
            """, [owner]
        ).map(RefreshState.init)
    }

    /// We cannot know how far an orphan's request came. The epoch moves on, so that its former owner, should it only
    /// have slept, changes nothing any more.
    public func markAmbiguous(_ orphan: RefreshState, retry: Retry) throws {
        _ = try changed(
            """
            UPDATE connection SET intent = 'ambiguous', lease_owner = NULL, lease_until_ms = NULL,
                lease_epoch = lease_epoch + 1, next_refresh_at_ms = ?, not_before_ms = ?, last_code = 'interrupted'
            WHERE id = ? AND generation = ? AND lease_epoch = ? AND intent = 'armed'
            """,
            [
                retry.planned.milliseconds, retry.asked.milliseconds, orphan.connection.id.blob,
                orphan.connection.generation,
                orphan.leaseEpoch,
            ])
    }
}
