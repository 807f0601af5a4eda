import Encoding
import Envelope
import OAuth
import Settings
import Vault

/// An OAuth client that calls `/mcp`: its token opened its slot, is for this resource, and carries these scopes.
public struct OpenAgent: Sendable {
    public let slot: OpenSlot
    public let scopes: ScopeSet
    public let clientID: String

    /// As whom it asks for tokens, and as whom it is recorded.
    public var caller: OpenCaller { .holder(slot) }
    /// Whether it may use connections at all; without, the answer is `insufficient_scope` (B-CHAL-3).
    public var mayUse: Bool { scopes.contains(ClientScope.use.rawValue) }
}

extension Broker {
    /// The scopes that `/mcp` needs of a token, for challenges.
    public static let agentScope = ClientScope.use.rawValue

    /// nil: unknown, expired, revoked, or for another resource.
    public func agent(_ token: borrowing Token, at now: Instant) throws -> OpenAgent? {
        guard token.kind == .access else { return nil }
        let found = try store.read { rows -> (OpenSlot, ClientToken)? in
            guard let known = try rows.clientToken(token), known.isLive(at: now),
                known.grant.resource == settings.agentResource, let slot = try rows.openSlot(token, at: now)
            else { return nil }
            return (slot, known)
        }
        guard let (slot, known) = found else { return nil }
        // "Last used" is moved on now and then, so that using it does not write each time.
        if now.milliseconds - known.grant.lastUsedAt.milliseconds > 300_000 {
            try store.write { try $0.touchClientGrant(known.grant, at: now) }
        }
        return OpenAgent(slot: try caughtUp(slot, at: now), scopes: known.scope, clientID: known.grant.client)
    }
}
