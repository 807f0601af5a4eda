import Encoding
import Envelope
import OAuth
import Providers
import Settings
import Vault

/// What `/connect` was opened with. Nothing in it permits anything.
public struct ConnectLink: Sendable {
    /// The most that scopes may take in a link, each with its separator (C-CON-2).
    public static let scopeBytes = 1024

    public let provider: ProviderID
    public let scopes: ScopeSet
    public let request: RequestID?
    public let connection: Which
    /// Beside the connection that is there: the same account once more, with these scopes alone.
    public let separate: Bool

    /// Which of the person's connections it is about.
    public enum Which: Sendable, Hashable {
        /// The one that fits best.
        case any
        /// None of them: another account.
        case new
        /// This one; without a request it is connected anew in its place.
        case one(ConnectionID)
    }

    public init(
        provider: ProviderID, scopes: ScopeSet, request: RequestID?, connection: Which = .any, separate: Bool = false
    ) {
        (self.provider, self.scopes, self.request) = (provider, scopes, request)
        (self.connection, self.separate) = (connection, separate)
    }
}

/// Everything the consent page shows, as one value: what its digest covers is what the person decided about.
public struct ConsentDocument: Sendable {
    public struct ScopeLine: Sendable {
        public let scope: String
        public let text: String
        public let risk: String
        public let isNew: Bool
        /// The person may leave it out.
        public let isOptional: Bool
    }

    public struct Other: Sendable {
        public let id: String
        public let name: String
        public let kind: String
        /// Of a plugin: by whom it came here.
        public let addedBy: String?
        /// The one that asks.
        public var asks = false
        public let ticked: Bool
        /// Can use it anyway, or asked for it; shown, but no box to untick.
        public let locked: Bool
    }

    /// One of the person's connections that could be meant.
    public struct Account: Sendable {
        public let id: String
        public let account: String
        public let label: String
        public let isChosen: Bool
    }

    public struct Requester: Sendable {
        public let id: String
        public let name: String
        public let kind: String
        public let addedBy: String
    }

    public let isFinished: Bool
    public let signedInAs: String
    public let provider: (id: String, name: String)
    public let owner: String
    public let account: String?
    /// The account that the request names, where none of that name is connected.
    public let namedAccount: String?
    /// Where there are several and the request names none.
    public let accounts: [Account]
    /// It is connected anew in its place; beside what is there; or could be.
    public let reconnects, separate, separable: Bool
    /// It is paused, and Approve lets it be used again.
    public let resumes: Bool
    public let requester: Requester?
    public let reason: String
    public let tool: String
    public let matchCode: String?
    public let askedAt: Instant?
    /// From where; nil when nobody asked.
    public let address: String?
    public let scopes: [ScopeLine]
    public let alsoIncludes: [ScopeLine]
    public let others: [Other]
    public internal(set) var needsProvider: Bool
    /// What the limits of the plugin that asks do not permit it to have: then there is nothing to approve.
    public let beyondLimits: [ScopeLine]
    /// The person types a key here instead of going to the provider's page.
    public let keyRules: KeyRules?
    public let expiresIn: Int64?

    /// Binds a decision to what was shown. Under a key of the session: it is stored, and the account's name is in it.
    func digest(for session: OpenSlot) throws -> [UInt8] {
        func lines(_ list: [ScopeLine]) -> [String] {
            list.map { "\($0.scope)|\($0.text)|\($0.risk)|\($0.isNew)|\($0.isOptional)" }
        }
        let parts: [String] =
            [
                signedInAs, provider.id, provider.name, account ?? "", namedAccount ?? "",
                "\(reconnects) \(separate) \(resumes)", requester?.id ?? "", requester?.name ?? "",
                reason,
                tool, matchCode ?? "", "\(needsProvider)", "\(isFinished)",
            ] + lines(scopes) + ["also"] + lines(alsoIncludes) + others.map { "\($0.id)|\($0.name)|\($0.ticked)" }
            + ["accounts"] + accounts.map { "\($0.id)|\($0.account)|\($0.isChosen)" }
            + ["beyond"] + lines(beyondLimits)
        var data = AssociatedData("toolshed/v1/consent")
        for part in parts { data.add(part) }
        return try session.derived.derive(TagRole.self, label: "toolshed/v1/consent").tag(data)
    }
}

