import Broker
import Encoding
import FastCGI
import OAuth
import Providers
import Settings
import Vault

extension Gateway {
    /// `GET /api/activity?after=&limit=`
    func activity(_ exchange: Exchange, _ now: Instant) throws -> Step<Reply> {
        let slot = try holder(exchange, at: now)
        let page = try Page(exchange)
        let after = try page.after.map { text in
            guard let cursor = ActivityCursor(parsing: text) else {
                throw Refusal.invalidRequest([MemberError("after", "the `next` of the page before")])
            }
            return cursor
        }
        let lines = try broker.activity(slot, after: after, limit: page.limit, at: now)
        let name = { [catalogue = settings.catalogue] (provider: String) in
            (try? ProviderID(parsing: provider)).flatMap { catalogue[$0]?.name }
        }
        return .done(
            .json { writer in
                writer.object {
                    $0.array("activity", lines) { writer, line in
                        writer.member("id", Base64URL.encode(line.activity.id))
                        writer.member("at", line.activity.at.rfc3339)
                        writer.member("event", line.activity.event.rawValue)
                        writer.member("provider", line.activity.provider)
                        writer.member("providerName", line.activity.provider.flatMap(name))
                        writer.member("connection", line.activity.connection?.text)
                        writer.member("caller", line.caller)
                        writer.member("scopes", (line.activity.scopes ?? "").split(separator: " ").map(String.init))
                        writer.member("reason", line.reason)
                        writer.member("tool", line.tool)
                    }
                    $0.member("next", lines.count == page.limit ? lines.last?.activity.cursor.text : nil)
                }
            })
    }
}

extension ActivityCursor {
    fileprivate var text: String { "\(at.milliseconds)-\(Hex.encode(id))" }

    fileprivate init?(parsing text: String) {
        let parts = text.split(separator: "-")
        guard parts.count == 2, let at = Int64(parts[0]), let id = Hex.decode(String(parts[1])), id.count == 16 else {
            return nil
        }
        self.init(at: Instant(milliseconds: at), id: id)
    }
}
