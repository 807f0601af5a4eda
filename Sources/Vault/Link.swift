import Encoding
import Envelope
import GRDB
import OAuth
import Secrets

// Two vaults of one person become one (docs/LINKING.md):
//
//   offered ──the code typed in the other browser──▶ claimed ──the first browser seals its vault key──▶ sealed
//           ──the other browser accepts──▶ accepted
//
// Each arrow is one transaction, and a repetition of any finds it done.

public enum LinkKind: IDKind { public static let prefix = "l_" }
public typealias LinkID = ID<LinkKind>

public enum LinkStatus: String, Sendable { case offered, claimed, sealed, accepted }

public struct Link: Sendable {
    public let id: LinkID
    public let person: PersonID
    public let status: LinkStatus
    /// The vault that stays; its key is given away.
    public let from: VaultID
    public let fromSlot: SlotID
    public let fromName: String
    /// The vault that becomes part of it, and the one session that is given the key.
    public let to: VaultID?
    public let toSlot: SlotID?
    public let createdAt: Instant
    public let expiresAt: Instant
    let keyVersion: Int64
    let codeTag: [UInt8]?
    let vaultKey: [UInt8]?

    init(_ row: Row) throws {
        id = try row.id("id")
        person = try row.id("person")
        status = try row.state("status")
        from = try row.id("from_vault")
        fromSlot = try row.id("from_slot")
        fromName = row.text("from_name")
        to = row.optionalID("to_vault")
        toSlot = row.optionalID("to_slot")
        createdAt = row.instant("created_at_ms")
        expiresAt = row.instant("expires_at_ms")
        keyVersion = row["key_version"]
        codeTag = row.optionalBytes("code_tag")
        vaultKey = row.optionalBytes("vault_key")
    }
}

/// Eight characters that one person reads from one screen and types on another: 40 bits in Crockford's alphabet, which
/// has nothing that looks like something else.
public enum LinkCode {
    private static let alphabet = Array("0123456789ABCDEFGHJKMNPQRSTVWXYZ")
    public static let length = 8

    static func make(_ random: Randomness) -> String {
        String(random.bytes(length).map { alphabet[Int($0 & 31)] })
    }

    /// As a person may type it: in either case, with spaces or hyphens, O for 0, I or L for 1. nil: it cannot be one.
    public static func parse(_ typed: String) -> String? {
        let read = typed.uppercased().compactMap { character -> Character? in
            switch character {
            case " ", "-", "\u{2010}"..."\u{2015}", "\u{A0}": nil
            case "O": "0"
            case "I", "L": "1"
            default: character
            }
        }
        return read.count == length && read.allSatisfy(alphabet.contains) ? String(read) : nil
    }
}

public enum LinkClaim: Sendable {
    case claimed(LinkID)
    /// The code is one of this session's own vault.
    case alreadyTogether
    case unknown
}

extension Rows {
    static let linkCodeSeconds: Int64 = 600
    static let linkAcceptSeconds: Int64 = 86_400
    static let linkTries = 5

    /// A code for the person to type in another browser. What this session offered before ends.
    public func offerLink(by session: OpenSlot, at now: Instant) throws -> (link: Link, code: String) {
        guard try isCurrent(session.vault) else { throw VaultError.conflict }
        _ = try changed(
            "DELETE FROM link WHERE from_slot = ? AND status IN ('offered', 'claimed')", [session.id.blob])
        let id: LinkID = random.id()
        let code = LinkCode.make(random)
        _ = try changed(
            """
            INSERT INTO link (id, person, status, from_vault, from_slot, from_name, key_version, code_tag, created_at_ms,
                expires_at_ms)
            VALUES (?, ?, 'offered', ?, ?, ?, ?, ?, ?, ?)
            """,
            [
                id.blob, session.person.blob, session.vault.id.blob, session.id.blob, session.name,
                session.vault.version, keys.tags.tag(Purpose.linkCode(id, code)).blob, now.milliseconds,
                now.adding(seconds: Self.linkCodeSeconds).milliseconds,
            ])
        guard let link = try link(id) else { throw VaultError.conflict }
        return (link, code)
    }