/// The document together with what deciding about it needs.
struct Consent {
    var document: ConsentDocument
    let provider: Provider
    let request: Request?
    let requestID: RequestID?
    /// The connection that would grow, be reconnected or be shared.
    let existing: Connection?
    let separate: Bool
    /// The account that the caller named and nobody has connected yet.
    let namedAccount: String?
    let destination: VaultID
    let basis: ConsentBasis
    var asked: ScopeSet
    /// All that the resulting token was said to carry.
    var shown: ScopeSet
    /// Asked for, and left out by the person.
    var left = ScopeSet.empty
}

extension Broker {
    /// `GET /api/connect`: reads only, apart from the note for the waiting caller that its link was opened.
    /// `isVisit`: our page asks, which the person has before them.
    public func consentDocument(
        for link: ConnectLink, session: OpenSlot, isVisit: Bool, at now: Instant
    ) throws -> (document: ConsentDocument, digest: String, formToken: String) {
        let consent = try self.consent(for: link, session: session, at: now)
        let digest = try consent.document.digest(for: session)
        let token = try store.write { rows in
            if let request = consent.request {
                try rows.note(request.idHash, opened: true, mismatch: false)
            } else if isVisit {
                // Somebody who comes by themselves has changed their mind about an earlier no to what they see.
                try rows.forgetDeclines(
                    person: session.person, provider: consent.provider.id, scopes: consent.asked.names)
            }
            return try rows.issueFormToken(slot: session.id, digest: digest, scopes: consent.asked, at: now)
        }
        return (consent.document, Base64URL.encode(digest), token)
    }

    func consent(for link: ConnectLink, session: OpenSlot, at now: Instant) throws -> Consent {
        let provider = try configured(link.provider)
        let request = try link.request.map { try self.request($0, link: link, session: session, at: now) }
        let asked = provider.canonical(link.scopes.isEmpty ? provider.defaultScopes : link.scopes)
        let destination = request?.vault ?? session.vault.id
        let claim = try request.flatMap { request in
            try link.request.map { id in try store.read { try $0.claim(of: request, id: id) } }
        }
        guard !link.separate || provider.connectsSeparately else {
            throw Refusal.invalidRequest([MemberError("separate", "a provider that keeps connections apart")])
        }
        let (existing, accounts) = try existingConnection(
            link, provider: provider, in: destination, asked: asked, account: claim?.account ?? "", session: session)
        let granted = link.separate ? .empty : existing?.connection.scopes ?? .empty
        let status = existing?.connection.status
        let isPaused = status == .paused && !link.separate
        let isLive = (status == .active || isPaused) && !link.separate
        let isNamed = if case .one = link.connection { true } else { false }
        let reconnects = isNamed && request == nil && !link.separate
        let basis = ConsentBasis(granted: granted, isLive: isLive, mustAsk: reconnects)
        let terms = ConsentTerms(asked: asked, basis, provider)
        let shown = terms.shown
        let reach = try self.reach(of: request)
        let requester = try request.map { try self.requester(of: $0) }
        let also = ScopeSet(shown.names.filter { provider.missing(from: asked, for: ScopeSet([$0])).isEmpty == false })
        let document = ConsentDocument(
            isFinished: request.map { !$0.isOpen(at: now) } ?? false,
            signedInAs: try store.read { try $0.person(session.person)?.name } ?? "",
            provider: (provider.id.json, provider.name), owner: provider.id.owner, account: existing?.account,
            namedAccount: existing == nil ? claim.flatMap { $0.account.isEmpty ? nil : $0.account } : nil,
            accounts: accounts, reconnects: reconnects, separate: link.separate,
            separable: existing != nil && !link.separate && provider.connectsSeparately, resumes: isPaused,
            requester: requester, reason: claim?.reason ?? "",
            tool: claim?.tool ?? "", matchCode: link.request.map { Request.matchCode(of: $0) },
            askedAt: request?.createdAt, address: claim.flatMap { $0.address.isEmpty ? nil : $0.address },
            scopes: lines(asked, new: terms.missing, optional: request?.optional ?? .empty, provider),
            alsoIncludes: lines(also, new: provider.missing(from: granted, for: also), provider),
            others: try others(
                requester: requester, connection: link.separate ? nil : existing?.connection, shown: shown,
                provider: provider, in: destination, session: session, at: now),
            needsProvider: terms.needsProvider,
            beyondLimits: lines(
                ScopeSet(shown.names.filter { !reach.covers(ScopeSet([$0]), provider) }), new: .empty, provider),
            keyRules: terms.needsProvider ? provider.keyRules : nil,
            expiresIn: request.map { max(0, now.seconds(until: $0.expiresAt)) })
        return Consent(
            document: document, provider: provider, request: request, requestID: link.request,
            existing: existing?.connection, separate: link.separate, namedAccount: document.namedAccount,
            destination: destination, basis: basis, asked: asked, shown: shown.union(asked))
    }

