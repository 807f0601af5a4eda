import Broker
import Encoding
import FastCGI
import Vault

extension Gateway {
    /// `POST /api/person-keys`: a plugin shows its general key and says for whom it will use the one that derives from it.
    /// Repeating it changes nothing.
    func makePersonKey(_ exchange: Exchange, _ now: Instant) throws -> Step<Reply> {
        switch try caller(exchange, at: now) {
        case .plugin(let plugin) where plugin.person == nil:
            let userID = try Members(parsing: exchange, known: ["userId"]).text("userId", limit: 64)
            try exchange.withParameter("HTTP_AUTHORIZATION") { header in
                try withBearer(header) { token in
                    try broker.givePersonKey(to: plugin, shown: token, userID: userID, at: now)
                }
            }
            return .done(.noContent)
        case .plugin, .browser, .bearer, .locked: throw Refusal.notPermitted(.otherCaller)
        case .nobody: throw Refusal.invalidToken
        }
    }
}
