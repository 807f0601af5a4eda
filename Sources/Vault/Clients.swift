import Encoding
import Envelope
import GRDB
import OAuth
import Secrets

/// A client of our authorization server, as far as it is known here.
public struct OAuthClient: Sendable {
    public enum Kind: String, Sendable {
        /// Part of this product, or of the operator's configuration.
        case builtIn = "built-in"
        /// Registered by itself (RFC 7591): everything about it is its own claim.
        case registered
        /// Described by a document at its own address: the host of that address vouches for it.
        case document
    }

    public let id: String
    public let kind: Kind
    public let name: String
    public let redirectURIs: [RedirectURI]
    public let method: ClientAuthenticationMethod
    public let grantTypes: [String]
    let secretHash: [UInt8]?
    /// Of a document: false when it must be asked for again.
    public let isFresh: Bool

    /// The host of the address that is its id.
    public var host: String? { kind == .document ? ClientDocument.host(of: id) : nil }
    public func may(_ grantType: String) -> Bool { grantTypes.contains(grantType) }

    public init(builtIn id: String, name: String, redirectURIs: [RedirectURI], grantTypes: [String]) {
        (self.id, kind, self.name, self.redirectURIs) = (id, .builtIn, name, redirectURIs)
        (method, self.grantTypes, secretHash, isFresh) = (.none, grantTypes, nil, true)
    }

    init(_ row: Row, at now: Instant) throws {
        id = row.text("id")
        kind = try row.state("kind")
        guard let document = JSONValue(parsing: row.bytes("metadata")),
            let metadata = try? ClientMetadata(parsing: document, clean: { $0 })
        else { throw VaultError.damaged("metadata") }
        name = metadata.name
        redirectURIs = metadata.redirectURIs
        method = metadata.method
        grantTypes = metadata.grantTypes
        secretHash = row.optionalBytes("secret_hash")
        isFresh = row.optionalInstant("fresh_until_ms").map { $0 > now } ?? true
    }

    /// What a document said just now.
    public init(document: ClientDocument.Read, of id: String) {
        (self.id, kind, name, redirectURIs) = (id, .document, document.metadata.name, document.metadata.redirectURIs)
        (method, grantTypes) = (document.metadata.method, document.metadata.grantTypes)
        (secretHash, isFresh) = (nil, true)
    }

    /// Whether the client showed the secret that it registered with, or has none and showed none (B-TOK-2).
    public func isAuthenticated(by credentials: ShownCredentials) -> Bool {
        guard let secretHash else { return method == .none && credentials.secret == nil }
        guard let secret = credentials.secret else { return false }
        return constantTimeEquals(sha256(Array(secret.utf8)), secretHash)
    }

    /// The registered URI that permits this one; where none is named, the only one.
    public func redirect(for asked: String?) -> RedirectURI? {
        guard let asked else {
            return redirectURIs.count == 1 && redirectURIs[0].kind != .loopback ? redirectURIs[0] : nil
        }
        guard redirectURIs.contains(where: { $0.permits(asked) }) else { return nil }
        return RedirectURI(registering: asked)
    }
}

extension Rows {
    public func client(_ id: String, at now: Instant) throws -> OAuthClient? {
        try row("SELECT id, kind, metadata, secret_hash, fresh_until_ms FROM oauth_client WHERE id = ?", [id])
            .map { try OAuthClient($0, at: now) }
    }

    /// nil: too many that were never used came from there, or from everywhere.
    public func registrationsLeft(
        from address: String, network: String, limits: RegistrationLimits, at now: Instant
    ) throws -> Bool {
        func count(_ condition: String, _ argument: String?, since milliseconds: Int64) throws -> Int {
            var arguments: StatementArguments = [now.milliseconds - milliseconds]
            if let argument { arguments += [argument] }
            let row = try row(
                "SELECT count(*) AS n FROM oauth_client WHERE used_at_ms IS NULL AND kind = 'registered' AND created_at_ms > ? \(condition)",
                arguments)
            return row?["n"] ?? 0
        }
        return try count("AND address = ?", address, since: 60_000) < limits.perAddressAndMinute
            && count("AND substr(address, 1, length(?2)) = ?2", network, since: 3_600_000) < limits.perNetworkAndHour
            && count("", nil, since: 3_600_000) < limits.perHour
    }

    /// The id and, where the client asked for one, its secret; neither is anywhere else.
    public func register(
        _ metadata: ClientMetadata, from address: String, at now: Instant
    ) throws -> (id: String, secret: String?) {
        let id = "mc_" + Base64URL.encode(random.bytes(16))
        let secret = metadata.method == .none ? nil : "ms_" + Base64URL.encode(random.bytes(32))
        _ = try changed(
            "INSERT INTO oauth_client (id, kind, metadata, secret_hash, address, created_at_ms) VALUES (?, 'registered', ?, ?, ?, ?)",
            [
                id, metadata.json.blob, secret.map { sha256(Array($0.utf8)).blob }, address, now.milliseconds,
            ])
        return (id, secret)
    }

    /// What a client's own document says now.
    public func store(document: ClientDocument.Read, of id: String, at now: Instant) throws {
        _ = try changed(
            """
            INSERT INTO oauth_client (id, kind, metadata, address, created_at_ms, fresh_until_ms)
            VALUES (?1, 'document', ?2, '', ?3, ?4)
            ON CONFLICT (id) DO UPDATE SET metadata = excluded.metadata, fresh_until_ms = excluded.fresh_until_ms
            """,
            [
                id, document.metadata.json.blob, now.milliseconds,
                now.adding(seconds: document.freshSeconds).milliseconds,
            ])
    }

    func touchClient(_ id: String, at now: Instant) throws {
        _ = try changed("UPDATE oauth_client SET used_at_ms = ? WHERE id = ?", [now.milliseconds, id])
    }

    /// Never used: a day. Used: as long as anything it was given may live, and 30 days more (B-DCR-9).
    func sweepClients(at now: Instant) throws -> Int {
        try changed(
            """
            DELETE FROM oauth_client WHERE ((used_at_ms IS NULL AND created_at_ms <= ?1) OR used_at_ms <= ?2)
                AND NOT EXISTS (SELECT 1 FROM client_grant WHERE client = oauth_client.id)
            """, [now.milliseconds - 86_400_000, now.milliseconds - 60 * 86_400_000])
    }
}
