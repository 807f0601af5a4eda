import Encoding
import GRDB

/// What was stopped, and what is left to be taken away one by one.
public struct Stopped: Sendable {
    public let connections, plugins, holders, requests: Int
}

extension Rows {
    /// Everything of a person at once: from here on nothing of theirs is vended or renewed and nobody but `slot` and the
    /// ways back in (recovery, passkeys) opens anything. The credentials stay, so that each can still be taken back at
    /// its provider.
    public func stopEverything(of person: PersonID, but slot: SlotID, at now: Instant) throws -> Stopped {
        try note(.everything, by: person, at: now)
        let connections = try changed(
            "UPDATE connection SET status = 'paused' WHERE person = ? AND status = 'active'", [person.blob])
        // Plugins have seen these keys, and so has the service: a new one is due where the connection stays after all.
        _ = try changed(
            """
            UPDATE connection SET rekey_pending = 1, background = 0, service_key = NULL
            WHERE person = ?1 AND (background = 1 OR id IN
                (SELECT connection FROM approval WHERE person = ?1 AND status != 'withdrawn'))
            """, [person.blob])
        let plugins: Int =
            try row(
                "SELECT count(DISTINCT plugin) AS count FROM approval WHERE person = ? AND status != 'withdrawn'",
                [person.blob])?["count"] ?? 0
        _ = try changed(
            """
            UPDATE approval SET status = 'withdrawn', connection_key = NULL, connection_key_form = NULL,
                plugin_person = NULL
            WHERE person = ? AND status != 'withdrawn'
            """, [person.blob])
        let requests = try changed(
            "UPDATE request SET status = 'declined' WHERE person = ? AND status IN ('pending', 'approved')",
            [person.blob])
        // What was approved a moment ago and is still at the provider's page.
        _ = try changed("DELETE FROM authorization WHERE person = ? AND consumed_at_ms IS NULL", [person.blob])
        _ = try changed(
            "DELETE FROM once WHERE purpose = 'approval' AND slot IN (SELECT id FROM slot WHERE person = ?)",
            [person.blob])
        // A client counts once, however many tokens it has.
        let own = try changed(
            """
            DELETE FROM slot
            WHERE person = ? AND id != ? AND client_grant IS NULL AND kind NOT IN ('recovery', 'passkey')
            """, [person.blob, slot.blob])
        _ = try changed("DELETE FROM slot WHERE person = ? AND client_grant IS NOT NULL", [person.blob])
        let holders = own + (try changed("DELETE FROM client_grant WHERE person = ?", [person.blob]))
        return Stopped(connections: connections, plugins: plugins, holders: holders, requests: requests)
    }
}
