import Encoding
import GRDB
import OAuth

// What ends with what. Providers that end "the grant" end all that an account ever allowed this server's app, so
// before one connection is taken back there it has to be known whether another one stands on the same grant.

extension Rows {
    /// Whether telling the provider to end this connection could end another one of the same person's. Sure only where
    /// both accounts are known in one vault: an account that the provider did not name may be the same, and accounts
    /// of two vaults cannot be compared. What is in reserve behind it goes with it, and does not count.
    public func mayShareGrant(_ connection: Connection) throws -> Bool {
        let here: StatementArguments = [connection.vault.blob, connection.provider.json, connection.id.blob]
        func exists(_ condition: String, _ more: StatementArguments = []) throws -> Bool {
            try row(
                """
                SELECT 1 FROM connection
                WHERE vault = ?1 AND provider = ?2 AND id != ?3 AND superseded_by IS NOT ?3 AND \(condition) LIMIT 1
                """, here + more) != nil
        }
        if let tag = connection.accountTag {
            if try exists("account_tag = ?4", [tag.blob]) || exists("account_tag IS NULL") { return true }
        } else if try exists("true") {
            return true
        }
        return try row(
            """
            SELECT 1 FROM vault JOIN connection ON connection.vault = vault.id AND connection.provider = ?3
            WHERE vault.person = ?1 AND vault.id != ?2 LIMIT 1
            """, [connection.person.blob, connection.vault.blob, connection.provider.json]) != nil
    }

    /// Of the same account, kept in case this one would not do.
    public func reserve(behind connection: ConnectionID) throws -> [Connection] {
        try rows("SELECT \(Connection.columns) FROM connection WHERE superseded_by = ?", [connection.blob])
            .map(Connection.init)
    }

    /// What was in reserve behind a connection that has been used since: it is of no more use.
    public func spentReserve(in vault: VaultID, limit: Int) throws -> [Connection] {
        try rows(
            """
            SELECT \(Connection.columns) FROM connection JOIN connection better ON better.id = connection.superseded_by
            WHERE connection.vault = ? AND connection.superseded_by IS NOT NULL
                AND better.status = 'active' AND better.last_used_at_ms > connection.superseded_at_ms
            LIMIT ?
            """, [vault.blob, limit]
        ).map(Connection.init)
    }

    public func dropReserve(_ id: ConnectionID, at now: Instant) throws -> Bool {
        guard try connection(id)?.supersededBy != nil else { return false }
        try drop(id, at: now)
        return true
    }

    /// nil: it is in another vault, or does not open.
    public func credential(of connection: Connection, in vault: OpenVault) throws -> Credential? {
        connection.vault == vault.id ? try openWhole(connection, with: vault) : nil
    }
}
