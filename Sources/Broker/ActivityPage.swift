import Encoding
import Envelope
import OAuth
import Secrets
import Vault

/// One line of what happened, as the person reads it.
public struct ActivityLine: Sendable {
    public let activity: Activity
    /// Who did it: a plugin's or holder's name, its id when it is gone.
    public let caller: String?
    public let reason: String
    public let tool: String
}

extension Broker {
    /// Newest first. Reasons and tools are sealed under the log key of their connection, so those of a vault that this
    /// session cannot open, and of connections that are gone, stay closed.
    public func activity(
        _ session: OpenSlot, after: ActivityCursor?, limit: Int, at now: Instant
    ) throws -> [ActivityLine] {
        try store.read { rows in
            let page = try rows.activity(of: session.person, after: after, limit: limit)
            let names = try callerNames(session.person, rows, at: now)
            var logKeys: [ConnectionID: SecretText] = [:]
            for id in Set(page.filter { $0.claim != nil }.compactMap(\.connection)) {
                guard let connection = try rows.connection(id), connection.vault == session.vault.id else { continue }
                let key = try rows.openKey(of: connection, with: session.vault)
                logKeys[id] = try rows.openCredential(of: connection, with: key).logKeys
            }
            return page.map { activity in
                var claim = (reason: "", tool: "")
                if let sealed = activity.claim, let connection = activity.connection, let key = logKeys[connection] {
                    claim = (try? ActivityClaim.open(sealed, logKeys: key, connection: connection)) ?? claim
                }
                return ActivityLine(
                    activity: activity, caller: activity.caller.map { names[$0] ?? $0 }, reason: claim.reason,
                    tool: claim.tool)
            }
        }
    }

    /// Names of everybody whose id may stand in a record of this person.
    public func callerNames(_ person: PersonID, _ rows: Rows, at now: Instant) throws -> [String: String] {
        var names: [String: String] = [:]
        for plugin in try rows.plugins(visibleTo: person) { names[plugin.id.text] = plugin.name }
        for kind in [HolderKind.session, .apiKey, .cli] {
            for slot in try rows.slots(of: person, kind: kind, at: now) { names[slot.id.text] = slot.name }
        }
        for grant in try rows.clientGrants(of: person, at: now) { names[grant.id.text] = grant.name }
        return names
    }
}
