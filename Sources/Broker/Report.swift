import Encoding
import Envelope
import OAuth
import Providers
import Secrets
import Vault

/// `POST /api/tokens/report`: an API refused a token that we vended.
public struct TokenReport: Sendable {
    public let connection: String
    /// SHA-256 of the token.
    public let tokenHash: [UInt8]

    public init(connection: String, tokenHash: [UInt8]) { (self.connection, self.tokenHash) = (connection, tokenHash) }
}

public enum ReportAdvice: String, Sendable { case retry, wait, reauthorize }

extension Broker {
    /// Changes nothing by itself: only the provider's own word about the current token leads to a refresh or to a new
    /// consent. What is not the caller's, or no longer the current token, gets the same "retry".
    public func report(_ report: TokenReport, by caller: OpenCaller, at now: Instant) throws -> Step<ReportAdvice> {
        guard let id = ConnectionID(parsing: report.connection),
            let held = try held(id, by: caller), let provider = catalogue[held.connection.provider],
            held.credential.accessToken.withUnsafeBytes({ sha256($0) }) == report.tokenHash
        else { return .done(.retry) }
        guard try store.write({ try $0.mayCheck(id, at: now) }) else { return .done(.wait) }
        let tokens = CredentialTokens(
            accessToken: held.credential.accessToken, refreshToken: nil, tokenType: held.credential.tokenType,
            expiresAt: nil, refreshExpiresAt: nil, scopes: held.connection.scopes, metadata: [:])
        return try resolved(provider, at: now).then(self) { _, provider in
            guard let call = try provider.tokenCheckCall(tokens) else { return .done(.wait) }
            return .send(call) { broker, result in
                guard case .success(let reply) = result else { return .done(.wait) }
                switch provider.parseTokenCheck(reply, tokens: tokens) {
                case .accepted: return .done(.retry)
                case .refused: return try broker.afterRefusal(held)
                // A page of some proxy, half an answer, too many requests: none of it is about the token.
                case .unsaid: return .done(.wait)
                }
            }
        }
    }

    private func afterRefusal(_ held: Held) throws -> Step<ReportAdvice> {
        let connection = held.connection
        guard connection.refreshable else {
            try store.write { try $0.markRefused(connection.id, generation: connection.generation) }
            return .done(.reauthorize)
        }
        keeper.hold(connection.id, connection.generation, held.key, true)
        return .refresh(connection.id, generation: connection.generation) { _, answer in
            switch answer {
            case .refreshed: .done(.retry)
            case .reauthorize: .done(.reauthorize)
            case .retryLater, .misconfigured, .unavailable: .done(.wait)
            }
        }
    }

    private struct Held: Sendable {
        let connection: Connection
        let key: ConnectionKey
        let credential: Credential
    }

    /// The connection, if this caller can open it at this moment.
    private func held(_ id: ConnectionID, by caller: OpenCaller) throws -> Held? {
        try store.read { rows in
            guard let connection = try rows.connection(id), let key = try rows.key(of: connection, for: caller) else {
                return nil
            }
            if case .plugin(let plugin) = caller {
                let reach = try rows.reach(of: plugin.id, to: connection.person)
                guard !reach.isMuted, reach.names(connection.provider) else { return nil }
            }
            return Held(
                connection: connection, key: key, credential: try rows.openCredential(of: connection, with: key.key))
        }
    }
}
