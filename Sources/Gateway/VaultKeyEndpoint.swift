import Broker
import Encoding
import FastCGI
import OAuth
import Vault

// Who opens the vault, and what to do when one of them should not any more.

extension Gateway {
    /// `GET /api/vault`
    func vault(_ exchange: Exchange, _ now: Instant) throws -> Step<Reply> {
        let view = try broker.vault(of: holder(exchange, at: now), at: now)
        return .done(
            .json { writer in
                writer.object {
                    $0.member("id", view.id.text)
                    $0.member("connections", view.connections)
                    $0.member("lastingHolders", Int64(view.lasting))
                    $0.key("recovery")
                    if let recovery = view.recovery {
                        $0.object {
                            $0.member("id", recovery.id.text)
                            $0.member("createdAt", recovery.createdAt.rfc3339)
                            $0.member("checkedAt", recovery.checkedAt?.rfc3339)
                        }
                    } else {
                        $0.null()
                    }
                    $0.array("others", view.others) {
                        $0.member("id", $1.id.text)
                        $0.member("connections", $1.connections)
                        $0.holders($1.holders)
                    }
                }
            })
    }

    /// `POST /api/vault/lock`
    func lock(_ exchange: Exchange, _ now: Instant) throws -> Step<Reply> {
        let left = try broker.lock(person(deciding: exchange, at: now))
        return .done(
            .json {
                $0.object {
                    $0.member("plugins", left.plugins)
                    $0.member("backgroundRefresh", left.background)
                }
            })
    }

    /// `POST /api/vault/recovery/check`
    func checkRecovery(_ exchange: Exchange, _ now: Instant) throws -> Step<Reply> {
        let session = try person(deciding: exchange, at: now)
        let members = try Members(parsing: exchange, known: ["code"])
        let opens = try broker.check(recoveryCode: members.text("code"), session: session, at: now)
        return .done(.json { $0.object { $0.member("opens", opens.rawValue) } })
    }

    /// `POST /api/vault/lost`
    func revokeAsLost(_ exchange: Exchange, _ now: Instant) throws -> Step<Reply> {
        let session = try person(deciding: exchange, at: now)
        let members = try Members(parsing: exchange, known: ["holder"])
        guard let lost = LostHolder(parsing: try members.text("holder")) else { throw Refusal.notFound }
        return try broker.revokeAsLost(lost, session: session, confirm: Query(exchange)["confirm"], at: now)
            .then(broker) { _, result in .done(.json { $0.loss(result) }) }
    }

    /// `GET /api/vault/lost`
    func losses(_ exchange: Exchange, _ now: Instant) throws -> Step<Reply> {
        let losses = try broker.losses(holder(exchange, at: now), at: now)
        return .done(
            .json { writer in
                writer.object {
                    $0.array("losses", losses) {
                        $0.member("holder", $1.holder.id)
                        $0.member("kind", $1.holder.kind)
                        $0.member("name", $1.holder.name)
                        $0.member("at", $1.at.rfc3339)
                        $0.member("local", $1.keys.rawValue)
                        $0.member("leftOut", Int64($1.leftOut))
                        $0.tokens(of: $1.connections)
                        $0.member("others", Int64($1.others))
                    }
                }
            })
    }

    /// `DELETE /api/vault/lost?holder=`
    func putAwayLoss(_ exchange: Exchange, _ now: Instant) throws -> Step<Reply> {
        let session = try person(deciding: exchange, at: now)
        guard let holder = try Query(exchange)["holder"] else {
            throw Refusal.invalidRequest([MemberError("holder", "the id of what was lost")])
        }
        try broker.putAwayLoss(holder, session: session)
        return .done(.noContent)
    }

    /// `GET /api/plugins/ended`
    func leftTokens(_ exchange: Exchange, _ now: Instant) throws -> Step<Reply> {
        let left = try broker.leftTokens(holder(exchange, at: now), at: now)
        return .done(
            .json { writer in
                writer.object {
                    $0.array("tokens", left) { writer, entry in
                        writer.member("plugin", entry.plugin.text)
                        writer.member("name", entry.name)
                        writer.key("connection")
                        writer.object { reach(entry.reach, &$0) }
                    }
                }
            })
    }
}

extension JSONWriter {
    fileprivate mutating func loss(_ result: LossResult) {
        object {
            $0.member("local", result.isDone ? "done" : "pending")
            $0.member("leftOut", Int64(result.leftOut))
            $0.tokens(of: result.connections)
        }
    }

    fileprivate mutating func tokens(of connections: [LossResult.Line]) {
        array("connections", connections) {
            $0.member("id", $1.connection.text)
            $0.member("provider", $1.provider.json)
            $0.member("providerName", $1.providerName)
            $0.member("account", $1.account)
            $0.member("tokens", $1.tokens.word)
            $0.member("manageUrl", $1.manageURL)
        }
    }
}

extension LostTokens {
    fileprivate var word: String {
        switch self {
        case .replaced: "replaced"
        case .expires(let at): "expire-at \(at.rfc3339)"
        case .live: "live"
        case .pending: "pending"
        case .ended: "ended"
        }
    }
}
