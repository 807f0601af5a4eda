import Encoding
import Envelope
import OAuth
import Providers
import Vault

/// What the done page shows.
public struct OutcomeDocument: Sendable {
    public let outcome: Outcome
    public let providerName: String
    public let account: String?
    public let recoveryOffered: Bool
    public let formToken: String
}

public enum OutcomeDecision: String, CaseIterable, Sendable { case keep, remove }

extension Broker {
    public func outcome(_ id: OutcomeID, session: OpenSlot, at now: Instant) throws -> OutcomeDocument {
        try store.write { rows in
            guard let outcome = try rows.outcome(id, of: session.person) else { throw Refusal.notFound }
            let connection = try outcome.connection.flatMap { try rows.connection($0) }
            return OutcomeDocument(
                outcome: outcome, providerName: catalogue[outcome.provider]?.name ?? outcome.provider.json,
                account: try connection.flatMap { try account(of: $0, session: session, rows) },
                recoveryOffered: try !rows.hasRecoveryCode(session.vault.id) && connection != nil,
                formToken: try rows.issueFormToken(slot: session.id, bound: id.bytes, at: now))
        }
    }

    /// "Connected as @mallory. Keep / Remove". Until Keep, the connection is nobody's.
    public func settle(
        _ id: OutcomeID, _ decision: OutcomeDecision, formToken: String, session: OpenSlot, at now: Instant
    ) throws -> Step<OutcomeDocument> {
        guard try store.write({ try $0.useFormToken(formToken, slot: session.id, at: now) }) == id.bytes else {
            throw Refusal.changed
        }
        guard var outcome = try store.read({ try $0.outcome(id, of: session.person) }) else { throw Refusal.notFound }
        guard let connection = outcome.connection else { return .done(try self.outcome(id, session: session, at: now)) }
        switch decision {
        case .keep:
            guard outcome.status == .connectedUnused else { break }
            outcome.status = .kept
            let kept = outcome
            try store.write { rows in
                try rows.setStatus(.active, of: connection)
                if let flow = try rows.authorization(outcome: id), flow.vault == session.vault.id,
                    let row = try rows.connection(connection)
                {
                    let key = try rows.openKey(of: row, with: session.vault)
                    try allow(connection, flow, rows)
                    try approve(flow, for: row, key: key, rows, at: now)
                }
                try answer(kept, with: session.vault, rows, at: now)
                try rows.store(kept, at: now)
            }
        case .remove:
            outcome.status = .removed
            let removed = outcome
            return try remove(connection, session: session, at: now).then(self) { broker, _ in
                try broker.store.write { try $0.store(removed, at: now) }
                return .done(try broker.outcome(id, session: session, at: now))
            }
        }
        return .done(try self.outcome(id, session: session, at: now))
    }
}
