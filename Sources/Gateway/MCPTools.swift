import Broker
import Encoding
import Envelope
import Logging
import MCP
import OAuth
import Providers
import Settings
import Vault

/// The tools of `/mcp`. What goes wrong is the tool's result, in the words of the same problem documents as everywhere;
/// only our own token's end is the transport's.
extension Gateway {
    func use(
        _ arguments: Tool.Arguments, _ call: Call, _ token: borrowing Token, _ slot: OpenSlot, from address: String,
        at now: Instant
    ) -> Step<Reply> {
        let log = log
        let failed: @Sendable (any Error) throws -> Reply = { error in
            try Self.failed(error, arguments, call, log)
        }
        do {
            if let name = arguments.unknown { throw Refusal.invalidRequest([.unknown(name)]) }
            switch arguments.tool {
            case .listConnections: return .done(try Self.reply(listConnections(slot).json(call.revision), to: call))
            case .requestAuthorization:
                return .done(
                    try Self.reply(
                        requestAuthorization(arguments, token, from: address, at: now).json(call.revision), to: call))
            case .findAPI: return .done(try Self.reply(findAPI(arguments).json(call.revision), to: call))
            case .learnAPI: return .done(try Self.reply(learnAPI(arguments, slot).json(call.revision), to: call))
            case .callAPI:
                return try broker.callAPI(
                    agentCall(arguments, from: address), with: token, slot: slot, at: now
                ).then(broker) {
                    _, answer in
                    .done(Self.reply(ToolResult(answer).json(call.revision), to: call))
                }.otherwise { _, error in try failed(error) }
            }
        } catch {
            do { return .done(try failed(error)) } catch { return .done(Problem(error).reply) }
        }
    }

    /// A refusal as this client can take it.
    private static func failed(
        _ error: any Error, _ arguments: Tool.Arguments, _ call: Call, _ log: Logger
    ) throws -> Reply {
        if case Refusal.invalidToken = error { throw error }
        let problem = problem(error, log)
        let document = problem.reply.body.withUnsafeBytes { try? JSONValue(strictly: $0) } ?? [:]
        guard case Refusal.authorizationRequired(let need) = error else {
            return reply(
                ToolResult(document, text: "\(problem.title). \(problem.detail)", isError: true).json(call.revision),
                to: call)
        }
        let scopes = need.missing.isEmpty ? "" : " for: \(need.missing.names.joined(separator: ", "))"
        let message = "A person has to authorize this\(scopes). The page shows the code \(need.matchCode)."
        if arguments.answer == nil {
            do throws(RPCError) {
                let elicitation = Elicitation(url: need.url, message: message, id: need.requestID.text)
                if let asked = try elicitation.asked(call) {
                    return reply(Server.stamped(asked, call.revision), to: call)
                }
            } catch {
                return reply(error, to: call.request.id, call.revision)
            }
        }
        let next =
            switch arguments.answer {
            case nil: "Show the person this link and the code, and call again once they have approved:"
            case "accept": "They have not finished yet. Wait for them to say so, then call again. The link is still:"
            default: "They did not want to open it now. Ask before you call again. The link is still:"
            }
        return reply(
            ToolResult(document, text: "\(message) \(next) \(need.url)", isError: true).json(call.revision), to: call)
    }

    private func listConnections(_ slot: OpenSlot) throws -> ToolResult {
        let connections = try broker.agentConnections(slot)
        let connected = Set(connections.map(\.connection.provider))
        let others = settings.catalogue.providers.values.filter { $0.isConfigured && !connected.contains($0.id) }
        return ToolResult([
            "connections": .array(
                connections.map { entry in
                    var members: [String: JSONValue] = [
                        "id": .string(entry.connection.id.text), "provider": .string(entry.connection.provider.json),
                        "scopes": .array(entry.connection.scopes.names.map { .string($0) }),
                        "needsAuthorization": .bool(entry.connection.status != .active),
                    ]
                    if let account = entry.account { members["account"] = .string(account) }
                    if let label = entry.label, !label.isEmpty { members["label"] = .string(label) }
                    return .object(members)
                }),
            "canBeConnected": .array(others.map(\.id).sorted().map { .string($0.json) }),
        ])
    }

    private func requestAuthorization(
        _ arguments: Tool.Arguments, _ token: borrowing Token, from address: String, at now: Instant
    ) throws -> ToolResult {
        var reader = ArgumentReader(arguments)
        let provider = reader.provider()
        let scopes = reader.scopes()
        let reason = reader.text("reason", 1...256)
        var request = VendRequest(
            userID: nil, provider: try reader.finish(provider), scopes: scopes, reason: (reason ?? "").withoutControls,
            tool: arguments.tool.rawValue)
        request.address = address
        let connection = try broker.ask(request, with: token, at: now)
        return ToolResult(
            ["status": "authorized", "connection": .string(connection.text)],
            text: "Nothing is missing: call_api can be used now.")
    }

    private func findAPI(_ arguments: Tool.Arguments) throws -> ToolResult {
        var reader = ArgumentReader(arguments)
        let query = reader.text("query", 0...200) ?? ""
        let provider = arguments.members["provider"] == nil ? nil : reader.provider()
        try reader.finish()
        let found = settings.catalogue.operations(for: query, provider: provider)
        return ToolResult(
            [
                "operations": .array(
                    found.map {
                        [
                            "operation": .string($0.id), "text": .string($0.operation.text),
                            "call": .string("\($0.operation.method.rawValue) \($0.operation.path.text)"),
                            "scopes": .array($0.operation.scopes.names.map { .string($0) }),
                        ]
                    })
            ],
            text: found.isEmpty ? "The catalogue knows none. call_api can call any path of a provider's API." : nil)
    }

