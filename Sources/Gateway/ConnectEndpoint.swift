import Broker
import Encoding
import FastCGI
import OAuth
import Providers
import Settings
import Vault

extension Gateway {
    func consentPage(_ exchange: Exchange, _ now: Instant) throws -> Step<Reply> {
        let session = try person(reading: exchange, at: now)
        let query = try Query(exchange)
        let scopes = (try query["scope"] ?? "").split { $0 == " " || $0 == "," }.map(String.init)
        let separate = try query["separate"]
        guard separate == nil || separate == "true" else {
            throw Refusal.invalidRequest([MemberError("separate", "true, or no such parameter")])
        }
        let link = try ConnectLink(
            owner: query["owner"], bridge: query["bridge"], scopes: scopes, request: query["request"],
            connection: query["connection"], separate: separate != nil)
        let (document, digest, formToken) = try broker.consentDocument(
            for: link, session: session, isVisit: isFromOurPage(exchange), at: now)
        let near = exchange.address
        return .done(.json { $0.consent(document, digest: digest, formToken: formToken, to: near) })
    }

    func decide(_ exchange: Exchange, _ now: Instant) throws -> Step<Reply> {
        let session = try person(deciding: exchange, at: now)
        let members = try Members(
            parsing: exchange,
            known: [
                "digest", "decision", "owner", "bridge", "scopes", "request", "connection", "separate", "alsoFor",
                "formToken", "key", "label",
            ])
        let link = try ConnectLink(
            owner: members.optionalText("owner"), bridge: members.text("bridge"), scopes: members.texts("scopes"),
            request: members.optionalText("request"), connection: members.optionalText("connection"),
            separate: members.flag("separate") ?? false)
        let label = try members.nameOrNothing("label")
        let key = try members.optionalText("key", limit: 8192).map { try TypedKey($0, label: label ?? "") }
        guard key != nil || label == nil else {
            throw Refusal.invalidRequest([
                MemberError("label", "a name for what is connected with `key`, or no such member")
            ])
        }
        let decision = Decision(
            verdict: try members.choice("decision", Decision.Verdict.self), digest: try members.text("digest"),
            link: link, alsoFor: try members.texts("alsoFor"), formToken: try members.text("formToken"), key: key)
        return try broker.decide(decision, session: session, at: now).then(broker) { _, location in
            .done(.json { $0.object { $0.member("location", location) } })
        }
    }

    func outcome(_ exchange: Exchange, _ id: OutcomeID, _ now: Instant) throws -> Step<Reply> {
        let session = try person(reading: exchange, at: now)
        let document = try broker.outcome(id, session: session, at: now)
        return .done(.json { $0.outcome(document, settings.catalogue) })
    }

    func settle(_ exchange: Exchange, _ id: OutcomeID, _ now: Instant) throws -> Step<Reply> {
        let session = try person(deciding: exchange, at: now)
        let members = try Members(parsing: exchange, known: ["decision", "formToken"])
        let decision = try members.choice("decision", OutcomeDecision.self)
        let settled = try broker.settle(
            id, decision, formToken: try members.text("formToken"), session: session, at: now)
        return try settled.then(broker) { broker, document in
            .done(.json { $0.outcome(document, broker.settings.catalogue) })
        }
    }
}

extension JSONWriter {
    fileprivate mutating func consent(_ document: ConsentDocument, digest: String, formToken: String, to near: String) {
        object { writer in
            writer.member("status", document.isFinished ? "finished" : "ready")
            writer.member("digest", digest)
            writer.member("signedInAs", document.signedInAs)
            writer.key("provider")
            writer.object {
                $0.member("id", document.provider.id)
                $0.member("name", document.provider.name)
            }
            writer.member("owner", document.owner)
            writer.member("account", document.account)
            writer.member("namedAccount", document.namedAccount)
            writer.array("accounts", document.accounts) {
                $0.member("id", $1.id)
                $0.member("account", $1.account)
                $0.member("label", $1.label.isEmpty ? nil : $1.label)
                $0.member("chosen", $1.isChosen)
            }
            writer.member("reconnects", document.reconnects)
            writer.member("resumes", document.resumes)
            writer.member("separate", document.separate)
            writer.member("separable", document.separable)
            writer.key("requester")
            if let requester = document.requester {
                writer.object {
                    $0.member("name", requester.name)
                    $0.member("kind", requester.kind)
                    $0.member("addedBy", requester.addedBy)
                }
            } else {
                writer.null()
            }
            writer.member("reason", document.reason)
            writer.member("tool", document.tool)
            writer.member("matchCode", document.matchCode)
            writer.member("askedAt", document.askedAt)
            writer.member("address", document.address)
            writer.member("ownAddress", document.address.map { Neighbourhood.isOne($0, near) } ?? false)
            writer.array("scopes", document.scopes) {
                $0.scope($1)
                $0.member("state", $1.isNew ? "new" : "granted")
                $0.member("optional", $1.isOptional)
            }
            writer.array("alsoIncludes", document.alsoIncludes) { $0.scope($1) }
            writer.array("beyondLimits", document.beyondLimits) { $0.scope($1) }
            writer.key("keyForm")
            if let rules = document.keyRules {
                writer.object {
                    $0.member("name", rules.name)
                    $0.member("page", rules.page)
                }
            } else {
                writer.null()
            }
            writer.array("others", document.others) {
                $0.member("id", $1.id)
                $0.member("name", $1.name)
                $0.member("kind", $1.kind)
                $0.member("addedBy", $1.addedBy)
                $0.member("asks", $1.asks)
                $0.member("ticked", $1.ticked)
                $0.member("locked", $1.locked)
            }
            writer.member("needsProvider", document.needsProvider)
            writer.member("formToken", formToken)
            if let expiresIn = document.expiresIn { writer.member("expiresIn", expiresIn) }
        }
    }

    private mutating func scope(_ line: ConsentDocument.ScopeLine) {
        member("scope", line.scope)
        member("text", line.text)
        member("risk", line.risk)
    }
}
