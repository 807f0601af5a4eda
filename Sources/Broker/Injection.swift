import Encoding
import Envelope
import OAuth
import Providers
import Vault

/// A call of a provider's API into which a token is to be put.
public struct APICall: Sendable {
    public let provider: ProviderID
    public let method: APIMethod
    public let target: APITarget
    /// What the body asks for, where it is known and paths do not tell.
    public let document: GraphQLCall?

    public init(provider: ProviderID, method: APIMethod, target: APITarget, document: GraphQLCall? = nil) {
        (self.provider, self.method, self.target, self.document) = (provider, method, target, document)
    }
}

/// By which door a token leaves: what it is for decides who may have it.
public enum Door: Sendable {
    /// Handed to the caller.
    case vend
    /// Put into a request by nginx.
    case proxy(APICall)
    /// Put into a request by us, for an agent that never sees it.
    case agent(APICall)

    var call: APICall? {
        switch self {
        case .vend: nil
        case .proxy(let call), .agent(let call): call
        }
    }

    /// What an MCP client's token opens (V-2).
    var isForAgents: Bool {
        if case .agent = self { return true }
        return false
    }
}

extension Broker {
    /// Vend for injection: the same story, the same records and the same refusals as a vend. Scopes that the caller does
    /// not name are those that the operation needs, where the catalogue knows it.
    public func inject<Answer>(
        _ request: VendRequest, with token: borrowing Token, through door: Door, at now: Instant,
        render: @escaping @Sendable (borrowing VendedToken) -> Answer
    ) throws -> Step<Answer> {
        guard let call = door.call else { return try vend(request, with: token, at: now, render: render) }
        let operation = catalogue[call.provider]?.operation(call.method, call.target, call.document)
        return try vend(request.naming(operation, for: call), with: token, through: door, at: now, render: render)
    }
}

extension VendRequest {
    fileprivate func naming(_ operation: Operation?, for call: APICall) -> VendRequest {
        let named = operation.flatMap { scopes.isEmpty ? $0 : nil }
        var request = VendRequest(
            userID: userID, provider: call.provider, scopes: named?.scopes ?? scopes,
            alternatives: named?.alternatives ?? [], account: account, minTTL: minTTL, reason: reason,
            // What people read of a call that says nothing of itself.
            tool: tool.isEmpty ? String("\(call.method.rawValue) \(call.target.path)".prefix(64)) : tool)
        request.address = address
        return request
    }
}

extension Refusal {
    /// The same refusal without lists, whose length callers and persons decide; the link still says all of it.
    public var withoutLists: Refusal {
        switch self {
        case .authorizationRequired(let need):
            .authorizationRequired(
                AuthorizationRequired(
                    reason: need.reason, url: need.url, requestID: need.requestID, statusURL: need.statusURL,
                    expiresIn: need.expiresIn, interval: need.interval, matchCode: need.matchCode, missing: .empty,
                    granted: .empty))
        case .scopeDeclined(_, let until): .scopeDeclined(scopes: .empty, until: until)
        case .accountChoice(let accounts): .accountChoice(Array(accounts.prefix(8)))
        case .invalidRequest(let errors): .invalidRequest(Array(errors.prefix(4)))
        default: self
        }
    }
}
