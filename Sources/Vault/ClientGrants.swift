import Encoding
import Envelope
import GRDB
import OAuth
import Secrets

/// What a person allowed a client.
public struct ClientGrant: Sendable {
    public enum Kind: String, Sendable { case mcp, cli }

    public let id: ClientGrantID
    public let client: String
    public let kind: Kind
    public let name: String
    public let destination: String
    public let person: PersonID
    public let scope: ScopeSet
    public let resource: String
    public let createdAt: Instant
    public let lastUsedAt: Instant
    public let expiresAt: Instant

    init(_ row: Row) throws {
        id = try row.id("id")
        client = row.text("client")
        kind = try row.state("kind")
        name = row.text("name")
        destination = row.text("destination")
        person = try row.id("person")
        scope = row.scopes("scope")
        resource = row.text("resource")
        createdAt = row.instant("created_at_ms")
        lastUsedAt = row.instant("last_used_at_ms")
        expiresAt = row.instant("expires_at_ms")
    }
}

/// A yes, before it has an id.
public struct NewClientGrant: Sendable {
    public let client: String
    public let kind: ClientGrant.Kind
    public let name: String
    public let destination: String
    public let scope: ScopeSet
    public let resource: String

    public init(
        client: String, kind: ClientGrant.Kind, name: String, destination: String, scope: ScopeSet, resource: String
    ) {
        (self.client, self.kind, self.name) = (client, kind, name)
        (self.destination, self.scope, self.resource) = (destination, scope, resource)
    }
}

extension Rows {
    /// Milliseconds that a family may live, however often it is renewed (B-RT-5).
    public static let grantLifetime: Int64 = 180 * 86_400_000
    /// A command line's ends when it was not used, and not before.
    static let commandLineLifetime: Int64 = 36_500 * 86_400_000

    public func insert(_ grant: NewClientGrant, of person: PersonID, at now: Instant) throws -> ClientGrantID {
        let id: ClientGrantID = random.id()
        _ = try changed(
            """
            INSERT INTO client_grant (id, client, kind, name, destination, person, scope, resource, created_at_ms,
                last_used_at_ms, expires_at_ms)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
            """,
            [
                id.blob, grant.client, grant.kind.rawValue, grant.name, grant.destination, person.blob,
                grant.scope.text, grant.resource, now.milliseconds, now.milliseconds,
                now.milliseconds + (grant.kind == .cli ? Self.commandLineLifetime : Self.grantLifetime),
            ])
        return id
    }

    public func clientGrant(_ id: ClientGrantID) throws -> ClientGrant? {
        try row("SELECT * FROM client_grant WHERE id = ?", [id.blob]).map(ClientGrant.init)
    }

    /// What this slot was given for.
    public func clientGrant(holding slot: SlotID) throws -> ClientGrantID? {
        try row("SELECT client_grant FROM slot WHERE id = ?", [slot.blob])?.optionalID("client_grant")
    }

    /// Those that still hold something; newest first.
    public func clientGrants(of person: PersonID, at now: Instant) throws -> [ClientGrant] {
        try rows(
            """
            SELECT id, client, kind, name, destination, person, scope, resource, created_at_ms, expires_at_ms,
                max(last_used_at_ms, ifnull((SELECT max(last_used_at_ms) FROM slot WHERE client_grant = g.id), 0))
                    AS last_used_at_ms
            FROM client_grant AS g WHERE person = ?1 AND expires_at_ms > ?2
                AND (EXISTS (SELECT 1 FROM slot WHERE client_grant = g.id AND kind NOT IN ('authorization-code', 'device-code')
                        AND (expires_at_ms IS NULL OR expires_at_ms > ?2)
                        AND (idle_limit_ms IS NULL OR last_used_at_ms + idle_limit_ms > ?2))
                    OR EXISTS (SELECT 1 FROM client_token WHERE client_grant = g.id AND kind <> 'code'
                        AND ended_at_ms IS NULL AND expires_at_ms > ?2))
            ORDER BY created_at_ms DESC, id
            """, [person.blob, now.milliseconds]
        ).map(ClientGrant.init)
    }

    /// Whether this person ever let this client in before.
    public func hasGrant(client: String, of person: PersonID) throws -> Bool {
        try row("SELECT 1 FROM client_grant WHERE client = ? AND person = ? LIMIT 1", [client, person.blob]) != nil
    }

    /// The family ends with all its codes, tokens and slots.
    public func removeClientGrant(_ id: ClientGrantID) throws -> Bool {
        try changed("DELETE FROM client_grant WHERE id = ?", [id.blob]) > 0
    }

    public func touchClientGrant(_ grant: ClientGrant, at now: Instant) throws {
        _ = try changed("UPDATE client_grant SET last_used_at_ms = ? WHERE id = ?", [now.milliseconds, grant.id.blob])
        try touchClient(grant.client, at: now)
    }

    // Which connections.

    /// A client that is no longer there, or another person's, is passed over.
    public func allow(_ connection: ConnectionID, for client: ClientGrantID, of person: PersonID) throws {
        _ = try changed(
            """
            INSERT INTO client_connection (client_grant, connection)
            SELECT id, ? FROM client_grant WHERE id = ? AND person = ? ON CONFLICT DO NOTHING
            """, [connection.blob, client.blob, person.blob])
    }

    public func connectionsAllowed(for client: ClientGrantID) throws -> Set<ConnectionID> {
        Set(
            try rows("SELECT connection FROM client_connection WHERE client_grant = ?", [client.blob])
                .map { try $0.id("connection") })
    }

    func sweepClientGrants(at now: Instant) throws -> Int {
        // A replayed code and a refresh token used twice are told for as long as they could have been good.
        var swept = try changed(
            "DELETE FROM client_token WHERE expires_at_ms <= ? AND kind <> 'code'", [now.milliseconds])
        swept += try changed(
            "UPDATE client_token SET successor = NULL WHERE successor IS NOT NULL AND ended_at_ms <= ?",
            [now.milliseconds - Self.graceMilliseconds])
        swept += try changed("DELETE FROM device_request WHERE expires_at_ms <= ?", [now.milliseconds])
        swept += try changed("DELETE FROM device_try WHERE at_ms <= ?", [now.milliseconds - 600_000])
        swept += try changed(
            """
            DELETE FROM client_grant WHERE expires_at_ms <= ?1 OR (created_at_ms <= ?2
                AND NOT EXISTS (SELECT 1 FROM slot WHERE client_grant = client_grant.id)
                AND NOT EXISTS (SELECT 1 FROM client_token WHERE client_grant = client_grant.id
                    AND kind <> 'code' AND ended_at_ms IS NULL))
            """, [now.milliseconds, now.milliseconds - 600_000])
        return swept
    }
}
