import Broker
import Encoding
import FastCGI
import OAuth
import Providers
import Settings
import Vault

extension Gateway {
    /// `GET /api/activity?after=&limit=` and what `ActivityFilter` takes.
    func activity(_ exchange: Exchange, _ now: Instant) throws -> Step<Reply> {
        let slot = try holder(exchange, at: now)
        let page = try Page(exchange)
        let found = try broker.activity(
            slot, ActivityFilter(exchange), after: ActivityCursor(page), limit: page.limit, at: now)
        return .done(.json { activity(found, &$0) })
    }

    /// `GET /api/activity/export?format=csv|json&after=&limit=`: the same as a file, or as many files as it takes.
    func exportActivity(_ exchange: Exchange, _ now: Instant) throws -> Step<Reply> {
        let slot = try holder(exchange, at: now)
        let page = try Page(exchange, most: 5000, otherwise: 5000)
        guard let format = ExportFormat(rawValue: try Query(exchange)["format"] ?? "") else {
            throw Refusal.invalidRequest([MemberError("format", "csv or json")])
        }
        let found = try broker.activity(
            slot, ActivityFilter(exchange), after: ActivityCursor(page), limit: page.limit, at: now)
        var reply: Reply
        switch format {
        case .json: reply = .json { activity(found, &$0) }
        case .csv: reply = Reply(csv: table(found.lines))
        }
        reply.headers.append(
            ("Content-Disposition", #"attachment; filename="toolshed-activity.\#(format.rawValue)""#))
        if let next = found.next {
            // RFC 8288: the same request, further on.
            let query = String(decoding: exchange.query, as: UTF8.self)
            let same = query.split(separator: "&").filter { !$0.hasPrefix("after=") }
            let further = (same + ["after=\(next.text)"]).joined(separator: "&")
            reply.headers.append(("Link", "</api/activity/export?\(further)>; rel=\"next\""))
        }
        return .done(reply)
    }

    /// `GET /api/activity/former?after=&limit=`
    func formerCallers(_ exchange: Exchange, _ now: Instant) throws -> Step<Reply> {
        let slot = try holder(exchange, at: now)
        let page = try Page(exchange)
        let after = try page.after.map { try Page.cursor(FormerCursor(parsing: $0)) }
        let list = try broker.store.read { try $0.formerCallers(of: slot.person, after: after, limit: page.limit) }
        return .done(
            .json { writer in
                writer.object {
                    $0.array("former", list) {
                        $0.member("id", $1.id)
                        $0.member("kind", $1.kind)
                        $0.member("name", $1.name)
                        $0.member("endedAt", $1.endedAt.rfc3339)
                    }
                    $0.member("next", list.count == page.limit ? list.last?.cursor.text : nil)
                }
            })
    }

    private func activity(_ page: ActivityPage, _ writer: inout JSONWriter) {
        writer.object {
            $0.array("activity", page.lines) { writer, line in
                writer.member("id", Base64URL.encode(line.activity.id))
                writer.member("at", line.activity.at.rfc3339)
                writer.member("event", line.activity.event.rawValue)
                writer.member("provider", line.activity.provider)
                writer.member("providerName", line.activity.provider.flatMap(name))
                writer.member("connection", line.activity.connection?.text)
                writer.member("account", line.account)
                writer.member("caller", line.caller)
                writer.member("callerGone", line.isCallerGone)
                writer.member("callerKind", line.activity.callerKind)
                writer.member("scopes", (line.activity.scopes ?? "").split(separator: " ").map(String.init))
                writer.member("reason", line.reason)
                writer.member("tool", line.tool)
            }
            $0.member("next", page.next?.text)
        }
    }

    private func table(_ lines: [ActivityLine]) -> [UInt8] {
        var csv = CSVWriter()
        csv.record([
            "at", "event", "provider", "account", "caller", "callerKind", "scopes", "reason", "tool", "connection",
            "id",
        ])
        for line in lines {
            csv.record([
                line.activity.at.rfc3339, line.activity.event.rawValue, line.activity.provider, line.account,
                line.caller, line.activity.callerKind, line.activity.scopes, line.reason, line.tool,
                line.activity.connection?.text, Base64URL.encode(line.activity.id),
            ])
        }
        return csv.bytes
    }

    private func name(_ provider: String) -> String? {
        (try? ProviderID(parsing: provider)).flatMap { settings.catalogue[$0]?.name }
    }
}

private enum ExportFormat: String {
    case csv, json
}

extension Reply {
    fileprivate init(csv: [UInt8]) {
        self.init(
            status: 200,
            headers: [("Content-Type", "text/csv; charset=utf-8; header=present"), ("Cache-Control", "no-store")],
            body: csv)
    }
}

extension ActivityFilter {
    /// `provider`, `connection`, `caller`, `event`, `from`, `until`, each of which may be left out.
    fileprivate init(_ exchange: Exchange) throws {
        self.init()
        let query = try Query(exchange)
        func read<Value>(_ name: String, _ expected: String, _ parse: (String) -> Value?) throws -> Value? {
            guard let text = try query[name] else { return nil }
            guard let value = parse(text) else { throw Refusal.invalidRequest([MemberError(name, expected)]) }
            return value
        }
        provider = try read("provider", "a provider as bridge or owner/bridge") {
            (try? ProviderID(parsing: $0))?.json
        }
        connection = try read("connection", "the id of a connection") { ConnectionID(parsing: $0) }
        caller = try read("caller", "the id of a plugin, application, key or signed-in place") {
            PluginID(parsing: $0)?.text ?? ClientGrantID(parsing: $0)?.text ?? SlotID(parsing: $0)?.text
        }
        event = try read("event", "an event of the list") { AuditEvent(rawValue: $0) }
        from = try read("from", "a time (RFC 3339)") { Instant(rfc3339: $0) }
        until = try read("until", "a time (RFC 3339)") { Instant(rfc3339: $0) }
    }
}

extension ActivityCursor {
    fileprivate var text: String { placeText(at, id) }

    fileprivate init?(_ page: Page) throws {
        guard let text = page.after else { return nil }
        let place = try Page.cursor(readPlace(text))
        self.init(at: place.at, id: place.id)
    }
}

extension FormerCursor {
    fileprivate var text: String { placeText(endedAt, id) }

    fileprivate init?(parsing text: String) {
        guard let place = readPlace(text) else { return nil }
        self.init(endedAt: place.at, id: place.id)
    }
}

/// A time, and 16 bytes that tell apart what has the same.
private func placeText(_ at: Instant, _ id: [UInt8]) -> String { "\(at.milliseconds)-\(Hex.encode(id))" }

private func readPlace(_ text: String) -> (at: Instant, id: [UInt8])? {
    let parts = text.split(separator: "-")
    guard parts.count == 2, let at = Int64(parts[0]), let id = Hex.decode(String(parts[1])), id.count == 16 else {
        return nil
    }
    return (Instant(milliseconds: at), id)
}
