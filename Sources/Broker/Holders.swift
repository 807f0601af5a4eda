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

/// Who is to go; looked up when it happens, because what a client holds comes and goes.
enum Leaving {
    case slots([SlotID])
    case client(ClientGrantID)
    /// Of what a client was given any slot takes all of them along.
    case holder(SlotID)

    func slots(_ rows: Rows) throws -> [SlotID] {
        switch self {
        case .slots(let ids): ids
        case .client(let id): try rows.holders(of: id)
        case .holder(let id): try rows.clientGrant(holding: id).map { try rows.holders(of: $0) } ?? [id]
        }
    }
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

    /// Takes holders away where somebody else opens their vault. If nobody does, the person is told what goes with them, and
    /// gets a token to say it a second time. One transaction: of two that go at the same moment the second is the last.
    func takeAway<Result>(
        _ going: Leaving, by session: OpenSlot, confirm: String?, at now: Instant,
        _ remove: (Rows) throws -> Result
    ) throws -> Result {
        let (removed, refusal): (Result?, Refusal?) = try store.write { rows in
            let slots = try going.slots(rows)
            let (lost, digest) = try rows.wouldBeLost(without: slots, of: session.person, at: now)
            // To whom goes and to what is lost with them: a yes to one connection is none to two.
            let bound = slots.map(\.bytes).sorted { $0.lexicographicallyPrecedes($1) }.flatMap { $0 } + digest
            let isSure = try confirm.map { try rows.useFormToken($0, slot: session.id, at: now) == bound } ?? false
            guard lost > 0, !isSure else { return (try remove(rows), nil) }
            let confirm = try rows.issueFormToken(slot: session.id, bound: bound, at: now)
            return (nil, .lastHolder(connections: lost, confirm: confirm))
        }
        guard let removed else { throw refusal ?? .unavailable }
        return removed
    }
}
