import Broker
import Encoding
import FastCGI
import OAuth
import Providers
import Settings
import Vault

extension Gateway {
    /// `GET /api/clients`: programs that the person let in, and what each may use.
    func clients(_ exchange: Exchange, _ now: Instant) throws -> Step<Reply> {
        let slot = try holder(exchange, at: now)
        let page = try Page(exchange)
        let (list, next) = try page.cut(broker.clientSummaries(slot, at: now), newestFirst: true) {
            Place($0.grant.createdAt, $0.grant.id)
        }
        return .done(
            .json { writer in
                writer.object {
                    $0.array("clients", list) { writer, entry in
                        writer.member("id", entry.grant.id.text)
                        writer.member("name", entry.grant.name)
                        writer.member("kind", entry.grant.kind.rawValue)
                        writer.member("unverified", entry.isUnverified)
                        writer.member("current", entry.isCaller)
                        writer.member("destination", entry.grant.destination)
                        writer.member("scopes", entry.grant.scope.names)
                        writer.member("createdAt", entry.grant.createdAt.rfc3339)
                        writer.member("lastUsedAt", entry.grant.lastUsedAt.rfc3339)
                        writer.array("connections", entry.connections) {
                            let provider = $1.connection.provider
                            $0.member("id", $1.connection.id.text)
                            $0.member("provider", provider.json)
                            $0.member("providerName", settings.catalogue[provider]?.name ?? provider.json)
                            $0.member("account", $1.account)
                        }
                    }
                    $0.member("next", next)
                }
            })
    }

    func removeClient(_ exchange: Exchange, _ id: ClientGrantID, _ now: Instant) throws -> Step<Reply> {
        try broker.removeClient(
            id, session: holder(exchange, at: now), confirm: Query(exchange)["confirm"], at: now)
        return .done(.noContent)
    }
}
