import Broker
import Encoding
import Envelope
import FastCGI
import Logging
import OAuth
import ProviderHTTP
import Settings
import Vault

/// Goes on with a request that was set aside, on whichever thread takes it up.
public typealias Resumption = @Sendable (Broker) throws -> Step<Reply>

/// Routes to flows to answers, on one thread.
public final class Gateway {
    let broker: Broker
    let settings: Settings
    let pool: Pool<Resumption>
    private let network: Network
    let log: Logger
    private let refusals: RefusalLog

    /// How a step leaves this process; the answer comes back through the pool.
    public struct Network: Sendable {
        public typealias Send =
            @Sendable (ProviderCall, @escaping @Sendable (Result<ProviderReply, TransportFailure>) -> Void) -> Void
        public typealias Refresh = @Sendable (ConnectionID, Int64, @escaping @Sendable (RefreshAnswer) -> Void) -> Void

        let send: Send
        let refresh: Refresh

        public init(send: @escaping Send, refresh: @escaping Refresh) { (self.send, self.refresh) = (send, refresh) }
    }

    public init(
        broker: Broker, pool: Pool<Resumption>, network: Network, log: Logger, refusals: RefusalLog
    ) {
        self.broker = broker
        self.settings = broker.settings
        self.pool = pool
        self.network = network
        self.log = log
        self.refusals = refusals
    }

    public var handler: Handler<Resumption> {
        Handler(
            respond: { [self] exchange in forgettingKeysAfterwards { respond(exchange) } },
            resume: { [self] exchange, resumption in
                forgettingKeysAfterwards { run(exchange) { try resumption(broker) } }
            })
    }

    func respond(_ exchange: Exchange) -> Verdict {
        if exchange.pathIs("/api/tokens/vend"), exchange.method == .post {
            return run(exchange) { try vend(exchange) }
        }
        if let injection = injection(exchange) { return run(exchange) { injection } }
        if exchange.pathIs("/mcp") { return run(exchange) { try mcp(exchange) } }
        return run(exchange) { try route(exchange) }
    }

    /// Answers, or sets aside and comes back. Every error of a flow ends here, in the one table.
    private func run(_ exchange: Exchange, _ flow: () throws -> Step<Reply>) -> Verdict {
        do {
            switch try flow() {
            case .done(let reply):
                reply.send(on: exchange)
                return .answered
            case .send(let call, let next):
                let late: Resumption = { try next($0, .failure(.lost("deadline"))) }
                guard let ticket = pool.setAside(exchange, otherwise: late) else {
                    // Too many wait, or this one has waited its time: the flow itself knows how to end well.
                    return run(exchange) { try next(broker, .failure(.notSent("no room to wait"))) }
                }
                network.send(call) { [pool] result in _ = pool.resume(ticket) { try next($0, result) } }
                return .setAside
            case .refresh(let connection, let generation, let next):
                let late: Resumption = { try next($0, .unavailable) }
                guard let ticket = pool.setAside(exchange, otherwise: late) else { throw Refusal.refreshInProgress }
                network.refresh(connection, generation) { [pool] answer in
                    _ = pool.resume(ticket) { try next($0, answer) }
                }
                return .setAside
            }
        } catch let error as OAuthError {
            Reply.oauth(error).send(on: exchange)
            return .answered
        } catch {
            if let code = (error as? Refusal)?.stranger { refusals.note(code, at: exchange.room, .now()) }
            Self.problem(error, log).reply.send(on: exchange)
            return .answered
        }
    }

    /// What an error says to the caller; one that is no refusal is also said to the operator.
    static func problem(_ error: any Error, _ log: Logger) -> Problem {
        let problem = Problem(error)
        if problem.status >= 500, !(error is Refusal) {
            log.error("request failed", metadata: ["error": "\(type(of: error))", "kind": "\(describe(error))"])
        }
        return problem
    }

    /// Our own error values hold codes, never rows or secrets; anything else is named by its type only.
    private static func describe(_ error: any Error) -> String {
        switch error {
        case let error as VaultError: "\(error)"
        default: Store.storageCode(of: error).map { "sqlite \($0)" } ?? "unexpected"
        }
    }
}
