import Encoding
import Envelope
import GRDB
import OAuth
import Secrets

// The minutes between link and token:
//
//   page ──form token──▶ Approve ──approval (60 s)──▶ login ──state, cookie (10 min)──▶ provider ──▶ callback
//
// Each hop is a one-time secret, stored as a hash, bound to the session that started it, used up by the next.

public struct AuthorizationSession: Sendable {
    public let stateHash: [UInt8]
    public let cookieHash: [UInt8]
    public let slot: SlotID
    public let person: PersonID
    public let vault: VaultID
    public let provider: ProviderID
    public let asked: ScopeSet
    public let shown: ScopeSet
    public let sent: ScopeSet
    public let extends: ConnectionID?
    /// `extends` stays as it is, and what comes is put beside it.
    public let separate: Bool
    public let request: [UInt8]?
    public let plugins: [PluginID]
    public let clients: [ClientGrantID]
    /// What the person took back later has a higher number.
    public let approvedAfter: Int64
    public let redirectURI: String
    /// The account that the request named, if it named one, as `namedAccountTag` of the approving session's vault.
    public let namedAccount: [UInt8]?
    public let outcome: OutcomeID?
    public let isConsumed: Bool
    public let expiresAt: Instant
    let verifier: [UInt8]?

    init(_ row: Row) throws {
        stateHash = row.bytes("state_hash")
        cookieHash = row.bytes("cookie_hash")
        slot = try row.id("slot")
        person = try row.id("person")
        vault = try row.id("vault")
        provider = try row.provider("provider")
        asked = row.scopes("scopes_asked")
        shown = row.scopes("scopes_shown")
        sent = row.scopes("scopes_sent")
        extends = row.optionalID("extends")
        separate = row["separate"]
        request = row.optionalBytes("request")
        let ids = row.bytes("plugins")
        plugins = stride(from: 0, to: ids.count, by: 16).compactMap {
            PluginID(bytes: ids[$0..<min($0 + 16, ids.count)])
        }
        let grants = row.bytes("clients")
        clients = stride(from: 0, to: grants.count, by: 16).compactMap {
            ClientGrantID(bytes: grants[$0..<min($0 + 16, grants.count)])
        }
        approvedAfter = row["approved_after"]
        redirectURI = row.text("redirect_uri")
        namedAccount = row.optionalBytes("named_account")
        outcome = row.optionalID("outcome")
        isConsumed = row.optionalInstant("consumed_at_ms") != nil
        expiresAt = row.instant("expires_at_ms")
        verifier = row.optionalBytes("verifier")
    }
}

/// What Approve settled, carried to `login` by the one-time approval.
public struct ApprovedConsent: Sendable {
    public var provider: ProviderID
    public var vault: VaultID
    public var asked: ScopeSet
    public var shown: ScopeSet
    public var sent: ScopeSet
    public var extends: ConnectionID?
    public var separate: Bool
    public var request: [UInt8]?
    public var plugins: [PluginID]
    public var clients: [ClientGrantID]
    public var namedAccount: [UInt8]?
    /// The last that the person had taken back by then.
    public var after: Int64

    public init(
        provider: ProviderID, vault: VaultID, asked: ScopeSet, shown: ScopeSet, sent: ScopeSet,
        extends: ConnectionID?, separate: Bool, request: [UInt8]?, plugins: [PluginID], clients: [ClientGrantID],
        namedAccount: [UInt8]?, after: Int64
    ) {
        self.clients = clients
        (self.namedAccount, self.separate, self.after) = (namedAccount, separate, after)
        (self.provider, self.vault, self.asked, self.shown) = (provider, vault, asked, shown)
        (self.sent, self.extends, self.request, self.plugins) = (sent, extends, request, plugins)
    }

