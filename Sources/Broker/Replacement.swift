import Encoding
import Envelope
import OAuth
import Providers
import Secrets
import Vault

/// What a token that was handed out before is still good for.
public enum TokenFate: Sendable, Equatable {
    /// It has ended at the provider, and here is a newer one or none.
    case replaced
    case expiresAt(Instant)
    /// It has no end of its own.
    case live

    /// nil: no token that a withdrawn plugin was handed lives any more, as far as is known here.
    init?(heldBy approval: Approval, of connection: Connection, at now: Instant) {
        guard approval.status == .withdrawn, let held = approval.heldGeneration else { return nil }
        self.init(held: held, of: connection, at: now)
    }

    init?(held generation: Int64, of connection: Connection, at now: Instant) {
        guard generation == connection.generation, connection.status != .reauthorize,
            connection.expiresAt.map({ $0 > now }) ?? true
        else { return nil }
        self.init(connection.expiresAt)
    }

    init(_ expiresAt: Instant?) { self = expiresAt.map(TokenFate.expiresAt) ?? .live }
}

/// What *Replace the token* came to.
public struct Replacement: Sendable {
    public let fate: TokenFate
    /// The page on which the person connects it again; nil: it needs no person.
    public let reconnectURL: String?
    public let manageURL: String?
}

extension Broker {
    /// A newer token from the provider, and an end to the older one as far as that ends nothing else. Where the
    /// provider renews nothing, the person goes through it again; where it cannot end a single token, that is said.
    public func replaceToken(_ id: ConnectionID, session: OpenSlot, at now: Instant) throws -> Step<Replacement> {
        guard let connection = try store.read({ try $0.connection(id) }), connection.person == session.person,
            connection.vault == session.vault.id
        else { throw Refusal.notFound }
        let provider = try provider(connection.provider)
        try record(
            AuditRecord(
                .tokenReplaced, person: session.person, provider: provider.id.json, connection: id,
                caller: session.id.text, callerKind: session.kind.rawValue), at: now)
        let manage = provider.manageURL
        return try renewed(connection, session: session, at: now).then(self) { broker, renewal in
            switch renewal {
            case .done(let fate): return .done(Replacement(fate: fate, reconnectURL: nil, manageURL: manage))
            case .later(let refusal): throw refusal
            case .impossible: break
            }
            let url =
                broker.connectURL(provider: provider.id, scopes: connection.scopes, request: nil)
                + "&connection=\(id.text)"
            return try broker.ended(connection, session: session, at: Instant.now()).then(broker) { _, fate in
                .done(Replacement(fate: fate, reconnectURL: url, manageURL: manage))
            }
        }
    }

    private enum Renewal: Sendable {
        case done(TokenFate)
        /// Nothing to renew it with, or the provider no longer honours it.
        case impossible
        case later(Refusal)
    }

    private func renewed(_ connection: Connection, session: OpenSlot, at now: Instant) throws -> Step<Renewal> {
        guard connection.refreshable, connection.status == .active, let known = catalogue[connection.provider],
            known.isConfigured
        else { return .done(.impossible) }
        let held = try store.read { rows in
            let key = try rows.openKey(of: connection, with: session.vault)
            let credential = try rows.openCredential(of: connection, with: key)
            return (key: ConnectionKey(key), credential: credential)
        }
        keeper.hold(connection.id, connection.generation, held.key, true)
        return .refresh(connection.id, generation: connection.generation) { broker, answer in
            switch answer {
            case .refreshed: break
            case .reauthorize: return .done(.impossible)
            case .retryLater(let seconds): return .done(.later(.providerUnavailable(retryAfter: max(1, seconds))))
            case .misconfigured: return .done(.later(.providerMisconfigured(known.name)))
            case .unavailable: return .done(.later(.refreshInProgress))
            }
            if known.refresh.oldAccessDies { return .done(.done(.replaced)) }
            return try broker.endAlone(held.credential.accessToken, of: connection, at: now).then(broker) { _, isOver in
                .done(.done(isOver ? .replaced : TokenFate(connection.expiresAt)))
            }
        }
    }

