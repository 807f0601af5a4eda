import Broker
import Encoding
import FastCGI
import Vault

extension Gateway {
    func report(_ exchange: Exchange, _ now: Instant) throws -> Step<Reply> {
        let caller = try openCaller(exchange, at: now)
        let members = try Members(parsing: exchange, known: ["connection", "tokenHash", "status"], numbers: ["status"])
        let hash = Base64URL.decode(try members.text("tokenHash"))
        guard let hash, hash.count == 32 else {
            throw Refusal.invalidRequest([MemberError("tokenHash", "base64url of SHA-256 of the token, 43 characters")])
        }
        // Whoever reports has an answer to report: other words than HTTP's are a slip of the caller.
        let status = try members.integer("status")
        guard (100...599).contains(status) else {
            throw Refusal.invalidRequest([MemberError("status", "the API's HTTP status, 100 to 599")])
        }
        let report = TokenReport(connection: try members.text("connection"), tokenHash: hash)
        return try broker.report(report, by: caller, at: now).then(broker) { _, advice in
            .done(.json { $0.object { $0.member("next", advice.rawValue) } })
        }
    }
}