    /// The link's own words must be the request's, and the person it was made for must be the one who opens it.
    private func request(_ id: RequestID, link: ConnectLink, session: OpenSlot, at now: Instant) throws -> Request {
        guard let request = try store.read({ try $0.request(id) }) else { throw Refusal.notFound }
        guard request.person == session.person else {
            try noteMismatch(request, by: session, at: now)
            throw Refusal.ownerMismatch
        }
        guard request.provider == link.provider, request.scopes == link.scopes else {
            throw Refusal.invalidRequest([MemberError("request", "the owner, bridge and scope that it was made with")])
        }
        let isOver = request.isOver(at: now)
        guard !isOver, request.status != .expired, request.status != .cancelled else { throw Refusal.requestExpired }
        return request
    }

    /// Told once of each stranger: whoever opens it again and again must not fill another person's record.
    private func noteMismatch(_ request: Request, by session: OpenSlot, at now: Instant) throws {
        guard try !store.read({ try $0.isNoted(session.person, at: request.idHash) }) else { return }
        try store.write { rows in
            try rows.note(request.idHash, opened: true, mismatch: true)
            guard try rows.note(stranger: session.person, at: request.idHash) else { return }
            try record(AuditRecord(.mismatch, person: request.person, provider: request.provider.json), at: now)
        }
    }

    /// How many of a person's accounts at one provider the page offers to choose from.
    private static let accountsOffered = 20

    /// Which connection this consent is about: the one that the link or the request names, else the one that has most of
    /// what is asked; and the others that it could be about.
    private func existingConnection(
        _ link: ConnectLink, provider: Provider, in vault: VaultID, asked: ScopeSet, account: String, session: OpenSlot
    ) throws -> (chosen: (connection: Connection, account: String?)?, accounts: [ConsentDocument.Account]) {
        try store.read { rows in
            let all = try rows.connections(in: vault, provider: provider.id)
            func chosen(_ connection: Connection?) throws -> (connection: Connection, account: String?)? {
                try connection.map { ($0, try self.account(of: $0, session: session, rows)) }
            }
            func isNamed(_ connection: Connection) throws -> Bool {
                if connection.id.text == account { return true }
                let names = try self.names(of: connection, session: session, rows)
                return names.map { $0.account == account || $0.label == account } ?? false
            }
            if case .one(let id) = link.connection {
                guard let named = all.first(where: { $0.id == id }) else { throw Refusal.notFound }
                guard try account.isEmpty || isNamed(named) else {
                    throw Refusal.invalidRequest([MemberError("connection", "the account that the request names")])
                }
                let others = link.request != nil && account.isEmpty ? all : []
                return (try chosen(named), try offered(others, chosen: named, session: session, rows))
            }
            if !account.isEmpty {
                return (try chosen(all.first { $0.id.text == account } ?? all.first(where: isNamed)), [])
            }
            if link.connection == .new {
                return (nil, try offered(link.request == nil ? [] : all, chosen: nil, session: session, rows))
            }
            let best = all.min {
                provider.missing(from: $0.scopes, for: asked).count
                    < provider.missing(from: $1.scopes, for: asked).count
            }
            return (try chosen(best), try offered(all, chosen: best, session: session, rows))
        }
    }

