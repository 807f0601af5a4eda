import OAuth

/// Asking a person, through the client, to open an address. It holds no secret and opens nothing by being known, so
/// nothing has to come back to us but the same call again: there is no `requestState`.
public struct Elicitation: Sendable {
    /// What the request is called where several could be made at once.
    static let key = "authorize"

    public let url: String
    /// Words for the person, the match code among them.
    public let message: String
    /// The waiting request's id: the same for the same need.
    public let id: String

    public init(url: String, message: String, id: String) { (self.url, self.message, self.id) = (url, message, id) }

    /// How this client is asked, if it said that it can; nil: by a plain link in a tool's result.
    public func asked(_ call: Call) throws(RPCError) -> JSONValue? {
        guard call.canOpenURLs else { return nil }
        switch call.revision {
        case .june2025: return nil
        case .november2025:
            throw RPCError(
                .urlElicitationRequired, "\(message) \(url)",
                data: [
                    "elicitations": [
                        [
                            "mode": "url", "elicitationId": .string(id), "url": .string(url),
                            "message": .string(message),
                        ]
                    ]
                ])
        case .july2026:
            return [
                "resultType": "input_required",
                "inputRequests": [
                    Self.key: [
                        "method": "elicitation/create",
                        "params": ["mode": "url", "url": .string(url), "message": .string(message)],
                    ]
                ],
            ]
        }
    }
}

/// What a tool has to say.
public struct ToolResult: Sendable {
    public let document: JSONValue
    /// For the model to read; the document's own text where there is none.
    public let text: String?
    public let isError: Bool

    public init(_ document: JSONValue, text: String? = nil, isError: Bool = false) {
        (self.document, self.text, self.isError) = (document, text, isError)
    }

    public func json(_ revision: Revision) -> JSONValue {
        let text = text ?? String(decoding: document.json, as: UTF8.self)
        return Server.stamped(
            [
                "content": [["type": "text", "text": .string(text)]], "structuredContent": document,
                "isError": .bool(isError),
            ], revision)
    }
}
