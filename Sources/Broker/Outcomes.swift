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
    /// What Remove ends at the provider; nil: there is nothing to remove.
    public let ends: (provider: Provider?, sharesGrant: Bool)?
    /// What Remove came to.
    public let removal: RemovalResult?
    public let recoveryOffered: Bool
    public let formToken: String
}

public enum OutcomeDecision: String, CaseIterable, Sendable { case keep, remove }

extension Broker {
    public func outcome(_ id: OutcomeID, session: OpenSlot, at now: Instant) throws -> OutcomeDocument {
        try store.write { rows in
            guard let outcome = try rows.outcome(id, of: session.person) else { throw Refusal.notFound }
            let connection = try outcome.connection.flatMap { try rows.connection($0) }
            let provider = catalogue[outcome.provider]
            let isWide = provider.map { $0.revokesAtProvider && $0.revocationIsWide } ?? false
            return OutcomeDocument(
                outcome: outcome, providerName: provider?.name ?? outcome.provider.json,
                account: try connection.flatMap { try account(of: $0, session: session, rows) },
                ends: try connection.flatMap {
                    outcome.isRemovable ? (provider, try isWide && rows.mayShareGrant($0)) : nil
                }, removal: outcome.removal(manageURL: provider?.manageURL),
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
            let waiting = outcome
            try store.write { try keep(connection, waiting, session: session, $0, at: now) }
        case .remove:
            guard outcome.isRemovable else {
                guard outcome.replaced else { break }
                // With it would go what was allowed long ago, and whoever uses it: that is asked about on /vault.
                throw Refusal.changed
            }
            outcome.status = .removed
            let removed = outcome
            return try remove(connection, session: session, at: now).then(self) { broker, result in
                var removed = removed
                removed.message = result.code
                let ended = removed
                try broker.store.write { try $0.store(ended, at: now) }
                return .done(try broker.outcome(id, session: session, at: now))
            }
        }
        return .done(try self.outcome(id, session: session, at: now))
    }

    /// From now on it is in use, and who was let in with it is, without those who were sent away since.
    private func keep(
        _ id: ConnectionID, _ waiting: Outcome, session: OpenSlot, _ rows: Rows, at now: Instant
    ) throws {
        var outcome = waiting
        outcome.status = .kept
        if let connection = try rows.connection(id) {
            if connection.status == .unused { try rows.setStatus(.active, of: id) }
            try record(
                AuditRecord(.kept, person: outcome.person, provider: outcome.provider.json, connection: id), at: now)
            if let flow = try rows.authorization(outcome: outcome.id) {
                let admission = Admission(of: flow, since: try rows.takenBack(since: flow), isNew: true)
                try allow(id, admission, rows, at: now)
                if connection.vault == session.vault.id {
                    let key = try rows.openKey(of: connection, with: session.vault)
                    try approve(admission, for: connection, key: key, rows, at: now)
                } else {
                    try approveWhenOpen(admission, for: connection, rows, at: now)
                }
                try answer(outcome, admission, with: session.vault, rows, at: now)
                outcome.message = try said(admission, rows)
            } else if let request = try outcome.request.flatMap({ try rows.request(hash: $0) }), !request.isOfGuest {
                // So late that it is no longer known who was to be let in: they ask again.
                try rows.answer(request.idHash, as: .completed, with: session.vault, at: now)
            }
        } else {
            // Revoked on another page.
            outcome.status = .removed
        }
        try rows.store(outcome, at: now)
    }
}

extension Outcome {
    /// Whether the page that says how it ended offers to take all of it back.
    var isRemovable: Bool { status == .connectedUnused || (status == .connected && !replaced) }

    /// What Remove came to, as it was noted.
    fileprivate func removal(manageURL: String?) -> RemovalResult? {
        guard status == .removed, let message else { return nil }
        return RemovalResult(code: message, manageURL: manageURL)
    }
}

extension RemovalResult {
    /// Beside the other codes of an outcome, and none of them.
    private static let prefix = "removal-"

    fileprivate var code: String { Self.prefix + (isShared ? "shared" : atProvider.rawValue) }

    fileprivate init?(code: String, manageURL: String?) {
        guard code.hasPrefix(Self.prefix) else { return nil }
        let answer = String(code.dropFirst(Self.prefix.count))
        guard let atProvider = answer == "shared" ? .notApplicable : AtProvider(rawValue: answer) else { return nil }
        self.init(atProvider: atProvider, isShared: answer == "shared", manageURL: manageURL)
    }
}
