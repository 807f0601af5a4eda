import Broker
import Encoding
import FastCGI
import OAuth
import Providers
import Settings
import Vault

extension Gateway {
    /// `GET /api/requests`: what waits for this person.
    func waitingRequests(_ exchange: Exchange, _ now: Instant) throws -> Step<Reply> {
        let (slot, page) = (try holder(exchange, at: now), try Page(exchange))
        let after = try page.after.map { try Page.cursor(WaitingCursor.ofRequests(parsing: $0)) }
        let (waiting, next) = try broker.waitingRequests(slot, after: after, limit: page.limit, at: now)
        let near = exchange.address
        return .done(
            .json { writer in
                writer.object {
                    $0.array("requests", waiting) { $0.request($1, settings.catalogue[$1.request.provider], to: near) }
                    $0.member("next", next?.text)
                }
            })
    }

    /// `GET /api/declines`: what they said no to, while that holds.
    func declines(_ exchange: Exchange, _ now: Instant) throws -> Step<Reply> {
        let (slot, page) = (try holder(exchange, at: now), try Page(exchange))
        let after = try page.after.map { try Page.cursor(WaitingCursor.ofDeclines(parsing: $0)) }
        let (declined, next) = try broker.declined(slot, after: after, limit: page.limit, at: now)
        return .done(
            .json { writer in
                writer.object {
                    $0.array("declines", declined) { writer, entry in
                        let provider = settings.catalogue[entry.declined.provider]
                        writer.member("caller", entry.caller)
                        writer.member("name", entry.name)
                        writer.member("provider", entry.declined.provider.json)
                        writer.member("providerName", provider?.name ?? entry.declined.provider.json)
                        writer.scopeTexts("scopes", entry.declined.scopes, provider)
                        writer.member("until", entry.declined.until.rfc3339)
                    }
                    $0.member("next", next?.text)
                }
            })
    }

    /// `DELETE /api/declines?caller=&provider=`: that caller may ask again. A person's decision: it lets somebody in who
    /// was kept out.
    func allowAsking(_ exchange: Exchange, _ now: Instant) throws -> Step<Reply> {
        let session = try person(deciding: exchange, at: now)
        let query = try Query(exchange)
        let (caller, name) = (try query["caller"] ?? "", try query["provider"] ?? "")
        let id =
            PluginID(parsing: caller)?.bytes ?? SlotID(parsing: caller)?.bytes ?? ClientGrantID(parsing: caller)?.bytes
        guard let id else {
            throw Refusal.invalidRequest([MemberError("caller", "the `caller` of a decline")])
        }
        guard let provider = try? ProviderID(parsing: name) else {
            throw Refusal.invalidRequest([MemberError("provider", "the `provider` of a decline")])
        }
        try broker.allowAsking(id, provider, session: session)
        return .done(.noContent)
    }

    /// `POST /api/vault/stop`
    func stopEverything(_ exchange: Exchange, _ now: Instant) throws -> Step<Reply> {
        let stopped = try broker.stopEverything(person(deciding: exchange, at: now), at: now)
        return .done(
            .json {
                $0.object {
                    $0.member("connections", Int64(stopped.connections))
                    $0.member("plugins", Int64(stopped.plugins))
                    $0.member("holders", Int64(stopped.holders))
                    $0.member("requests", Int64(stopped.requests))
                }
            })
    }
}

extension JSONWriter {
    fileprivate mutating func request(_ waiting: WaitingRequest, _ provider: Provider?, to near: String) {
        let request = waiting.request
        member("id", waiting.id?.text)
        member("provider", request.provider.json)
        member("providerName", provider?.name ?? request.provider.json)
        key("requester")
        object {
            $0.member("name", waiting.requester.name)
            $0.member("kind", waiting.requester.kind)
            $0.member("addedBy", waiting.requester.addedBy)
        }
        scopeTexts("scopes", request.scopes, provider)
        member("account", waiting.claim.flatMap { $0.account.isEmpty ? nil : $0.account })
        member("reason", waiting.claim?.reason ?? "")
        member("tool", waiting.claim?.tool ?? "")
        member("matchCode", waiting.id.map { Request.matchCode(of: $0) })
        let address = waiting.claim.flatMap { $0.address.isEmpty ? nil : $0.address }
        member("address", address)
        member("ownAddress", address.map { Neighbourhood.isOne($0, near) } ?? false)
        member("askedAt", request.createdAt.rfc3339)
        member("expiresAt", request.expiresAt.rfc3339)
        member("link", waiting.link)
    }
}
