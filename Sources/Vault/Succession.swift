import Encoding
import Envelope
import GRDB

// A session gets a new id, and so a new cookie, whenever the person shows anew that it is them (W-SESS-1). The old one is
// none from then on. But the answer with the new cookie may be lost on its way, and the browser may have been the only one
// that opens the vault: so the old slot stays, good for one thing alone, until the new cookie has been seen. Whoever signs in
// anew in that browser gets the vault back.

extension Rows {
    /// Ends a session in favour of another. False: it was ended otherwise meanwhile.
    public func supersede(_ old: SlotID, by new: SlotID) throws -> Bool {
        let unseen: SlotID? = try row("SELECT successor FROM slot WHERE id = ?", [old.blob])?.optionalID("successor")
        let done = try changed(
            "UPDATE slot SET kind = 'superseded', successor = ? WHERE id = ? AND kind IN ('session', 'superseded')",
            [new.blob, old.blob])
        // Nobody has the cookie of the one before.
        if let unseen { try dropSlot(unseen) }
        return done > 0
    }

    /// What a session was that was superseded by one whose cookie never came back. Says nothing about who has it now: its
    /// person must sign in first.
    public func openSuperseded(_ token: borrowing Token, at now: Instant) throws -> OpenSlot? {
        guard token.kind == .session else { return nil }
        return try openSlot(token, .session, stored: "superseded", at: now)
    }

    /// The cookie of this session has been seen: nothing opens what it came in place of any more.
    public func settle(_ session: OpenSlot) throws {
        _ = try changed("DELETE FROM slot WHERE successor = ?", [session.id.blob])
    }
}
