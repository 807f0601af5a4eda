import Encoding
import Envelope
import GRDB
import OAuth
import Secrets

/// What a refresh brought, ready to be stored: account and log key are those of the credential before.
public struct Renewal: Sendable {
    public var credential: Credential
    public var scopes: ScopeSet
    public var receivedAt: Instant
    public var expiresAt: Instant?
    public var refreshExpiresAt: Instant?
    public var nextRefreshAt: Instant?
    public var pause: Pause?

    /// After a token that hardly lives the next one is not asked for before a time, whoever asks.
    public struct Pause: Hashable, Sendable {
        /// How many there were in a row, this one included.
        public let inARow: Int64
        public let until: Instant
        static let code = "short_lived"

        public init(inARow: Int64, until: Instant) { (self.inARow, self.until) = (inARow, until) }
    }

    public init(
        credential: Credential, scopes: ScopeSet, receivedAt: Instant, expiresAt: Instant?, refreshExpiresAt: Instant?,
        nextRefreshAt: Instant?, pause: Pause? = nil
    ) {
        (self.credential, self.scopes, self.receivedAt) = (credential, scopes, receivedAt)
        (self.expiresAt, self.refreshExpiresAt, self.nextRefreshAt) = (expiresAt, refreshExpiresAt, nextRefreshAt)
        self.pause = pause
    }
}

public enum RenewalEnd: Hashable, Sendable {
    case stored(generation: Int64)
    /// The lease was lost, the connection had not moved: taken from the journal.
    case adopted(generation: Int64)
    /// The connection has moved on; the pair stays in the journal.
    case journaled(current: Int64)
    /// The person removed the connection in the meantime.
    case removed
}

extension Rows {
    /// Stores what the provider issued. Never drops it: whoever lost the fence writes to the journal, from where it is
    /// adopted when the connection has not moved on.
    public func store(
        _ renewal: Renewal, for claim: Claim, key: borrowing Key<ConnectionRole>,
        covers: (_ approved: ScopeSet, _ token: ScopeSet) -> Bool
    ) throws -> RenewalEnd {
        let claimed = claim.connection
        guard let state = try refreshState(of: claimed.id) else { return .removed }
        let current = state.connection
        let next = claimed.generation + 1
        guard current.generation == claimed.generation else {
            try journal(renewal, for: claim, key: key, current: current, adopted: false)
            return .journaled(current: current.generation)
        }
        let isFenced = state.leaseEpoch == claim.epoch
        if current.keyVersion == claimed.keyVersion, !current.rekeyPending {
            var renewal = renewal
            // The person gave it another name while the request was under way.
            if current.credential != claimed.credential {
                renewal.credential.label = try openCredential(of: current, with: key).label
            }
            if !isFenced { try journal(renewal, for: claim, key: key, current: current, adopted: true) }
            let sealed = try seal(renewal.credential, under: key, current.purpose(generation: next))
            try advance(current, to: next, credential: sealed, renewal.times, epochMoves: !isFenced)
        } else {
            // Somebody gave the connection a new key while the request was under way, or waits for the vault to open to do
            // so, perhaps to take it from a plugin: what came must not be readable by the old one, and the new one is not at hand.
            try replaceKey(
                of: current, credential: renewal.credential, generation: next, scopes: renewal.scopes,
                at: renewal.receivedAt, covers: covers)
            let moved = try connection(current.id)
            try advance(moved ?? current, to: next, credential: moved?.credential, renewal.times, epochMoves: !isFenced)
        }
        return isFenced ? .stored(generation: next) : .adopted(generation: next)
    }

    func advance(
        _ current: Connection, to generation: Int64, credential: [UInt8]?, _ times: RenewalTimes, epochMoves: Bool
    ) throws {
        let done = try changed(
            """
            UPDATE connection SET generation = ?, credential = coalesce(?, credential), scopes = ?, obtained_at_ms = ?,
                expires_at_ms = ?, refresh_expires_at_ms = ?, next_refresh_at_ms = ?, intent = 'none',
                lease_owner = NULL, lease_until_ms = NULL, lease_epoch = lease_epoch + ?, failures = ?,
                not_before_ms = ?, last_code = ?, renew_pending = 0,
                status = CASE status WHEN 'reauthorize' THEN 'active' ELSE status END
            WHERE id = ? AND generation = ? AND key_version = ?
            """,
            [
                generation, credential?.blob, times.scopes, times.receivedAt, times.expiresAt, times.refreshExpiresAt,
                times.nextRefreshAt, epochMoves ? 1 : 0, times.pause?.inARow ?? 0,
                times.pause?.until.milliseconds, times.pause.map { _ in Renewal.Pause.code }, current.id.blob,
                generation - 1, current.keyVersion,
            ])
        guard done == 1 else { throw VaultError.conflict }
    }

    /// A new connection key for a locked vault: sealed to the vault, to the service while background is on, and to the
    /// plugins whose approval covers the token. The row keeps its generation; `generation` is the one that the
    /// credential is sealed as.
    func replaceKey(
        of connection: Connection, credential: Credential, generation: Int64, scopes: ScopeSet, at now: Instant,
        covers: (_ approved: ScopeSet, _ token: ScopeSet) -> Bool
    ) throws {
        let key = try Key<ConnectionRole>(random: random)
        let version = connection.keyVersion + 1
        let sealed = try seal(
            withNewLogKey(credential, of: connection.id, connection.person, in: .locked(connection.vault), at: now),
            under: key, connection.purpose(generation: generation))
        let (vaultKey, form) = try give(key, of: connection.id, version: version, to: .locked(connection.vault))
        let serviceKey = try connection.background ? sealToService(key, of: connection.id, version: version) : nil
        let done = try changed(
            """
            UPDATE connection SET key_version = ?, credential = ?, vault_key = ?, vault_key_form = ?, service_key = ?,
                rekey_pending = 0
            WHERE id = ? AND generation = ? AND key_version = ?
            """,
            [
                version, sealed.blob, vaultKey.blob, form.rawValue, serviceKey?.blob, connection.id.blob,
                connection.generation, connection.keyVersion,
            ])
        guard done == 1 else { throw VaultError.conflict }
        try giveToPlugins(key, of: connection.id, version: version, token: scopes, covers: covers)
    }
}

/// The columns of a renewal that are not sealed.
struct RenewalTimes {
    let scopes: String
    let receivedAt: Int64
    let expiresAt, refreshExpiresAt, nextRefreshAt: Int64?
    let pause: Renewal.Pause?
}

extension Renewal {
    var times: RenewalTimes {
        RenewalTimes(
            scopes: scopes.text, receivedAt: receivedAt.milliseconds, expiresAt: expiresAt?.milliseconds,
            refreshExpiresAt: refreshExpiresAt?.milliseconds, nextRefreshAt: nextRefreshAt?.milliseconds,
            pause: pause)
    }
}

extension Connection {
    func purpose(generation: Int64) -> AssociatedData {
        Purpose.credential(id, vault: vault, person: person, provider: provider.json, generation: generation)
    }
}
