import Broker
import Encoding
import FastCGI
import Settings
import Vault

extension Gateway {
    /// `POST /api/sign-in/passkey/options`: also in a session, to confirm that it is still the same person.
    func askForPasskey(_ exchange: Exchange, _ now: Instant) throws -> Step<Reply> {
        try requireSameOrigin(exchange)
        let (question, cookie) = try broker.askForPasskey(session: browser(exchange, at: now), at: now)
        var reply = Reply.json { writer in
            writer.object {
                $0.question(question)
                $0.member("userVerification", "required")
                $0.key("allowCredentials")
                $0.beginArray()
                $0.endArray()
            }
        }
        if let cookie {
            let name = Broker.transactionCookie(state: Base64URL.encode(question.challenge))
            reply.headers.append(
                (
                    "Set-Cookie",
                    "\(name)=\(Base64URL.encode(cookie)); Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=\(PasskeyQuestion.seconds)"
                ))
        }
        return .done(reply)
    }

    func signInByPasskey(_ exchange: Exchange, _ now: Instant) throws -> Step<Reply> {
        try requireSameOrigin(exchange)
        let members = try Members(
            parsing: exchange,
            known: ["id", "clientData", "authenticatorData", "signature", "userHandle", "prf"])
        let clientData = try members.bytes("clientData", limit: 2_048)
        let shown = ShownPasskey(
            credentialID: try members.bytes("id", limit: 1_023), clientData: clientData,
            authenticatorData: try members.bytes("authenticatorData", limit: 2_048),
            signature: try members.bytes("signature", limit: 1_024),
            userHandle: try members.optionalBytes("userHandle", limit: 64), output: try members.output("prf"))
        let name = Broker.challengeCookie(in: clientData)
        let cookie = name.flatMap { cookies(exchange)[$0] }.flatMap { Base64URL.decode($0) }
        var reply = welcome(
            try broker.signIn(
                shown, session: browser(exchange, at: now), superseded: superseded(exchange, at: now), cookie: cookie,
                from: browserName(exchange), at: now))
        if cookie != nil, let name {
            reply.headers.append(
                ("Set-Cookie", "\(name)=; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=0"))
        }
        return .done(reply)
    }

    func offerPasskey(_ exchange: Exchange, _ now: Instant) throws -> Step<Reply> {
        let offer = try broker.offerPasskey(person(deciding: exchange, at: now), at: now)
        return .done(
            .json { writer in
                writer.object {
                    $0.question(offer.question)
                    $0.key("user")
                    $0.object {
                        $0.member("id", Base64URL.encode(offer.person.id.bytes))
                        $0.member("name", offer.person.name)
                        $0.member("displayName", offer.person.name)
                    }
                    $0.array("excludeCredentials", offer.known) {
                        $0.member("type", "public-key")
                        $0.member("id", Base64URL.encode($1))
                    }
                }
            })
    }

    func addPasskey(_ exchange: Exchange, _ now: Instant) throws -> Step<Reply> {
        let session = try person(deciding: exchange, at: now)
        let members = try Members(
            parsing: exchange,
            known: ["name", "id", "clientData", "authenticatorData", "publicKey", "algorithm", "prf"],
            numbers: ["algorithm"])
        let offered = OfferedPasskey(
            credentialID: try members.bytes("id", limit: 1_023),
            clientData: try members.bytes("clientData", limit: 2_048),
            authenticatorData: try members.bytes("authenticatorData", limit: 4_096),
            spki: try members.bytes("publicKey", limit: 2_048), algorithm: try members.integer("algorithm"),
            output: try members.output("prf"))
        let added = try broker.addPasskey(
            offered, name: members.name("name"), session: session, from: browserName(exchange), at: now)
        var reply = Reply.json(201) {
            $0.object {
                $0.member("id", added.passkey.id.text)
                $0.member("name", added.passkey.name)
                $0.member("opensVault", added.opensVault)
            }
        }
        reply.headers.append(("Set-Cookie", Self.sessionCookie(added.session)))
        return .done(reply)
    }

    func passkeys(_ exchange: Exchange, _ now: Instant) throws -> Step<Reply> {
        let slot = try holder(exchange, at: now)
        let page = try Page(exchange)
        let (list, next) = try page.cut(broker.passkeys(slot)) { Place($0.createdAt, $0.id) }
        return .done(
            .json { writer in
                writer.object {
                    $0.array("passkeys", list) {
                        $0.member("id", $1.id.text)
                        $0.member("name", $1.name)
                        $0.member("opensVault", $1.slot != nil)
                        $0.member("synced", $1.isSynced)
                        $0.member("createdAt", $1.createdAt.rfc3339)
                        $0.member("lastUsedAt", $1.lastUsedAt)
                        $0.member("suspectAt", $1.suspectAt)
                    }
                    $0.member("next", next)
                }
            })
    }

    /// `PATCH /api/passkeys/{id}`
    func renamePasskey(_ exchange: Exchange, _ id: PasskeyID, _ now: Instant) throws -> Step<Reply> {
        let session = try person(deciding: exchange, at: now)
        let name = try Members(parsing: exchange, known: ["name"]).name("name")
        try broker.renamePasskey(id, to: name, session: session)
        return .done(.noContent)
    }

    func removePasskey(_ exchange: Exchange, _ id: PasskeyID, _ now: Instant) throws -> Step<Reply> {
        try broker.removePasskey(
            id, session: holder(exchange, at: now), confirm: Query(exchange)["confirm"], at: now)
        return .done(.noContent)
    }
}

extension Members {
    /// What the PRF extension gave: 32 bytes or nothing.
    fileprivate func output(_ name: String) throws -> [UInt8]? {
        guard let bytes = try optionalBytes(name, limit: 32) else { return nil }
        guard bytes.count == 32 else {
            throw Refusal.invalidRequest([MemberError(name, "32 bytes as base64url (RFC 4648 section 5)")])
        }
        return bytes
    }
}

extension JSONWriter {
    /// What both ceremonies ask (WebAuthn §5.4, §5.5); the page turns base64url into bytes.
    fileprivate mutating func question(_ question: PasskeyQuestion) {
        member("challenge", Base64URL.encode(question.challenge))
        member("rpId", question.rpID)
        member("timeout", PasskeyQuestion.seconds * 1_000)
        member("prfSalt", Base64URL.encode(question.salt))
    }
}
