import Encoding
import Envelope
import OAuth
import Providers
import Vault

extension Broker {
    /// A holder of a vault, by a token that is not a browser's.
    public func holder(_ token: borrowing Token, at now: Instant) throws -> OpenCaller? {
        guard let caller = try store.read({ try $0.openCaller(token, at: now) }) else { return nil }
        guard case .holder(let slot) = caller else { return caller }
        return .holder(try caughtUp(slot, at: now))
    }

    /// A form that opens faster the next time. Where nothing can be stored just now, as on a full disk, the one that is there
    /// does as well.
    func keepOpened(_ slot: OpenSlot) {
        if slot.isSealed { try? store.write { try $0.wrapVaultKey(of: slot) } }
    }

    /// What was put off until this vault is open comes before anything else that the request does. Nearly always there is
    /// nothing: two look-ups.
    func caughtUp(_ slot: OpenSlot, at now: Instant) throws -> OpenSlot {
        keepOpened(slot)
        let found = try store.read { try $0.unsettled(in: slot.vault.id) }
        guard !found.isEmpty else { return slot }
        do {
            return try settle(found, slot, at: now)
        } catch VaultError.conflict {
            // Another request of this vault was faster.
            return slot
        }
    }

    private func settle(_ found: Unsettled, _ slot: OpenSlot, at now: Instant) throws -> OpenSlot {
        if found.vault {
            keeper.forget(.vault(slot.vault.id))
            let rekeyed = try store.write { try $0.replaceKey(of: slot.vault, covers: coverage, at: now) }
            return try slot.with(rekeyed.vault)
        }
        for connection in found.rekey {
            try rekey(connection, background: connection.background, vault: slot.vault, at: now)
        }
        for connection in found.merge {
            try store.write { try $0.settleArrival(connection.id, in: slot.vault, covers: coverage, at: now) }
        }
        // The keeper does it when it can; its plan is in the row.
        for connection in found.renew where connection.status == .active {
            guard let current = try store.read({ try $0.connection(connection.id) }) else { continue }
            let key = try store.read { ConnectionKey(try $0.openKey(of: current, with: slot.vault)) }
            keeper.hold(current.id, current.generation, key, true)
        }
        return slot
    }

    /// Whether something was put off that a caller of this vault would now see differently.
    func hasUnsettled(_ vault: VaultID) throws -> Bool { try store.read { try !$0.unsettled(in: vault).isEmpty } }

    /// A provider that is no longer in the catalogue has scopes that are compared as they are.
    var coverage: Coverage {
        { [catalogue] provider, approved, token in
            catalogue[provider].map { $0.missing(from: approved, for: token).isEmpty } ?? token.isSubset(of: approved)
        }
    }
}
