import Encoding
import Envelope
import GRDB
import OAuth
import Secrets

public enum RequestStatus: String, Sendable {
    case pending, approved, completed, declined, expired, failed, cancelled
}

/// What the caller says about why, and from where it said so; shown to the person, readable only with the request's id.
public struct RequestClaim: Sendable {
    public let reason: String
    public let tool: String
    public let account: String
    /// Not a claim: where the first call came from.
    public let address: String

    public init(reason: String, tool: String, account: String, address: String) {
        (self.reason, self.tool, self.account, self.address) = (reason, tool, account, address)
    }
}

/// Something a caller needs a person for.
public struct Request: Sendable {
    public let idHash: [UInt8]
    public let caller: [UInt8]
    public let callerKind: HolderKind
    public let person: PersonID
    /// Fixed when the caller has a vault; a plugin's request takes the vault of the session that approves.
    public let vault: VaultID?
    public let provider: ProviderID
    public let scopes: ScopeSet
    /// Those of them that the person may leave out.
    public let optional: ScopeSet
    public let status: RequestStatus
    public let statusReason: String?
    public let opened: Bool
    public let mismatch: Bool
    public let interval: Int64
    public let polledAt: Instant?
    public let createdAt: Instant
    public let expiresAt: Instant
    let nonce: [UInt8]
    let claim: [UInt8]

    init(_ row: Row) throws {
        idHash = row.bytes("id_hash")
        caller = row.bytes("caller")
        callerKind = try row.state("caller_kind")
        person = try row.id("person")
        vault = row.optionalID("vault")
        provider = try row.provider("provider")
        scopes = row.scopes("scopes")
        optional = row.scopes("optional_scopes")
        status = try row.state("status")
        statusReason = row["status_reason"]
        opened = row["opened"]
        mismatch = row["mismatch"]
        interval = row["interval_s"]
        polledAt = row.optionalInstant("polled_at_ms")
        createdAt = row.instant("created_at_ms")
        expiresAt = row.instant("expires_at_ms")
        nonce = row.bytes("nonce")
        claim = row.bytes("claim")
    }

    /// Approved is still open: the person may come back from the provider without having finished, and try again.
    public func isOpen(at now: Instant) -> Bool { isUndecided && expiresAt > now }
    public func isOver(at now: Instant) -> Bool { isUndecided && expiresAt <= now }
    private var isUndecided: Bool { status == .pending || status == .approved }

    /// Four characters that the caller shows and the page repeats, without those that look alike.
    public static func matchCode(of id: RequestID) -> String {
        let alphabet = Array("23456789ABCDEFGHJKMNPQRSTVWXYZ")
        let digest = sha256(Array("toolshed/v1/match-code".utf8) + id.bytes)
        return String(digest.prefix(4).map { alphabet[Int($0) % alphabet.count] })
    }

    public static func hash(of id: RequestID) -> [UInt8] { sha256(Array("toolshed/v1/request".utf8) + id.bytes) }
}

extension Rows {
    public static let requestLifetime: Int64 = 15 * 60
    public static let openRequestsPerCaller = 8
    public static let declineLifetime: Int64 = 24 * 60 * 60

    public func request(_ id: RequestID) throws -> Request? { try request(hash: Request.hash(of: id)) }

    public func request(hash: [UInt8]) throws -> Request? {
        try row("SELECT * FROM request WHERE id_hash = ?", [hash.blob]).map(Request.init)
    }

    /// The open request for the same need, or a new one. nil: this caller has too many open for this person.
    public func request(
        for caller: OpenCaller, person: PersonID, provider: ProviderID, scopes: ScopeSet, optional: ScopeSet = .empty,
        claim: RequestClaim, at now: Instant
    ) throws -> (id: RequestID, request: Request)? {
        var vault: VaultID?
        switch caller {
        case .holder(let slot): vault = slot.vault.id
        case .locked(let slot): vault = slot.vault
        case .plugin: break
        }
        // Under a key of the caller: a plain hash of a provider, scopes and an account could be guessed.
        let need = try caller.derived.derive(TagRole.self, label: "toolshed/v1/request-need")
            .tag(
                Purpose.need(
                    vault: vault, provider: provider.json, scopes: scopes.text, optional: optional.text,
                    account: claim.account))
        let open = try rows(
            """
            SELECT * FROM request WHERE caller = ? AND person = ? AND status IN ('pending', 'approved')
                AND expires_at_ms > ?
            """,
            [caller.id.blob, person.blob, now.milliseconds])
        if let same = try open.first(where: { $0.bytes("need_hash") == need }).map(Request.init) {
            let id = try requestID(of: caller, nonce: same.nonce)
            if Request.hash(of: id) == same.idHash { return (id, same) }
        }
        guard open.count < Self.openRequestsPerCaller else { return nil }
        let nonce = random.bytes(16)
        let id = try requestID(of: caller, nonce: nonce)
        let hash = Request.hash(of: id)
        _ = try changed(
            """
            INSERT INTO request (id_hash, nonce, caller, caller_kind, person, vault, provider, scopes, optional_scopes,
                need_hash, claim, status, created_at_ms, expires_at_ms)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'pending', ?, ?)
            """,
            [
                hash.blob, nonce.blob, caller.id.blob, caller.kind.rawValue, person.blob, vault?.blob, provider.json,
                scopes.text, optional.text, need.blob, try seal(claim, for: id).blob, now.milliseconds,
                now.adding(seconds: Self.requestLifetime).milliseconds,
            ])
        try offer(id, hash, to: person)
        guard let made = try request(hash: hash) else { throw VaultError.conflict }
        return (id, made)
    }

