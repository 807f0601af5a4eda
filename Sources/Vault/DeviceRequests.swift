import Encoding
import Envelope
import GRDB
import OAuth
import Secrets

/// A program without a browser, waiting for its code to be typed.
public struct DeviceRequest: Sendable {
    public enum Status: String, Sendable { case pending, approved, denied }

    public let id: SlotID
    public let client: String
    public let address: String
    public let status: Status
    public let grant: ClientGrantID?
    public let interval: Int64
    public let polledAt: Instant?
    public let createdAt: Instant
    public let expiresAt: Instant
    let salt: [UInt8]
    let publicKey: [UInt8]
    let publicTag: [UInt8]
    let privateKey: [UInt8]

    init(_ row: Row) throws {
        id = try row.id("id")
        client = row.text("client")
        address = row.text("address")
        status = try row.state("status")
        grant = row.optionalID("client_grant")
        interval = row["interval_s"]
        polledAt = row.optionalInstant("polled_at_ms")
        createdAt = row.instant("created_at_ms")
        expiresAt = row.instant("expires_at_ms")
        salt = row.bytes("salt")
        publicKey = row.bytes("public_key")
        publicTag = row.bytes("public_tag")
        privateKey = row.bytes("private_key")
    }
}

/// Eight letters that a person types: no vowels, so no words, and nothing that looks like a digit (RFC 8628 section 6.1).
public enum UserCode {
    static let alphabet = Array("BCDFGHJKLMNPQRSTVWXZ")
    static let count = 8

    /// Every letter equally likely: bytes beyond the last multiple of 20 are thrown away.
    static func random(_ random: Randomness) -> String {
        var letters = ""
        while letters.count < count {
            for byte in random.bytes(16) where letters.count < count && byte < 240 {
                letters.append(alphabet[Int(byte) % alphabet.count])
            }
        }
        return letters
    }

    /// As it may be typed: in any case, with hyphens and spaces. nil: no code of ours.
    public static func read(_ text: String) -> String? {
        guard text.utf8.count <= 40 else { return nil }
        let letters = text.uppercased().filter { $0 != "-" && !$0.isWhitespace }
        return letters.count == count && letters.allSatisfy(alphabet.contains) ? letters : nil
    }

    /// `XXXX-XXXX`
    public static func shown(_ code: String) -> String { code.prefix(4) + "-" + code.suffix(4) }
}

extension Rows {
    public static let deviceLifetime: Int64 = 600

    /// The device code, and the letters that its user types.
    public func beginDevice(
        client: String, from address: String, at now: Instant
    ) throws -> (code: SecretText, userCode: String) {
        let token = try Token(issuing: .device, id: random.id(), random)
        let userCode = UserCode.random(random)
        let salt = random.bytes(32)
        let pair = try PrivateKey(random: random)
        let publicKey = try pair.publicKey
        // There is no vault yet that it could belong to.
        let derived = try token.derivedKey(salt: salt, vault: nil)
        let wrapped = try pair.wrap(under: derived, Purpose.slotPrivate(token.id, kind: .device), random)
        let inner = try minuteSeal(wrapped, .device, token.id, "private_key")
        _ = try changed(
            """
            INSERT INTO device_request (id, secret_hash, user_code_tag, client, address, salt, public_key, public_tag,
                private_key, status, created_at_ms, expires_at_ms)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 'pending', ?, ?)
            """,
            [
                token.id.blob, token.fingerprint().blob, keys.tags.tag(Purpose.userCode(userCode)).blob, client,
                address, salt.blob, publicKey.bytes.blob,
                keys.tags.tag(Purpose.publicKey(of: "slot", token.id.bytes, publicKey)).blob,
                try outerSeal(inner, "device_request", token.id.bytes, "private_key").blob, now.milliseconds,
                now.adding(seconds: Self.deviceLifetime).milliseconds,
            ])
        return (try token.text(), userCode)
    }

    /// What waits under these letters, if it still does.
    public func deviceRequest(userCode: String, at now: Instant) throws -> DeviceRequest? {
        try row(
            "SELECT * FROM device_request WHERE user_code_tag = ? AND status = 'pending' AND expires_at_ms > ?",
            [keys.tags.tag(Purpose.userCode(userCode)).blob, now.milliseconds]
        ).map(DeviceRequest.init)
    }

