import Broker
import Encoding
import FastCGI
import OAuth
import Providers
import Secrets
import Settings
import Vault

extension Gateway {
    func changePlugin(_ exchange: Exchange, _ id: PluginID, _ now: Instant) throws -> Step<Reply> {
        let session = try person(deciding: exchange, at: now)
        guard !exchange.bodyIsTooLarge else { throw RouteRefusal.tooLarge }
        guard exchange.hasJSON else { throw RouteRefusal.unsupportedMediaType }
        let change = try exchange.withBody { try PluginChange(parsing: $0) }
        try broker.change(id, change, session: session, at: now)
        return .done(.noContent)
    }

    func withdraw(_ exchange: Exchange, _ id: PluginID, _ now: Instant) throws -> Step<Reply> {
        try broker.withdraw(id, session: holder(exchange, at: now), at: now).then(broker) { _, results in
            .done(
                .json { writer in
                    writer.object {
                        $0.array("connections", results) {
                            $0.member("id", $1.connection.text)
                            $0.member("provider", $1.provider.json)
                            $0.member("local", $1.isDone ? "withdrawn" : "pending")
                            $0.member("tokens", $1.fate.words)
                        }
                    }
                })
        }
    }

    func replaceToken(_ exchange: Exchange, _ id: ConnectionID, _ now: Instant) throws -> Step<Reply> {
        try broker.replaceToken(id, session: person(deciding: exchange, at: now), at: now).then(broker) { _, result in
            .done(
                .json {
                    $0.object {
                        $0.member("tokens", result.fate.words)
                        $0.member("reconnectUrl", result.reconnectURL)
                        $0.member("manageUrl", result.manageURL)
                    }
                })
        }
    }

    /// A day, unless the person says otherwise: a program that reads its key at the start is started again by then.
    private static let oldKeySeconds: Int64 = 86_400
    private static let longestOldKey: Int64 = 30 * 86_400

    func replacePluginKey(_ exchange: Exchange, _ id: PluginID, _ now: Instant) throws -> Step<Reply> {
        let session = try person(deciding: exchange, at: now)
        let members = try Members(parsing: exchange, known: ["key", "oldKeyUntil"])
        let key = try members.text("key")
        let until = try members.optionalText("oldKeyUntil").map { text in
            let latest = now.adding(seconds: Self.longestOldKey)
            guard let until = Instant(rfc3339: text), until > now, until <= latest else {
                throw Refusal.invalidRequest([MemberError("oldKeyUntil", "an RFC 3339 time within the next 30 days")])
            }
            return until
        }
        let ends = until ?? now.adding(seconds: Self.oldKeySeconds)
        let made = try broker.replaceKey(of: id, shown: key, oldEndsAt: ends, session: session, at: now)
        return .done(
            .json(201, secret: true) { writer in
                writer.object {
                    $0.member("id", id.text)
                    $0.member("key", made.withString { $0 })
                    $0.member("oldKeyUntil", ends.rfc3339)
                }
            })
    }

    func endReplacedKeys(_ exchange: Exchange, _ id: PluginID, _ now: Instant) throws -> Step<Reply> {
        try broker.endReplacedKeys(of: id, session: person(deciding: exchange, at: now), at: now)
        return .done(.noContent)
    }
}

extension TokenFate {
    var words: String {
        switch self {
        case .replaced: "replaced"
        case .expiresAt(let end): "expire-at \(end.rfc3339)"
        case .live: "live"
        }
    }
}

extension JSONWriter {
    mutating func limits(_ name: StaticString, _ limits: PluginLimits) {
        key(name)
        guard !limits.isEmpty else { return null() }
        object { writer in
            if let providers = limits.providers { writer.member("providers", providers.sorted().map(\.json)) }
            if !limits.ceilings.isEmpty {
                writer.key("scopes")
                writer.object {
                    for (provider, scopes) in limits.ceilings.sorted(by: { $0.key < $1.key }) {
                        $0.key(provider.json)
                        $0.strings(scopes.names)
                    }
                }
            }
            if let rate = limits.ratePerMinute { writer.member("ratePerMinute", rate) }
            if !limits.calls.isEmpty {
                writer.array("calls", limits.calls) {
                    $0.member("provider", $1.provider.json)
                    $0.member("methods", $1.methods.sorted())
                    $0.member("path", $1.path)
                }
            }
        }
    }
}
