import Broker
import Encoding
import Envelope
import FastCGI
import Logging
import MCP
import OAuth
import Secrets
import Settings
import Vault

/// `/mcp`: Streamable HTTP with JSON answers. What JSON-RPC and the protocol want is in `MCP`; who calls, and what the
/// tools do, is here and in `Broker`.
extension Gateway {
    func mcp(_ exchange: Exchange) throws -> Step<Reply> {
        let now = Instant.now()
        // Against rebinding of names: a page of another origin is no client.
        if let origin = exchange.parameter("HTTP_ORIGIN"), origin != settings.origin { throw Refusal.crossSite }
        guard exchange.parameterCount("HTTP_AUTHORIZATION") > 0 else { return .done(challenge(nil)) }
        do {
            guard exchange.parameterCount("HTTP_AUTHORIZATION") == 1 else { throw Refusal.invalidToken }
            let step = try exchange.withParameter("HTTP_AUTHORIZATION") { header in
                try withBearer(header) { token in
                    guard let slot = try agentSlot(token, at: now) else { return Step.done(challenge(.scope)) }
                    return try answer(exchange, token, slot, at: now)
                }
            }
            return step ?? .done(challenge(nil))
        } catch Refusal.invalidToken {
            return .done(challenge(.token))
        }
    }

    /// Whose vault is meant. nil: the token is good for something else (B-CHAL-3).
    private func agentSlot(_ token: borrowing Token, at now: Instant) throws -> OpenSlot? {
        switch token.kind {
        case .access:
            guard let agent = try broker.agent(token, at: now) else { throw Refusal.invalidToken }
            return agent.mayUse ? agent.slot : nil
        case .apiKey, .cli:
            guard let slot = try broker.store.read({ try $0.openSlot(token, at: now) }) else {
                throw Refusal.invalidToken
            }
            return slot
        // A plugin acts for many persons, and there is no place here to say for whom.
        case .plugin, .pluginPerson:
            guard try broker.isKnown(token, at: now) else { throw Refusal.invalidToken }
            throw Refusal.notPermitted(.otherCaller)
        default: throw Refusal.invalidToken
        }
    }

    private func answer(
        _ exchange: Exchange, _ token: borrowing Token, _ slot: OpenSlot, at now: Instant
    ) throws -> Step<Reply> {
        guard exchange.method == .post else { throw RouteRefusal.methodNotAllowed("POST") }
        guard !exchange.bodyIsTooLarge else { throw RouteRefusal.tooLarge }
        guard exchange.hasJSON else { throw RouteRefusal.unsupportedMediaType }
        var id: Message.RequestID?
        var revision: Revision?
        do throws(RPCError) {
            let envelope = try envelope(exchange)
            switch try exchange.message() {
            case .notification, .response:
                if let version = envelope.version, Revision(rawValue: version) == nil {
                    throw Revision.unsupported(version)
                }
                return .done(Reply(status: 202, headers: [("Cache-Control", "no-store")], body: []))
            case .request(let request):
                id = request.id
                let call = try Call(request, envelope)
                revision = call.revision
                if let result = try Server.answer(call) { return .done(reply(result, to: call)) }
                let arguments = try Tool.Arguments(call)
                return use(arguments, call, token, slot, from: exchange.address, at: now)
            }
        } catch {
            return .done(Self.reply(error, to: id, revision))
        }
    }

    /// The header fields that repeat what the message says: a second one of a name would let two readers disagree.
    private func envelope(_ exchange: Exchange) throws(RPCError) -> Envelope {
        let names: [(StaticString, String)] = [
            ("HTTP_MCP_PROTOCOL_VERSION", "MCP-Protocol-Version"), ("HTTP_MCP_METHOD", "Mcp-Method"),
            ("HTTP_MCP_NAME", "Mcp-Name"), ("HTTP_MCP_SESSION_ID", "Mcp-Session-Id"),
        ]
        for (parameter, name) in names where exchange.parameterCount(parameter) > 1 {
            throw RPCError(.headerMismatch, "\(name) is there more than once.")
        }
        return Envelope(
            version: exchange.parameter("HTTP_MCP_PROTOCOL_VERSION"), method: exchange.parameter("HTTP_MCP_METHOD"),
            name: exchange.parameter("HTTP_MCP_NAME"), session: exchange.parameter("HTTP_MCP_SESSION_ID"))
    }

    // MARK: Answers

    private func reply(_ result: JSONValue, to call: Call) -> Reply {
        var reply = Self.reply(result, to: call)
        let capabilities = call.request.params["capabilities"]
        if call.request.method == "initialize",
            let session = SessionID.issue(capabilities: capabilities, broker.random.bytes(16))
        {
            reply.headers.append(("Mcp-Session-Id", session))
        }
        return reply
    }

    static func reply(_ result: JSONValue, to call: Call) -> Reply {
        json(200, Response.result(result, to: call.request.id))
    }

    static func reply(_ error: RPCError, to id: Message.RequestID?, _ revision: Revision?) -> Reply {
        json(error.status(revision), Response.error(error, to: id))
    }

    private static func json(_ status: Int, _ body: [UInt8]) -> Reply {
        Reply(
            status: status, headers: [("Content-Type", "application/json"), ("Cache-Control", "no-store")], body: body)
    }

    private enum Fault {
        case token, scope
    }

    /// B-CHAL-1 to B-CHAL-4. Only about our own token, never about a provider's (B-CHAL-5).
    private func challenge(_ fault: Fault?) -> Reply {
        let metadata = "resource_metadata=\"\(settings.origin)/.well-known/oauth-protected-resource/mcp\""
        let scope = "scope=\"\(Broker.agentScope)\""
        let refusal: Refusal = fault == .scope ? .notPermitted(.otherCaller) : .invalidToken
        var reply = Problem(refusal).reply
        reply.headers.removeAll { $0.0 == "WWW-Authenticate" }
        let value =
            switch fault {
            case nil: "Bearer \(metadata), \(scope)"
            case .token:
                "Bearer error=\"invalid_token\", error_description=\"The token is unknown or no longer good\", \(metadata)"
            case .scope: "Bearer error=\"insufficient_scope\", \(scope), \(metadata)"
            }
        reply.headers.append(("WWW-Authenticate", value))
        // Without a token it is the question that clients begin with.
        if fault == nil { reply.stranger = nil }
        return reply
    }
}

extension Exchange {
    fileprivate func message() throws(RPCError) -> Message {
        let result = withBody { body in Result { () throws(RPCError) in try Message(parsing: body) } }
        return try result.get()
    }
}
