import Broker
import Encoding
import FastCGI
import OAuth
import Vault

extension Gateway {
    /// `GET /api/vault/link[?request=]`: what there is to link, from this session's end.
    func links(_ exchange: Exchange, _ now: Instant) throws -> Step<Reply> {
        let session = try person(reading: exchange, at: now)
        let views = try broker.links(session, at: now)
        let asked = try Query(exchange)["request"].map { text in
            guard let id = RequestID(parsing: text) else { throw Refusal.notFound }
            return try broker.unlockView(id, session: session, at: now)
        }
        return .done(
            .json { writer in
                writer.object {
                    $0.array("offers", views) { $0.offer($1) }
                    $0.key("request")
                    if let asked {
                        $0.object {
                            $0.member("name", asked.holder.name)
                            $0.member("kind", asked.holder.kind.rawValue)
                            $0.member("vault", asked.isInThisVault ? "this-vault" : "other-vault")
                            $0.member("over", asked.isOver)
                            $0.member("matchCode", asked.matchCode)
                        }
                    } else {
                        $0.null()
                    }
                }
            })
    }

    private enum LinkStep: String, CaseIterable {
        case offer, claim, seal, accept, recovery, cancel, unlock
    }

    /// `POST /api/vault/link`: one step. Each may be repeated.
    func link(_ exchange: Exchange, _ now: Instant) throws -> Step<Reply> {
        let session = try person(deciding: exchange, at: now)
        let members = try Members(parsing: exchange, known: ["step", "id", "code", "digest", "request"])
        func id() throws -> LinkID {
            guard let id = LinkID(parsing: try members.text("id")) else { throw Refusal.notFound }
            return id
        }
        switch try members.choice("step", LinkStep.self) {
        case .offer:
            let (link, code) = try broker.offerLink(session, at: now)
            return .done(
                .json(201, secret: true) {
                    $0.object {
                        $0.member("id", link.id.text)
                        $0.member("status", link.status.rawValue)
                        $0.member("code", code)
                        $0.member("expiresAt", link.expiresAt.rfc3339)
                    }
                })
        case .claim:
            return step(try broker.claimLink(code: members.text("code"), session: session, at: now), "claimed")
        case .seal:
            let id = try id()
            try broker.sealLink(id, session: session, at: now)
            return step(id, "sealed")
        case .accept:
            let id = try id()
            try broker.acceptLink(id, digest: members.text("digest"), session: session, at: now)
            return step(id, "accepted")
        case .recovery:
            let id = try broker.offerLink(recoveryCode: members.text("code"), session: session, at: now)
            return step(id, "sealed")
        case .cancel:
            let id = try id()
            try broker.cancelLink(id, session: session)
            return step(id, "cancelled")
        case .unlock:
            guard let request = RequestID(parsing: try members.text("request")) else { throw Refusal.notFound }
            try broker.unlock(request, session: session, at: now)
            return .done(.json { $0.object { $0.member("status", "unlocked") } })
        }
    }

    private func step(_ id: LinkID, _ status: String) -> Step<Reply> {
        .done(
            .json {
                $0.object {
                    $0.member("id", id.text)
                    $0.member("status", status)
                }
            })
    }
}

extension JSONWriter {
    fileprivate mutating func offer(_ view: LinkView) {
        let link = view.link
        member("id", link.id.text)
        member("status", link.status.rawValue)
        member("side", view.isSecond ? "second" : "first")
        member("from", link.fromName)
        member("createdAt", link.createdAt.rfc3339)
        member("expiresAt", link.expiresAt.rfc3339)
        member("digest", view.digest.map { Base64URL.encode($0) })
        key("here")
        if let side = view.sides?.here { linkSide(side) } else { null() }
        key("there")
        if let side = view.sides?.there { linkSide(side) } else { null() }
    }

    private mutating func linkSide(_ side: LinkSide) {
        object {
            $0.array("connections", side.connections) {
                $0.member("provider", $1.provider.json)
                $0.member("providerName", $1.providerName)
                $0.member("account", $1.account)
                $0.member("scopes", $1.scopes.names)
            }
            $0.member("count", Int64(side.count))
            $0.holders(side.holders)
        }
    }

    mutating func holders(_ holders: [Holder]) {
        array("holders", holders) {
            $0.member("id", $1.id.text)
            $0.member("name", $1.name)
            $0.member("kind", $1.kind.rawValue)
        }
    }
}
