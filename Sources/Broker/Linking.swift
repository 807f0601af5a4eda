import Encoding
import Envelope
import OAuth
import Providers
import Vault

/// One of two vaults that are to become one, as the person sees it before they accept.
public struct LinkSide: Sendable {
    public struct Line: Sendable {
        public let provider: ProviderID
        public let providerName: String
        /// nil where it does not open.
        public let account: String?
        public let scopes: ScopeSet
    }

    /// As many as a page shows; `count` says how many there are.
    public let connections: [Line]
    public let count: Int
    public let holders: [Holder]
}

/// An offer, from the end that looks at it.
public struct LinkView: Sendable {
    public let link: Link
    /// This session was given the key, or is to be; otherwise it gives.
    public let isSecond: Bool
    /// Set when it is for this session to accept: its own vault, and the one that it becomes part of.
    public let sides: (here: LinkSide, there: LinkSide)?
    public let digest: [UInt8]?
}

/// A holder that no longer opens its vault, and asks to.
public struct UnlockView: Sendable {
    public let holder: Holder
    public let isInThisVault: Bool
    public let isOver: Bool
    public let matchCode: String
}

extension Broker {
    public func offerLink(_ session: OpenSlot, at now: Instant) throws -> (link: Link, code: String) {
        try requireFresh(session, at: now)
        return try store.write { try $0.offerLink(by: session, at: now) }
    }

    /// A code that is unknown, over, or another person's: the same answer.
    public func claimLink(code: String, session: OpenSlot, at now: Instant) throws -> LinkID {
        try requireFresh(session, at: now)
        switch try store.write({ try $0.claimLink(code: code, by: session, at: now) }) {
        case .claimed(let id): return id
        case .alreadyTogether: throw Refusal.alreadyLinked
        case .unknown: throw Refusal.notFound
        }
    }

    /// The moment at which the key is given away.
    public func sealLink(_ id: LinkID, session: OpenSlot, at now: Instant) throws {
        try requireFresh(session, at: now)
        try record(AuditRecord(.linkSealed, person: session.person, caller: session.id.text), at: now)
        guard try store.write({ try $0.sealLink(id, by: session, at: now) }) else { throw Refusal.notFound }
    }

    /// The recovery code of another vault, typed in this one's session: what a code from the other browser leads to, with
    /// the code itself as the proof.
    public func offerLink(recoveryCode: String, session: OpenSlot, at now: Instant) throws -> LinkID {
        guard let token = try? Token(parsing: recoveryCode), token.kind == .recovery,
            let other = try store.read({ try $0.openSlot(token, at: now) }), other.person == session.person
        else { throw Refusal.notFound }
        return try offerLink(from: try caughtUp(other, at: now), to: session, at: now)
    }

    /// A durable holder of another vault of the same person was shown in this session.
    public func offerLink(from other: OpenSlot, to session: OpenSlot, at now: Instant) throws -> LinkID {
        guard other.person == session.person else { throw Refusal.notFound }
        guard other.vault.id != session.vault.id else { throw Refusal.alreadyLinked }
        try record(AuditRecord(.linkSealed, person: session.person, caller: other.id.text), at: now)
        return try store.write { try $0.offerLink(from: other, to: session.id, of: session.vault, at: now) }
    }

    /// The same where it was shown to confirm who somebody is: the session goes on with its own vault, and /link has the
    /// offer.
    func offerLink(
        from other: OpenSlot?, to signedIn: SignedIn, of vault: OpenVault, _ rows: Rows, at now: Instant
    ) throws {
        guard let other, other.vault.id != vault.id else { return }
        try record(AuditRecord(.linkSealed, person: vault.person, caller: other.id.text), at: now)
        _ = try rows.offerLink(from: other, to: signedIn.session, of: vault, at: now)
    }

    public func cancelLink(_ id: LinkID, session: OpenSlot) throws {
        guard try store.write({ try $0.cancelLink(id, by: session) }) else { throw Refusal.notFound }
    }

