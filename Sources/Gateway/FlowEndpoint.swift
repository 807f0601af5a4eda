import Broker
import Encoding
import FastCGI
import OAuth
import Providers
import Vault

extension Gateway {
    /// `GET /api/auth/{provider}/login`
    func login(_ exchange: Exchange, _ provider: ProviderID, _ now: Instant) throws -> Step<Reply> {
        let query = try Query(exchange)
        let session = try browser(exchange, at: now)
        let departure = try broker.login(
            provider, userID: query["userId"], scope: query["scope"] ?? "", approval: query["approval"],
            session: session, at: now)
        return try departure.then(broker) { _, departure in
            let cookie = departure.cookie.map {
                [("Set-Cookie", "\($0.name)=\($0.value); Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=600")]
            }
            return .done(.seeOther(departure.location, headers: cookie ?? []))
        }
    }

    /// `GET /api/auth/{provider}/callback`. Nothing of the query is ever shown, logged or sent on.
    func callback(_ exchange: Exchange, _ provider: ProviderID, _ now: Instant) throws -> Step<Reply> {
        let query = String(decoding: exchange.query, as: UTF8.self)
        // Some browsers hold cookies back on the way back from elsewhere: one visit from ourselves brings them (W-COOK-3).
        if exchange.parameter("HTTP_COOKIE") == nil {
            guard query.hasSuffix("&b=1") else { return .done(bounce(exchange.path + "?" + query + "&b=1")) }
            return .done(.seeOther(Broker.errorPage("cookies-blocked")))
        }
        let received = query.hasSuffix("&b=1") ? String(query.dropLast(4)) : query
        let arrival: Step<Arrival>
        do {
            arrival = try broker.callback(
                provider, query: received, cookies: cookies(exchange), session: browser(exchange, at: now), at: now
            ).otherwise { _, _ in .failed }
        } catch {
            // A person is looking at this, with a code in the address bar: always on to a page without a query.
            arrival = .done(.failed)
        }
        return try arrival.then(broker) { _, arrival in
            let cookie = arrival.endsCookie.map {
                [("Set-Cookie", "\($0)=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0")]
            }
            return .done(.seeOther(arrival.location, headers: cookie ?? []))
        }
    }

    /// A callback's answer where nobody could have sent the browser.
    var misdirected: Step<Reply> { .done(.seeOther(Broker.errorPage("invalid-link"))) }

    func bounce(_ location: String) -> Reply {
        Reply(
            status: 200,
            headers: [
                ("Refresh", "0; url=\(location)"), ("Content-Type", "text/html; charset=utf-8"),
                ("Cache-Control", "no-store"), ("Referrer-Policy", "no-referrer"),
            ], body: Array("<!doctype html><title>One moment</title><p>One moment …".utf8))
    }

    func requestStatus(_ exchange: Exchange, _ id: RequestID, _ now: Instant) throws -> Step<Reply> {
        let caller = try openCaller(exchange, at: now)
        let (request, interval) = try broker.requestStatus(id, for: caller, at: now)
        let isOver = request.isOver(at: now)
        return .done(
            .json {
                $0.object {
                    $0.member(
                        "status",
                        isOver ? "expired" : request.status == .cancelled ? "expired" : request.status.rawValue)
                    $0.member("opened", request.opened)
                    $0.member("mismatch", request.mismatch)
                    if let reason = request.statusReason { $0.member("reason", reason) }
                    $0.member("interval", interval)
                }
            })
    }

    func cancelRequest(_ exchange: Exchange, _ id: RequestID, _ now: Instant) throws -> Step<Reply> {
        try broker.cancel(id, for: openCaller(exchange, at: now))
        return .done(.noContent)
    }

    func openCaller(_ exchange: Exchange, at now: Instant) throws -> OpenCaller {
        switch try caller(exchange, at: now) {
        case .browser(let slot):
            if exchange.method != .get && exchange.method != .head { try requireSameOrigin(exchange) }
            return .holder(slot)
        case .bearer(let slot): return .holder(slot)
        case .locked(let slot): return .locked(slot)
        case .plugin(let plugin): return .plugin(plugin)
        case .nobody: throw Refusal.invalidToken
        }
    }
}

extension JSONWriter {
    mutating func outcome(_ document: OutcomeDocument, _ catalogue: Catalogue) {
        let outcome = document.outcome
        object { writer in
            writer.member("status", outcome.status.rawValue)
            writer.key("provider")
            writer.object {
                $0.member("id", outcome.provider.json)
                $0.member("name", document.providerName)
            }
            writer.member("account", document.account)
            writer.key("requester")
            if let requester = outcome.requester {
                writer.object { $0.member("name", requester) }
            } else {
                writer.null()
            }
            writer.scopeTexts("scopes", outcome.scopes, catalogue[outcome.provider])
            writer.scopeTexts("missingScopes", outcome.missing, catalogue[outcome.provider])
            writer.member("message", outcome.status == .removed ? nil : outcome.message)
            writer.member("replaced", outcome.replaced)
            writer.key("removable")
            if let ends = document.ends {
                writer.object {
                    $0.member("revocation", ends.provider?.revocationWord ?? "none")
                    $0.member("sharesGrant", ends.sharesGrant)
                }
            } else {
                writer.null()
            }
            writer.key("removal")
            if let removal = document.removal { writer.removal(removal) } else { writer.null() }
            writer.member("recoveryOffered", document.recoveryOffered)
            writer.member("formToken", document.formToken)
        }
    }

    mutating func scopeTexts(_ name: StaticString, _ scopes: ScopeSet, _ provider: Provider?) {
        array(name, scopes.names) {
            let words = provider?.description(of: $1)
            $0.member("scope", $1)
            $0.member("text", words?.text ?? $1)
            $0.member("risk", words?.risk.rawValue ?? "unknown")
        }
    }
}
