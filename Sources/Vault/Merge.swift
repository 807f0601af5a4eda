import Encoding
import Envelope
import GRDB
import OAuth
import Secrets

/// What decides between two connections of one account, better last: one that works, then more scopes, then newer.
struct Worth: Comparable {
    let isLive: Bool
    let scopes: Int
    let obtainedAt: Instant

    init(_ connection: Connection, at now: Instant) {
        let isOver = !connection.refreshable && (connection.expiresAt.map { $0 <= now } ?? false)
        isLive = connection.status != .reauthorize && !isOver
        scopes = connection.scopes.count
        obtainedAt = connection.obtainedAt
    }

    static func < (one: Worth, other: Worth) -> Bool {
        if one.isLive != other.isLive { return other.isLive }
        if one.scopes != other.scopes { return one.scopes < other.scopes }
        return one.obtainedAt < other.obtainedAt
    }
}

extension Rows {
    /// Everything of `from` becomes part of `into`: connections under new keys, holders by their public keys, and what is
    /// on its way. One transaction: before it nothing has happened, after it everything has.
    func merge(_ from: OpenVault, into vault: OpenVault, covers: Coverage, at now: Instant) throws {
        guard from.id != vault.id, from.person == vault.person, try isCurrent(from), try isCurrent(vault) else {
            throw VaultError.conflict
        }
        let before = try connections(in: vault.id)
        let known = Set(before.map(\.provider))
        for connection in try connections(in: from.id) {
            guard let credential = try openWhole(connection, with: from) else {
                // It did not open before either; it stays in the list, to be deleted.
                _ = try changed(
                    "UPDATE connection SET vault = ? WHERE id = ?", [vault.id.blob, connection.id.blob])
                continue
            }
            try transfer(connection, credential, to: vault, background: connection.background, at: now) {
                covers(connection.provider, $0, $1)
            }
            // Of two accounts the person has chosen between neither here: none becomes the default by linking.
            if known.contains(connection.provider) {
                _ = try changed("UPDATE connection SET is_default = 0 WHERE id = ?", [connection.id.blob])
            }
        }
        try moveLogKeys(of: from, to: vault)
        try uniteAccounts(in: vault, whichHad: Set(before.map(\.id)), covers: covers, at: now)
        _ = try giveHolders(of: from, keyOf: vault)
        // Whoever was given the key of the vault that goes may know the tokens that came along.
        _ = try changed(
            "UPDATE OR IGNORE link_given SET vault = ? WHERE vault = ?", [vault.id.blob, from.id.blob])
        // Consents that are under way, and those who wait for them.
        _ = try changed("UPDATE request SET vault = ? WHERE vault = ?", [vault.id.blob, from.id.blob])
        _ = try changed("UPDATE authorization SET vault = ? WHERE vault = ?", [vault.id.blob, from.id.blob])
        // An approval of the last minute names the vault in what it is bound to: the page is shown once more.
        _ = try changed(
            "DELETE FROM once WHERE purpose = 'approval' AND slot IN (SELECT id FROM slot WHERE person = ?)",
            [from.person.blob])
        _ = try changed(
            "UPDATE vault SET merged_into = ?1, merged_at_ms = ?2, rekey_pending = 0 WHERE id = ?3 OR merged_into = ?3",
            [vault.id.blob, now.milliseconds, from.id.blob])
        // A holder lost on that side had the key of what has just been given new ones.
        _ = try changed(
            "DELETE FROM link WHERE status != 'accepted' AND (from_vault = ?1 OR to_vault = ?1)", [from.id.blob])
    }

    /// Where both sides have an account, the better connection of the two stays in use. What the person connected twice on
    /// one side stays two.
    private func uniteAccounts(
        in vault: OpenVault, whichHad before: Set<ConnectionID>, covers: Coverage, at now: Instant
    ) throws {
        let all = try connections(in: vault.id).filter { $0.status != .unused && $0.accountTag != nil }
        let groups = Dictionary(grouping: all) { "\($0.provider.json) \(Hex.encode($0.accountTag ?? []))" }
        for group in groups.values {
            let sorted = group.sorted { Worth($0, at: now) > Worth($1, at: now) }
            let pairs = zip(
                sorted.filter { before.contains($0.id) }, sorted.filter { !before.contains($0.id) })
            for (one, other) in pairs { try supersede([one, other], in: vault, covers: covers, at: now) }
        }
    }