    /// Bound to what was shown. A repetition of what was accepted is accepted.
    public func acceptLink(_ id: LinkID, digest: String, session: OpenSlot, at now: Instant) throws {
        guard let link = try store.read({ try $0.link(id) }), link.toSlot == session.id, link.expiresAt > now else {
            throw Refusal.notFound
        }
        guard link.status != .accepted else { return }
        guard let view = try view(of: link, session: session, at: now), let shown = view.digest else {
            throw Refusal.notFound
        }
        try requireFresh(session, at: now)
        guard Base64URL.decode(digest) == shown else { throw Refusal.changed }
        try record(AuditRecord(.linked, person: session.person, caller: session.id.text), at: now)
        keeper.forget(.vault(session.vault.id))
        guard try store.write({ try $0.acceptLink(id, by: session, covers: coverage, at: now) }) else {
            throw Refusal.changed
        }
    }

    public func links(_ session: OpenSlot, at now: Instant) throws -> [LinkView] {
        try store.read({ try $0.links(of: session, at: now) }).compactMap {
            try view(of: $0, session: session, at: now)
        }
    }

    private func view(of link: Link, session: OpenSlot, at now: Instant) throws -> LinkView? {
        let isSecond = link.toSlot == session.id
        guard isSecond, link.status == .sealed else {
            return LinkView(link: link, isSecond: isSecond, sides: nil, digest: nil)
        }
        return try store.read { rows in
            // The key has changed since: there is nothing to accept any more.
            guard let other = try rows.openLinked(link, by: session) else { return nil }
            let sides = (
                here: try side(session.vault, rows, at: now), there: try side(other, rows, at: now)
            )
            var shown = AssociatedData("toolshed/v1/link-page")
            shown.add(link.id)
            for side in [sides.here, sides.there] {
                shown.add(UInt64(side.count))
                for line in side.connections {
                    for part in [line.provider.json, line.account ?? "", line.scopes.text] { shown.add(part) }
                }
                for holder in side.holders { for part in [holder.id.text, holder.name] { shown.add(part) } }
            }
            let digest = try session.derived.derive(TagRole.self, label: "toolshed/v1/link-page").tag(shown)
            return LinkView(link: link, isSecond: true, sides: sides, digest: digest)
        }
    }

    private static let shownAtMost = 200

    private func side(_ vault: OpenVault, _ rows: Rows, at now: Instant) throws -> LinkSide {
        let all = try rows.connections(in: vault.id).filter { $0.supersededBy == nil }
        return LinkSide(
            connections: try all.prefix(Self.shownAtMost).map { connection in
                LinkSide.Line(
                    provider: connection.provider,
                    providerName: catalogue[connection.provider]?.name ?? connection.provider.json,
                    account: try rows.accountName(of: connection, in: vault), scopes: connection.scopes)
            }, count: all.count, holders: try rows.holders(of: vault.id, at: now))
    }
}

// MARK: A holder that no longer opens its vault

extension Broker {
    public func unlockView(_ id: RequestID, session: OpenSlot, at now: Instant) throws -> UnlockView {
        let (request, holder, vault) = try lockedOut(id, session: session)
        return UnlockView(
            holder: holder, isInThisVault: vault == session.vault.id, isOver: !request.isOpen(at: now),
            matchCode: Request.matchCode(of: id))
    }

    /// The person gives the holder their vault's key again.
    public func unlock(_ id: RequestID, session: OpenSlot, at now: Instant) throws {
        let (request, holder, _) = try lockedOut(id, session: session)
        if request.status == .completed { return }
        guard request.isOpen(at: now) else { throw Refusal.requestExpired }
        try requireFresh(session, at: now)
        try record(
            AuditRecord(
                .unlocked, person: session.person, caller: holder.id.text, callerKind: holder.kind.rawValue), at: now)
        try store.write { rows in
            guard try rows.unlock(holder.id, in: session.vault) else { throw Refusal.notFound }
            _ = try rows.end(request.idHash, as: .completed)
        }
    }

    private func lockedOut(
        _ id: RequestID, session: OpenSlot
    ) throws -> (request: Request, holder: Holder, vault: VaultID) {
        guard let request = try store.read({ try $0.request(id) }), request.person == session.person,
            let slot = SlotID(bytes: request.caller),
            let (holder, vault) = try store.read({ try $0.holder(slot, of: session.person) })
        else { throw Refusal.notFound }
        return (request, holder, vault)
    }
}
