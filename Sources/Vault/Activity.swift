import Encoding
import Foundation
import GRDB
import Secrets

/// One line of the activity page, read from the table that the keeper fills.
public struct Activity: Sendable {
    public let id: [UInt8]
    public let at: Instant
    public let event: AuditEvent
    public let provider: String?
    public let connection: ConnectionID?
    public let caller: String?
    public let callerKind: String?
    public let scopes: String?
    /// Sealed under the log key of the connection; see `ActivityClaim`.
    public let claim: [UInt8]?
}

/// Where a page of activity ended.
public struct ActivityCursor: Hashable, Sendable {
    public let at: Instant
    public let id: [UInt8]

    public init(at: Instant, id: [UInt8]) { (self.at, self.id) = (at, id) }
}

extension Activity {
    public var cursor: ActivityCursor { ActivityCursor(at: at, id: id) }
}

extension Rows {
    /// Newest first, from after `after`.
    public func activity(of person: PersonID, after: ActivityCursor? = nil, limit: Int) throws -> [Activity] {
        let from = after ?? ActivityCursor(at: Instant(milliseconds: .max), id: [])
        return try rows(
            """
            SELECT id, at_ms, event, provider, connection, caller, caller_kind, scopes, claim FROM activity
            WHERE person = ?1 AND at_ms <= ?2 AND (at_ms < ?2 OR id < ?3)
            ORDER BY at_ms DESC, id DESC LIMIT ?4
            """, [person.blob, from.at.milliseconds, from.id.blob, limit]
        ).map { row in
            Activity(
                id: row.bytes("id"), at: row.instant("at_ms"), event: try row.state("event"), provider: row["provider"],
                connection: row.optionalID("connection"), caller: row["caller"], callerKind: row["caller_kind"],
                scopes: row["scopes"], claim: row.optionalBytes("claim"))
        }
    }
}

/// One record as it stands in an audit file.
struct AuditLine {
    var id: [UInt8] = []
    var at: Int64 = 0
    var event = ""
    var person: PersonID?
    var provider: String?
    var connection: ConnectionID?
    var caller: String?
    var kind: String?
    var scopes: String?
    var claim: [UInt8]?

    /// nil: half a line of a process that died writing it, or not a line of ours.
    init?(parsing line: some Collection<UInt8>) {
        do {
            try JSONReader.object(Array(line)) { (name, value) throws(JSONError) in
                switch name {
                case "id": id = Base64URL.decode(try value.string()) ?? []
                case "at": at = try value.integer()
                case "event": event = try value.string()
                case "person": person = PersonID(parsing: try value.string())
                case "provider": provider = try value.string()
                case "connection": connection = ConnectionID(parsing: try value.string())
                case "caller": caller = try value.string()
                case "kind": kind = try value.string()
                case "scopes": scopes = try value.string()
                case "claim": claim = Base64URL.decode(try value.string())
                default: break
                }
            }
        } catch {
            return nil
        }
        guard id.count == 16, person != nil, AuditEvent(rawValue: event) != nil else { return nil }
    }
}

extension Rows {
    /// Takes records into the table and moves "last used" of connections and slots on. A record that is there already
    /// stays as it is: folding twice is folding once.
    func fold(_ lines: [AuditLine], of file: String, upTo bytes: Int64) throws {
        var used: [ConnectionID: (at: Int64, by: String?)] = [:]
        var seen: [SlotID: Int64] = [:]
        for line in lines {
            guard let person = line.person else { continue }
            _ = try changed(
                """
                INSERT INTO activity (id, person, at_ms, event, provider, connection, caller, caller_kind, scopes, claim)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING
                """,
                [
                    line.id.blob, person.blob, line.at, line.event, line.provider, line.connection?.blob, line.caller,
                    line.kind, line.scopes, line.claim?.blob,
                ])
            if line.event == AuditEvent.vended.rawValue, let connection = line.connection,
                line.at >= used[connection]?.at ?? 0
            {
                used[connection] = (line.at, line.caller)
            }
            if let slot = line.caller.flatMap({ SlotID(parsing: $0) }) { seen[slot] = max(seen[slot] ?? 0, line.at) }
        }
        for (connection, use) in used {
            _ = try changed(
                """
                UPDATE connection SET last_used_at_ms = ?1, last_used_by = ?2
                WHERE id = ?3 AND (last_used_at_ms IS NULL OR last_used_at_ms < ?1)
                """, [use.at, use.by, connection.blob])
            try dropSuperseded(by: connection, usedAt: use.at)
        }
        for (slot, at) in seen {
            _ = try changed(
                "UPDATE slot SET last_used_at_ms = ?1 WHERE id = ?2 AND last_used_at_ms < ?1", [at, slot.blob])
        }
        _ = try changed(
            """
            INSERT INTO audit_file (name, folded_bytes) VALUES (?, ?)
            ON CONFLICT (name) DO UPDATE SET folded_bytes = max(folded_bytes, excluded.folded_bytes)
            """, [file, bytes])
    }

    func foldedBytes() throws -> [String: Int64] {
        Dictionary(
            uniqueKeysWithValues: try rows("SELECT name, folded_bytes FROM audit_file", []).map {
                ($0.text("name"), $0["folded_bytes"] as Int64)
            })
    }
}
