import Encoding
import Envelope
import GRDB
import OAuth

/// The minutes that somebody is at another party to sign in, or to confirm that it is still them. The browser's cookie holds everything that is secret about it:
/// nonce and PKCE verifier are made from it.
public struct SignInUnderWay: Sendable {
    public let provider: ProviderID
    public let redirectURI: String
    /// The session that it confirms; nil where there is none yet.
    public let slot: SlotID?
    public let beganAt: Instant
    public let expiresAt: Instant
    let cookieHash: [UInt8]

    public func began(with cookie: [UInt8]) -> Bool { cookieHash == sha256(cookie) }
}

extension Rows {
    public func beginSignIn(
        at provider: ProviderID, confirming slot: SlotID?, state: [UInt8], cookie: [UInt8], redirectURI: String,
        at now: Instant
    ) throws {
        _ = try changed(
            """
            INSERT INTO sign_in (state_hash, cookie_hash, provider, redirect_uri, slot, began_at_ms, expires_at_ms)
            VALUES (?, ?, ?, ?, ?, ?, ?)
            """,
            [
                sha256(state).blob, sha256(cookie).blob, provider.json, redirectURI, slot?.blob, now.milliseconds,
                now.adding(seconds: 600).milliseconds,
            ])
    }

    /// Uses the state up. nil: never begun, or used.
    public func endSignIn(state: [UInt8]) throws -> SignInUnderWay? {
        let hash = sha256(state)
        guard
            let row = try row(
                """
                SELECT cookie_hash, provider, redirect_uri, slot, began_at_ms, expires_at_ms FROM sign_in
                WHERE state_hash = ?
                """, [hash.blob]),
            try changed("DELETE FROM sign_in WHERE state_hash = ?", [hash.blob]) == 1
        else { return nil }
        return SignInUnderWay(
            provider: try row.provider("provider"), redirectURI: row.text("redirect_uri"),
            slot: row.optionalID("slot"), beganAt: row.instant("began_at_ms"), expiresAt: row.instant("expires_at_ms"),
            cookieHash: row.bytes("cookie_hash"))
    }
}
