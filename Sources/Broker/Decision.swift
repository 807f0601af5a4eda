import Encoding
import Envelope
import OAuth
import Providers
import Vault

/// `POST /api/connect`: the click.
public struct Decision: Sendable {
    public enum Verdict: String, CaseIterable, Sendable { case approve, decline }

    public let verdict: Verdict
    public let digest: String
    /// With the scopes that were left ticked.
    public let link: ConnectLink
    public let alsoFor: [String]
    public let formToken: String
    /// What the person typed where the provider gives out keys.
    public let key: TypedKey?

    public init(
        verdict: Verdict, digest: String, link: ConnectLink, alsoFor: [String], formToken: String, key: TypedKey? = nil
    ) {
        (self.verdict, self.digest, self.link) = (verdict, digest, link)
        (self.alsoFor, self.formToken, self.key) = (alsoFor, formToken, key)
    }
}

extension Broker {
    /// Where the browser goes next: the provider's page by way of `login`, or the page that says how it ended.
    public func decide(_ decision: Decision, session: OpenSlot, at now: Instant) throws -> Step<String> {
        // What the page showed is bound to its token; the decision says what is left of it.
        let shown = try store.read { try $0.shownConsent(decision.formToken, slot: session.id, at: now) }
        let link = ConnectLink(
            provider: decision.link.provider, scopes: shown?.scopes ?? decision.link.scopes,
            request: decision.link.request, connection: decision.link.connection, separate: decision.link.separate)
        let full = try self.consent(for: link, session: session, at: now)
        guard let shown, full.provider.canonical(decision.link.scopes).isSubset(of: full.asked) else {
            throw Refusal.changed
        }
        if decision.verdict == .approve, full.provider.keyRules != nil { try decision.key?.check(full.provider) }
        guard try store.write({ try $0.useFormToken(decision.formToken, slot: session.id, at: now) }) != nil,
            shown.digest == (try full.document.digest(for: session)), Base64URL.decode(decision.digest) == shown.digest,
            !full.document.isFinished
        else {
            throw Refusal.changed
        }
        switch decision.verdict {
        case .decline: return .done(try decline(full, session: session, at: now))
        case .approve:
            guard full.document.beyondLimits.isEmpty else { throw Refusal.notPermitted(.beyondLimits) }
            let consent = try full.leaving(full.asked.subtracting(full.provider.canonical(decision.link.scopes)))
            let plugins = try chosenPlugins(decision, consent)
            let clients = chosenClients(decision, consent)
            guard consent.document.needsProvider else {
                return .done(try share(consent, plugins: plugins, clients: clients, session: session, at: now))
            }
            let approved = try self.approved(consent, plugins: plugins, clients: clients, session: session)
            guard consent.provider.keyRules == nil else {
                guard let key = decision.key else { throw Refusal.invalidRequest([TypedKey.missing]) }
                return try takeKey(key, consent, approved, session: session, at: now)
            }
            return .done(try sendToProvider(consent, approved, session: session, at: now))
        }
    }

    /// What the person left out is a no to the caller that asked, for a day; what they approved is no longer one.
    func remember(_ consent: Consent, _ rows: Rows, at now: Instant) throws {
        guard let request = consent.request else { return }
        try rows.forgetDeclines(
            person: request.person, caller: request.caller, provider: consent.provider.id, scopes: consent.asked.names)
        try rows.decline(
            consent.left, caller: request.caller, person: request.person, provider: consent.provider.id,
            until: now.adding(seconds: Rows.declineLifetime))
    }

    /// The requester, and those of the shown others that the person ticked.
    private func chosenPlugins(_ decision: Decision, _ consent: Consent) throws -> [PluginID] {
        let offered = Set(consent.document.others.map(\.id))
        let fixed = Set(consent.document.others.filter(\.locked).map(\.id))
        guard decision.alsoFor.allSatisfy(offered.contains) else {
            throw Refusal.invalidRequest([MemberError("alsoFor", "ids that the page offered")])
        }
        let ticked = decision.alsoFor.filter { !fixed.contains($0) }.compactMap { PluginID(parsing: $0) }
        guard let request = consent.request, request.callerKind == .plugin, let id = PluginID(bytes: request.caller)
        else {
            return ticked
        }
        return [id] + ticked
    }

    /// The agent that asked, and those of the shown others that the person ticked.
    private func chosenClients(_ decision: Decision, _ consent: Consent) -> [ClientGrantID] {
        let ticked = decision.alsoFor.compactMap { ClientGrantID(parsing: $0) }
        guard let request = consent.request, request.callerKind == .access,
            let id = ClientGrantID(bytes: request.caller)
        else { return ticked }
        return [id] + ticked.filter { $0 != id }
    }