    public func deviceRequest(_ token: borrowing Token) throws -> DeviceRequest? {
        let row = try row("SELECT * FROM device_request WHERE id = ?", [token.id.blob])
        guard let row, constantTimeEquals(row.bytes("secret_hash"), token.fingerprint()) else { return nil }
        return try DeviceRequest(row)
    }

    /// The vault's key, sealed to the pair of whoever holds the device code: a slot that lives as long as the request.
    public func approve(
        _ request: DeviceRequest, as grant: ClientGrantID, named name: String, from vault: OpenVault, at now: Instant
    ) throws {
        guard try isCurrent(vault) else { throw VaultError.conflict }
        let publicKey = try trusted(request.publicKey, tag: request.publicTag, "slot", request.id.bytes)
        let inner = try outerOpen(request.privateKey, "device_request", request.id.bytes, "private_key")
        _ = try changed(
            """
            INSERT INTO slot (id, kind, name, person, vault, made_for, salt, public_key, public_tag, vault_tag, private_key, vault_key,
                vault_key_form, created_at_ms, signed_in_at_ms, last_used_at_ms, expires_at_ms, client_grant)
            VALUES (?, ?, ?, ?, ?, x'', ?, ?, ?, x'', ?, x'', 'sealed', ?, ?, ?, ?, ?)
            """,
            [
                request.id.blob, HolderKind.device.rawValue, name, vault.person.blob, vault.id.blob, request.salt.blob,
                request.publicKey.blob, request.publicTag.blob,
                try outerSeal(inner, "slot", request.id.bytes, "private_key").blob, now.milliseconds, now.milliseconds,
                now.milliseconds, request.expiresAt.milliseconds, grant.blob,
            ])
        try give(keyOf: vault, to: request.id, publicKey)
        guard try settleDevice(request.id, as: .approved, grant) else { throw VaultError.conflict }
    }

    public func deny(_ request: DeviceRequest) throws { _ = try settleDevice(request.id, as: .denied, nil) }

    private func settleDevice(_ id: SlotID, as status: DeviceRequest.Status, _ grant: ClientGrantID?) throws -> Bool {
        try changed(
            "UPDATE device_request SET status = ?, client_grant = ? WHERE id = ? AND status = 'pending'",
            [status.rawValue, grant?.blob, id.blob]) == 1
    }

    /// Faster than the interval: it grows by five seconds and the answer is false (RFC 8628 section 3.5).
    public func poll(_ request: DeviceRequest, at now: Instant) throws -> Bool {
        let early = request.polledAt.map { now.milliseconds - $0.milliseconds < request.interval * 1000 - 100 } ?? false
        _ = try changed(
            "UPDATE device_request SET polled_at_ms = ?, interval_s = ? WHERE id = ?",
            [now.milliseconds, early ? min(request.interval + 5, 60) : request.interval, request.id.blob])
        return !early
    }

    /// Once: whoever is first takes it, and with it the slot.
    public func endDevice(_ id: SlotID) throws -> Bool {
        try dropSlot(id)
        return try changed("DELETE FROM device_request WHERE id = ?", [id.blob]) == 1
    }

    /// Five wrong codes of one session, thirty of one address, in ten minutes (B-DEV-3).
    public func mayTryUserCode(_ slot: SlotID, from address: String, at now: Instant) throws -> Bool {
        let since = now.milliseconds - 600_000
        let mine: Int =
            try row("SELECT count(*) AS n FROM device_try WHERE slot = ? AND at_ms > ?", [slot.blob, since])?["n"] ?? 0
        let near: Int =
            try row("SELECT count(*) AS n FROM device_try WHERE address = ? AND at_ms > ?", [address, since])?["n"] ?? 0
        return mine < 5 && near < 30
    }

    public func noteWrongUserCode(_ slot: SlotID, from address: String, at now: Instant) throws {
        _ = try changed(
            "INSERT INTO device_try (slot, address, at_ms) VALUES (?, ?, ?)", [slot.blob, address, now.milliseconds])
    }
}
