import Encoding
import Envelope
import GRDB
import OAuth
import Secrets

extension Rows {
    /// Sealed exactly as the connection's next generation would be, so that adopting it needs no key. When the
    /// connection has another key by now the entry is sealed to the vault: the old key may be in other hands.
    func journal(
        _ renewal: Renewal, for claim: Claim, key: borrowing Key<ConnectionRole>, current: Connection, adopted: Bool
    ) throws {
        let claimed = claim.connection
        let isKeySame = current.keyVersion == claimed.keyVersion
        let sealed =
            try isKeySame
            ? seal(renewal.credential, under: key, claimed.purpose(generation: claimed.generation + 1))
            : sealToVault(renewal.credential, of: claimed, in: current.vault)
        let id: ID<JournalKind> = random.id()
        let times = renewal.times
        _ = try changed(
            """
            INSERT INTO rotation_journal (id, connection, generation, key_version, credential, form, scopes,
                expires_at_ms, refresh_expires_at_ms, next_refresh_at_ms, received_at_ms, adopted)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
            """,
            [
                id.blob, claimed.id.blob, claimed.generation, claimed.keyVersion, sealed.blob,
                isKeySame ? "connection" : "vault", times.scopes, times.expiresAt, times.refreshExpiresAt,
                times.nextRefreshAt, times.receivedAt, adopted,
            ])
    }

    private func sealToVault(
        _ credential: Credential, of connection: Connection, in vault: VaultID
    ) throws -> [UInt8] {
        guard let row = try row("SELECT public_key, public_tag FROM vault WHERE id = ?", [vault.blob]) else {
            throw VaultError.conflict
        }
        let key = try trusted(row.bytes("public_key"), tag: row.bytes("public_tag"), "vault", vault.bytes)
        let purpose = Purpose.journal(connection.id, generation: connection.generation)
        return try credential.withEncoded { try HPKE.seal($0, to: key, info: purpose, purpose, random) }
    }

    /// Pairs in the journal whose connection has not moved since: adopted without any key. Returns how many. Run at the
    /// keeper's start; running it again changes nothing.
    public func adoptJournal() throws -> Int {
        let waiting = try rows(
            """
            SELECT j.*, c.lease_epoch AS epoch FROM rotation_journal j JOIN connection c ON c.id = j.connection
            WHERE j.adopted = 0 AND j.form = 'connection' AND c.generation = j.generation
                AND c.key_version = j.key_version
            ORDER BY j.received_at_ms
            """, [])
        var adopted = 0
        for entry in waiting {
            let id: ConnectionID = try entry.id("connection")
            // Of two entries for one generation the first moves the connection on.
            guard let current = try connection(id), current.generation == entry["generation"] as Int64 else { continue }
            try advance(
                current, to: current.generation + 1, credential: entry.bytes("credential"), RenewalTimes(entry),
                epochMoves: true)
            try markAdopted(entry)
            adopted += 1
        }
        return adopted
    }

    /// The provider refused what the connection holds: before a person is asked, the newest pair that lost an earlier
    /// race is tried. Each is adopted once. nil: there is none.
    public func adoptLatest(for claim: Claim, key: borrowing Key<ConnectionRole>) throws -> Int64? {
        let claimed = claim.connection
        guard let state = try refreshState(of: claimed.id), state.leaseEpoch == claim.epoch,
            state.connection.generation == claimed.generation, state.connection.keyVersion == claimed.keyVersion,
            let entry = try row(
                """
                SELECT * FROM rotation_journal
                WHERE connection = ? AND adopted = 0 AND form = 'connection' AND key_version = ?
                ORDER BY received_at_ms DESC LIMIT 1
                """, [claimed.id.blob, claimed.keyVersion])
        else { return nil }
        let issued: Int64 = entry["generation"]
        let next = claimed.generation + 1
        let opened = try Credential(
            decoding: AEAD.open(entry.bytes("credential"), under: key, claimed.purpose(generation: issued + 1)))
        let sealed = try seal(opened, under: key, claimed.purpose(generation: next))
        try advance(state.connection, to: next, credential: sealed, RenewalTimes(entry), epochMoves: true)
        try markAdopted(entry)
        return next
    }

    private func markAdopted(_ entry: Row) throws {
        let id: ID<JournalKind> = try entry.id("id")
        _ = try changed("UPDATE rotation_journal SET adopted = 1 WHERE id = ?", [id.blob])
    }

    /// Entries that nobody can or need adopt any more: taken ones, those of a key that is no longer the connection's
    /// (it may be in other hands), and old ones.
    public func sweepJournal(at now: Instant) throws -> Int {
        try changed(
            """
            DELETE FROM rotation_journal WHERE adopted = 1 OR received_at_ms <= ?
                OR (form = 'connection' AND key_version != (
                    SELECT key_version FROM connection WHERE connection.id = rotation_journal.connection))
            """, [now.adding(seconds: -30 * 86_400).milliseconds])
    }
}

extension RenewalTimes {
    fileprivate init(_ entry: Row) {
        scopes = entry.text("scopes")
        receivedAt = entry["received_at_ms"]
        (expiresAt, refreshExpiresAt) = (entry["expires_at_ms"], entry["refresh_expires_at_ms"])
        nextRefreshAt = entry["next_refresh_at_ms"]
        pause = nil
    }
}

enum JournalKind: IDKind { static let prefix = "j_" }
