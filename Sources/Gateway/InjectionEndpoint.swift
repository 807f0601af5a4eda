import Broker
import Encoding
import Envelope
import FastCGI
import OAuth
import Providers
import Settings
import Vault

extension Gateway {
    /// The two questions that nginx asks on behalf of `/proxy`; nobody else reaches these paths. nil: another request.
    func injection(_ exchange: Exchange) -> Step<Reply>? {
        if exchange.pathIs("/internal/problem") { return .done(Self.unpacked(exchange)) }
        guard exchange.withPath({ $0.starts(with: "/internal/authorize".utf8) }) else { return nil }
        do {
            return try authorize(exchange).otherwise { [log] _, error in Self.packed(error, log) }
        } catch {
            return .done(Self.packed(error, log))
        }
    }

    /// nginx's `auth_request`: 204 with the provider's token in a field for nginx alone, or the refusal in another. A
    /// cookie does not count: what a page could send by itself opens nothing.
    private func authorize(_ exchange: Exchange) throws -> Step<Reply> {
        let now = Instant.now()
        guard exchange.parameterCount("HTTP_AUTHORIZATION") == 1 else { throw Refusal.invalidToken }
        let step = try exchange.withParameter("HTTP_AUTHORIZATION") { header in
            try withBearer(header) { (token: borrowing Token) throws in
                let call: APICall
                var request: VendRequest
                do {
                    (call, request) = try injectionRequest(exchange)
                } catch {
                    // A stranger learns nothing about the form of a request.
                    guard try broker.isKnown(token, at: now) else { throw Refusal.invalidToken }
                    throw error
                }
                request.address = exchange.address
                return try broker.inject(request, with: token, through: .proxy(call), at: now, render: Self.inject)
            }
        }
        guard let step else { throw Refusal.invalidToken }
        return step
    }

    /// The token of a Bearer header (RFC 6750 §2.1), never a session's.
    func withBearer<R>(_ header: UnsafeRawBufferPointer, _ body: (borrowing Token) throws -> R) throws -> R {
        guard Self.begins(header, with: "bearer ") else { throw Refusal.invalidToken }
        let token: Token
        do {
            token = try Token(parsing: UnsafeRawBufferPointer(rebasing: header.dropFirst(7)))
        } catch { throw Refusal.invalidToken }
        guard token.kind != .session else { throw Refusal.invalidToken }
        return try body(token)
    }

    private static let inject: @Sendable (borrowing VendedToken) -> Reply = { token in
        var value = [UInt8]()
        value.reserveCapacity(token.prefix.utf8.count + token.accessToken.count)
        value.append(contentsOf: token.prefix.utf8)
        value.append(contentsOf: token.accessToken)
        return Reply(
            status: 204, headers: [("Cache-Control", "no-store")], body: value, isSecret: true,
            field: "Toolshed-Authorization")
    }

    /// What is called, from the bytes that the provider will get; and for whom, from our own header fields.
    private func injectionRequest(_ exchange: Exchange) throws -> (APICall, VendRequest) {
        guard exchange.parameter("HTTP_SEC_FETCH_MODE") != "navigate" else { throw Refusal.notPermitted(.navigation) }
        let line = exchange.parameter("REQUEST_URI") ?? ""
        let name = line.dropFirst("/proxy/".count).prefix { $0 != "/" && $0 != "?" }
        // The location that nginx chose by its own reading, and the line as it came, name the same provider.
        let located = exchange.parameter("TOOLSHED_PROVIDER") ?? ""
        guard let provider = try? ProviderID(path: String(name)), provider.json == located || located.isEmpty else {
            throw refused(.notAPath)
        }
        let sent = exchange.withParameter("TOOLSHED_TARGET") { [UInt8]($0) } ?? []
        guard Array(line.utf8) == Array("/proxy/\(name)".utf8) + sent else { throw refused(.notAPath) }
        let target: APITarget
        do { target = try APITarget(parsing: sent) } catch { throw refused(error) }
        guard let method = exchange.parameter("REQUEST_METHOD").flatMap(APIMethod.init) else {
            throw RouteRefusal.methodNotAllowed(APIMethod.all)
        }
        try refuseSteering(exchange)
        let request = try vendRequest(exchange, provider)
        if located.isEmpty {
            // Known, and without a file of its own in nginx's configuration: there is no such way.
            guard let entry = settings.catalogue[provider] else { throw Refusal.unknownProvider }
            throw entry.isConfigured ? Refusal.notFound : Refusal.providerNotConfigured(entry.name)
        }
        return (APICall(provider: provider, method: method, target: target), request)
    }

    /// What would make another request of this one on its way. Fields that are none of ours are dropped by nginx; these
    /// change what is asked, so that dropping them would do something else than the caller meant.
    private func refuseSteering(_ exchange: Exchange) throws {
        let refused: [(StaticString, String)] = [
            ("HTTP_X_HTTP_METHOD_OVERRIDE", "X-HTTP-Method-Override"), ("HTTP_X_HTTP_METHOD", "X-HTTP-Method"),
            ("HTTP_X_METHOD_OVERRIDE", "X-Method-Override"), ("HTTP_UPGRADE", "Upgrade"),
        ]
        for (parameter, name) in refused where exchange.parameterCount(parameter) > 0 {
            throw Refusal.invalidRequest([
                MemberError(name, "no such header: the method is the request's, and no other protocol")
            ])
        }
    }

    private func refused(_ error: APITargetError) -> Refusal { .invalidRequest([MemberError("path", error.expected)]) }

    /// The members of a vend, as far as there are fields for them.
    private func vendRequest(_ exchange: Exchange, _ provider: ProviderID) throws -> VendRequest {
        var wrong: [MemberError] = []
        func field(_ parameter: StaticString, _ name: String, _ limit: Int) -> String? {
            guard let value = exchange.parameter(parameter), !value.isEmpty else { return nil }
            // RFC 9110 §5.5 leaves other bytes than ASCII to whoever reads: percent-encoded UTF-8 here.
            let text = Percent.decode(value)
            guard exchange.parameterCount(parameter) == 1, let text, text.isWithin(limit) else {
                wrong.append(
                    MemberError(name, "one field of at most \(limit) characters, percent-encoded where not ASCII"))
                return nil
            }
            return text
        }
        let user = field("HTTP_TOOLSHED_USER", "Toolshed-User", 64)
        let account = field("HTTP_TOOLSHED_ACCOUNT", "Toolshed-Account", 256)
        let reason = field("HTTP_TOOLSHED_REASON", "Toolshed-Reason", 256) ?? ""
        let tool = field("HTTP_TOOLSHED_TOOL", "Toolshed-Tool", 64) ?? ""
        let scopes = field("HTTP_TOOLSHED_SCOPE", "Toolshed-Scope", 8_000) ?? ""
        let set = try? ScopeSet(parsing: scopes)
        if set == nil {
            wrong.append(MemberError("Toolshed-Scope", "at most 200 RFC 6749 scope tokens, separated by spaces"))
        }
        if let account, account != account.withoutControls {
            wrong.append(MemberError("Toolshed-Account", "a name without control characters"))
        }
        guard wrong.isEmpty else { throw Refusal.invalidRequest(wrong) }
        return VendRequest(
            userID: user, provider: provider, scopes: set ?? .empty, account: account,
            reason: reason.withoutControls, tool: tool.withoutControls)
    }
}