    private func learnAPI(_ arguments: Tool.Arguments, _ slot: OpenSlot) throws -> ToolResult {
        var reader = ArgumentReader(arguments)
        let id = reader.text("operation", 1...200) ?? ""
        try reader.finish()
        guard let found = settings.catalogue.operation(named: id) else { throw Refusal.notFound }
        let (provider, operation) = (found.provider, found.operation)
        let granted = try broker.agentConnections(slot).contains { entry in
            entry.connection.provider == provider.id
                && operation.sufficient.contains { provider.missing(from: entry.connection.scopes, for: $0).isEmpty }
        }
        var members: [String: JSONValue] = [
            "operation": .string(id), "text": .string(operation.text), "provider": .string(provider.id.json),
            "method": .string(operation.method.rawValue), "path": .string(operation.path.text),
            "pathParameters": .array(operation.path.parameters.map { .string($0) }),
            "scopes": .array(operation.scopes.names.map { .string($0) }), "granted": .bool(granted),
            "orScopes": .array(operation.alternatives.map { .array($0.names.map { .string($0) }) }),
            "headers": .array(provider.permittedHeaders.map { .string($0) }),
            "knownFrom": operation.basis == .documentation ? "documentation" : "general knowledge",
            "example": [
                "provider": .string(provider.id.json), "method": .string(operation.method.rawValue),
                "path": .string(operation.path.text),
            ],
        ]
        for (name, text) in [
            ("query", operation.query), ("body", operation.body), ("documentation", operation.documentation),
        ] {
            if let text { members[name] = .string(text) }
        }
        return ToolResult(.object(members))
    }

    private func agentCall(_ arguments: Tool.Arguments, from address: String) throws -> AgentCall {
        var reader = ArgumentReader(arguments)
        let id = reader.provider()
        let method = reader.method()
        let target = reader.target()
        let content = reader.content(method)
        let entry = id.flatMap { settings.catalogue[$0] }
        let headers = reader.headers(entry?.permittedHeaders ?? APIRules.commonHeaders)
        let scopes = reader.scopes()
        let account = reader.text("account", 1...256)
        let reason = reader.text("reason", 0...256)
        let (provider, path) = (try reader.finish(id), try reader.finish(target))
        guard let entry else { throw Refusal.unknownProvider }
        guard entry.isConfigured else { throw Refusal.providerNotConfigured(entry.name) }
        var request = VendRequest(
            userID: nil, provider: provider, scopes: scopes, account: account, reason: (reason ?? "").withoutControls)
        request.address = address
        return AgentCall(
            call: APICall(
                provider: provider, method: method, target: path, document: content.flatMap { GraphQLCall(body: $0) }),
            headers: headers, content: content, request: request)
    }
}

extension ToolResult {
    /// What a provider answered, or why it did not.
    init(_ answer: AgentAnswer) {
        switch answer.outcome {
        case .failure(let failure):
            self.init(
                ["error": "no-answer", "detail": .string(failure.words)], text: failure.words, isError: true)
        case .reply(let reply):
            var members: [String: JSONValue] = [
                "status": .integer(Int64(reply.status)), "connection": .string(answer.connection.text),
            ]
            let headers = reply.headers.filter { name, _ in
                Self.shownHeaders.contains(name) || name.hasPrefix("x-ratelimit-") || name.hasPrefix("ratelimit")
            }
            members["headers"] = .object(headers.mapValues { .string($0) })
            members.merge(Self.body(reply)) { _, body in body }
            switch answer.advice {
            case nil: break
            case .retry: members["advice"] = "The provider refused the token; it was renewed. Call again."
            case .wait: members["advice"] = "The provider refused the token. Try again in a minute."
            case .reauthorize:
                members["advice"] = "The provider no longer honours the authorization. Call again for a link."
            }
            self.init(.object(members), isError: reply.status >= 400)
        }
    }

    private static let shownHeaders: Set<String> = [
        "accept-ranges", "content-range", "content-type", "etag", "last-modified", "link", "location", "retry-after",
        "x-accepted-oauth-scopes", "x-oauth-scopes", "x-total-count",
    ]

    private static func body(_ reply: AgentReply) -> [String: JSONValue] {
        switch reply.body {
        case .none: [:]
        case .json(let value): ["body": value]
        case .text(let text): ["text": .string(text)]
        case .binary(let bytes, let type): ["binary": ["bytes": .integer(Int64(bytes)), "contentType": .string(type)]]
        }
    }
}

extension TransportFailure {
    fileprivate var words: String {
        switch self {
        case .notSent: "The provider could not be reached. Nothing was sent; try again."
        case .lost:
            "The provider did not answer in time, or broke off. Whether it acted is not known: look before you repeat."
        case .tooLarge:
            "The answer is longer than \(AgentCall.replyBytes) bytes. Ask for less: fewer items, fewer fields, a Range."
        case .redirected: "The provider answered with a redirect, which is not followed."
        }
    }
}
