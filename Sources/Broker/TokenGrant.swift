import Encoding
import Envelope
import OAuth
import Settings
import Vault

/// `POST /token` (RFC 6749): what a client shows, and what it gets for it. Each grant is one transaction; what is used up
/// stays used up also where the answer is an error.
extension Broker {
    /// The client that sends this, or `invalid_client` (B-TOK-2, B-TOK-3).
    public func authenticate(_ credentials: ShownCredentials, at now: Instant) throws -> OAuthClient {
        let refused = OAuthError(
            .invalidClient, "this client is not known, or its secret is wrong: register again",
            triedBasic: credentials.method == .basic)
        guard let id = credentials.clientID else {
            throw OAuthError(.invalidRequest, "client_id is missing")
        }
        guard let client = try knownClient(id, at: now), client.isAuthenticated(by: credentials) else { throw refused }
        return client
    }

    public func redeemCode(_ form: TokenForm, client: OAuthClient, at now: Instant) throws -> IssuedTokens {
        guard client.may("authorization_code") else {
            throw OAuthError(.unauthorizedClient, "this client may not use this grant")
        }
        let refused = OAuthError(.invalidGrant, "the code is unknown, used, expired or another client's")
        let text = try form.required("code")
        guard let token = try? Token(parsing: text), token.kind == .code else { throw refused }
        let resources = try self.resources(of: form, client)
        let outcome = try store.write { rows -> Result<IssuedTokens, OAuthError> in
            guard let code = try rows.clientToken(token) else { return .failure(refused) }
            guard try rows.endCode(code, at: now) else {
                // Shown twice: one of the two who had it was not meant to. Nothing of it stays (RFC 6749 section 4.1.2).
                try end(code.grant, because: .codeReplayed, rows, at: now)
                return .failure(refused)
            }
            defer { try? rows.dropSlot(code.id) }
            guard code.expiresAt > now, code.grant.client == client.id else { return .failure(refused) }
            if let named = form["redirect_uri"], named != code.redirectURI {
                return .failure(OAuthError(.invalidGrant, "redirect_uri differs from the one of the request"))
            }
            guard Self.proves(form["code_verifier"], challenge: code.challenge) else {
                return .failure(OAuthError(.invalidGrant, "code_verifier does not fit the code_challenge"))
            }
            guard resources == nil else { return .failure(resources!) }
            guard let slot = try rows.openSlot(token, at: now) else { return .failure(refused) }
            return .success(try issue(for: code.grant, client, scope: code.scope, from: slot.vault, rows, at: now))
        }
        return try outcome.get()
    }

    private func issue(
        for grant: ClientGrant, _ client: OAuthClient, scope: ScopeSet, from vault: OpenVault, _ rows: Rows,
        at now: Instant
    ) throws -> IssuedTokens {
        switch grant.kind {
        case .cli: try rows.issueCommandLineToken(for: grant, from: vault, at: now)
        case .mcp:
            try rows.issueTokens(
                for: grant, scope: scope, refreshScope: client.may("refresh_token") ? scope : nil, from: vault, at: now)
        }
    }

    /// Every refresh gives a new refresh token; the old one gets the same answer again for a minute, and after that it
    /// ends the family (B-RT-1, B-RT-2).
    public func refresh(_ form: TokenForm, client: OAuthClient, at now: Instant) throws -> IssuedTokens {
        guard client.may("refresh_token") else {
            throw OAuthError(.unauthorizedClient, "this client may not use this grant")
        }
        let refused = OAuthError(.invalidGrant, "the refresh token is unknown, expired, used or another client's")
        let text = try form.required("refresh_token")
        guard let token = try? Token(parsing: text), token.kind == .refresh else { throw refused }
        if let objection = try resources(of: form, client) { throw objection }
        let outcome = try store.write { rows -> Result<IssuedTokens, OAuthError> in
            guard let old = try rows.clientToken(token), old.grant.client == client.id, old.grant.expiresAt > now
            else { return .failure(refused) }
            if let ended = old.endedAt {
                do {
                    if let again = try rows.successor(of: old, token: token, at: now) { return .success(again) }
                } catch EnvelopeError.doesNotOpen {
                    // The key of the minute is gone with its keeper; that is nobody's theft.
                    return .failure(refused)
                }
                guard now.milliseconds - ended.milliseconds >= Rows.graceMilliseconds else { return .failure(refused) }
                try end(old.grant, because: .refreshReplayed, rows, at: now)
                return .failure(refused)
            }
            guard old.expiresAt > now, let slot = try rows.openSlot(token, at: now) else { return .failure(refused) }
            var scope = old.scope
            if let asked = form["scope"] {
                let narrowed = ScopeSet(asked.split(separator: " ").map(String.init)).intersection(old.scope)
                guard !narrowed.isEmpty else {
                    return .failure(OAuthError(.invalidScope, "none of these scopes was granted"))
                }
                scope = narrowed
            }
            let issued = try rows.issueTokens(
                for: old.grant, scope: scope, refreshScope: old.scope, from: slot.vault, at: now)
            guard try rows.supersede(old, token: token, by: issued, at: now) else { throw VaultError.conflict }
            return .success(issued)
        }
        return try outcome.get()
    }

    /// RFC 7636 section 4.6, in constant time.
    private static func proves(_ verifier: String?, challenge: String?) -> Bool {
        guard let verifier, let challenge, PKCE.isVerifier(verifier) else { return false }
        let computed = PKCE.challenge(verifier: verifier, sha256: { sha256($0) })
        return constantTimeEqual(computed, challenge)
    }

    /// What is wrong with the `resource` of a token request, if anything.
    func resources(of form: TokenForm, _ client: OAuthClient) throws -> OAuthError? {
        let asked = form.all("resource")
        let parsed = asked.compactMap { ResourceIndicator(parsing: $0) }
        guard parsed.count == asked.count else {
            return OAuthError(.invalidTarget, "resource must be an absolute URI without a fragment")
        }
        do throws(OAuthError) {
            _ = try resource(parsed, for: client)
            return nil
        } catch {
            return error
        }
    }

    /// A family that was used by two ends at once.
    func end(_ grant: ClientGrant, because event: AuditEvent, _ rows: Rows, at now: Instant) throws {
        _ = try rows.removeClientGrant(grant.id)
        try record(
            AuditRecord(event, person: grant.person, caller: grant.id.text, callerKind: grant.kind.rawValue), at: now)
    }
}

/// In constant time for a given length.
private func constantTimeEqual(_ left: String, _ right: String) -> Bool {
    let (left, right) = (Array(left.utf8), Array(right.utf8))
    guard left.count == right.count else { return false }
    return zip(left, right).reduce(0) { $0 | ($1.0 ^ $1.1) } == 0
}
