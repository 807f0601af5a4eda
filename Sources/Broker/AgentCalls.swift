import Encoding
import Envelope
import OAuth
import Providers
import Secrets
import Vault

/// One call of a provider's API by an agent that never sees the token.
public struct AgentCall: Sendable {
    public let call: APICall
    /// Names as the provider's entry has them.
    public let headers: [(name: String, value: String)]
    public let content: [UInt8]?
    public let request: VendRequest

    public init(
        call: APICall, headers: [(name: String, value: String)], content: [UInt8]?, request: VendRequest
    ) {
        (self.call, self.headers, self.content, self.request) = (call, headers, content, request)
    }

    /// The longest answer that is read.
    public static let replyBytes = 256 * 1024
}

/// What became of it.
public struct AgentAnswer: Sendable {
    public enum Outcome: Sendable {
        /// Any status of the provider, without the token in it.
        case reply(AgentReply)
        case failure(TransportFailure)
    }

    public let outcome: Outcome
    public let connection: ConnectionID
    /// Said where the provider refused the token itself.
    public let advice: ReportAdvice?
}

/// A connection as an agent may know of it.
public struct AgentConnection: Sendable {
    public let connection: Connection
    /// nil where it cannot be read at this moment.
    public let account: String?
    /// What the person calls it.
    public let label: String?
}

extension Broker {
    /// What this caller can call with: its own vault, and of an OAuth client what the person let it use.
    public func agentConnections(_ slot: OpenSlot) throws -> [AgentConnection] {
        let all = try store.read { try $0.connections(of: slot.person) }.filter { $0.vault == slot.vault.id }
        var reachable = all.filter { $0.status == .active || $0.status == .reauthorize }
        if let client = slot.client {
            let allowed = try store.read { try $0.connectionsAllowed(for: client) }
            reachable = reachable.filter { allowed.contains($0.id) }
        }
        return try store.read { rows in
            try reachable.map {
                let names = try names(of: $0, session: slot, rows)
                return AgentConnection(connection: $0, account: names?.account, label: names?.label)
            }
        }
    }

    /// Whether everything asked for is there already; otherwise the refusal says where a person can give it. No token is
    /// opened and none leaves.
    public func ask(_ request: VendRequest, with token: borrowing Token, at now: Instant) throws -> ConnectionID {
        let row = try vendStatement.find(
            slot: token.id, kind: token.kind, provider: request.provider.json, person: nil)
        guard let row, let caller = try store.open(row, with: token, at: now) else {
            throw Refusal.invalidToken
        }
        if case .holder(let slot) = caller { keepOpened(slot) }
        let owner = try authorize(caller, asking: nil, person: nil)
        let provider = try provider(request.provider)
        switch try choose(row.candidates, for: request, provider: provider, caller: caller, at: now) {
        case .one(let candidate): return candidate.id
        case .unmet(let need):
            throw try refusal(for: need, request, of: owner, provider: provider, caller: caller, at: now)
        }
    }

    /// The call: the token is put in, the request sent, and what comes back handed on without it.
    public func callAPI(
        _ agentCall: AgentCall, with token: borrowing Token, slot: OpenSlot, at now: Instant
    ) throws -> Step<AgentAnswer> {
        let provider = try provider(agentCall.call.provider)
        guard provider.apiURL != nil else { throw Refusal.notFound }
        return try inject(agentCall.request, with: token, through: .agent(agentCall.call), at: now) { vended in
            (try? SecretText(copying: vended.accessToken)).map { ($0, vended.connection) }
        }.then(self) { _, opened in
            guard let (secret, connection) = opened,
                let call = try provider.apiCall(
                    agentCall.call.method, agentCall.call.target, headers: agentCall.headers,
                    content: agentCall.content, token: secret, replyBytes: AgentCall.replyBytes)
            else { throw Refusal.unavailable }
            return .send(call) { broker, result in
                switch result {
                case .failure(let failure):
                    return .done(AgentAnswer(outcome: .failure(failure), connection: connection, advice: nil))
                case .success(let reply):
                    let shown = AgentAnswer.Outcome.reply(AgentReply(reply, without: secret))
                    guard reply.status == 401 else {
                        return .done(AgentAnswer(outcome: shown, connection: connection, advice: nil))
                    }
                    // What a caller of vend would report: the provider is asked about the token, and renews or ends it.
                    let report = TokenReport(
                        connection: connection.text, tokenHash: secret.withUnsafeBytes { sha256($0) })
                    return try broker.report(report, by: .holder(slot), at: Instant.now()).then(broker) { _, advice in
                        .done(AgentAnswer(outcome: shown, connection: connection, advice: advice))
                    }
                }
            }
        }
    }
}
