import Encoding
import GRDB
import OAuth

/// A connection's token that a plugin was handed which is gone: its approvals went with it.
public struct LeftToken: Sendable {
    public let plugin: PluginID
    public let connection: ConnectionID
    public let scopes: ScopeSet
    public let generation: Int64
}

extension Rows {
    /// What this plugin may still have, kept beyond its end.
    func noteLeft(with plugin: PluginID) throws {
        _ = try changed(
            """
            INSERT INTO left_with (plugin, connection, person, scopes, generation)
            SELECT a.plugin, a.connection, a.person, a.scopes, c.generation
            FROM approval a JOIN connection c ON c.id = a.connection
            WHERE a.plugin = ?
                AND (a.status = 'live' OR (a.status = 'withdrawn' AND a.held_generation = c.generation))
            """, [plugin.blob])
    }

    /// Of this person, the last to be connected first.
    public func leftTokens(of person: PersonID, limit: Int) throws -> [LeftToken] {
        try rows(
            """
            SELECT l.plugin, l.connection, l.scopes, l.generation FROM left_with l JOIN connection c ON c.id = l.connection
            WHERE l.person = ? AND l.generation = c.generation ORDER BY c.created_at_ms DESC, c.id, l.plugin LIMIT ?
            """, [person.blob, limit]
        ).map {
            LeftToken(
                plugin: try $0.id("plugin"), connection: try $0.id("connection"), scopes: $0.scopes("scopes"),
                generation: $0["generation"])
        }
    }

    /// The connection has another token by now.
    func sweepLeft() throws -> Int {
        try changed(
            """
            DELETE FROM left_with
            WHERE generation != (SELECT generation FROM connection WHERE id = left_with.connection)
            """, [])
    }
}