    /// A consent that came back to a locked vault: now that it is open, is its account here already? Then they are
    /// united, and the person is not asked whether they meant it.
    public func settleArrival(_ id: ConnectionID, in vault: OpenVault, covers: Coverage, at now: Instant) throws {
        guard try isCurrent(vault), let arrived = try connection(id), arrived.vault == vault.id else { return }
        let credential = try openCredential(of: arrived, with: openKey(of: arrived, with: vault))
        let tag = try accountTag(provider: arrived.provider, accountID: credential.accountID, in: vault)
        _ = try changed(
            "UPDATE connection SET account_tag = ?, merge_pending = 0 WHERE id = ?", [tag.blob, id.blob])
        let same = try connections(in: vault.id, provider: arrived.provider).filter {
            $0.id != id && $0.accountTag == tag
        }
        guard let best = same.max(by: { Worth($0, at: now) < Worth($1, at: now) }) else { return }
        try keepRefreshToken(of: best, in: arrived, credential, with: vault)
        guard let arrived = try connection(id) else { return }
        try supersede([best, arrived], in: vault, covers: covers, at: now)
    }

    /// What the flow itself does where the vault is open when the provider's answer comes (`Credential.keepsRefreshToken`).
    private func keepRefreshToken(
        of old: Connection, in arrived: Connection, _ credential: Credential, with vault: OpenVault
    ) throws {
        let kept = try openCredential(of: old, with: openKey(of: old, with: vault))
        guard credential.keepsRefreshToken(of: kept), !old.isUnderWay else { return }
        var credential = credential
        credential.refreshToken = kept.refreshToken
        let sealed = try seal(credential, under: openKey(of: arrived, with: vault), arrived.credentialPurpose)
        // The keeper makes its own plan once it has renewed it; until then it is due when it ends.
        _ = try changed(
            """
            UPDATE connection SET credential = ?, refreshable = 1, refresh_expires_at_ms = ?,
                next_refresh_at_ms = expires_at_ms
            WHERE id = ?
            """, [sealed.blob, old.refreshExpiresAt?.milliseconds, arrived.id.blob])
    }

    private func supersede(_ same: [Connection], in vault: OpenVault, covers: Coverage, at now: Instant) throws {
        guard let best = same.max(by: { Worth($0, at: now) < Worth($1, at: now) }) else { return }
        // What the person decided about the account holds for whichever connection of it is used.
        let isPaused = same.contains { $0.status == .paused }
        let status = isPaused ? ConnectionStatus.paused : best.status == .unused ? .active : best.status
        _ = try changed(
            "UPDATE connection SET status = ?, is_default = ? WHERE id = ?",
            [status.rawValue, same.contains(where: \.isDefault), best.id.blob])
        let key = try openKey(of: best, with: vault)
        for other in same where other.id != best.id {
            _ = try changed(
                """
                UPDATE connection SET status = 'unused', is_default = 0, superseded_by = ?, superseded_at_ms = ?,
                    renew_pending = 0
                WHERE id = ?
                """, [best.id.blob, now.milliseconds, other.id.blob])
            // Those that were waiting their turn behind it now wait behind the better one.
            _ = try changed(
                "UPDATE connection SET superseded_by = ? WHERE superseded_by = ?", [best.id.blob, other.id.blob])
            try handOver(other, to: best, key, covers: covers, at: now)
        }
    }

    /// Whoever used the one goes on with the other: OAuth clients, and plugins where what was approved for them covers its
    /// token.
    private func handOver(
        _ old: Connection, to new: Connection, _ key: borrowing Key<ConnectionRole>, covers: Coverage, at now: Instant
    ) throws {
        _ = try changed(
            """
            INSERT INTO client_connection (client_grant, connection)
            SELECT client_grant, ? FROM client_connection WHERE connection = ? ON CONFLICT DO NOTHING
            """, [new.id.blob, old.id.blob])
        let there = Set(try approvals(of: new.id).filter { $0.status != .outgrown }.map(\.plugin))
        for approval in try approvals(of: old.id) where approval.status == .live && !there.contains(approval.plugin) {
            if covers(new.provider, approval.scopes, new.scopes) {
                try approve(approval.plugin, for: new, key: key, scopes: approval.scopes, at: now)
            } else {
                try noteOutgrown(approval.plugin, for: new, scopes: approval.scopes, at: now)
            }
        }
    }

    /// The better one turned out to be dead before it was ever used: the one that was kept takes its place again.
    func standIn(for connection: ConnectionID) throws {
        _ = try changed(
            """
            UPDATE connection SET status = 'active', superseded_by = NULL, superseded_at_ms = NULL
            WHERE superseded_by = ?
            """, [connection.blob])
    }
}
