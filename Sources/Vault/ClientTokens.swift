import Encoding
import Envelope
import GRDB
import OAuth
import Secrets

/// A code or token of a client, found by its secret's digest: nothing is opened to know what it is (B-INT-3).
public struct ClientToken: Sendable {
    public enum Kind: String, Sendable { case code, access, refresh }

    public let id: SlotID
    public let kind: Kind
    public let grant: ClientGrant
    public let scope: ScopeSet
    public let issuedAt: Instant
    public let expiresAt: Instant
    /// A code's exchange, a refresh token's successor.
    public let endedAt: Instant?
    public let redirectURI: String?
    public let challenge: String?
    let salt: [UInt8]?
    let successor: [UInt8]?

    public func isLive(at now: Instant) -> Bool { endedAt == nil && expiresAt > now && grant.expiresAt > now }
}

/// What a client is handed.
public struct IssuedTokens: Sendable {
    public let access: SecretText
    public let refresh: SecretText?
    public let scope: ScopeSet
    public let expiresAt: Instant

    init(access: SecretText, refresh: SecretText?, scope: ScopeSet, expiresAt: Instant) {
        (self.access, self.refresh, self.scope, self.expiresAt) = (access, refresh, scope, expiresAt)
    }
}

extension SlotLifetime {
    public static let code = SlotLifetime(idle: nil, absolute: 60_000)
    /// The token of a command line: until it was not used for 90 days.
    public static let commandLine = SlotLifetime(idle: 90 * 86_400_000, absolute: nil)

    static func until(_ end: Instant, from now: Instant) -> SlotLifetime {
        SlotLifetime(idle: nil, absolute: end.milliseconds - now.milliseconds)
    }
}

extension Rows {
    static let accessLifetime: Int64 = 3_600_000
    /// Unused, a refresh token ends after this long (B-RT-5).
    static let refreshIdle: Int64 = 30 * 86_400_000
    /// For how long a superseded refresh token gets the same successor again (B-RT-2).
    public static let graceMilliseconds: Int64 = 60_000

    /// nil: there is no such token, or its secret is wrong.
    public func clientToken(_ token: borrowing Token) throws -> ClientToken? {
        let row = try row(
            """
            SELECT kind, client_grant, secret_hash, scope, issued_at_ms, expires_at_ms, ended_at_ms, redirect_uri, challenge,
                salt, successor
            FROM client_token WHERE id = ?
            """, [token.id.blob])
        guard let row, constantTimeEquals(row.bytes("secret_hash"), token.fingerprint()) else { return nil }
        let kind: ClientToken.Kind = try row.state("kind")
        guard HolderKind(token.kind)?.token == kind, let grant = try clientGrant(row.id("client_grant")) else {
            return nil
        }
        return ClientToken(
            id: token.id, kind: kind, grant: grant, scope: row.scopes("scope"), issuedAt: row.instant("issued_at_ms"),
            expiresAt: row.instant("expires_at_ms"), endedAt: row.optionalInstant("ended_at_ms"),
            redirectURI: row["redirect_uri"], challenge: row["challenge"], salt: row.optionalBytes("salt"),
            successor: row.optionalBytes("successor"))
    }

    /// A code for 60 seconds. It opens the vault of the session in which the person said yes, because what it is
    /// exchanged for must.
    public func issueCode(
        for grant: ClientGrantID, named name: String, scope: ScopeSet, redirectURI: String, challenge: String,
        from vault: OpenVault, at now: Instant
    ) throws -> SecretText {
        let made = try addSlot(.code, name: name, to: vault, lifetime: .code, client: grant, at: now)
        try record(
            made.secret, kind: .code, grant: grant, scope: scope, expiresAt: now.adding(seconds: 60),
            redirectURI: redirectURI, challenge: challenge, at: now)
        return made.secret
    }

    /// Exactly one caller gets true. The code's slot goes with it.
    public func endCode(_ code: ClientToken, at now: Instant) throws -> Bool {
        let ended = try changed(
            "UPDATE client_token SET ended_at_ms = ? WHERE id = ? AND kind = 'code' AND ended_at_ms IS NULL",
            [now.milliseconds, code.id.blob])
        return ended == 1
    }

    public func dropSlot(_ id: SlotID) throws { _ = try changed("DELETE FROM slot WHERE id = ?", [id.blob]) }

    /// One access token, with its slot; the family goes on.
    public func removeToken(_ id: SlotID) throws {
        try dropSlot(id)
        _ = try changed("DELETE FROM client_token WHERE id = ?", [id.blob])
    }

    /// A command line's slot, and with it what the person had allowed it.
    public func removeHolder(_ id: SlotID) throws {
        let grant = try row("SELECT client_grant FROM slot WHERE id = ?", [id.blob])
        try dropSlot(id)
        if let grant, let family: ClientGrantID = grant.optionalID("client_grant") { _ = try removeClientGrant(family) }
    }

    /// The token of a command line: it needs no renewal, and is used at the API itself.
    public func issueCommandLineToken(
        for grant: ClientGrant, from vault: OpenVault, at now: Instant
    ) throws -> IssuedTokens {
        let made = try addSlot(.cli, name: grant.name, to: vault, lifetime: .commandLine, client: grant.id, at: now)
        try touchClientGrant(grant, at: now)
        return IssuedTokens(
            access: made.secret, refresh: nil, scope: grant.scope, expiresAt: now.adding(seconds: 90 * 86_400))
    }

