import Encoding
import Envelope
import OAuth
import Providers
import Secrets
import Settings
import Vault

/// Everything that the page `/authorize` shows about a client that asks to be let in, as one value.
public struct ClientConsent: Sendable {
    public struct Connection: Sendable {
        public let provider: String
        public let account: String?
        public let scopes: ScopeSet
    }

    public let client: OAuthClient
    public let redirect: RedirectURI
    public let signedInAs: String
    public let scopes: ScopeSet
    public let resource: String
    /// What it can use from the moment of Approve.
    public let connections: [Connection]
    /// Whether this person was ever asked about it before.
    public let isFirst: Bool

    /// Anybody can register under any name, and a document vouches for its own host only: the first time, and where the
    /// code leaves this computer, that is said on a page of its own (W-PHISH-1).
    public var needsWarning: Bool { isUnverified && isFirst && redirect.kind != .loopback }

    /// Nobody stands for where the code goes.
    public var isUnverified: Bool {
        switch client.kind {
        case .builtIn: false
        case .registered: true
        case .document: redirect.kind != .loopback && redirect.host != client.host
        }
    }

    /// Every program on this computer can receive what is sent to loopback (B-CIMD-7).
    public var isLoopbackOnly: Bool { client.redirectURIs.allSatisfy { $0.kind == .loopback } }

    public func lines() -> [(scope: String, text: String)] {
        Self.lines(scopes, isCommandLine: client.id == Broker.commandLineClient)
    }

    static func lines(_ scopes: ScopeSet, isCommandLine: Bool) -> [(scope: String, text: String)] {
        scopes.names.map { ($0, ClientScope(rawValue: $0)?.words(isCommandLine: isCommandLine) ?? $0) }
    }

    /// Binds a decision to what was shown, under a key of the session.
    func digest(for session: OpenSlot, challenge: String) throws -> [UInt8] {
        var data = AssociatedData("toolshed/v1/client-consent")
        for part in [
            client.id, client.kind.rawValue, client.name, redirect.text, signedInAs, scopes.text, resource, challenge,
            "\(needsWarning)", "\(isUnverified)", "\(isLoopbackOnly)",
        ] { data.add(part) }
        for connection in connections {
            for part in [connection.provider, connection.account ?? "", connection.scopes.text] { data.add(part) }
        }
        return try session.derived.derive(TagRole.self, label: "toolshed/v1/client-consent").tag(data)
    }
}

/// What there is to show, or where to go without asking.
public enum ClientConsentAnswer: Sendable {
    case ask(ClientConsent, digest: String, formToken: String)
    /// The client asked for something that cannot be: it is told so by redirect.
    case refuse(ClientReturn)
}

/// The way back to a client (RFC 6749 section 4.1.2), always with `iss` (RFC 9207).
public struct ClientReturn: Sendable {
    public let location: String
    public let clientName: String
    public let destination: String
    /// Otherwise the person clicks a link: neither a stranger's registration nor a stranger's document must make us
    /// redirect to anywhere (B-AUT-9).
    public let goesByItself: Bool
    public let error: OAuthError?
}

public struct ClientDecision: Sendable {
    public enum Verdict: String, CaseIterable, Sendable { case approve, decline }

    public let verdict: Verdict
    public let query: AuthorizationQuery
    public let digest: String
    public let formToken: String

    public init(verdict: Verdict, query: AuthorizationQuery, digest: String, formToken: String) {
        (self.verdict, self.query, self.digest, self.formToken) = (verdict, query, digest, formToken)
    }
}

extension Broker {
    /// `GET /api/authorize`: what the page shows. Changes nothing that anybody could tell, so clients may look ahead.
    public func clientConsent(
        _ query: AuthorizationQuery, session: OpenSlot, at now: Instant
    ) throws -> Step<ClientConsentAnswer> {
        try client(query.clientID, for: session.person, at: now).then(self) { broker, asking in
            let client = asking.client
            guard let redirect = client.redirect(for: query.redirectURI) else { throw Refusal.redirectMismatch }
            if let error = try broker.objection(to: query, from: client) {
                return .done(.refuse(broker.answer(error, query, client, redirect)))
            }
            let consent = try broker.consent(query, client, redirect, session: session)
            let digest = try consent.digest(for: session, challenge: query.challenge)
            let token = try broker.store.write { try $0.issueFormToken(slot: session.id, bound: digest, at: now) }
            return .done(.ask(consent, digest: Base64URL.encode(digest), formToken: token))
        }
    }

