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
    private let strangers: Strangers
    private let slow: SlowLog

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
        broker: Broker, pool: Pool<Resumption>, network: Network, log: Logger, strangers: Strangers, slow: SlowLog
    ) {
        self.broker = broker
        self.settings = broker.settings
        self.pool = pool
        self.network = network
        self.log = log
        self.strangers = strangers
        self.slow = slow
    }

    public var handler: Handler<Resumption> {
        Handler(
            respond: { [self] exchange in forgettingKeysAfterwards { respond(exchange) } },
            resume: { [self] exchange, resumption in
                exchange.timing.goOn()
                return forgettingKeysAfterwards { run(exchange) { try resumption(broker) } }
            })
    }

    func respond(_ exchange: Exchange) -> Verdict {
        if exchange.pathIs("/api/tokens/vend"), exchange.method == .post {
            return run(exchange) { try vend(exchange) }
        }
        if let injection = injection(exchange) { return run(exchange) { injection } }
        if exchange.pathIs("/mcp") { return run(exchange) { try mcp(exchange) } }
        return run(exchange) { try callerFirst(exchange) { try route(exchange) } }
    }

    /// Answers, or sets aside and comes back. Every error of a flow ends here, in the one table.
    private func run(_ exchange: Exchange, _ flow: () throws -> Step<Reply>) -> Verdict {
        do {
            switch try flow() {
            case .done(let reply): return answer(exchange, reply)
            case .send(let call, let next):
                let late: Resumption = { try next($0, .failure(.lost("deadline"))) }
                guard let ticket = pool.setAside(exchange, otherwise: late) else {
                    // Too many wait, or this one has waited its time: the flow itself knows how to end well.
                    return run(exchange) { try next(broker, .failure(.notSent("no room to wait"))) }
                }
                exchange.timing.wait(for: .network)
                network.send(call) { [pool] result in _ = pool.resume(ticket) { try next($0, result) } }
                return .setAside
            case .refresh(let connection, let generation, let next):
                let late: Resumption = { try next($0, .unavailable) }
                guard let ticket = pool.setAside(exchange, otherwise: late) else { throw Refusal.refreshInProgress }
                exchange.timing.wait(for: .neighbour)
                network.refresh(connection, generation) { [pool] answer in
                    _ = pool.resume(ticket) { try next($0, answer) }
                }
                return .setAside
            }
        } catch let error as OAuthError {
            return answer(exchange, .oauth(error))
        } catch {
            var reply = Self.problem(error, log).reply
            if case Refusal.notSignedIn = error, cookies(exchange)[Self.cookieName] != nil {
                reply.stranger = Stranger(code: nil, failed: true)
            }
            return answer(exchange, reply)
        }
    }

    /// Every answer leaves here.
    private func answer(_ exchange: Exchange, _ reply: Reply) -> Verdict {
        let status = reply.status
        if let stranger = reply.stranger,
            let seconds = strangers.note(
                stranger, at: exchange.room(2), from: exchange.parameter("REMOTE_ADDR") ?? "", .now())
        {
            let problem = Strangers.tooMany(seconds)
            (reply.field == nil ? problem.reply : Self.packed(problem)).send(on: exchange)
        } else {
            reply.send(on: exchange)
        }
        slow.look(at: exchange, status: status)
        return .answered
    }

    /// The order of checks, for every route of the table: the path and its methods, which everybody may read in our
    /// documents; who calls; then what was sent. A flow that refuses what was sent has perhaps not asked who sent it, and
    /// a stranger learns nothing about the form of a request.
    private func callerFirst(_ exchange: Exchange, _ flow: () throws -> Step<Reply>) throws -> Step<Reply> {
        do {
            return try flow()
        } catch  where Self.isAboutWhatWasSent(error) && !exchange.isOpenToAll {
            if case .nobody = try caller(exchange, at: .now()) { throw Refusal.notSignedIn }
            throw error
        }
    }

    private static func isAboutWhatWasSent(_ error: any Error) -> Bool {
        switch error {
        case RouteRefusal.tooLarge, RouteRefusal.unsupportedMediaType, Refusal.invalidRequest, Refusal.notFound,
            Refusal.unknownProvider:
            true
        default: false
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

extension Exchange {
    /// Where nobody is a caller yet: sign-in, what a provider's page leads back to, the OAuth end points (whose clients
    /// say who they are in the body), health.
    fileprivate var isOpenToAll: Bool {
        withPath { path in
            !path.starts(with: "/api/".utf8) || path.starts(with: "/api/sign-in/".utf8)
                || path.starts(with: "/api/auth/".utf8)
        }
    }
}