    private func offered(
        _ connections: [Connection], chosen: Connection?, session: OpenSlot, _ rows: Rows
    ) throws -> [ConsentDocument.Account] {
        guard connections.count > 1 || chosen == nil else { return [] }
        return try connections.prefix(Self.accountsOffered).compactMap { connection in
            try names(of: connection, session: session, rows).map {
                ConsentDocument.Account(
                    id: connection.id.text, account: $0.account, label: $0.label, isChosen: connection.id == chosen?.id)
            }
        }
    }

    /// nil where this session cannot open the vault.
    func account(of connection: Connection, session: OpenSlot, _ rows: Rows) throws -> String? {
        try names(of: connection, session: session, rows)?.account
    }

    /// The account's name and what the person calls it; nil where this session cannot open the vault.
    func names(
        of connection: Connection, session: OpenSlot, _ rows: Rows
    ) throws -> (account: String, label: String)? {
        guard connection.vault == session.vault.id else { return nil }
        let key = try rows.openKey(of: connection, with: session.vault)
        let credential = try rows.openCredential(of: connection, with: key)
        return (credential.accountLabel, credential.label)
    }

    private func reach(of request: Request?) throws -> PluginReach {
        guard let request, request.callerKind == .plugin, let id = PluginID(bytes: request.caller) else {
            return .unlimited
        }
        return try store.read { try $0.reach(of: id, to: request.person) }
    }

    /// New ones may be left out where the caller said that it can do without, or the catalogue that everybody can.
    private func lines(
        _ scopes: ScopeSet, new: ScopeSet, optional: ScopeSet = .empty, _ provider: Provider
    ) -> [ConsentDocument.ScopeLine] {
        scopes.names.map { name in
            let words = provider.description(of: name)
            return ConsentDocument.ScopeLine(
                scope: name, text: words.text, risk: words.risk.rawValue, isNew: new.contains(name),
                isOptional: new.contains(name) && (optional.contains(name) || provider.isOptional(name)))
        }
    }

    func requester(of request: Request) throws -> ConsentDocument.Requester {
        if request.callerKind == .plugin {
            guard let id = PluginID(bytes: request.caller), let plugin = try store.read({ try $0.plugin(id) }) else {
                throw Refusal.requestExpired
            }
            return ConsentDocument.Requester(
                id: id.text, name: plugin.name, kind: "plugin", addedBy: addedBy(plugin))
        }
        if request.callerKind == .access {
            let grant = try ClientGrantID(bytes: request.caller).flatMap { id in
                try store.read { try $0.clientGrant(id) }
            }
            guard let grant else { throw Refusal.requestExpired }
            return ConsentDocument.Requester(id: grant.id.text, name: grant.name, kind: "mcp", addedBy: "you")
        }
        guard let id = SlotID(bytes: request.caller) else { throw Refusal.requestExpired }
        let slot = try store.read { try $0.slots(of: request.person, kind: request.callerKind, at: request.createdAt) }
            .first { $0.id == id }
        guard let slot else { throw Refusal.requestExpired }
        return ConsentDocument.Requester(
            id: id.text, name: slot.name, kind: request.callerKind.rawValue, addedBy: "you")
    }
}
