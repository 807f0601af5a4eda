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
    public let link: ConnectLink
    public let alsoFor: [String]
    public let formToken: String

    public init(verdict: Verdict, digest: String, link: ConnectLink, alsoFor: [String], formToken: String) {
        (self.verdict, self.digest, self.link) = (verdict, digest, link)
        (self.alsoFor, self.formToken) = (alsoFor, formToken)
    }
}

extension Broker {
    /// Where the browser goes next: the provider's page by way of `login`, or the page that says how it ended.
    public func decide(_ decision: Decision, session: OpenSlot, at now: Instant) throws -> String {
        let consent = try self.consent(for: decision.link, session: session, at: now)
        let bound = try store.write { try $0.useFormToken(decision.formToken, slot: session.id, at: now) }
        guard let bound, bound == (try consent.document.digest(for: session)),
            Base64URL.decode(decision.digest) == bound
        else {
            throw Refusal.changed
        }
        guard !consent.document.isFinished else { throw Refusal.changed }
        switch decision.verdict {
        case .decline: return try decline(consent, session: session, at: now)
        case .approve:
            let plugins = try chosenPlugins(decision, consent)
            let clients = chosenClients(decision, consent)
            return consent.document.needsProvider
                ? try sendToProvider(consent, plugins: plugins, clients: clients, session: session, at: now)
                : try share(consent, plugins: plugins, clients: clients, session: session, at: now)
        }
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
        return [id] + ticked
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
                _ = try rows.end(request.idHash, as: .declined)
                // Nothing missing means the plugin itself was refused, with all that the token carries.
                try rows.decline(
                    refused.isEmpty ? consent.shown : refused, caller: request.caller, person: session.person,
                    provider: consent.provider.id, until: now.adding(seconds: 86_400))
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
            let key = try rows.openKey(of: connection, with: session.vault)
            guard let current = try rows.connection(connection.id), current.isSame(as: connection) else {
                throw Refusal.changed
            }
            if connection.status == .paused, try !rows.setPaused(false, connection) { throw Refusal.changed }
            for plugin in plugins {
                try rows.approve(plugin, for: connection, key: key, scopes: consent.shown, at: now)
            }
            for client in clients { try rows.allow(connection.id, for: client, of: session.person) }
            if let request = consent.request { _ = try rows.end(request.idHash, as: .completed) }
            try rows.forgetDeclines(person: session.person, provider: consent.provider.id)
            try rows.store(outcome, at: now)
        }
        return Self.donePage(outcome.id)
    }

    private func sendToProvider(
        _ consent: Consent, plugins: [PluginID], clients: [ClientGrantID], session: OpenSlot, at now: Instant
    ) throws -> String {
        let granted = consent.separate ? .empty : consent.existing?.scopes ?? .empty
        let named = try store.read { rows in
            try consent.namedAccount.map {
                try rows.namedAccountTag(provider: consent.provider.id, name: $0, in: session.vault)
            }
        }
        let approved = ApprovedConsent(
            provider: consent.provider.id, vault: consent.destination, asked: consent.asked, shown: consent.shown,
            sent: consent.provider.requestScopes(asked: consent.asked, granted: granted), extends: consent.existing?.id,
            separate: consent.separate, request: consent.request?.idHash, plugins: plugins,
            clients: clients, namedAccount: named)
        try record(
            AuditRecord(
                .consented, person: session.person, provider: consent.provider.id.json,
                caller: consent.document.requester?.id, scopes: consent.shown.text), at: now)
        let approval = try store.write { rows in
            try rows.forgetDeclines(person: session.person, provider: consent.provider.id)
            if let request = consent.request { try rows.approve(request: request.idHash) }
            return try rows.issueApproval(approved, slot: session.id, at: now)
        }
        return "/api/auth/\(consent.provider.id.path)/login?userId=\(session.person.text)"
            + "&scope=\(Percent.encode(approved.asked.text))&approval=\(approval)"
    }

    private func outcome(
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
