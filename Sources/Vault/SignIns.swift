import Encoding
import Envelope
import GRDB
import OAuth

/// The minutes that somebody is at another party to sign in. The browser's cookie holds everything that is secret about it:
/// nonce and PKCE verifier are made from it.
public struct SignInUnderWay: Sendable {
    public let provider: ProviderID
    public let redirectURI: String
    public let expiresAt: Instant
    let cookieHash: [UInt8]

    public func began(with cookie: [UInt8]) -> Bool { cookieHash == sha256(cookie) }
}

extension Rows {
    public func beginSignIn(
        at provider: ProviderID, state: [UInt8], cookie: [UInt8], redirectURI: String, expiresAt: Instant
    ) throws {
        _ = try changed(
            "INSERT INTO sign_in (state_hash, cookie_hash, provider, redirect_uri, expires_at_ms) VALUES (?, ?, ?, ?, ?)",
            [
                sha256(state).blob, sha256(cookie).blob, provider.json, redirectURI, expiresAt.milliseconds,
            ])
    }

    /// Uses the state up. nil: never begun, or used.
    public func endSignIn(state: [UInt8]) throws -> SignInUnderWay? {
        let hash = sha256(state)
        guard
            let row = try row(
                "SELECT cookie_hash, provider, redirect_uri, expires_at_ms FROM sign_in WHERE state_hash = ?",
                [hash.blob]),
            try changed("DELETE FROM sign_in WHERE state_hash = ?", [hash.blob]) == 1
        else { return nil }
        return SignInUnderWay(
            provider: try row.provider("provider"), redirectURI: row.text("redirect_uri"),
            expiresAt: row.instant("expires_at_ms"), cookieHash: row.bytes("cookie_hash"))
    }
}