    /// `POST /api/authorize`: the click.
    public func decide(
        _ decision: ClientDecision, session: OpenSlot, at now: Instant
    ) throws -> Step<ClientReturn> {
        try client(decision.query.clientID, for: session.person, at: now).then(self) { broker, asking in
            let (client, query) = (asking.client, decision.query)
            guard let redirect = client.redirect(for: query.redirectURI) else { throw Refusal.redirectMismatch }
            if let error = try broker.objection(to: query, from: client) {
                return .done(broker.answer(error, query, client, redirect))
            }
            if decision.verdict == .approve { try broker.requireFresh(session, at: now) }
            let consent = try broker.consent(query, client, redirect, session: session)
            let digest = try consent.digest(for: session, challenge: query.challenge)
            let bound = try broker.store.write { try $0.useFormToken(decision.formToken, slot: session.id, at: now) }
            guard let bound, bound == digest, Base64URL.decode(decision.digest) == bound else { throw Refusal.changed }
            switch decision.verdict {
            case .decline:
                let error = OAuthError(.accessDenied, "the person declined")
                return .done(broker.answer(error, query, client, redirect))
            case .approve:
                return .done(try broker.letIn(consent, asking.document, query, session: session, at: now))
            }
        }
    }

    /// A family begins: the code opens the vault of this session for a minute, and the client may use what was listed.
    private func letIn(
        _ consent: ClientConsent, _ document: ClientDocument.Read?, _ query: AuthorizationQuery, session: OpenSlot,
        at now: Instant
    ) throws -> ClientReturn {
        let client = consent.client
        let isCommandLine = client.id == Self.commandLineClient
        let code = try store.write { rows in
            if let document { try rows.store(document: document, of: client.id, at: now) }
            let grant = try rows.insert(
                NewClientGrant(
                    client: client.id, kind: isCommandLine ? .cli : .mcp, name: client.shownName,
                    destination: consent.redirect.destination, scope: consent.scopes, resource: consent.resource),
                of: session.person, at: now)
            for connection in try inUse(session, rows) {
                try rows.allow(connection.id, for: grant, of: session.person)
            }
            try record(
                AuditRecord(
                    .clientApproved, person: session.person, caller: grant.text,
                    callerKind: isCommandLine ? "cli" : "mcp", scopes: consent.scopes.text), at: now)
            return try rows.issueCode(
                for: grant, named: client.shownName, scope: consent.scopes, redirectURI: consent.redirect.text,
                challenge: query.challenge, from: session.vault, at: now)
        }
        let parameters = [("code", code.withString { $0 })] + back(query)
        return ClientReturn(
            location: consent.redirect.adding(parameters, escape: Percent.encode), clientName: client.shownName,
            destination: consent.redirect.destination, goesByItself: true, error: nil)
    }

    private func consent(
        _ query: AuthorizationQuery, _ client: OAuthClient, _ redirect: RedirectURI, session: OpenSlot
    ) throws -> ClientConsent {
        let isCommandLine = client.id == Self.commandLineClient
        return try store.read { rows in
            ClientConsent(
                client: client, redirect: redirect, signedInAs: try rows.person(session.person)?.name ?? "",
                scopes: isCommandLine ? ClientScope.all : ClientScope.agents,
                resource: settings.resource(of: client),
                connections: try openConnections(session, rows),
                isFirst: try !rows.hasGrant(client: client.id, of: session.person))
        }
    }

    /// What whoever is let in could use at once.
    func openConnections(_ session: OpenSlot, _ rows: Rows) throws -> [ClientConsent.Connection] {
        try inUse(session, rows).map { connection in
            ClientConsent.Connection(
                provider: catalogue[connection.provider]?.name ?? connection.provider.json,
                account: try account(of: connection, session: session, rows), scopes: connection.scopes)
        }
    }

    /// What waits for the person's Keep, or gave way to another, is nobody's.
    private func inUse(_ session: OpenSlot, _ rows: Rows) throws -> [Connection] {
        try rows.connections(of: session.person).filter {
            $0.vault == session.vault.id && $0.status != .unused && $0.supersededBy == nil
        }
    }

    /// What stands in the way of asking at all, in the words of RFC 6749 section 4.1.2.1.
    private func objection(to query: AuthorizationQuery, from client: OAuthClient) throws -> OAuthError? {
        if let error = query.error { return error }
        do throws(OAuthError) {
            _ = try resource(query.resources, for: client)
        } catch {
            return error
        }
        guard client.may("authorization_code") else {
            return OAuthError(.unauthorizedClient, "this client may not use the authorization code grant")
        }
        // Nobody is let in without a click, so where no page may be shown there is no way (B-AUT-6).
        if query.prompts.contains("none"), client.kind != .registered {
            return OAuthError(.consentRequired, "a person must approve on the page")
        }
        return nil
    }

    private func answer(
        _ error: OAuthError, _ query: AuthorizationQuery, _ client: OAuthClient, _ redirect: RedirectURI
    ) -> ClientReturn {
        let parameters = [("error", error.code.rawValue), ("error_description", error.description)] + back(query)
        return ClientReturn(
            location: redirect.adding(parameters, escape: Percent.encode), clientName: client.shownName,
            destination: redirect.destination, goesByItself: client.kind == .builtIn, error: error)
    }

    private func back(_ query: AuthorizationQuery) -> [(name: String, value: String)] {
        (query.state.map { [("state", $0)] } ?? []) + [("iss", settings.origin)]
    }
}

extension OAuthClient {
    /// A name for people, where the client gave none.
    public var shownName: String { name.isEmpty ? "An unnamed client" : name }
}
