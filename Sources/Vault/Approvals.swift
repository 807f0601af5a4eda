import Encoding
import Envelope
import GRDB
import OAuth
import Secrets

public enum ApprovalStatus: String, Sendable {
    case live
    /// Approved while nobody had the key at hand: it is given when the vault opens.
    case waiting
    /// The token came to carry more than was approved.
    case outgrown
    case withdrawn
}

/// What a person let one plugin use: a connection, while its token carries no more than these scopes.
public struct Approval: Sendable {
    public let connection: ConnectionID
    public let plugin: PluginID
    public let scopes: ScopeSet
    public let status: ApprovalStatus
    /// Withdrawn: the generation of the token that the plugin may still have.
    public let heldGeneration: Int64?

    init(_ row: Row) throws {
        connection = try row.id("connection")
        plugin = try row.id("plugin")
        scopes = row.scopes("scopes")
        status = try row.state("status")
        heldGeneration = row["held_generation"]
    }
}

extension Rows {
    /// Whether this plugin was let in to anything of this person's.
    public func holds(_ plugin: PluginID, of person: PersonID) throws -> Bool {
        try row(
            "SELECT 1 FROM approval WHERE plugin = ? AND person = ? AND status != 'withdrawn' LIMIT 1",
            [plugin.blob, person.blob]) != nil
    }

    private static let approvalColumns = "connection, plugin, scopes, status, held_generation"

    public func approvals(of connection: ConnectionID) throws -> [Approval] {
        try rows("SELECT \(Self.approvalColumns) FROM approval WHERE connection = ?", [connection.blob])
            .map(Approval.init)
    }

    public func approvals(of plugin: PluginID, person: PersonID, limit: Int) throws -> [Approval] {
        try rows(
            """
            SELECT \(Self.approvalColumns) FROM approval WHERE plugin = ? AND person = ?
            ORDER BY status = 'withdrawn' LIMIT ?
            """, [plugin.blob, person.blob, limit]
        ).map(Approval.init)
    }

    /// Gives the plugin this connection's key, sealed to a public key: it need not be there.
    public func approve(
        _ plugin: PluginID, for connection: Connection, key: borrowing Key<ConnectionRole>, scopes: ScopeSet,
        at now: Instant
    ) throws {
        let sealed = try sealToPlugin(
            plugin, with: connection.person, key, of: connection.id, version: connection.keyVersion)
        guard let (sealed, pair) = sealed else { throw VaultError.conflict }
        let existing = try row(
            "SELECT id FROM approval WHERE connection = ? AND plugin = ?", [connection.id.blob, plugin.blob])
        let id: ID<ApprovalKind> = try existing.map { try $0.id("id") } ?? random.id()
        let outer = try outerSeal(sealed, "approval", id.bytes, "connection_key")
        _ = try changed(
            """
            INSERT INTO approval (id, connection, plugin, person, provider, scopes, status, connection_key,
                connection_key_form, plugin_person, created_at_ms)
            VALUES (?, ?, ?, ?, ?, ?, 'live', ?, 'sealed', ?, ?)
            ON CONFLICT (connection, plugin) DO UPDATE SET scopes = excluded.scopes, status = 'live',
                connection_key = excluded.connection_key, connection_key_form = 'sealed',
                plugin_person = excluded.plugin_person, created_at_ms = excluded.created_at_ms
            """,
            [
                id.blob, connection.id.blob, plugin.blob, connection.person.blob, connection.provider.json, scopes.text,
                outer.blob, pair?.blob, now.milliseconds,
            ])
    }

    /// For a connection whose key nobody has at hand: the plugin gets it with the new one that the vault makes when it
    /// opens next. Whoever can use it already goes on.
    public func approveWhenOpen(
        _ plugin: PluginID, for connection: Connection, scopes: ScopeSet, at now: Instant
    ) throws {
        let id: ID<ApprovalKind> = random.id()
        let isNew = try changed(
            """
            INSERT INTO approval (id, connection, plugin, person, provider, scopes, status, created_at_ms)
            VALUES (?, ?, ?, ?, ?, ?, 'waiting', ?)
            ON CONFLICT (connection, plugin) DO UPDATE SET scopes = excluded.scopes, status = 'waiting',
                created_at_ms = excluded.created_at_ms
            WHERE status != 'live'
            """,
            [
                id.blob, connection.id.blob, plugin.blob, connection.person.blob, connection.provider.json, scopes.text,
                now.milliseconds,
            ])
        if isNew > 0 { _ = try changed("UPDATE connection SET rekey_pending = 1 WHERE id = ?", [connection.id.blob]) }
    }

