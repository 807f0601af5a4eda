import Encoding
import Envelope
import GRDB
import Secrets

/// A holder who has shown its secret, and whose slot no longer opens the vault: known, and with nothing to open.
public final class LockedSlot: Sendable {
    public let id: SlotID
    public let kind: HolderKind
    public let name: String
    public let person: PersonID
    public let vault: VaultID
    public let derived: Key<DerivedRole>

    init(
        id: SlotID, kind: HolderKind, name: String, person: PersonID, vault: VaultID,
        derived: consuming Key<DerivedRole>
    ) {
        (self.id, self.kind, self.name, self.person, self.vault) = (id, kind, name, person, vault)
        self.derived = derived
    }
}

extension Rows {
    /// The secret opens the slot's own private half, whatever has become of the vault key. nil: it is nobody's.
    func lockedSlot(_ token: borrowing Token, at now: Instant) throws -> LockedSlot? {
        let row = try row(
            """
            SELECT kind, name, person, vault, made_for, salt, private_key FROM slot
            WHERE id = ?1 AND vault IS NOT NULL AND (expires_at_ms IS NULL OR expires_at_ms > ?2)
                AND (idle_limit_ms IS NULL OR last_used_at_ms + idle_limit_ms > ?2)
            """, [token.id.blob, now.milliseconds])
        guard let row, HolderKind(token.kind)?.rawValue == row.text("kind") else { return nil }
        let kind: HolderKind = try row.state("kind")
        do {
            let derived = try token.derivedKey(salt: row.bytes("salt"), vault: row.id("made_for"))
            let wrapped = try minuteOpen(
                outerOpen(row.bytes("private_key"), "slot", token.id.bytes, "private_key"), kind, token.id,
                "private_key")
            _ = try PrivateKey.unwrap(wrapped, under: derived, Purpose.slotPrivate(token.id, kind: kind))
            return LockedSlot(
                id: token.id, kind: kind, name: row.text("name"), person: try row.id("person"),
                vault: try row.id("vault"), derived: derived)
        } catch EnvelopeError.doesNotOpen {
            return nil
        }
    }

    /// Gives a holder of this vault, which can no longer open it, the key again. false: it is none of this vault's.
    public func unlock(_ slot: SlotID, in vault: OpenVault) throws -> Bool {
        guard try isCurrent(vault) else { throw VaultError.conflict }
        let row = try row(
            "SELECT public_key, public_tag FROM slot WHERE id = ? AND vault = ? AND person = ?",
            [slot.blob, vault.id.blob, vault.person.blob])
        guard let row else { return false }
        let publicKey = try trusted(row.bytes("public_key"), tag: row.bytes("public_tag"), "slot", slot.bytes)
        try give(keyOf: vault, to: slot, publicKey)
        return true
    }
}