    private func decline(_ consent: Consent, session: OpenSlot, at now: Instant) throws -> String {
        let granted = consent.existing?.scopes ?? .empty
        let refused = consent.provider.missing(from: granted, for: consent.asked)
        let outcome = self.outcome(consent, session: session, status: .declined, message: "declined")
        try record(
            AuditRecord(
                .declined, person: session.person, provider: consent.provider.id.json,
                caller: consent.document.requester?.id, scopes: consent.asked.text), at: now)
        try store.write { rows in
            if let request = consent.request {
                try rows.answer(request.idHash, as: .declined, with: session.vault, at: now)
                // Nothing missing means the plugin itself was refused, with all that the token carries.
                try rows.decline(
                    refused.isEmpty ? consent.shown : refused, caller: request.caller, person: session.person,
                    provider: consent.provider.id, until: now.adding(seconds: Rows.declineLifetime))
            }
            try rows.store(outcome, at: now)
        }
        return Self.donePage(outcome.id)
    }

    /// An existing connection suffices: nothing is asked of the provider, the plugin gets the connection's key.
    private func share(
        _ consent: Consent, plugins: [PluginID], clients: [ClientGrantID], session: OpenSlot, at now: Instant
    ) throws -> String {
        guard let connection = consent.existing else { throw Refusal.changed }
        var outcome = self.outcome(consent, session: session, status: .approved, message: nil)
        outcome.connection = connection.id
        if connection.status == .paused {
            try record(
                AuditRecord(
                    .resumed, person: session.person, provider: consent.provider.id.json, connection: connection.id),
                at: now)
        }
        for plugin in plugins {
            try record(
                AuditRecord(
                    .pluginApproved, person: session.person, provider: consent.provider.id.json,
                    connection: connection.id, caller: plugin.text, callerKind: "plugin", scopes: consent.shown.text),
                at: now)
        }
        try store.write { rows in
            guard let current = try rows.connection(connection.id), current.isSame(as: connection) else {
                throw Refusal.changed
            }
            if connection.status == .paused, try !rows.setPaused(false, connection, at: now) { throw Refusal.changed }
            // Holders of the connection's vault have its key; it may be another one than this session's.
            if !plugins.isEmpty {
                let key = try rows.openKey(of: connection, with: session.vault)
                for plugin in plugins {
                    try rows.approve(plugin, for: connection, key: key, scopes: consent.shown, at: now)
                }
            }
            for client in clients {
                try allow(client, connection.id, of: session.person, consent.provider.id, rows, at: now)
            }
            if let request = consent.request {
                try rows.answer(request.idHash, as: .completed, with: session.vault, at: now)
            }
            try remember(consent, rows, at: now)
            try rows.store(outcome, at: now)
        }
        return Self.donePage(outcome.id)
    }

    /// What the click settled, for the way to the provider and back.
    private func approved(
        _ consent: Consent, plugins: [PluginID], clients: [ClientGrantID], session: OpenSlot
    ) throws -> ApprovedConsent {
        let (named, after) = try store.read { rows in
            (
                try consent.namedAccount.map {
                    try rows.namedAccountTag(provider: consent.provider.id, name: $0, in: session.vault)
                }, try rows.lastTakenBack()
            )
        }
        return ApprovedConsent(
            provider: consent.provider.id, vault: consent.destination, asked: consent.asked, shown: consent.shown,
            sent: consent.provider.requestScopes(asked: consent.asked, granted: consent.basis.granted),
            extends: consent.existing?.id, separate: consent.separate, request: consent.request?.idHash,
            plugins: plugins, clients: clients, namedAccount: named, after: after)
    }

    private func sendToProvider(
        _ consent: Consent, _ approved: ApprovedConsent, session: OpenSlot, at now: Instant
    ) throws -> String {
        try record(
            AuditRecord(
                .consented, person: session.person, provider: consent.provider.id.json,
                caller: consent.document.requester?.id, scopes: consent.shown.text), at: now)
        let approval = try store.write { rows in
            try remember(consent, rows, at: now)
            if let request = consent.request { try rows.approve(request: request.idHash) }
            return try rows.issueApproval(approved, slot: session.id, at: now)
        }
        return "/api/auth/\(consent.provider.id.path)/login?userId=\(session.person.text)"
            + "&scope=\(Percent.encode(approved.asked.text))&approval=\(approval)"
    }

    func outcome(
        _ consent: Consent, session: OpenSlot, status: OutcomeStatus, message: String?
    ) -> Outcome {
        Outcome(
            id: random.id(), person: session.person, provider: consent.provider.id, status: status,
            request: consent.request?.idHash, requester: consent.document.requester?.name, message: message,
            scopes: consent.shown, missing: .empty)
    }

    static func donePage(_ outcome: OutcomeID) -> String { "/done#\(outcome.text)" }
    public static func errorPage(_ code: String) -> String { "/error#\(code)" }
}
