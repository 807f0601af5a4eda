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
    /// Not asked there, because that could have ended another connection of this person's.
    public let isShared: Bool
    public let manageURL: String?

    init(atProvider: AtProvider, isShared: Bool = false, manageURL: String?) {
        (self.atProvider, self.isShared, self.manageURL) = (atProvider, isShared, manageURL)
    }
}

extension RemovalResult {
    /// How much it leaves for the person to do there.
    fileprivate var leaves: Int {
        switch atProvider {
        case .revoked: 0
        case .notApplicable: 1
        case .unsupported: 2
        case .failed: 3
        }
    }

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
    /// Here first and always (A-REV-1), then at the provider where it can be, with what is in reserve behind it: at the
    /// provider that would live on, and nobody would have it. Of several answers the one that leaves most to do is given.
    public func remove(_ id: ConnectionID, session: OpenSlot, at now: Instant) throws -> Step<RemovalResult> {
        keeper.forget(.connection(id))
        let gone = try store.write { rows in
            guard let connection = try rows.connection(id), connection.person == session.person else {
                throw Refusal.notFound
            }
            // The vault has got another key since it was opened: what cannot be opened could not be shown to the provider.
            guard try connection.vault != session.vault.id || rows.isCurrent(session.vault) else {
                throw Refusal.changed
            }
            return try takeAway(rows.reserve(behind: id) + [connection], rows, session: session, at: now)
        }
        for one in gone { keeper.forget(.connection(one.connection.id)) }
        return try tellProvider(of: gone[...], at: now).then(self) { _, result in
            guard let result else { throw Refusal.notFound }
            return .done(result)
        }
    }

    /// As many as a page of connections waits for.
    private static let reserveEndedAtOnce = 4

    /// What was kept until the better connection of its account had been used, and that was: taken back now that its vault
    /// is open. What cannot be done now is done with a later page.
    public func endSpentReserve(_ session: OpenSlot, at now: Instant) -> Step<Void> {
        do {
            let limit = Self.reserveEndedAtOnce
            let spent = try store.read { try $0.spentReserve(in: session.vault.id, limit: limit) }
            guard !spent.isEmpty else { return .done(()) }
            let gone = try store.write { rows in
                try takeAway(
                    rows.spentReserve(in: session.vault.id, limit: limit), rows, session: session, at: now)
            }
            return try tellProvider(of: gone[...], at: now).then(self) { _, _ in .done(()) }.otherwise { _, _ in }
        } catch {
            return .done(())
        }
    }

    /// What is to be shown to the provider, opened before its row went: nothing opens it afterwards.
    private struct Gone: Sendable {
        let connection: Connection
        /// nil: this session does not open it (A-REV-2).
        let credential: Credential?
        /// Another connection, which stays, may stand on the same grant.
        let sharesGrant: Bool
    }

    /// On record and out of the vault, all of them or none.
    private func takeAway(
        _ connections: [Connection], _ rows: Rows, session: OpenSlot, at now: Instant
    ) throws -> [Gone] {
        let opened = try connections.map { ($0, try rows.credential(of: $0, in: session.vault)) }
        for connection in connections {
            try record(
                AuditRecord(
                    .removed, person: session.person, provider: connection.provider.json, connection: connection.id,
                    caller: session.id.text, callerKind: session.kind.rawValue), at: now)
            let isGone =
                try connection.supersededBy != nil
                ? rows.dropReserve(connection.id, at: now)
                : rows.removeConnection(connection.id, of: session.person, at: now)
            guard isGone else { throw Refusal.notFound }
        }
        return try opened.map {
            Gone(connection: $0, credential: $1, sharesGrant: try rows.mayShareGrant($0))
        }
    }

    private func tellProvider(of all: ArraySlice<Gone>, at now: Instant) throws -> Step<RemovalResult?> {
        guard let gone = all.first else { return .done(nil) }
        return try tellProvider(of: gone, at: now).then(self) { broker, result in
            let (connection, now) = (gone.connection, Instant.now())
            // What is done is done: an answer is not held back because it could not be written down.
            try? broker.record(
                AuditRecord(
                    result.event, person: connection.person, provider: connection.provider.json,
                    connection: connection.id), at: now)
            return try broker.tellProvider(of: all.dropFirst(), at: now).then(broker) { _, others in
                .done(others.map { $0.leaves > result.leaves ? $0 : result } ?? result)
            }
        }
    }

    private func tellProvider(of gone: Gone, at now: Instant) throws -> Step<RemovalResult> {
        guard let credential = gone.credential else {
            let page = catalogue[gone.connection.provider]?.manageURL
            return .done(RemovalResult(atProvider: .notApplicable, manageURL: page))
        }
        // The operator took the provider out, and the grant lives on there.
        guard let provider = catalogue[gone.connection.provider] else {
            return .done(RemovalResult(atProvider: .failed, manageURL: nil))
        }
        if gone.sharesGrant, provider.revokesAtProvider, provider.revocationIsWide {
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
        let call: ProviderCall?
        do throws(ProviderError) {
            call = try provider.revocationCall(accessToken: accessToken, refreshToken: refreshToken)
        } catch {
            // No client id any more, or an address that is not known: the connection is gone here all the same.
            return .done(.failed)
        }
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

    func rekey(_ connection: Connection, background: Bool, session: OpenSlot, at now: Instant) throws {
        try rekey(connection, background: background, vault: session.vault, at: now)
    }

    func rekey(_ connection: Connection, background: Bool, vault: OpenVault, at now: Instant) throws {
        keeper.forget(.connection(connection.id))
        try store.write {
            try $0.rekey(connection, with: vault, background: background, at: now) { [coverage] in
                coverage(connection.provider, $0, $1)
            }
        }
    }
}
