import Broker
import Encoding
import FastCGI
import OAuth
import Vault

/// The page `/device`: letters are typed, what waits under them is shown, and a person decides.
extension Gateway {
    func deviceConsent(_ exchange: Exchange, _ now: Instant) throws -> Step<Reply> {
        let session = try person(deciding: exchange, at: now)
        let members = try Members(parsing: exchange, known: ["userCode"])
        let address = exchange.parameter("REMOTE_ADDR") ?? ""
        let near = Neighbourhood.of(address).address
        let (document, digest, formToken) = try broker.deviceConsent(
            userCode: members.text("userCode", limit: 40), session: session, from: near, at: now)
        return .done(
            .json {
                $0.object { writer in
                    writer.member("digest", digest)
                    writer.member("formToken", formToken)
                    writer.member("signedInAs", document.signedInAs)
                    writer.member("client", document.clientName)
                    writer.member("address", document.request.address)
                    writer.member("ownAddress", Neighbourhood.of(document.request.address).address == near)
                    writer.member("askedAt", document.request.createdAt)
                    writer.member("expiresIn", max(0, now.seconds(until: document.request.expiresAt)))
                    writer.array("scopes", document.lines()) {
                        $0.member("scope", $1.scope)
                        $0.member("text", $1.text)
                    }
                    writer.array("connections", document.connections) {
                        $0.member("provider", $1.provider)
                        $0.member("account", $1.account)
                        $0.member("scopes", $1.scopes.names)
                    }
                }
            })
    }

    func decideDevice(_ exchange: Exchange, _ now: Instant) throws -> Step<Reply> {
        let session = try person(deciding: exchange, at: now)
        let members = try Members(parsing: exchange, known: ["decision", "userCode", "digest", "formToken"])
        let decision = DeviceDecision(
            verdict: try members.choice("decision", ClientDecision.Verdict.self),
            userCode: try members.text("userCode", limit: 40), digest: try members.text("digest"),
            formToken: try members.text("formToken"))
        let near = Neighbourhood.of(exchange.parameter("REMOTE_ADDR") ?? "").address
        try broker.decide(decision, session: session, from: near, at: now)
        return .done(.noContent)
    }
}
