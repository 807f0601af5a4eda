import Broker
import Encoding
import FastCGI
import OAuth

extension Gateway {
    /// `POST /api/sign-in/{provider}/start`
    func startSignIn(_ exchange: Exchange, _ provider: ProviderID, _ now: Instant) throws -> Step<Reply> {
        try requireSameOrigin(exchange)
        let session = try browser(exchange, at: now)
        return try leave(broker.startSignIn(provider, session: session, at: now))
    }

    /// `POST /api/sign-in/{provider}/confirm`: a session goes there to show that it is still the same person.
    func startConfirmation(_ exchange: Exchange, _ provider: ProviderID, _ now: Instant) throws -> Step<Reply> {
        let session = try person(deciding: exchange, at: now)
        return try leave(broker.startConfirmation(provider, session: session, at: now))
    }

    private func leave(_ departure: Step<Broker.Departure>) throws -> Step<Reply> {
        try departure.then(broker) { _, departure in
            var reply = Reply.json { $0.object { $0.member("location", departure.location) } }
            if let cookie = departure.cookie {
                reply.headers.append(
                    (
                        "Set-Cookie",
                        "\(cookie.name)=\(cookie.value); Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=600"
                    ))
            }
            return .done(reply)
        }
    }

    /// `GET /api/sign-in/{provider}/callback`. A person is looking at this, with a code in the address bar: always on to a
    /// page without a query.
    func finishSignIn(_ exchange: Exchange, _ provider: ProviderID, _ now: Instant) throws -> Step<Reply> {
        // A person who comes back is a page being opened; nothing that a page merely loads is (W-CSRF-3).
        if let destination = exchange.parameter("HTTP_SEC_FETCH_DEST"), destination != "document" {
            throw Refusal.crossSite
        }
        let query = String(decoding: exchange.query, as: UTF8.self)
        if exchange.parameter("HTTP_COOKIE") == nil {
            guard query.hasSuffix("&b=1") else { return .done(bounce(exchange.path + "?" + query + "&b=1")) }
            return .done(.seeOther(Broker.errorPage("cookies-blocked")))
        }
        let received = query.hasSuffix("&b=1") ? String(query.dropLast(4)) : query
        let arrival: Step<SignInArrival>
        do {
            arrival = try broker.finishSignIn(
                provider, query: received, cookies: cookies(exchange), session: browser(exchange, at: now),
                superseded: superseded(exchange, at: now), from: browserName(exchange), at: now)
        } catch {
            return .done(.seeOther(Broker.errorPage("failed")))
        }
        return try arrival.then(broker) { _, arrival in
            var headers: [(String, String)] = []
            if let name = arrival.endsCookie {
                headers.append(("Set-Cookie", "\(name)=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0"))
            }
            if let signedIn = arrival.signedIn { headers.append(("Set-Cookie", Self.sessionCookie(signedIn))) }
            return .done(.seeOther(arrival.location, headers: headers))
        }
    }
}
