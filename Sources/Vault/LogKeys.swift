import Encoding
import Envelope
import GRDB
import Secrets

// What is said of a connection's uses is sealed under its log key. The one of now lies in the credential, where everybody
// finds it who may use the connection. The vault has all that there ever were: its person reads what was said under them,
// whatever became of the connection, for as long as the record is kept.

enum LogKeyKind: IDKind { static let prefix = "k_" }
typealias LogKeyID = ID<LogKeyKind>

extension Rows {
    /// With every new connection key comes a new log key, so that whoever has an old one reads nothing of what is said from
    /// then on. The account is sealed under it once, here, and not at each use.
    func withNewLogKey(
        _ credential: Credential, of connection: ConnectionID, _ person: PersonID, in destination: Destination,
        at now: Instant
    ) throws -> Credential {
        let id: LogKeyID = random.id()
        let key = try Key<LogRole>(random: random)
        let account = try ActivityClaim.text("", "", credential.accountLabel.utf8).withUnsafeBytes {
            try AEAD.seal($0, under: key, Purpose.claim(connection), random)
        }
        let (box, form) = try give(
            key, to: destination, Purpose.logKey(id, of: connection, vault: destination.id, person: person))
        try endLogKeys(of: connection, at: now)
        _ = try changed(
            """
            INSERT INTO log_key (id, connection, vault, person, key, key_form, account, created_at_ms)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?)
            """,
            [
                id.blob, connection.blob, destination.id.blob, person.blob,
                try outerSeal(box, "log_key", id.bytes, "key").blob, form.rawValue, account.blob, now.milliseconds,
            ])
        var renewed = credential
        renewed.logKey = SecretText(try key.withUnsafeBytes { try SecretBytes(copying: $0) })
        renewed.accountClaim = account
        return renewed
    }

    /// Nothing more is recorded under them: from now on they only wait until what was is old enough to be forgotten.
    func endLogKeys(of connection: ConnectionID, at now: Instant) throws {
        _ = try changed(
            "UPDATE log_key SET ended_at_ms = ? WHERE connection = ? AND ended_at_ms IS NULL",
            [now.milliseconds, connection.blob])
    }

    /// What is under way when a key ends is recorded soon after.
    private static let lateSeconds: Int64 = 86_400

    /// Forgets at most `pruneAtOnce` keys under which nothing can be that has to be kept.
    func pruneLogKeys(before: Instant) throws -> Int {
        try changed(
            "DELETE FROM log_key WHERE id IN (SELECT id FROM log_key WHERE ended_at_ms < ? LIMIT ?)",
            [before.adding(seconds: -Self.lateSeconds).milliseconds, Self.pruneAtOnce])
    }

    /// What was said of a connection that is or was in this vault. Empty for one of another vault.
    public func log(of connection: ConnectionID, with vault: OpenVault) throws -> ActivityLog {
        let opener = LogKeyOpener(rows: self, vault: vault)
        let found = try rows(
            """
            SELECT id, connection, key, key_form, account, created_at_ms FROM log_key
            WHERE connection = ? AND vault = ? ORDER BY created_at_ms DESC
            """, [connection.blob, vault.id.blob])
        return ActivityLog(
            connection: connection, hasSealed: try found.contains { try $0.isSealed },
            eras: try found.compactMap { row in
                guard let key = try opener.open(row) else { return nil }
                return ActivityLog.Era(
                    key, since: row.instant("created_at_ms"), account: row.bytes("account"), of: connection)
            })
    }

    /// After their first opening: no later page pays for public-key operations.
    public func wrapLogKeys(of connection: ConnectionID, with vault: OpenVault) throws {
        guard try isCurrent(vault) else { return }
        let sealed = try rows(
            """
            SELECT id, connection, key, key_form FROM log_key WHERE connection = ? AND vault = ? AND key_form = 'sealed'
            """, [connection.blob, vault.id.blob])
        try move(sealed, of: vault, to: vault)
    }

    /// A vault has a new key, or has become part of another one. While its old pair is still there: some may be sealed to it.
    func moveLogKeys(of old: OpenVault, to new: OpenVault) throws {
        try move(
            rows("SELECT id, connection, key, key_form FROM log_key WHERE vault = ?", [old.id.blob]), of: old, to: new)
    }

    /// What does not open did not before, and stays.
    private func move(_ found: [Row], of old: OpenVault, to new: OpenVault) throws {
        let opener = LogKeyOpener(rows: self, vault: old)
        for row in found {
            guard let key = try opener.open(row) else { continue }
            let id: LogKeyID = try row.id("id")
            let purpose = Purpose.logKey(id, of: try row.id("connection"), vault: new.id, person: new.person)
            let wrapped = try AEAD.wrap(key.key, under: new.key, purpose, random)
            _ = try changed(
                "UPDATE log_key SET vault = ?, key = ?, key_form = 'wrapped' WHERE id = ? AND key = ?",
                [
                    new.id.blob, try outerSeal(wrapped, "log_key", id.bytes, "key").blob, id.blob,
                    row.bytes("key").blob,
                ])
        }
    }
}

extension Row {
    fileprivate var isSealed: Bool { get throws { try state("key_form") == KeyForm.sealed } }
}

final class LogKey: Sendable {
    let key: Key<LogRole>
    init(_ key: consuming Key<LogRole>) { self.key = key }
}

/// Opens log keys with a vault, whose pair is opened once and only where it is needed.
private final class LogKeyOpener {
    private final class Pair {
        let secret: PrivateKey
        init(_ secret: consuming PrivateKey) { self.secret = secret }
    }

    private let rows: Rows
    private let vault: OpenVault
    private var pair: Pair?

    init(rows: Rows, vault: OpenVault) { (self.rows, self.vault) = (rows, vault) }

    /// nil: it does not open, and did not before.
    func open(_ row: Row) throws -> LogKey? {
        let id: LogKeyID = try row.id("id")
        let purpose = Purpose.logKey(id, of: try row.id("connection"), vault: vault.id, person: vault.person)
        do {
            let inner = try rows.outerOpen(row.bytes("key"), "log_key", id.bytes, "key")
            guard try row.isSealed else {
                return LogKey(try AEAD.unwrap(inner, as: LogRole.self, under: vault.key, purpose))
            }
            let pair = try self.pair ?? Pair(rows.openPrivateKey(of: vault))
            self.pair = pair
            return LogKey(try HPKE.openKey(inner, as: LogRole.self, with: pair.secret, info: purpose, purpose))
        } catch EnvelopeError.doesNotOpen, EnvelopeError.malformed, EnvelopeError.unknownFormat {
            return nil
        }
    }
}
