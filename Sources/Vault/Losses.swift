import Encoding
import GRDB

/// What a *Revoke as lost* led to, for whoever asks again because the answer was lost on its way. Says of each connection
/// what the tokens that may be known are good for, and names no account.
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

    public let isDone: Bool
    public let leftOut: Int
    public let lines: [Line]

    public init(isDone: Bool, leftOut: Int, lines: [Line]) {
        (self.isDone, self.leftOut, self.lines) = (isDone, leftOut, lines)
    }
}

extension Rows {
    static let lossSeconds: Int64 = 86_400

    /// - Parameter holder: the 16 bytes of the id that the person named.
    public func note(_ loss: StoredLoss, of holder: [UInt8], person: PersonID, at now: Instant) throws {
        let lines = loss.lines.map { line in
            [line.connection.text, line.tokens, String(line.endsAt?.milliseconds ?? -1)].joined(separator: " ")
        }
        _ = try changed(
            """
            INSERT INTO loss (person, holder, is_done, left_out, lines, expires_at_ms) VALUES (?, ?, ?, ?, ?, ?)
            ON CONFLICT (person, holder) DO UPDATE SET is_done = excluded.is_done, left_out = excluded.left_out,
                lines = excluded.lines, expires_at_ms = excluded.expires_at_ms
            """,
            [
                person.blob, holder.blob, loss.isDone, loss.leftOut, lines.joined(separator: "\n"),
                now.adding(seconds: Self.lossSeconds).milliseconds,
            ])
    }

    public func loss(of holder: [UInt8], person: PersonID, at now: Instant) throws -> StoredLoss? {
        let row = try row(
            "SELECT is_done, left_out, lines FROM loss WHERE person = ? AND holder = ? AND expires_at_ms > ?",
            [person.blob, holder.blob, now.milliseconds])
        guard let row else { return nil }
        let lines = try row.text("lines").split(separator: "\n").map { line in
            let parts = line.split(separator: " ").map(String.init)
            guard parts.count == 3, let id = ConnectionID(parsing: parts[0]), let end = Int64(parts[2]) else {
                throw VaultError.damaged("lines")
            }
            return StoredLoss.Line(
                connection: id, tokens: parts[1], endsAt: end < 0 ? nil : Instant(milliseconds: end))
        }
        return StoredLoss(isDone: row["is_done"], leftOut: row["left_out"], lines: lines)
    }
}
