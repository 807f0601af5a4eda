import Broker
import Encoding
import Envelope
import FastCGI
import Settings
import Vault

/// Who is asking: from headers to a value, once.
enum Caller {
    case browser(OpenSlot)
    case bearer(OpenSlot)
    /// A key that no longer opens its vault.
    case locked(LockedSlot)
    case plugin(OpenPlugin)
    case nobody
}

extension Gateway {
    static let cookieName = "__Host-toolshed"

    /// A Bearer wins over a cookie; a Bearer that is no good is refused, never passed over.
    func caller(_ exchange: Exchange, at now: Instant) throws -> Caller {
        guard let header = exchange.parameter("HTTP_AUTHORIZATION") else {
            return try browser(exchange, at: now).map(Caller.browser) ?? .nobody
        }
        guard header.count > 7, header.prefix(7).lowercased() == "bearer ",
            let token = try? Token(parsing: String(header.dropFirst(7)))
        else { throw Refusal.invalidToken }
        switch token.kind {
        case .plugin, .pluginPerson:
            guard let plugin = try broker.store.read({ try $0.openPlugin(token, at: now) }) else {
                throw Refusal.invalidToken
            }
            return .plugin(plugin)
        case .apiKey, .cli:
            switch try broker.holder(token, at: now) {
            case .holder(let slot): return .bearer(slot)
            case .locked(let slot): return .locked(slot)
            case .plugin, nil: throw Refusal.invalidToken
            }
        case .access, .refresh: throw Refusal.notPermitted(.agentClient)
        case .session, .invitation, .recovery, .passkey, .code, .device: throw Refusal.invalidToken
        }
    }

    /// The session of the cookie, if any. Two cookies of the name are none.
    func browser(_ exchange: Exchange, at now: Instant) throws -> OpenSlot? {
        try broker.session(cookie: cookies(exchange)[Self.cookieName], at: now)
    }

    /// What the cookie was, where the answer with the next one was lost; lets nobody in.
    func superseded(_ exchange: Exchange, at now: Instant) throws -> OpenSlot? {
        try broker.superseded(cookie: cookies(exchange)[Self.cookieName], at: now)
    }

    func cookies(_ exchange: Exchange) -> [String: String] {
        exchange.withParameter("HTTP_COOKIE") { CookieHeader.parse($0) } ?? [:]
    }

    /// W-CSRF-1, for everything that a cookie authenticates or makes.
    func requireSameOrigin(_ exchange: Exchange) throws {
        if let site = exchange.parameter("HTTP_SEC_FETCH_SITE") {
            guard site == "same-origin" else { throw Refusal.crossSite }
        } else {
            guard exchange.parameter("HTTP_ORIGIN") == settings.origin else { throw Refusal.crossSite }
        }
    }

    /// What a page shows before a decision: cookie only.
    func person(reading exchange: Exchange, at now: Instant) throws -> OpenSlot {
        guard exchange.parameter("HTTP_AUTHORIZATION") == nil else { throw Refusal.notPermitted(.browserOnly) }
        guard let session = try browser(exchange, at: now) else { throw Refusal.notSignedIn }
        return session
    }

    /// Whether one of our pages asks. Browsers that do not say so are taken to come from elsewhere.
    func isFromOurPage(_ exchange: Exchange) -> Bool { exchange.parameter("HTTP_SEC_FETCH_SITE") == "same-origin" }

    /// A person's decision: cookie only, from our own page.
    func person(deciding exchange: Exchange, at now: Instant) throws -> OpenSlot {
        guard exchange.parameter("HTTP_AUTHORIZATION") == nil else { throw Refusal.notPermitted(.browserOnly) }
        try requireSameOrigin(exchange)
        guard let session = try browser(exchange, at: now) else { throw Refusal.notSignedIn }
        return session
    }

    /// Reading and taking away: the person's browser, or a key of their vault.
    func holder(_ exchange: Exchange, at now: Instant) throws -> OpenSlot {
        switch try caller(exchange, at: now) {
        case .browser(let slot):
            if exchange.method != .get && exchange.method != .head { try requireSameOrigin(exchange) }
            return slot
        case .bearer(let slot): return slot
        case .locked: throw Refusal.notPermitted(.lockedVault)
        case .plugin: throw Refusal.notPermitted(.otherCaller)
        case .nobody: throw Refusal.notSignedIn
        }
    }
}
