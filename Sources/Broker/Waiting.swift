import Encoding
import OAuth
import Providers
import Vault

/// A request as the person's own page lists it.
public struct WaitingRequest: Sendable {
    public let request: Request
    public let requester: ConsentDocument.Requester
    /// nil where this session's vault cannot tell which link it was.
    public let id: RequestID?
    public let claim: RequestClaim?
    public let link: String?
}

/// A no that still holds, with the name of who got it.
public struct DeclinedCaller: Sendable {
    public let declined: Declined
    public let caller: String
    public let name: String
}

extension Broker {
    public func waitingRequests(
        _ session: OpenSlot, after: WaitingCursor?, limit: Int, at now: Instant
    ) throws -> (page: [WaitingRequest], next: WaitingCursor?) {
        let open = try store.read { rows in
            try rows.openRequests(of: session.person, after: after, limit: limit, at: now).map { request in
                let id = try rows.id(of: request, with: session.vault)
                return (request, id, try id.map { try rows.claim(of: request, id: $0) })
            }
        }
        let page: [WaitingRequest] = try open.compactMap { request, id, claim in
            do {
                let requester = try requester(of: request)
                let link = id.map { connectURL(provider: request.provider, scopes: request.scopes, request: $0) }
                return WaitingRequest(request: request, requester: requester, id: id, claim: claim, link: link)
            } catch Refusal.requestExpired {
                return nil  // whoever asked is gone
            }
        }
        return (page, open.count == limit ? open.last.map { WaitingCursor($0.0) } : nil)
    }

    public func declined(
        _ session: OpenSlot, after: WaitingCursor?, limit: Int, at now: Instant
    ) throws -> (page: [DeclinedCaller], next: WaitingCursor?) {
        try store.read { rows in
            let all = try rows.declined(by: session.person, after: after, limit: limit, at: now)
            func ids(_ bytes: [UInt8]) -> [String] {
                [PluginID(bytes: bytes)?.text, SlotID(bytes: bytes)?.text, ClientGrantID(bytes: bytes)?.text]
                    .compactMap { $0 }
            }
            let names = try rows.callerNames(of: all.flatMap { ids($0.caller) }, in: session.person, at: now)
            let page: [DeclinedCaller] = all.compactMap { declined in
                // Who is gone asks no more.
                for id in ids(declined.caller) {
                    guard let known = names[id], !known.isEnded else { continue }
                    return DeclinedCaller(declined: declined, caller: id, name: known.name)
                }
                return nil
            }
            return (page, all.count == limit ? all.last.map { WaitingCursor($0) } : nil)
        }
    }

    /// *Allow asking again.*
    public func allowAsking(_ caller: [UInt8], _ provider: ProviderID, session: OpenSlot) throws {
        guard try store.write({ try $0.forgetDeclines(of: caller, person: session.person, provider: provider) }) else {
            throw Refusal.notFound
        }
    }

    /// Before everything is taken away, one by one, nothing goes on meanwhile.
    public func stopEverything(_ session: OpenSlot, at now: Instant) throws -> Stopped {
        try record(
            AuditRecord(
                .everythingStopped, person: session.person, caller: session.id.text, callerKind: session.kind.rawValue),
            at: now)
        keeper.forget(.person(session.person))
        let stopped = try store.write { try $0.stopEverything(of: session.person, but: session.id, at: now) }
        keeper.forget(.person(session.person))
        return stopped
    }
}
