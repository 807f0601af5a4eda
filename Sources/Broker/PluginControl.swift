import Encoding
import Envelope
import OAuth
import Secrets
import Vault

extension Broker {
    /// A plugin that this person has to do with: the operator's, or one of their own.
    func visible(_ id: PluginID, to person: PersonID) throws -> Plugin {
        guard let plugin = try store.read({ try $0.plugin(id) }), plugin.owner == nil || plugin.owner == person else {
            throw Refusal.notFound
        }
        return plugin
    }

    public func change(_ id: PluginID, _ change: PluginChange, session: OpenSlot, at now: Instant) throws {
        let plugin = try visible(id, to: session.person)
        // Whoever narrows takes away; whoever widens opens more to a plugin.
        let standing = try store.read { try $0.standing(of: plugin.id, with: session.person) }
        let unmutes = standing.isMuted && change.isMuted == false
        if unmutes || !(change.limits?.isWithin(standing.limits) ?? true) { try requireFresh(session, at: now) }
        let events: [AuditEvent] =
            (change.isMuted.map { [$0 ? .pluginMuted : .pluginUnmuted] } ?? [])
            + (change.limits == nil ? [] : [.pluginLimited])
        for event in events {
            try record(
                AuditRecord(event, person: session.person, caller: plugin.id.text, callerKind: "plugin"), at: now)
        }
        try store.write { rows in
            if let isMuted = change.isMuted { try rows.setMuted(isMuted, plugin.id, by: session.person, at: now) }
            if let limits = change.limits { try rows.setLimits(limits, plugin.id, by: session.person) }
        }
    }

    /// A person's own plugin is there for them alone: with what it was let in to, its key ends.
    func end(_ plugin: Plugin, of person: PersonID, at now: Instant) throws {
        guard plugin.owner == person else { return }
        _ = try store.write { try $0.removePlugin(plugin.id, at: now) }
    }

    /// A new key for a plugin of one's own; the one that is shown opens the plugin's private half, and nobody is asked
    /// again.
    public func replaceKey(
        of id: PluginID, shown key: String, oldEndsAt: Instant, session: OpenSlot, at now: Instant
    ) throws -> SecretText {
        let plugin = try visible(id, to: session.person)
        guard plugin.owner == session.person else { throw Refusal.notFound }
        try requireFresh(session, at: now)
        guard let token = try? Token(parsing: key), token.kind == .plugin,
            let open = try store.read({ try $0.openPlugin(token, at: now) }), open.id == id
        else { throw Refusal.invalidRequest([MemberError("key", "the plugin's present key")]) }
        try record(
            AuditRecord(.keyMade, person: session.person, caller: id.text, callerKind: "plugin"), at: now)
        do {
            return try store.write { try $0.replaceKey(of: open, oldEndsAt: oldEndsAt, at: now) }
        } catch VaultError.conflict {
            throw Refusal.invalidRequest([MemberError("key", "the plugin's newest key, not one that is being replaced")]
            )
        }
    }

    public func endReplacedKeys(of id: PluginID, session: OpenSlot, at now: Instant) throws {
        let plugin = try visible(id, to: session.person)
        guard plugin.owner == session.person else { throw Refusal.notFound }
        try record(
            AuditRecord(.keyRemoved, person: session.person, caller: id.text, callerKind: "plugin"), at: now)
        _ = try store.write { try $0.endReplacedKeys(of: id) }
    }
}
