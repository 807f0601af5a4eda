import Encoding
import Envelope
import OAuth
import Vault

/// The vault that a session has open, and the person's others.
public struct VaultView: Sendable {
    public let id: VaultID
    public let connections: Int64
    public let recovery: (id: SlotID, createdAt: Instant, checkedAt: Instant?)?
    /// How many open it without being a signed-in browser, which ends by itself.
    public let lasting: Int
    public let others: [VaultSummary]
}

/// What a recovery code that the person has at hand opens.
public enum CodeCheck: String, Sendable {
    case thisVault = "this-vault"
    case otherVault = "other-vault"
    case nothing
}

extension Broker {
    public func vault(of session: OpenSlot, at now: Instant) throws -> VaultView {
        try store.read { rows in
            VaultView(
                id: session.vault.id, connections: try rows.connectionCount(in: session.vault.id),
                recovery: try rows.recoveryCode(of: session.vault.id),
                lasting: try rows.holders(of: session.vault.id, at: now).count { $0.kind != .session },
                others: try rows.otherVaults(than: session.vault.id, of: session.person, at: now))
        }
    }

    /// Tries a code without using it for anything: the person wants to know that the paper is the right one.
    public func check(recoveryCode text: String, session: OpenSlot, at now: Instant) throws -> CodeCheck {
        guard let token = try? Token(parsing: text), token.kind == .recovery,
            let slot = try store.read({ try $0.openSlot(token, at: now) }), slot.person == session.person
        else { return .nothing }
        guard slot.vault.id == session.vault.id else { return .otherVault }
        try store.write { try $0.noteUse(of: slot.id, at: now) }
        return .thisVault
    }

    /// Drops what is kept ready of this person; who can go on all the same is the answer.
    public func lock(_ session: OpenSlot) throws -> (plugins: Int64, background: Int64) {
        keeper.forget(.person(session.person))
        return try store.read { try $0.openToOthers(of: session.person) }
    }

    /// When these holders go, does somebody else open their vault? If not, the person is told what goes with them, and
    /// gets a token to say it a second time.
    public func requireAnotherHolder(
        than going: [SlotID], by session: OpenSlot, confirm: String?, at now: Instant
    ) throws {
        let (lost, digest) = try store.read { try $0.wouldBeLost(without: going, of: session.person, at: now) }
        guard lost > 0 else { return }
        // To whom goes and to what is lost with them: a yes to one connection is none to two.
        let bound = going.map(\.bytes).sorted { $0.lexicographicallyPrecedes($1) }.flatMap { $0 } + digest
        if let confirm, try store.write({ try $0.useFormToken(confirm, slot: session.id, at: now) }) == bound { return }
        throw Refusal.lastHolder(
            connections: lost,
            confirm: try store.write { try $0.issueFormToken(slot: session.id, bound: bound, at: now) })
    }
}