    /// The caller's key makes the id again, so that the same need gives the same link although no id is stored.
    private func requestID(of caller: OpenCaller, nonce: [UInt8]) throws -> RequestID {
        let key = try caller.derived.derive(OnceRole.self, label: "toolshed/v1/request-id", context: nonce)
        let bytes = key.withUnsafeBytes { Array($0.prefix(16)) }
        guard let id = RequestID(bytes: bytes) else { throw VaultError.conflict }
        return id
    }

    private static func claimKey(_ id: RequestID) throws -> Key<OnceRole> {
        let digest = sha256(Array("toolshed/v1/request-claim".utf8) + id.bytes)
        return try Key<OnceRole>(copying: digest)
    }

    private func seal(_ claim: RequestClaim, for id: RequestID) throws -> [UInt8] {
        let text = [claim.reason, claim.tool, claim.account, claim.address].joined(separator: "\u{0}")
        let hash = Request.hash(of: id)
        let sealed = try Array(text.utf8).withUnsafeBytes {
            try AEAD.seal($0, under: try Self.claimKey(id), Purpose.requestClaim(hash), random)
        }
        // The id is in a link, and links are kept in many places.
        return try outerSeal(sealed, "request", hash, "claim")
    }

    public func claim(of request: Request, id: RequestID) throws -> RequestClaim {
        let inner = try outerOpen(request.claim, "request", request.idHash, "claim")
        let opened = try AEAD.open(inner, under: try Self.claimKey(id), Purpose.requestClaim(request.idHash))
        let parts = opened.withUnsafeBytes { String(decoding: $0, as: UTF8.self) }
            .split(separator: "\u{0}", omittingEmptySubsequences: false).map(String.init)
        guard parts.count == 4 else { throw VaultError.damaged("claim") }
        return RequestClaim(reason: parts[0], tool: parts[1], account: parts[2], address: parts[3])
    }

    /// Moves a request on; an end is never left again. false: it had ended before.
    public func end(_ hash: [UInt8], as status: RequestStatus, because reason: String? = nil) throws -> Bool {
        try changed(
            """
            UPDATE request SET status = ?, status_reason = ? WHERE id_hash = ?
                AND status IN ('pending', 'approved')
            """, [status.rawValue, reason, hash.blob]) == 1
    }

    /// The person said yes; what the provider says is still to come.
    public func approve(request hash: [UInt8]) throws {
        _ = try changed("UPDATE request SET status = 'approved' WHERE id_hash = ? AND status = 'pending'", [hash.blob])
    }

    /// Notes for the caller that is waiting; neither ends the request.
    public func note(_ hash: [UInt8], opened: Bool, mismatch: Bool) throws {
        _ = try changed(
            "UPDATE request SET opened = max(opened, ?), mismatch = max(mismatch, ?) WHERE id_hash = ?",
            [opened, mismatch, hash.blob])
    }

    /// Records a poll. Faster than the interval: the interval grows and the answer is false (RFC 8628 §3.5).
    public func poll(_ request: Request, at now: Instant) throws -> (inTime: Bool, interval: Int64) {
        let early = request.polledAt.map { now.milliseconds - $0.milliseconds < request.interval * 1000 - 100 } ?? false
        let interval = early ? min(request.interval + 5, 60) : request.interval
        _ = try changed(
            "UPDATE request SET polled_at_ms = ?, interval_s = ? WHERE id_hash = ?",
            [now.milliseconds, interval, request.idHash.blob])
        return (!early, interval)
    }

    // What a person said no to.

    public func decline(
        _ scopes: ScopeSet, caller: [UInt8], person: PersonID, provider: ProviderID, until: Instant
    ) throws {
        for scope in scopes.names {
            _ = try changed(
                """
                INSERT INTO decline (caller, person, provider, scope, until_ms) VALUES (?, ?, ?, ?, ?)
                ON CONFLICT (caller, person, provider, scope) DO UPDATE SET until_ms = excluded.until_ms
                """, [caller.blob, person.blob, provider.json, scope, until.milliseconds])
        }
    }

    public func declined(
        caller: [UInt8], person: PersonID, provider: ProviderID, at now: Instant
    ) throws -> [(scope: String, until: Instant)] {
        try rows(
            """
            SELECT scope, until_ms FROM decline WHERE caller = ? AND person = ? AND provider = ? AND until_ms > ?
            ORDER BY scope
            """, [caller.blob, person.blob, provider.json, now.milliseconds]
        ).map { ($0.text("scope"), $0.instant("until_ms")) }
    }

    /// nil: of whichever caller, provider or scope.
    public func forgetDeclines(
        person: PersonID, caller: [UInt8]? = nil, provider: ProviderID? = nil, scopes: [String]? = nil
    ) throws {
        let each: [String?] = scopes.map { $0.map(Optional.some) } ?? [nil]
        for scope in each {
            _ = try changed(
                """
                DELETE FROM decline WHERE person = ?1 AND (?2 IS NULL OR caller = ?2)
                    AND (?3 IS NULL OR provider = ?3) AND (?4 IS NULL OR scope = ?4)
                """, [person.blob, caller?.blob, provider?.json, scope])
        }
    }
}