    /// Approved for these scopes, but the token carries more: on record, without a key.
    public func noteOutgrown(
        _ plugin: PluginID, for connection: Connection, scopes: ScopeSet, at now: Instant
    ) throws {
        let id: ID<ApprovalKind> = random.id()
        _ = try changed(
            """
            INSERT INTO approval (id, connection, plugin, person, provider, scopes, status, created_at_ms)
            VALUES (?, ?, ?, ?, ?, ?, 'outgrown', ?)
            ON CONFLICT (connection, plugin) DO UPDATE SET scopes = excluded.scopes, status = 'outgrown',
                connection_key = NULL, connection_key_form = NULL, plugin_person = NULL,
                created_at_ms = excluded.created_at_ms
            """,
            [
                id.blob, connection.id.blob, plugin.blob, connection.person.blob, connection.provider.json, scopes.text,
                now.milliseconds,
            ])
    }

    /// Ends what a plugin may use of one person. The connection key it has seen must be replaced: the ids of the
    /// connections that need it are returned, and stay marked until that is done.
    public func withdraw(_ plugin: PluginID, of person: PersonID, at now: Instant) throws -> [ConnectionID] {
        try note(.plugin(plugin), by: person, at: now)
        let connections: [ConnectionID] = try rows(
            "SELECT connection FROM approval WHERE plugin = ? AND person = ? AND status = 'live'",
            [plugin.blob, person.blob]
        ).map { try $0.id("connection") }
        _ = try changed(
            """
            UPDATE approval SET status = 'withdrawn', connection_key = NULL, connection_key_form = NULL,
                plugin_person = NULL,
                held_generation = (SELECT generation FROM connection WHERE connection.id = approval.connection)
            WHERE plugin = ? AND person = ? AND status != 'withdrawn'
            """, [plugin.blob, person.blob])
        for connection in connections {
            _ = try changed("UPDATE connection SET rekey_pending = 1 WHERE id = ?", [connection.blob])
        }
        return connections
    }

    /// After the connection key changed: each approval that is live or waits for a key, and covers the token, gets the new
    /// one; the others are outgrown.
    func giveToPlugins(
        _ key: borrowing Key<ConnectionRole>, of connection: ConnectionID, version: Int64, token: ScopeSet,
        covers: (_ approved: ScopeSet, _ token: ScopeSet) -> Bool
    ) throws {
        let live = try rows(
            "SELECT id, plugin, person, scopes FROM approval WHERE connection = ? AND status IN ('live', 'waiting')",
            [connection.blob])
        for row in live {
            let id: ID<ApprovalKind> = try row.id("id")
            let sealed =
                covers(row.scopes("scopes"), token)
                ? try sealToPlugin(
                    row.id("plugin"), with: row.id("person"), key, of: connection, version: version) : nil
            if let (sealed, pair) = sealed {
                _ = try changed(
                    """
                    UPDATE approval SET status = 'live', connection_key = ?, connection_key_form = 'sealed',
                        plugin_person = ?
                    WHERE id = ?
                    """,
                    [try outerSeal(sealed, "approval", id.bytes, "connection_key").blob, pair?.blob, id.blob])
            } else {
                _ = try changed(
                    """
                    UPDATE approval SET status = 'outgrown', connection_key = NULL, connection_key_form = NULL,
                        plugin_person = NULL
                    WHERE id = ?
                    """, [id.blob])
            }
        }
    }

    /// To the pair of this person with the plugin where there is one, else to the plugin's. nil: there is no such plugin.
    private func sealToPlugin(
        _ plugin: PluginID, with person: PersonID, _ key: borrowing Key<ConnectionRole>, of connection: ConnectionID,
        version: Int64
    ) throws -> (box: [UInt8], pair: PluginPersonID?)? {
        guard let holder = try self.plugin(plugin) else { return nil }
        let own = try row(
            "SELECT id, public_key, public_tag FROM plugin_person WHERE plugin = ? AND person = ?",
            [plugin.blob, person.blob])
        let pair: PluginPersonID? = try own?.id("id")
        let publicKey =
            if let own, let pair {
                try trusted(own.bytes("public_key"), tag: own.bytes("public_tag"), "plugin_person", pair.bytes)
            } else {
                try trusted(holder.publicKey.bytes, tag: holder.publicTag, "plugin", plugin.bytes)
            }
        let purpose = Purpose.approvalKey(connection, plugin: plugin, version: version)
        return (try HPKE.sealKey(key, to: publicKey, info: purpose, purpose, keyID: 0, random), pair)
    }
}

enum ApprovalKind: IDKind { static let prefix = "a_" }

extension Rows {
    /// Everybody who approved anything, for commands that go through all of them.
    public func personsWithApprovals() throws -> [PersonID] {
        try rows("SELECT DISTINCT person FROM approval", []).map { try $0.id("person") }
    }
}