    /// One line of text: it stands in `once.bound`, which only this file reads.
    var encoded: [UInt8] {
        Array(
            [
                provider.json, vault.text, asked.text, shown.text, sent.text, extends?.text ?? "",
                Hex.encode(request ?? []), plugins.map(\.text).joined(separator: " "),
                Hex.encode(namedAccount ?? []), separate ? "separate" : "", clients.map(\.text).joined(separator: " "),
                String(after),
            ].joined(separator: "\n").utf8)
    }

    init(decoding bytes: [UInt8]) throws {
        let lines = String(decoding: bytes, as: UTF8.self).split(separator: "\n", omittingEmptySubsequences: false)
            .map(String.init)
        guard lines.count == 12, let provider = try? ProviderID(parsing: lines[0]),
            let vault = VaultID(parsing: lines[1]), let after = Int64(lines[11])
        else { throw VaultError.damaged("approval") }
        self.init(
            provider: provider, vault: vault, asked: ScopeSet(stored: lines[2]), shown: ScopeSet(stored: lines[3]),
            sent: ScopeSet(stored: lines[4]), extends: ConnectionID(parsing: lines[5]),
            separate: lines[9] == "separate",
            request: lines[6].isEmpty ? nil : Hex.decode(lines[6]),
            plugins: lines[7].split(separator: " ").compactMap { PluginID(parsing: String($0)) },
            clients: lines[10].split(separator: " ").compactMap { ClientGrantID(parsing: String($0)) },
            namedAccount: lines[8].isEmpty ? nil : Hex.decode(lines[8]), after: after)
    }
}

extension Rows {
    /// A form token for what this session is shown; `bound` is the digest of that.
    public func issueFormToken(slot: SlotID, bound: [UInt8], at now: Instant) throws -> String {
        try issueOnce("form", slot: slot, bound: bound, expiresAt: now.adding(seconds: 1800))
    }

    /// What the token was bound to, and ends it. nil: unknown, used, expired or another session's.
    public func useFormToken(_ text: String, slot: SlotID, at now: Instant) throws -> [UInt8]? {
        try useOnce("form", text, slot: slot, at: now)
    }

    /// A form token for a consent page: what it is bound to is what was shown and which scopes that asked for.
    public func issueFormToken(slot: SlotID, digest: [UInt8], scopes: ScopeSet, at now: Instant) throws -> String {
        try issueFormToken(slot: slot, bound: digest + Array(scopes.text.utf8), at: now)
    }

    /// What such a token is bound to, without ending it.
    public func shownConsent(
        _ text: String, slot: SlotID, at now: Instant
    ) throws -> (digest: [UInt8], scopes: ScopeSet)? {
        guard let secret = Base64URL.decode(text), secret.count == 32 else { return nil }
        let row = try row(
            "SELECT bound FROM once WHERE hash = ? AND purpose = 'form' AND slot = ? AND expires_at_ms > ?",
            [sha256(secret).blob, slot.blob, now.milliseconds])
        guard let bound = row?.bytes("bound"), bound.count >= 32 else { return nil }
        return (Array(bound.prefix(32)), ScopeSet(stored: String(decoding: bound.dropFirst(32), as: UTF8.self)))
    }

    public func issueApproval(_ consent: ApprovedConsent, slot: SlotID, at now: Instant) throws -> String {
        try issueOnce("approval", slot: slot, bound: consent.encoded, expiresAt: now.adding(seconds: 60))
    }

    public func useApproval(_ text: String, slot: SlotID, at now: Instant) throws -> ApprovedConsent? {
        try useOnce("approval", text, slot: slot, at: now).map(ApprovedConsent.init(decoding:))
    }

    private func issueOnce(_ purpose: String, slot: SlotID, bound: [UInt8], expiresAt: Instant) throws -> String {
        let secret = random.bytes(32)
        _ = try changed(
            "INSERT INTO once (hash, purpose, slot, bound, expires_at_ms) VALUES (?, ?, ?, ?, ?)",
            [sha256(secret).blob, purpose, slot.blob, bound.blob, expiresAt.milliseconds])
        return Base64URL.encode(secret)
    }