    /// The present token of a connection that cannot be renewed: where it can be ended alone it is, and the connection
    /// waits for the person.
    private func ended(_ connection: Connection, session: OpenSlot, at now: Instant) throws -> Step<TokenFate> {
        let token = try store.read { rows in
            try rows.openCredential(
                of: connection, with: try rows.openKey(of: connection, with: session.vault)
            ).accessToken
        }
        return try endAlone(token, of: connection, at: now).then(self) { broker, isOver in
            guard isOver else { return .done(TokenFate(connection.expiresAt)) }
            try broker.store.write { try $0.markRefused(connection.id, generation: connection.generation) }
            return .done(.replaced)
        }
    }

    /// Ends one token where the provider can do that without ending the grant.
    private func endAlone(_ token: SecretText, of connection: Connection, at now: Instant) throws -> Step<Bool> {
        guard let known = catalogue[connection.provider], known.revokesAtProvider, known.revoke.effect == .token else {
            return .done(false)
        }
        return try reached(known, at: now).then(self) { _, provider in
            guard let provider, let call = try provider.revocationCall(accessToken: token, refreshToken: nil) else {
                return .done(false)
            }
            return .send(call) { _, result in
                guard case .success(let reply) = result else { return .done(false) }
                return .done(provider.parseRevocation(reply) == .revoked)
            }
        }
    }

    // A plugin that is withdrawn

    /// What a withdrawn plugin can still do with what it was handed.
    public struct Withdrawal: Sendable {
        public let connection: ConnectionID
        public let provider: ProviderID
        /// false: the vault is not open here; the new key is made when it is.
        public let isDone: Bool
        public let fate: TokenFate
    }

    /// As many tokens as are renewed before the person gets an answer; for the others there is the button.
    private static let renewedAtOnce = 4

    /// The plugin's approvals end at once, and each of its connections gets a new key. Where renewing a token ends the
    /// one that the plugin holds, that is done, too. A plugin of one's own ends altogether.
    public func withdraw(_ id: PluginID, session: OpenSlot, at now: Instant) throws -> Step<[Withdrawal]> {
        try settle(takeOut(id, session: session, at: now)[...], [], session: session, at: now)
    }

    /// What a withdrawal does here. The connections that it was about. That their tokens are to be renewed is written with
    /// the withdrawal: who takes the step again finds nothing that the plugin still has.
    func takeOut(
        _ id: PluginID, isLost: Bool = false, session: OpenSlot, at now: Instant
    ) throws -> [ConnectionID] {
        let plugin = try visible(id, to: session.person)
        try record(
            AuditRecord(.pluginWithdrawn, person: session.person, caller: id.text, callerKind: "plugin"), at: now)
        let taken = try store.write { rows in
            let taken = try rows.withdraw(id, of: session.person, at: now)
            if isLost { try rows.markForRenewal(taken, at: now) }
            return taken
        }
        let connections = try taken.compactMap { connection in try store.read { try $0.connection(connection) } }
        for connection in connections where connection.vault == session.vault.id {
            try rekey(connection, background: connection.background, session: session, at: now)
        }
        try end(plugin, of: session.person, at: now)
        return connections.map(\.id)
    }

    private func settle(
        _ rest: ArraySlice<ConnectionID>, _ done: [Withdrawal], session: OpenSlot, at now: Instant
    ) throws -> Step<[Withdrawal]> {
        guard let id = rest.first else { return .done(done) }
        guard let connection = try store.read({ try $0.connection(id) }) else {
            return try settle(rest.dropFirst(), done, session: session, at: now)
        }
        let isOpen = connection.vault == session.vault.id
        let renewing =
            isOpen && done.count < Self.renewedAtOnce && renewalEndsToken(of: connection)
            ? try renewed(connection, session: session, at: now) : .done(.impossible)
        return try renewing.then(self) { broker, renewal in
            // What could not be renewed now is said to live on; the button tries again.
            let fate = if case .done(let fate) = renewal { fate } else { TokenFate(connection.expiresAt) }
            let settled = Withdrawal(
                connection: id, provider: connection.provider, isDone: isOpen,
                fate: fate)
            return try broker.settle(rest.dropFirst(), done + [settled], session: session, at: now)
        }
    }

    private func renewalEndsToken(of connection: Connection) -> Bool {
        guard let provider = catalogue[connection.provider] else { return false }
        return provider.refresh.oldAccessDies || (provider.revokesAtProvider && provider.revoke.effect == .token)
    }
}
