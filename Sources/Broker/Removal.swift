import Encoding
import Envelope
import OAuth
import Providers
import Secrets
import Vault

/// What became of a connection that was taken away.
public struct RemovalResult: Sendable {
    public enum AtProvider: String, Sendable {
        case revoked, unsupported, failed
        case notApplicable = "not-applicable"
    }

    public let atProvider: AtProvider
    /// Not asked there, because that would have ended another connection of the same account.
    public let isShared: Bool
    public let manageURL: String?

    init(atProvider: AtProvider, isShared: Bool = false, manageURL: String?) {
        (self.atProvider, self.isShared, self.manageURL) = (atProvider, isShared, manageURL)
    }
}

extension RemovalResult {
    fileprivate var event: AuditEvent {
        switch atProvider {
        case .revoked: .revoked
        case .unsupported: .revocationUnsupported
        case .failed: .revocationFailed
        case .notApplicable: .revocationNotAsked
        }
    }
}

extension Broker {
    /// On record with what came of it, too: that it was taken away here says nothing of there.
    public func remove(_ id: ConnectionID, session: OpenSlot, at now: Instant) throws -> Step<RemovalResult> {
        guard let connection = try store.read({ try $0.connection(id) }) else { throw Refusal.notFound }
        let person = session.person
        return try takeAway(id, session: session, at: now).then(self) { broker, result in
            // What is done is done: an answer is not held back because it could not be written down.
            try? broker.record(
                AuditRecord(
                    result.event, person: person, provider: connection.provider.json, connection: id), at: .now())
            return .done(result)
        }
    }

    /// Here first and always (A-REV-1), then at the provider where it can be: the credential is opened before its row
    /// goes, because nothing opens it afterwards.
    private func takeAway(_ id: ConnectionID, session: OpenSlot, at now: Instant) throws -> Step<RemovalResult> {
        let found = try store.read { rows in
            try rows.connection(id).map { connection in
                (
                    connection, try rows.hasTwin(connection),
                    connection.vault == session.vault.id
                        ? try rows.openCredential(
                            of: connection, with: try rows.openKey(of: connection, with: session.vault)) : nil
                )
            }
        }
        guard let (connection, hasTwin, credential) = found, connection.person == session.person else {
            throw Refusal.notFound
        }
        try record(
            AuditRecord(
                .removed, person: session.person, provider: connection.provider.json, connection: id,
                caller: session.id.text, callerKind: session.kind.rawValue), at: now)
        keeper.forget(.connection(id))
        guard try store.write({ try $0.removeConnection(id, of: session.person) }) else { throw Refusal.notFound }

        guard let provider = catalogue[connection.provider], let credential else {
            // In a vault that this session does not open there is nothing to show the provider (A-REV-2).
            let page = catalogue[connection.provider]?.manageURL
            return .done(RemovalResult(atProvider: .notApplicable, manageURL: page))
        }
        if hasTwin, provider.revokesAtProvider, provider.revocationIsWide {
            return .done(RemovalResult(atProvider: .notApplicable, isShared: true, manageURL: provider.manageURL))
        }
        let known = provider
        return try reached(provider, at: now).then(self) { broker, provider in
            // It is gone here already, whatever becomes of it there.
            guard let provider else {
                return .done(RemovalResult(atProvider: .failed, manageURL: known.manageURL))
            }
            return try broker.takeBack(credential, at: provider)
        }
    }

    private func takeBack(_ credential: Credential, at provider: Provider) throws -> Step<RemovalResult> {
        try revoke(credential.accessToken, credential.refreshToken, at: provider).then(self) { broker, answer in
            // RFC 7009 section 2.1: with a refresh token its access tokens should end, and need not.
            guard answer == .revoked, credential.refreshToken != nil, provider.revokesEachToken else {
                return .done(RemovalResult(atProvider: answer, manageURL: provider.manageURL))
            }
            return try broker.revoke(credential.accessToken, nil, at: provider).then(broker) { _, answer in
                .done(RemovalResult(atProvider: answer, manageURL: provider.manageURL))
            }
        }
    }

    private func revoke(
        _ accessToken: SecretText?, _ refreshToken: SecretText?, at provider: Provider
    ) throws -> Step<RemovalResult.AtProvider> {
        let call = try provider.revocationCall(accessToken: accessToken, refreshToken: refreshToken)
        guard let call else { return .done(.unsupported) }
        return .send(call) { _, result in
            switch result {
            case .failure: .done(.failed)
            case .success(let reply):
                switch provider.parseRevocation(reply) {
                case .revoked: .done(.revoked)
                case .unsupported: .done(.unsupported)
                case .failed: .done(.failed)
                }
            }
        }
    }

    func rekey(_ connection: Connection, background: Bool, session: OpenSlot) throws {
        try rekey(connection, background: background, vault: session.vault)
    }

    func rekey(_ connection: Connection, background: Bool, vault: OpenVault) throws {
        keeper.forget(.connection(connection.id))
        try store.write {
            try $0.rekey(connection, with: vault, background: background) { [coverage] in
                coverage(connection.provider, $0, $1)
            }
        }
    }
}
