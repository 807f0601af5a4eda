import Encoding
import Envelope
import OAuth
import Providers
import Secrets
import Settings
import Vault

/// What `/device` shows before anything is decided: who waits, from where, and what it would get.
public struct DeviceConsent: Sendable {
    public let request: DeviceRequest
    public let clientName: String
    public let signedInAs: String
    public let scopes: ScopeSet
    public let connections: [ClientConsent.Connection]

    public func lines() -> [(scope: String, text: String)] { ClientConsent.lines(scopes, isCommandLine: true) }

    func digest(for session: OpenSlot) throws -> [UInt8] {
        var data = AssociatedData("toolshed/v1/device-consent")
        data.add(request.id)
        for part in [clientName, signedInAs, request.address, scopes.text] { data.add(part) }
        for connection in connections {
            for part in [connection.provider, connection.account ?? "", connection.scopes.text] { data.add(part) }
        }
        return try session.derived.derive(TagRole.self, label: "toolshed/v1/device-consent").tag(data)
    }
}

public struct DeviceDecision: Sendable {
    public let verdict: ClientDecision.Verdict
    public let userCode: String
    public let digest: String
    public let formToken: String

    public init(verdict: ClientDecision.Verdict, userCode: String, digest: String, formToken: String) {
        (self.verdict, self.userCode, self.digest, self.formToken) = (verdict, userCode, digest, formToken)
    }
}

extension Broker {
    public static let deviceGrant = "urn:ietf:params:oauth:grant-type:device_code"

    /// Off for clients that anybody could have made, and where the operator says so: a code that is typed says nothing of
    /// where it leads.
    private func requireDeviceGrant(_ client: OAuthClient) throws(OAuthError) {
        guard settings.allowsDeviceGrant, client.kind == .builtIn, client.may(Self.deviceGrant) else {
            throw OAuthError(.unauthorizedClient, "this client may not use the device grant")
        }
    }

    /// `POST /device_authorization`
    public func beginDevice(
        _ form: TokenForm, client: OAuthClient, from address: String, at now: Instant
    ) throws -> (code: SecretText, userCode: String) {
        try requireDeviceGrant(client)
        if let objection = try resources(of: form, client) { throw objection }
        return try store.write { try $0.beginDevice(client: client.id, from: address, at: now) }
    }

    /// The letters were typed, in a sign-in that is fresh; wrong ones are counted.
    public func deviceConsent(
        userCode: String, session: OpenSlot, from address: String, at now: Instant
    ) throws -> (document: DeviceConsent, digest: String, formToken: String) {
        try requireFresh(session, at: now)
        let consent = try waiting(userCode, session: session, from: address, at: now)
        let digest = try consent.digest(for: session)
        let token = try store.write { try $0.issueFormToken(slot: session.id, bound: digest, at: now) }
        return (consent, Base64URL.encode(digest), token)
    }

    public func decide(
        _ decision: DeviceDecision, session: OpenSlot, from address: String, at now: Instant
    ) throws {
        if decision.verdict == .approve { try requireFresh(session, at: now) }
        let consent = try waiting(decision.userCode, session: session, from: address, at: now)
        let digest = try consent.digest(for: session)
        let bound = try store.write { try $0.useFormToken(decision.formToken, slot: session.id, at: now) }
        guard let bound, bound == digest, Base64URL.decode(decision.digest) == bound else { throw Refusal.changed }
        guard decision.verdict == .approve else { return try store.write { try $0.deny(consent.request) } }
        try store.write { rows in
            let grant = try rows.insert(
                NewClientGrant(
                    client: consent.request.client, kind: .cli, name: consent.clientName,
                    destination: consent.request.address, scope: consent.scopes, resource: settings.origin),
                of: session.person, at: now)
            try record(
                AuditRecord(
                    .clientApproved, person: session.person, caller: grant.text, callerKind: "cli",
                    scopes: consent.scopes.text), at: now)
            try rows.approve(consent.request, as: grant, named: consent.clientName, from: session.vault, at: now)
        }
    }

    private func waiting(
        _ text: String, session: OpenSlot, from address: String, at now: Instant
    ) throws -> DeviceConsent {
        guard try store.read({ try $0.mayTryUserCode(session.id, from: address, at: now) }) else {
            throw Refusal.rateLimited(retryAfter: 600)
        }
        let request = try UserCode.read(text).flatMap { code in
            try store.read { try $0.deviceRequest(userCode: code, at: now) }
        }
        guard let request, settings.allowsDeviceGrant, let client = try knownClient(request.client, at: now) else {
            try store.write { try $0.noteWrongUserCode(session.id, from: address, at: now) }
            throw Refusal.notFound
        }
        return try store.read { rows in
            DeviceConsent(
                request: request, clientName: client.shownName,
                signedInAs: try rows.person(session.person)?.name ?? "", scopes: ClientScope.all,
                connections: try openConnections(session, rows))
        }
    }

    /// `POST /token` with a device code: not yet, no, too late, or the token, once (RFC 8628 section 3.5).
    public func redeemDevice(_ form: TokenForm, client: OAuthClient, at now: Instant) throws -> IssuedTokens {
        try requireDeviceGrant(client)
        let refused = OAuthError(.invalidGrant, "the device code is unknown, used or another client's")
        let text = try form.required("device_code")
        guard let token = try? Token(parsing: text), token.kind == .device else { throw refused }
        let outcome = try store.write { rows -> Result<IssuedTokens, OAuthError> in
            guard let request = try rows.deviceRequest(token), request.client == client.id else {
                return .failure(refused)
            }
            guard request.expiresAt > now else {
                return .failure(OAuthError(.expiredToken, "nobody typed the code in time: begin again"))
            }
            switch request.status {
            case .pending:
                return try rows.poll(request, at: now)
                    ? .failure(OAuthError(.authorizationPending, "nobody has typed the code yet"))
                    : .failure(OAuthError(.slowDown, "wait five seconds longer between two requests"))
            case .denied:
                _ = try rows.endDevice(request.id)
                return .failure(OAuthError(.accessDenied, "the person declined"))
            case .approved:
                guard let id = request.grant, let grant = try rows.clientGrant(id),
                    let slot = try rows.openSlot(token, at: now), try rows.endDevice(request.id)
                else { return .failure(refused) }
                return .success(try rows.issueCommandLineToken(for: grant, from: slot.vault, at: now))
            }
        }
        return try outcome.get()
    }
}