    /// The person typed a code. A wrong one counts against every offer that it could have been meant for.
    public func claimLink(code typed: String, by session: OpenSlot, at now: Instant) throws -> LinkClaim {
        let open = try rows(
            """
            SELECT * FROM link WHERE person = ? AND status IN ('offered', 'claimed', 'sealed') AND expires_at_ms > ?
                AND code_tag IS NOT NULL AND tries < ?
            """, [session.person.blob, now.milliseconds, Self.linkTries]
        ).map(Link.init)
        let code = LinkCode.parse(typed) ?? ""
        let found = open.first { link in
            keys.tags.matches(link.codeTag ?? [], Purpose.linkCode(link.id, code))
        }
        guard let found else {
            _ = try changed(
                "UPDATE link SET tries = tries + 1 WHERE person = ? AND status = 'offered'", [session.person.blob])
            _ = try changed(
                "DELETE FROM link WHERE person = ? AND status = 'offered' AND tries >= ?",
                [session.person.blob, Self.linkTries])
            return .unknown
        }
        // Typed twice: it is done.
        if found.toSlot == session.id { return .claimed(found.id) }
        if found.from == session.vault.id { return .alreadyTogether }
        let done = try changed(
            "UPDATE link SET status = 'claimed', to_vault = ?, to_slot = ? WHERE id = ? AND status = 'offered'",
            [session.vault.id.blob, session.id.blob, found.id.blob])
        return done == 1 ? .claimed(found.id) : .unknown
    }

    /// The first session gives its vault key to the one slot that the code was typed in. false: there is nothing to seal.
    public func sealLink(_ id: LinkID, by session: OpenSlot, at now: Instant) throws -> Bool {
        guard let link = try link(id), link.fromSlot == session.id, link.expiresAt > now,
            link.from == session.vault.id, link.keyVersion == session.vault.version, try isCurrent(session.vault)
        else { return false }
        if link.status == .sealed || link.status == .accepted { return true }
        guard link.status == .claimed, let to = link.to, let toSlot = link.toSlot else { return false }
        let sealed = try seal(session.vault, to: toSlot, in: to, link: id, from: session.id)
        return try changed(
            """
            UPDATE link SET status = 'sealed', vault_key = ?, expires_at_ms = ? WHERE id = ? AND status = 'claimed'
            """, [sealed.blob, now.adding(seconds: Self.linkAcceptSeconds).milliseconds, id.blob]) == 1
    }

    /// A holder of another vault of the same person was shown in this session (a recovery code, a passkey): the same
    /// offer, without the code.
    public func offerLink(
        from other: OpenSlot, to slot: SlotID, of vault: OpenVault, at now: Instant
    ) throws -> LinkID {
        guard other.person == vault.person, other.vault.id != vault.id, try isCurrent(other.vault), try isCurrent(vault)
        else { throw VaultError.conflict }
        _ = try changed(
            "DELETE FROM link WHERE to_slot = ? AND from_vault = ? AND status = 'sealed'",
            [slot.blob, other.vault.id.blob])
        let id: LinkID = random.id()
        let sealed = try seal(other.vault, to: slot, in: vault.id, link: id, from: other.id)
        _ = try changed(
            """
            INSERT INTO link (id, person, status, from_vault, from_slot, from_name, key_version, to_vault, to_slot,
                vault_key, created_at_ms, expires_at_ms)
            VALUES (?, ?, 'sealed', ?, ?, ?, ?, ?, ?, ?, ?, ?)
            """,
            [
                id.blob, vault.person.blob, other.vault.id.blob, other.id.blob, other.name, other.vault.version,
                vault.id.blob, slot.blob, sealed.blob, now.milliseconds,
                now.adding(seconds: Self.linkAcceptSeconds).milliseconds,
            ])
        return id
    }

    private func seal(
        _ vault: OpenVault, to slot: SlotID, in to: VaultID, link: LinkID, from: SlotID
    ) throws -> [UInt8] {
        let row = try row("SELECT public_key, public_tag FROM slot WHERE id = ? AND vault = ?", [slot.blob, to.blob])
        guard let row else { throw VaultError.conflict }
        let publicKey = try trusted(row.bytes("public_key"), tag: row.bytes("public_tag"), "slot", slot.bytes)
        let purpose = Purpose.linkKey(
            link, from: vault.id, to: to, fromSlot: from, toSlot: slot, version: vault.version)
        let sealed = try HPKE.sealKey(vault.key, to: publicKey, info: purpose, purpose, keyID: 0, random)
        // The offer may be declined, or its time be over: what was given stays so.
        _ = try changed(
            "INSERT INTO link_given (slot, vault) VALUES (?, ?) ON CONFLICT DO NOTHING",
            [slot.blob, vault.id.blob])
        return try outerSeal(sealed, "link", link.bytes, "vault_key")
    }

