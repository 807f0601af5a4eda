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

    /// Newest first.
    public func openRequests(of person: PersonID, limit: Int, at now: Instant) throws -> [Request] {
        try rows(
            """
            SELECT * FROM request WHERE person = ? AND status IN ('pending', 'approved') AND expires_at_ms > ?
            ORDER BY created_at_ms DESC, id_hash LIMIT ?
            """, [person.blob, now.milliseconds, limit]
        ).map(Request.init)
    }

    public func declined(by person: PersonID, at now: Instant) throws -> [Declined] {
        try rows(
            """
            SELECT caller, provider, group_concat(scope, ' ') AS scopes, max(until_ms) AS until_ms FROM decline
            WHERE person = ? AND until_ms > ? GROUP BY caller, provider ORDER BY max(until_ms) DESC, caller, provider
            """, [person.blob, now.milliseconds]
        ).map {
            Declined(
                caller: $0.bytes("caller"), provider: try $0.provider("provider"), scopes: $0.scopes("scopes"),
                until: $0.instant("until_ms"))
        }
    }

    /// This caller may ask again. false: there was no no.
    public func forgetDeclines(of caller: [UInt8], person: PersonID, provider: ProviderID) throws -> Bool {
        try changed(
            "DELETE FROM decline WHERE caller = ? AND person = ? AND provider = ?",
            [caller.blob, person.blob, provider.json]) > 0
    }
}