    private func useOnce(_ purpose: String, _ text: String, slot: SlotID, at now: Instant) throws -> [UInt8]? {
        guard let secret = Base64URL.decode(text), secret.count == 32 else { return nil }
        let hash = sha256(secret)
        let row = try row(
            "SELECT bound FROM once WHERE hash = ? AND purpose = ? AND slot = ? AND expires_at_ms > ?",
            [hash.blob, purpose, slot.blob, now.milliseconds])
        guard let row, try changed("DELETE FROM once WHERE hash = ?", [hash.blob]) == 1 else { return nil }
        return row.bytes("bound")
    }

    /// State, verifier and cookie of one attempt (A-STATE-1…6). The verifier opens with the state only.
    public func begin(
        _ consent: ApprovedConsent, by session: OpenSlot, verifier: String?, redirectURI: String, at now: Instant
    ) throws -> (state: String, cookie: String) {
        let state = random.bytes(32)
        let cookie = random.bytes(32)
        let stateHash = sha256(state)
        var sealedVerifier: [UInt8]?
        if let verifier {
            let key = try Self.verifierKey(state)
            sealedVerifier = try Array(verifier.utf8).withUnsafeBytes {
                try AEAD.seal($0, under: key, Purpose.verifier(stateHash), random)
            }
        }
        _ = try changed(
            """
            INSERT INTO authorization (state_hash, cookie_hash, slot, person, vault, provider, scopes_asked, scopes_shown,
                scopes_sent, extends, separate, request, plugins, clients, approved_after, named_account, verifier,
                redirect_uri, expires_at_ms)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
            """,
            [
                stateHash.blob, sha256(cookie).blob, session.id.blob, session.person.blob, consent.vault.blob,
                consent.provider.json, consent.asked.text, consent.shown.text, consent.sent.text, consent.extends?.blob,
                consent.separate,
                consent.request?.blob, consent.plugins.flatMap(\.bytes).blob, consent.clients.flatMap(\.bytes).blob,
                consent.after, consent.namedAccount?.blob, sealedVerifier?.blob, redirectURI,
                now.adding(seconds: 600).milliseconds,
            ])
        return (Base64URL.encode(state), Base64URL.encode(cookie))
    }

    private static func verifierKey(_ state: [UInt8]) throws -> Key<OnceRole> {
        let key = try Key<OnceRole>(copying: state)
        return try key.derive(OnceRole.self, label: "toolshed/v1/authorization", context: [])
    }

    public func authorization(state: String) throws -> AuthorizationSession? {
        guard let bytes = Base64URL.decode(state), bytes.count == 32 else { return nil }
        return try row("SELECT * FROM authorization WHERE state_hash = ?", [sha256(bytes).blob])
            .map(AuthorizationSession.init)
    }

    /// Exactly one caller gets true, however many deliveries race (A-STATE-6). The row stays while the provider is asked:
    /// that it is gone says that its session has ended.
    public func consume(_ session: AuthorizationSession, outcome: OutcomeID, at now: Instant) throws -> Bool {
        try changed(
            """
            UPDATE authorization SET consumed_at_ms = ?, outcome = ?, expires_at_ms = ?
            WHERE state_hash = ? AND consumed_at_ms IS NULL
            """,
            [
                now.milliseconds, outcome.blob, now.adding(seconds: 600).milliseconds, session.stateHash.blob,
            ]) == 1
    }

    public func verifier(of session: AuthorizationSession, state: String) throws -> SecretText? {
        guard let sealed = session.verifier, let bytes = Base64URL.decode(state) else { return nil }
        let opened = try AEAD.open(sealed, under: try Self.verifierKey(bytes), Purpose.verifier(session.stateHash))
        return try opened.withUnsafeBytes { try SecretText(copying: $0) }
    }
}

extension Rows {
    /// The flow that ended in this outcome, while it is remembered.
    public func authorization(outcome: OutcomeID) throws -> AuthorizationSession? {
        try row("SELECT * FROM authorization WHERE outcome = ?", [outcome.blob]).map(AuthorizationSession.init)
    }
}