    public func link(_ id: LinkID) throws -> Link? {
        try row("SELECT * FROM link WHERE id = ?", [id.blob]).map(Link.init)
    }

    /// What concerns this session: what its vault offers, and what it was given.
    public func links(of session: OpenSlot, at now: Instant) throws -> [Link] {
        try rows(
            """
            SELECT * FROM link WHERE person = ? AND (from_slot = ? OR to_slot = ?) AND expires_at_ms > ?
            ORDER BY created_at_ms, id
            """, [session.person.blob, session.id.blob, session.id.blob, now.milliseconds]
        ).map(Link.init)
    }

    /// The vault that this session was given the key of; nil when the key has changed since, or it is another's.
    public func openLinked(_ link: Link, by session: OpenSlot) throws -> OpenVault? {
        guard link.status == .sealed, link.toSlot == session.id, let to = link.to, to == session.vault.id,
            let box = link.vaultKey,
            let row = try row("SELECT private_key FROM slot WHERE id = ?", [session.id.blob])
        else { return nil }
        let wrapped = try outerOpen(row.bytes("private_key"), "slot", session.id.bytes, "private_key")
        let pair = try PrivateKey.unwrap(
            wrapped, under: session.derived, Purpose.slotPrivate(session.id, kind: session.kind))
        let purpose = Purpose.linkKey(
            link.id, from: link.from, to: to, fromSlot: link.fromSlot, toSlot: session.id, version: link.keyVersion)
        let inner = try outerOpen(box, "link", link.id.bytes, "vault_key")
        let key = try HPKE.openKey(inner, as: VaultRole.self, with: pair, info: purpose, purpose)
        let vault = OpenVault(id: link.from, person: link.person, version: link.keyVersion, key: key)
        return try isCurrent(vault) ? vault : nil
    }

    /// The offers of a session go on in the one that replaces it. What it was given is sealed to its own pair, so it is
    /// sealed anew to the new one's; the time that is left stays the same.
    func handLinks(of old: OpenSlot, over to: SlotID) throws {
        _ = try changed(
            "UPDATE link SET from_slot = ? WHERE from_slot = ? AND status IN ('offered', 'claimed')",
            [to.blob, old.id.blob])
        // What the browser was given once it was given, whichever session it has now.
        _ = try changed("UPDATE link_given SET slot = ? WHERE slot = ?", [to.blob, old.id.blob])
        let taken = try rows("SELECT * FROM link WHERE to_slot = ?", [old.id.blob]).map(Link.init)
        for link in taken {
            let box = try openLinked(link, by: old).map {
                try seal($0, to: to, in: old.vault.id, link: link.id, from: link.fromSlot)
            }
            guard link.status != .sealed || box != nil else { continue }
            _ = try changed(
                "UPDATE link SET to_slot = ?, vault_key = ? WHERE id = ?", [to.blob, box?.blob, link.id.blob])
        }
    }

    /// This session's vault becomes part of the other one. false: there is nothing to accept (any more).
    public func acceptLink(_ id: LinkID, by session: OpenSlot, covers: Coverage, at now: Instant) throws -> Bool {
        guard let link = try link(id), link.toSlot == session.id, link.expiresAt > now else { return false }
        if link.status == .accepted { return true }
        guard let vault = try openLinked(link, by: session) else { return false }
        // The row says so before the rest, because the merge ends the offers of the vault that goes.
        _ = try changed(
            "UPDATE link SET status = 'accepted', vault_key = NULL, code_tag = NULL, to_vault = NULL WHERE id = ?",
            [id.blob])
        try merge(session.vault, into: vault, covers: covers, at: now)
        return true
    }

    /// Either end may; what was accepted stays so. false: there is no such offer for this session.
    public func cancelLink(_ id: LinkID, by session: OpenSlot) throws -> Bool {
        try changed(
            """
            DELETE FROM link WHERE id = ? AND person = ? AND status != 'accepted'
                AND (from_vault = ? OR to_slot = ?)
            """, [id.blob, session.person.blob, session.vault.id.blob, session.id.blob]) == 1
    }
}
