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
    /// Whose account it was, as far as this session can say.
    public let account: String?
    public let reason: String
    public let tool: String
}

/// A page of them, and where to go on.
public struct ActivityPage: Sendable {
    public let lines: [ActivityLine]
    public let next: ActivityCursor?
}

extension Broker {
    /// Newest first. Reasons and tools are sealed under the log key of their connection and its account under the
    /// connection's, so those of a vault that this session cannot open, and of connections that are gone, stay closed.
    public func activity(
        _ session: OpenSlot, _ filter: ActivityFilter, after: ActivityCursor?, limit: Int, at now: Instant
    ) throws -> ActivityPage {
        try store.read { rows in
            let (page, next) = try rows.activity(of: session.person, filter, after: after, limit: limit)
            let names = try callerNames(session.person, of: page.map(\.caller), rows, at: now)
            var credentials: [ConnectionID: Credential] = [:]
            for id in Set(page.compactMap(\.connection)) {
                credentials[id] = try openCredential(of: id, for: session, rows)
            }
            let lines = page.map { activity in
                let credential = activity.connection.flatMap { credentials[$0] }
                var claim = (reason: "", tool: "")
                if let sealed = activity.claim, let connection = activity.connection, let credential {
                    let opened = try? ActivityClaim.open(sealed, logKeys: credential.logKeys, connection: connection)
                    claim = opened ?? claim
                }
                return ActivityLine(
                    activity: activity, caller: activity.caller.map { names[$0] ?? $0 },
                    account: credential?.accountLabel, reason: claim.reason, tool: claim.tool)
            }
            return ActivityPage(lines: lines, next: next)
        }
    }

    /// nil: gone, another vault's, or damaged, which is no reason to show nothing of the rest.
    private func openCredential(
        of id: ConnectionID, for session: OpenSlot, _ rows: Rows
    ) throws -> Credential? {
        guard let connection = try rows.connection(id), connection.vault == session.vault.id else { return nil }
        do {
            return try rows.openCredential(of: connection, with: rows.openKey(of: connection, with: session.vault))
        } catch is EnvelopeError {
            return nil
        }
    }

    /// Names of these in records of this person, of those that are gone, too.
    func callerNames(
        _ person: PersonID, of ids: [String?], _ rows: Rows, at now: Instant
    ) throws -> [String: String] {
        var names = try callerNames(person, rows, at: now)
        for id in Set(ids.compactMap { $0 }).subtracting(names.keys) { names[id] = try rows.formerName(id, of: person) }
        return names
    }

    /// Names of everybody who may ask and use now.
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
