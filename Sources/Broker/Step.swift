import Encoding
import OAuth

/// A flow that may need the network, as a value: either it is done, or it says what to send and how to go on.
/// No request thread waits; whoever runs the steps sets the request aside and comes back with the answer, perhaps on
/// another thread, hence with that thread's broker.
public enum Step<Answer> {
    public typealias Next<Reply> = @Sendable (Broker, Reply) throws -> Step<Answer>

    case done(Answer)
    case send(ProviderCall, then: Next<Result<ProviderReply, TransportFailure>>)
    case refresh(ConnectionID, generation: Int64, then: Next<RefreshAnswer>)

    /// Goes on when this is done, at once or after the network.
    public func then<Other>(
        _ broker: Broker, _ body: @escaping @Sendable (Broker, Answer) throws -> Step<Other>
    ) throws -> Step<Other> {
        switch self {
        case .done(let answer): try body(broker, answer)
        case .send(let call, let next): .send(call) { try next($0, $1).then($0, body) }
        case .refresh(let connection, let generation, let next):
            .refresh(connection, generation: generation) { try next($0, $1).then($0, body) }
        }
    }

    /// Answers even where something throws, at once or after the network.
    public func otherwise(_ body: @escaping @Sendable (Broker, any Error) throws -> Answer) -> Step<Answer> {
        func guarded<Reply>(_ next: @escaping Next<Reply>) -> Next<Reply> {
            { broker, reply in
                do {
                    return try next(broker, reply).otherwise(body)
                } catch {
                    return .done(try body(broker, error))
                }
            }
        }
        return switch self {
        case .done: self
        case .send(let call, let next): .send(call, then: guarded(next))
        case .refresh(let connection, let generation, let next):
            .refresh(connection, generation: generation, then: guarded(next))
        }
    }
}

/// What the keeper says about a refresh. Never a key, never a token.
public enum RefreshAnswer: Sendable, Hashable {
    /// A newer generation is committed; read the row again.
    case refreshed(generation: Int64)
    /// The provider no longer honours the grant.
    case reauthorize
    case retryLater(seconds: Int64)
    /// Our client id or secret is refused.
    case misconfigured
    /// The keeper was not reached, or holds no key for this connection.
    case unavailable
}
