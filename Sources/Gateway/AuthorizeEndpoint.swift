import Broker
import Encoding
import FastCGI
import OAuth
import Vault

extension Gateway {
    /// `GET /api/authorize?…`: the query of the page, as it came.
    func clientConsent(_ exchange: Exchange, _ now: Instant) throws -> Step<Reply> {
        let session = try person(reading: exchange, at: now)
        let query = try authorizationQuery(exchange.query)
        return try broker.clientConsent(query, session: session, at: now).then(broker) { _, answer in
            switch answer {
            case .ask(let consent, let digest, let formToken):
                .done(.json { $0.clientConsent(consent, digest: digest, formToken: formToken) })
            case .refuse(let back): .done(.json { $0.object { $0.clientReturn(back) } })
            }
        }
    }

    func decideClient(_ exchange: Exchange, _ now: Instant) throws -> Step<Reply> {
        let session = try person(deciding: exchange, at: now)
        let members = try Members(parsing: exchange, known: ["decision", "digest", "formToken", "query"])
        let query = try members.text("query", limit: AuthorizationQuery.maximumLength)
        let decision = ClientDecision(
            verdict: try members.choice("decision", ClientDecision.Verdict.self),
            query: try authorizationQuery(Array(query.utf8)), digest: try members.text("digest"),
            formToken: try members.text("formToken"))
        return try broker.decide(decision, session: session, at: now).then(broker) { _, back in
            .done(.json(secret: true) { $0.object { $0.clientReturn(back) } })
        }
    }

    private func authorizationQuery(_ bytes: [UInt8]) throws -> AuthorizationQuery {
        do throws(AuthorizationQuery.Unreadable) {
            return try AuthorizationQuery(parsing: bytes)
        } catch {
            switch error {
            case .redirect: throw Refusal.redirectMismatch
            case .noClient: throw Refusal.unknownClient
            case .malformed:
                throw Refusal.invalidRequest([MemberError("query", "an authorization request of at most 8 KiB")])
            }
        }
    }
}

extension JSONWriter {
    fileprivate mutating func clientConsent(_ consent: ClientConsent, digest: String, formToken: String) {
        object { writer in
            writer.member("status", "ready")
            writer.member("digest", digest)
            writer.member("formToken", formToken)
            writer.member("signedInAs", consent.signedInAs)
            writer.key("client")
            writer.object {
                $0.member("id", consent.client.id)
                $0.member("name", consent.client.shownName)
                $0.member("kind", consent.client.kind.rawValue)
                $0.member("host", consent.client.host)
                $0.member("unverified", consent.isUnverified)
                $0.member("loopbackOnly", consent.isLoopbackOnly)
            }
            writer.key("redirect")
            writer.object {
                $0.member("destination", consent.redirect.destination)
                $0.member("kind", consent.redirect.kind.rawValue)
            }
            writer.member("warning", consent.needsWarning)
            writer.member("first", consent.isFirst)
            writer.member("resource", consent.resource)
            writer.array("scopes", consent.lines()) {
                $0.member("scope", $1.scope)
                $0.member("text", $1.text)
            }
            writer.array("connections", consent.connections) {
                $0.member("provider", $1.provider)
                $0.member("account", $1.account)
                $0.member("scopes", $1.scopes.names)
            }
        }
    }

    fileprivate mutating func clientReturn(_ back: ClientReturn) {
        member("status", "return")
        member("location", back.location)
        member("client", back.clientName)
        member("destination", back.destination)
        member("goesByItself", back.goesByItself)
        member("error", back.error?.code.rawValue)
        member("description", back.error?.description)
    }
}
