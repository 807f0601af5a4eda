import Encoding
import GRDB

/// What a *Revoke as lost* led to, for whoever asks again because the answer was lost on its way, or left the page. Says of
/// each connection what the tokens that may be known are good for, and names no account.
public struct StoredLoss: Sendable {
    public struct Line: Sendable {
        public let connection: ConnectionID
        public let tokens: String
        /// When what may be known ends by itself.
        public let endsAt: Instant?

        public init(connection: ConnectionID, tokens: String, endsAt: Instant?) {
            (self.connection, self.tokens, self.endsAt) = (connection, tokens, endsAt)
        }
    }

    public let holder: LostName
    /// false: its vault was not open there.
    public let isDone: Bool
    public let leftOut: Int
    public let lines: [Line]
    public let at: Instant

    public init(of holder: LostName, isDone: Bool, leftOut: Int, lines: [Line], at: Instant) {
        (self.holder, self.isDone, self.leftOut, self.lines, self.at) = (holder, isDone, leftOut, lines, at)
    }
}

/// What was lost, as the person names and knows it.
public struct LostName: Sendable {
    public let id: String
    public let kind: String
    public let name: String

    public init(id: String, kind: String, name: String) { (self.id, self.kind, self.name) = (id, kind, name) }
}

extension Rows {
    /// As long as a person who was robbed may need to get round to all of it.
    static let lossSeconds: Int64 = 30 * 86_400

    public func note(_ loss: StoredLoss, of person: PersonID) throws {
        let lines = loss.lines.map { line in
            [line.connection.text, line.tokens, String(line.endsAt?.milliseconds ?? -1)].joined(separator: " ")
        }
        _ = try changed(
            """
            INSERT INTO loss (person, holder, kind, name, is_done, left_out, lines, at_ms, expires_at_ms)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
            ON CONFLICT (person, holder) DO UPDATE SET is_done = excluded.is_done, left_out = excluded.left_out,
                lines = excluded.lines, at_ms = excluded.at_ms, expires_at_ms = excluded.expires_at_ms
            """,
            [
                person.blob, loss.holder.id, loss.holder.kind, loss.holder.name, loss.isDone, loss.leftOut,
                lines.joined(separator: "\n"), loss.at.milliseconds,
                loss.at.adding(seconds: Self.lossSeconds).milliseconds,
            ])
    }

    public func loss(of holder: String, person: PersonID, at now: Instant) throws -> StoredLoss? {
        try losses("person = ?1 AND holder = ?2 AND expires_at_ms > ?3", [person.blob, holder, now.milliseconds]).first
    }

    /// All that this person has not put away, the last first.
    public func losses(of person: PersonID, at now: Instant, limit: Int) throws -> [StoredLoss] {
        try losses(
            "person = ? AND expires_at_ms > ? ORDER BY at_ms DESC, holder LIMIT ?",
            [person.blob, now.milliseconds, limit])
    }

    public func putAway(_ holder: String, of person: PersonID) throws -> Bool {
        try changed("DELETE FROM loss WHERE person = ? AND holder = ?", [person.blob, holder]) > 0
    }

    /// Whether a vault or connection of this person's still waits for its new key.
    public func awaitsKeys(_ person: PersonID) throws -> Bool {
        try row(
            """
            SELECT 1 FROM vault WHERE person = ?1 AND rekey_pending = 1 AND merged_into IS NULL
            UNION ALL SELECT 1 FROM vault v JOIN connection c ON c.vault = v.id AND c.rekey_pending = 1
                WHERE v.person = ?1 LIMIT 1
            """, [person.blob]) != nil
    }

    private func losses(_ condition: String, _ arguments: StatementArguments) throws -> [StoredLoss] {
        try rows(
            "SELECT holder, kind, name, is_done, left_out, lines, at_ms FROM loss WHERE \(condition)", arguments
        ).map { row in
            let lines = try row.text("lines").split(separator: "\n").map { line in
                let parts = line.split(separator: " ").map(String.init)
                guard parts.count == 3, let id = ConnectionID(parsing: parts[0]), let end = Int64(parts[2]) else {
                    throw VaultError.damaged("lines")
                }
                return StoredLoss.Line(
                    connection: id, tokens: parts[1], endsAt: end < 0 ? nil : Instant(milliseconds: end))
            }
            return StoredLoss(
                of: LostName(id: row.text("holder"), kind: row.text("kind"), name: row.text("name")),
                isDone: row["is_done"], leftOut: row["left_out"], lines: lines, at: row.instant("at_ms"))
        }
    }
}
