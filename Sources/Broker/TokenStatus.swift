import Encoding
import Envelope
import OAuth
import Settings
import Vault

/// What is said of a token that is good (RFC 7662 section 2.2).
public struct TokenStatus: Sendable {
    public let clientID: String
    public let subject: PersonID
    public let audience: String
    public let scope: ScopeSet
    public let issuedAt: Instant
    public let expiresAt: Instant
}

extension Broker {
    /// `POST /introspect`: nothing is opened for it (B-INT-3). nil: not good, or nothing that this client is told about.
    public func introspect(_ text: String, client: OAuthClient, at now: Instant) throws -> TokenStatus? {
        guard let token = try? Token(parsing: text), token.kind == .access || token.kind == .refresh,
            let known = try store.read({ try $0.clientToken(token) }), known.isLive(at: now),
            known.grant.client == client.id
        else { return nil }
        return TokenStatus(
            clientID: known.grant.client, subject: known.grant.person, audience: known.grant.resource,
            scope: known.scope, issuedAt: known.issuedAt, expiresAt: known.expiresAt)
    }

    /// `POST /revoke` (RFC 7009): a refresh token takes its family along, an access token only itself (B-REV-1).
    public func revoke(_ text: String, client: OAuthClient, at now: Instant) throws {
        guard let token = try? Token(parsing: text) else { return }
        try store.write { rows in
            switch token.kind {
            case .refresh, .code:
                guard let known = try rows.clientToken(token), known.grant.client == client.id else { return }
                try end(known.grant, because: .clientRevoked, rows, at: now)
            case .access:
                guard let known = try rows.clientToken(token), known.grant.client == client.id else { return }
                try rows.removeToken(known.id)
            case .cli:
                guard client.id == Self.commandLineClient, let slot = try rows.openSlot(token, at: now) else { return }
                try record(
                    AuditRecord(.clientRevoked, person: slot.person, caller: slot.id.text, callerKind: "cli"), at: now)
                try rows.removeHolder(slot.id)
            case .session, .apiKey, .plugin, .pluginPerson, .invitation, .recovery, .passkey, .device: return
            }
        }
    }
}
