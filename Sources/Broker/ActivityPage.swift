import Encoding
import Vault

/// One line of what happened, as the person reads it.
public struct ActivityLine: Sendable {
    public let activity: Activity
    /// Who did it: a plugin's or holder's name; its id where nothing is known of it any more.
    public let caller: String?
    /// It is no more there.
    public let isCallerGone: Bool
    /// Whose account it was at that time, as far as this session can say.
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
    /// Newest first. Reason, tool and account are sealed under log keys that the connection's vault has, so those of a vault
    /// that this session cannot open stay closed; of a connection that is gone from this one they do not.
    public func activity(
        _ session: OpenSlot, _ filter: ActivityFilter, after: ActivityCursor?, limit: Int, at now: Instant
    ) throws -> ActivityPage {
        var arrived: [ConnectionID] = []
        let page = try store.read { rows in
            let (page, next) = try rows.activity(of: session.person, filter, after: after, limit: limit)
            let names = try rows.callerNames(of: page.compactMap(\.caller), in: session.person, at: now)
            // One connection's keys at a time: a page may be about thousands.
            var claims = [ActivityClaim?](repeating: nil, count: page.count)
            for (id, places) in Dictionary(grouping: page.indices, by: { page[$0].connection }) {
                guard let id else { continue }
                let log = try rows.log(of: id, with: session.vault)
                if log.hasSealed { arrived.append(id) }
                for place in places { claims[place] = log.read(page[place].claim, at: page[place].at) }
            }
            let lines = zip(page, claims).map { activity, claim in
                let known = activity.caller.flatMap { names[$0] }
                return ActivityLine(
                    activity: activity, caller: known?.name ?? activity.caller,
                    isCallerGone: activity.caller != nil && known?.isEnded ?? true, account: claim?.account,
                    reason: claim?.reason ?? "", tool: claim?.tool ?? "")
            }
            return ActivityPage(lines: lines, next: next)
        }
        keepOpened(arrived, session.vault)
        return page
    }

    /// As with a slot that was sealed: where nothing can be stored just now, the form that is there does as well.
    private func keepOpened(_ connections: [ConnectionID], _ vault: OpenVault) {
        guard !connections.isEmpty else { return }
        try? store.write { rows in for id in connections { try rows.wrapLogKeys(of: id, with: vault) } }
    }
}
