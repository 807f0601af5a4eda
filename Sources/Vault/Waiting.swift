import Encoding
import Envelope
import GRDB
import OAuth
import Secrets

// What waits for a person, as their own page shows it: open requests, and what they said no to.

/// A no that still holds.
public struct Declined: Sendable {
    public let caller: [UInt8]
    public let provider: ProviderID
    public let scopes: ScopeSet
    public let until: Instant
}

/// Where a page of either list ended; it holds when that entry is gone by the next page.
public struct WaitingCursor: Sendable {
    let at: Instant
    let key: [UInt8]

    public static func ofRequests(parsing text: String) -> WaitingCursor? {
        WaitingCursor(parsing: text) { $0.count == 32 }
    }

    public static func ofDeclines(parsing text: String) -> WaitingCursor? {
        WaitingCursor(parsing: text) {
            $0.count > 16 && (try? ProviderID(parsing: String(decoding: $0.dropFirst(16), as: UTF8.self))) != nil
        }
    }

    private init?(parsing text: String, fits: ([UInt8]) -> Bool) {
        let parts = text.split(separator: ".", maxSplits: 1).map(String.init)
        guard parts.count == 2, let at = Int64(parts[0]), let key = Base64URL.decode(parts[1]), fits(key) else {
            return nil
        }
        (self.at, self.key) = (Instant(milliseconds: at), key)
    }

    public init(_ request: Request) { (at, key) = (request.createdAt, request.idHash) }
    public init(_ declined: Declined) {
        (at, key) = (declined.until, declined.caller + Array(declined.provider.json.utf8))
    }

    public var text: String { "\(at.milliseconds).\(Base64URL.encode(key))" }
}

extension Rows {
    /// Somebody with more vaults than this, each of a sign-in of its own, finds a request in the newest.
    private static let vaultsOffered = 8

    /// The id of a request is not stored. For the person's own page it is sealed to their vaults, which need not be open.
    func offer(_ id: RequestID, _ hash: [UInt8], to person: PersonID) throws {
        let vaults = try rows(
            "SELECT id, public_key, public_tag FROM vault WHERE person = ? ORDER BY created_at_ms DESC LIMIT ?",
            [person.blob, Self.vaultsOffered])
        for row in vaults {
            let vault: VaultID = try row.id("id")
            let key = try trusted(row.bytes("public_key"), tag: row.bytes("public_tag"), "vault", vault.bytes)
            let purpose = Purpose.requestLink(hash, vault: vault)
            let sealed = try id.bytes.withUnsafeBytes { try HPKE.seal($0, to: key, info: purpose, purpose, random) }
            _ = try changed(
                "INSERT INTO request_link (request, vault, id) VALUES (?, ?, ?)",
                [hash.blob, vault.blob, sealed.blob])
        }
    }

    /// nil: it was made when this vault was not there, or had another key.
    public func id(of request: Request, with vault: OpenVault) throws -> RequestID? {
        let row = try row(
            "SELECT id FROM request_link WHERE request = ? AND vault = ?", [request.idHash.blob, vault.id.blob])
        guard let row else { return nil }
        let purpose = Purpose.requestLink(request.idHash, vault: vault.id)
        do {
            let opened = try HPKE.open(row.bytes("id"), with: openPrivateKey(of: vault), info: purpose, purpose)
            return opened.withUnsafeBytes { RequestID(bytes: Array($0)) }
        } catch EnvelopeError.doesNotOpen {
            return nil
        }
    }

    /// Newest first, from after `after`.
    public func openRequests(
        of person: PersonID, after: WaitingCursor?, limit: Int, at now: Instant
    ) throws -> [Request] {
        try rows(
            """
            SELECT * FROM request WHERE person = ?1 AND status IN ('pending', 'approved') AND expires_at_ms > ?2
                AND (?3 IS NULL OR created_at_ms < ?3 OR (created_at_ms = ?3 AND id_hash > ?4))
            ORDER BY created_at_ms DESC, id_hash LIMIT ?5
            """, [person.blob, now.milliseconds, after?.at.milliseconds, after?.key.blob, limit]
        ).map(Request.init)
    }

    /// Those that hold longest first, from after `after`.
    public func declined(
        by person: PersonID, after: WaitingCursor?, limit: Int, at now: Instant
    ) throws -> [Declined] {
        try rows(
            """
            SELECT caller, provider, group_concat(scope, ' ') AS scopes, max(until_ms) AS until FROM decline
            WHERE person = ?1 AND until_ms > ?2 GROUP BY caller, provider
            HAVING ?3 IS NULL OR until < ?3 OR (until = ?3 AND (caller, provider) > (?4, ?5))
            ORDER BY until DESC, caller, provider LIMIT ?6
            """,
            [
                person.blob, now.milliseconds, after?.at.milliseconds, after.map { Array($0.key.prefix(16)).blob },
                after.map { String(decoding: $0.key.dropFirst(16), as: UTF8.self) }, limit,
            ]
        ).map {
            Declined(
                caller: $0.bytes("caller"), provider: try $0.provider("provider"), scopes: $0.scopes("scopes"),
                until: $0.instant("until"))
        }
    }

    /// This caller may ask again. false: there was no no.
    public func forgetDeclines(of caller: [UInt8], person: PersonID, provider: ProviderID) throws -> Bool {
        try changed(
            "DELETE FROM decline WHERE caller = ? AND person = ? AND provider = ?",
            [caller.blob, person.blob, provider.json]) > 0
    }
}
