import Broker
import Encoding
import Envelope
import FastCGI
import OAuth
import Providers
import Secrets
import Settings
import Vault

extension Gateway {
    func acceptInvitation(_ exchange: Exchange, _ now: Instant) throws -> Step<Reply> {
        // No cookie yet, but a sign-in that another site started would be somebody else's session (W-LOGIN-1).
        try requireSameOrigin(exchange)
        let members = try Members(parsing: exchange, known: ["code"])
        let session = try browser(exchange, at: now)
        return .done(
            welcome(
                try broker.acceptInvitation(
                    members.text("code"), session: session, from: browserName(exchange), at: now)))
    }

    func recover(_ exchange: Exchange, _ now: Instant) throws -> Step<Reply> {
        try requireSameOrigin(exchange)
        let members = try Members(parsing: exchange, known: ["code"])
        let session = try browser(exchange, at: now)
        return .done(
            welcome(
                try broker.recover(
                    members.text("code"), replacing: session, superseded: superseded(exchange, at: now),
                    from: browserName(exchange), at: now)))
    }

    /// `POST /api/sign-in/header`: nginx proves that it is nginx, and names the user. Neither parameter can come from a
    /// client: what clients send arrives as `HTTP_…`.
    func signInByHeader(_ exchange: Exchange, _ now: Instant) throws -> Step<Reply> {
        try requireSameOrigin(exchange)
        guard let user = try trustedUser(exchange) else { throw Refusal.notFound }
        return .done(
            welcome(
                try broker.signIn(
                    trustedUser: user, session: browser(exchange, at: now),
                    superseded: superseded(exchange, at: now), from: browserName(exchange), at: now)))
    }

    /// What the sign-in page offers. Says nothing about anybody but whom nginx names.
    func signInMethods(_ exchange: Exchange, _ now: Instant) throws -> Step<Reply> {
        let user = try? trustedUser(exchange)
        return .done(
            .json {
                $0.object {
                    // An address is no relying party (WebAuthn §5.1.2).
                    $0.member("passkey", settings.host.contains(where: \.isLetter) && settings.host.first != "[")
                    $0.member("header", user)
                    $0.array("providers", broker.signInProviders) { $0.signInProvider($1) }
                }
            })
    }

    /// nil: off, or whoever speaks to us does not know the secret.
    private func trustedUser(_ exchange: Exchange) throws -> String? {
        guard let rules = settings.signIn.header,
            exchange.withParameter("TOOLSHED_USER_SECRET", { sha256($0) == rules.secretHash }) == true
        else { return nil }
        let user = exchange.parameter("TOOLSHED_USER") ?? ""
        // What is not UTF-8 was replaced, and two names could have become one.
        guard (1...80).contains(user.count), user.withoutControls == user, !user.contains("\u{FFFD}") else {
            throw Refusal.notPermitted(.nobodyNamed)
        }
        return user
    }

    func browserName(_ exchange: Exchange) -> String {
        BrowserName.of(userAgent: exchange.parameter("HTTP_USER_AGENT"))
    }

    func welcome(_ signedIn: SignedIn) -> Reply {
        var reply = Reply.json {
            $0.object {
                $0.member("userId", signedIn.person.text)
                $0.member("name", signedIn.name)
                $0.member("vault", signedIn.opensExistingVault ? "existing" : "new")
            }
        }
        reply.headers.append(("Set-Cookie", Self.sessionCookie(signedIn)))
        return reply
    }

    /// W-COOK-1. Kept as long as a session can last; the server ends it earlier.
    static func sessionCookie(_ signedIn: SignedIn) -> String {
        let seconds = signedIn.days * 86_400
        let cookie = signedIn.cookie.withString { $0 }
        return "\(cookieName)=\(cookie); Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=\(seconds)"
    }

    func signOut(_ exchange: Exchange, _ now: Instant) throws -> Step<Reply> {
        try broker.signOut(
            person(deciding: exchange, at: now), confirm: Query(exchange)["confirm"], at: now)
        var reply = Reply.noContent
        reply.headers.append(
            ("Set-Cookie", "\(Self.cookieName)=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0"))
        return .done(reply)
    }

    func makeRecovery(_ exchange: Exchange, _ now: Instant) throws -> Step<Reply> {
        let session = try person(deciding: exchange, at: now)
        let code = try broker.makeRecoveryCode(session, at: now)
        return .done(shown(status: 201, "code", code.withString { $0 }, id: nil))
    }

    func makeKey(_ exchange: Exchange, _ now: Instant) throws -> Step<Reply> {
        let session = try person(deciding: exchange, at: now)
        let made = try broker.makeKey(
            name: Members(parsing: exchange, known: ["name"]).name("name"), session: session, at: now)
        return .done(shown(status: 201, "key", made.key.withString { $0 }, id: made.id.text))
    }

    func makePlugin(_ exchange: Exchange, _ now: Instant) throws -> Step<Reply> {
        let session = try person(deciding: exchange, at: now)
        let made = try broker.makePlugin(
            name: Members(parsing: exchange, known: ["name"]).name("name"), session: session, at: now)
        return .done(shown(status: 201, "key", made.key.withString { $0 }, id: made.id.text))
    }

    /// A secret that is shown once.
    private func shown(status: Int, _ name: StaticString, _ secret: String, id: String?) -> Reply {
        .json(status, secret: true) {
            $0.object {
                if let id { $0.member("id", id) }
                $0.member(name, secret)
            }
        }
    }
}

extension JSONWriter {
    /// With which a person signs in, or confirms that it is still them.
    mutating func signInProvider(_ provider: Provider) {
        member("provider", provider.id.path)
        member("name", provider.name)
    }
}
