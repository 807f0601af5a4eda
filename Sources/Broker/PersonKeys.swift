import Encoding
import Envelope
import Vault

extension Broker {
    /// `POST /api/person-keys`: from now on the key that this one gives for the person is the plugin's, too, and opens what
    /// it may use of theirs alone. Whoever could not be asked for a token gets the same answer as there.
    public func givePersonKey(
        to plugin: OpenPlugin, shown token: borrowing Token, userID: String, at now: Instant
    ) throws {
        let person = try authorize(.plugin(plugin), asking: userID, person: PersonID(parsing: userID))
        let own = try token.forPerson(person)
        let isThere = try store.read { rows in
            guard try rows.person(person) != nil, try !rows.standing(of: plugin.id, with: person).isMuted else {
                throw Refusal.notPermitted(.unknownPerson)
            }
            return try rows.hasPersonKey(own.id)
        }
        guard !isThere else { return }
        try record(
            AuditRecord(
                .keyMade, person: person, caller: plugin.id.text, callerKind: PluginKeyInUse.own.rawValue), at: now)
        do {
            try store.write { try $0.addPersonKey(own, of: plugin, for: person, at: now) }
        } catch VaultError.conflict {
            throw Refusal.invalidToken
        }
    }
}
