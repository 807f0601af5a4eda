/// Asks for tokens of one person.
public struct Auth: Sendable {
    let caller: Caller
    let userID: String?

    /// A token for what is about to be done: exactly these scopes. Throws `AuthorizationRequired` when the person must act
    /// first, `Declined` when they said no, else `ToolshedError`. What passes by itself (503, 429) is tried again for
    /// `patienceSeconds`.
    public func getToken(
        _ provider: String, scopes: [String] = [], reason: String = "", tool: String = "", account: String? = nil,
        minTTL: Int? = nil, patienceSeconds: Int = 15
    ) async throws -> Token {
        let body = Request(
            userID: userID, provider: provider, scopes: scopes, reason: reason, tool: tool, account: account,
            minTTL: minTTL
        ).json
        let deadline = ContinuousClock.now + .seconds(patienceSeconds)
        while true {
            let answer = try await caller.call("POST", "/api/tokens/vend", body: body)
            if answer.status == 200 { return try Token(answer.document) }
            switch answer.document.texts["error"] {
            case "authorization-required":
                throw try AuthorizationRequired(answer.document, caller) {
                    try await getToken(
                        provider, scopes: scopes, reason: reason, tool: tool, account: account, minTTL: minTTL,
                        patienceSeconds: patienceSeconds)
                }
            case "scope-declined": throw Declined(until: answer.document.texts["until"])
            default: break
            }
            let pause = Duration.seconds(max(1, answer.retryAfter ?? 1))
            guard [0, 429, 503].contains(answer.status), ContinuousClock.now + pause <= deadline else {
                throw ToolshedError(answer)
            }
            try await Task.sleep(for: pause)
        }
    }
}

/// The person said no. Do without; do not ask again before `until`, where it is given.
public struct Declined: Error, Sendable {
    public let until: String?
}

/// The link ended without a yes or a no.
public struct RequestEnded: Error, Sendable {
    public enum Reason: String, Sendable { case expired, failed, timeout }
    public let reason: Reason
}

/// A person must act: show them `url` and `matchCode`, then wait, or ask again when they come back.
public struct AuthorizationRequired: Error, Sendable {
    public let url: String
    public let matchCode: String
    public let reason: String
    public let requestID: String
    public let missingScopes: [String]
    public let grantedScopes: [String]
    public let expiresIn: Int64
    private let statusURL: String
    private let interval: Int64
    private let caller: Caller
    private let ask: @Sendable () async throws -> Token

    init(
        _ document: Document, _ caller: Caller, ask: @escaping @Sendable () async throws -> Token
    ) throws(ToolshedError) {
        guard let url = document.texts["authorizationUrl"], let statusURL = document.texts["statusUrl"] else {
            throw ToolshedError("unexpected-answer", "the server's answer is not one of Toolshed")
        }
        (self.url, self.statusURL) = (url, statusURL)
        matchCode = document.texts["matchCode"] ?? ""
        reason = document.texts["reason"] ?? ""
        requestID = document.texts["requestId"] ?? ""
        missingScopes = document.lists["missingScopes"] ?? []
        grantedScopes = document.lists["grantedScopes"] ?? []
        expiresIn = document.numbers["expiresIn"] ?? 900
        interval = document.numbers["interval"] ?? 2
        (self.caller, self.ask) = (caller, ask)
    }

    /// Waits for the person and answers the token. Throws `Declined` when they say no and `RequestEnded` when the link ends
    /// otherwise, or when `timeout` (by default as long as the link is open) is over.
    public func whenAuthorized(timeout: Duration? = nil) async throws -> Token {
        let deadline = ContinuousClock.now + (timeout ?? .seconds(expiresIn))
        var interval = interval
        while true {
            let left = deadline - ContinuousClock.now
            guard left > .zero else { throw RequestEnded(reason: .timeout) }
            try await Task.sleep(for: min(.seconds(interval), left))
            let answer = try await caller.call("GET", statusURL)
            let asked = answer.document.numbers["interval"]
            switch (answer.status, answer.document.texts["status"]) {
            case (200, "completed"): return try await ask()
            case (200, "declined"): throw Declined(until: nil)
            case (200, "expired"): throw RequestEnded(reason: .expired)
            case (200, "failed"): throw RequestEnded(reason: .failed)
            case (200, _): interval = asked ?? interval
            // Too fast; from now on this is the pace.
            case (429, _): interval = max(asked ?? Int64(answer.retryAfter ?? 0), interval)
            case (503, _), (0, _): interval = max(Int64(answer.retryAfter ?? 1), interval)
            default: throw ToolshedError(answer)
            }
        }
    }

    /// Withdraws the request; its link ends.
    public func cancel() async throws {
        let answer = try await caller.call("DELETE", statusURL)
        guard [204, 404].contains(answer.status) else { throw ToolshedError(answer) }
    }
}