    /// An access token and, where the client may renew it, a refresh token, each with a slot of its own.
    public func issueTokens(
        for grant: ClientGrant, scope: ScopeSet, refreshScope: ScopeSet?, from vault: OpenVault, at now: Instant
    ) throws -> IssuedTokens {
        let end = min(now.milliseconds + Self.accessLifetime, grant.expiresAt.milliseconds)
        let accessEnd = Instant(milliseconds: end)
        let access = try addSlot(
            .access, name: grant.name, to: vault, lifetime: .until(accessEnd, from: now), client: grant.id, at: now)
        try record(access.secret, kind: .access, grant: grant.id, scope: scope, expiresAt: accessEnd, at: now)
        var refresh: SecretText?
        if let refreshScope {
            let idle = min(now.milliseconds + Self.refreshIdle, grant.expiresAt.milliseconds)
            let refreshEnd = Instant(milliseconds: idle)
            let made = try addSlot(
                .refresh, name: grant.name, to: vault, lifetime: .until(refreshEnd, from: now), client: grant.id,
                at: now)
            try record(
                made.secret, kind: .refresh, grant: grant.id, scope: refreshScope, expiresAt: refreshEnd, at: now)
            refresh = made.secret
        }
        try touchClientGrant(grant, at: now)
        return IssuedTokens(access: access.secret, refresh: refresh, scope: scope, expiresAt: accessEnd)
    }

    private func record(
        _ secret: SecretText, kind: ClientToken.Kind, grant: ClientGrantID, scope: ScopeSet, expiresAt: Instant,
        redirectURI: String? = nil, challenge: String? = nil, at now: Instant
    ) throws {
        let token = try secret.withUnsafeBytes { try Token(parsing: $0) }
        _ = try changed(
            """
            INSERT INTO client_token (id, kind, client_grant, secret_hash, scope, issued_at_ms, expires_at_ms, redirect_uri,
                challenge)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
            """,
            [
                token.id.blob, kind.rawValue, grant.blob, token.fingerprint().blob, scope.text, now.milliseconds,
                expiresAt.milliseconds, redirectURI, challenge,
            ])
    }

    // Rotation.

    /// The old token's slot gives way to a box that only the old token opens and that holds its successors, so that a
    /// client that lost the answer, or raced itself, gets the same again within the minute (B-RT-2).
    public func supersede(
        _ old: ClientToken, token: borrowing Token, by issued: IssuedTokens, at now: Instant
    ) throws -> Bool {
        guard let row = try row("SELECT salt FROM slot WHERE id = ?", [old.id.blob]) else { return false }
        let salt = row.bytes("salt")
        let key = try successorKey(token, salt: salt)
        let sealed = try Self.packed(issued) { try AEAD.seal($0, under: key, Purpose.successor(old.id), random) }
        let minute = try keys.minute.seal(sealed, Purpose.minute("client_token", old.id, "successor"), random)
        let box = try outerSeal(minute, "client_token", old.id.bytes, "successor")
        let ended = try changed(
            """
            UPDATE client_token SET ended_at_ms = ?, salt = ?, successor = ?
            WHERE id = ? AND kind = 'refresh' AND ended_at_ms IS NULL
            """, [now.milliseconds, salt.blob, box.blob, old.id.blob])
        try dropSlot(old.id)
        return ended == 1
    }

    /// What replaced it, while the minute lasts; nil when it is over.
    public func successor(of old: ClientToken, token: borrowing Token, at now: Instant) throws -> IssuedTokens? {
        guard let ended = old.endedAt, now.milliseconds - ended.milliseconds < Self.graceMilliseconds,
            let box = old.successor, let salt = old.salt
        else { return nil }
        let minute = try outerOpen(box, "client_token", old.id.bytes, "successor")
        let inner = try keys.minute.open(minute, Purpose.minute("client_token", old.id, "successor"))
        let opened = try AEAD.open(inner, under: try successorKey(token, salt: salt), Purpose.successor(old.id))
        return try opened.withUnsafeBytes { try unpacked($0, at: now) }
    }

    private func successorKey(_ token: borrowing Token, salt: [UInt8]) throws -> Key<OnceRole> {
        try token.derivedKey(salt: salt, vault: nil).derive(OnceRole.self, label: "toolshed/v1/client-token.successor")
    }

    /// Access and refresh token, of one length each.
    private static func packed<Result>(
        _ issued: IssuedTokens, _ body: (UnsafeRawBufferPointer) throws -> Result
    ) throws -> Result {
        guard let refresh = issued.refresh else { throw VaultError.conflict }
        let both = try SecretBytes(count: issued.access.count + refresh.count) { out in
            issued.access.withUnsafeBytes { out.copyMemory(from: $0) }
            refresh.withUnsafeBytes { bytes in
                UnsafeMutableRawBufferPointer(rebasing: out[issued.access.count...]).copyMemory(from: bytes)
            }
        }
        return try both.withUnsafeBytes { try body($0) }
    }

    private func unpacked(_ bytes: UnsafeRawBufferPointer, at now: Instant) throws -> IssuedTokens? {
        let half = bytes.count / 2
        let access = try Token(parsing: UnsafeRawBufferPointer(rebasing: bytes[..<half]))
        let refresh = try Token(parsing: UnsafeRawBufferPointer(rebasing: bytes[half...]))
        guard let known = try clientToken(access) else { return nil }
        return IssuedTokens(
            access: try access.text(), refresh: try refresh.text(), scope: known.scope, expiresAt: known.expiresAt)
    }
}

extension HolderKind {
    /// As which it is recorded, where it belongs to an OAuth client.
    fileprivate var token: ClientToken.Kind? {
        switch self {
        case .code: .code
        case .access: .access
        case .refresh: .refresh
        case .session, .apiKey, .plugin, .pluginPerson, .cli, .recovery, .passkey, .device: nil
        }
    }
}
