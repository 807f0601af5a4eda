import OAuth

/// The tools, by name.
public enum Tool: String, Hashable, Sendable, CaseIterable {
    case listConnections = "list_connections"
    case requestAuthorization = "request_authorization"
    case findAPI = "find_api"
    case learnAPI = "learn_api"
    case callAPI = "call_api"

    private var title: JSONValue {
        switch self {
        case .listConnections: "List connected accounts"
        case .requestAuthorization: "Ask the person to authorize"
        case .findAPI: "Find API operations"
        case .learnAPI: "Learn about one operation"
        case .callAPI: "Call a provider's API"
        }
    }

    private var description: JSONValue {
        switch self {
        case .listConnections:
            "The accounts that you may use: provider, account, scopes, and the providers that can still be connected."
        case .requestAuthorization:
            """
            Ask the person for exactly these scopes at a provider, for this reason. The answer is a link and a match code \
            for them to see, or that nothing is missing. call_api does this by itself; use it to ask ahead.
            """
        case .findAPI:
            "Search the operations that the catalogue knows, with the scopes each needs. Words such as 'list github issues'."
        case .learnAPI: "One operation in full: method, path, parameters, body, scopes, and an example for call_api."
        case .callAPI:
            """
            Make one HTTP call of a provider's API with the person's token, which stays here. Asks by itself for the \
            scopes the operation needs. path is below the provider's API address; any path works, also one that find_api \
            does not know. Answers over 256 KiB and calls over 7 seconds fail: ask for less.
            """
        }
    }

    private static let provider: JSONValue = [
        "type": "string", "description": "github, google, slack, linear or another one of list_connections",
    ]
    private static let scopes: JSONValue = [
        "type": "array", "items": ["type": "string"], "description": "Scopes as the provider names them",
    ]
    private static let account: JSONValue = [
        "type": "string", "description": "One of several accounts: its connection id or name of list_connections",
    ]
    private static let reason: JSONValue = [
        "type": "string", "maxLength": 256, "description": "What for, in words for the person",
    ]

    private var properties: [String: JSONValue] {
        switch self {
        case .listConnections: [:]
        case .requestAuthorization: ["provider": Self.provider, "scopes": Self.scopes, "reason": Self.reason]
        case .findAPI:
            [
                "query": ["type": "string", "maxLength": 200, "description": "Words; empty for a list"],
                "provider": Self.provider,
            ]
        case .learnAPI:
            ["operation": ["type": "string", "description": "An id of find_api, such as github:issues.list"]]
        case .callAPI:
            [
                "provider": Self.provider,
                "method": ["type": "string", "enum": ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]],
                "path": [
                    "type": "string", "description": "/repos/octo/hello/issues; percent-encoded where RFC 3986 asks",
                ],
                "query": [
                    "type": "object",
                    "description": "Query parameters; values are strings, numbers, booleans or lists of them",
                ],
                "body": ["description": "JSON, or a string that is sent as it is"],
                "headers": [
                    "type": "object", "additionalProperties": ["type": "string"],
                    "description": "Accept, Content-Type, Range, If-* and the provider's own; others are refused",
                ],
                "scopes": Self.scopes, "account": Self.account, "reason": Self.reason,
            ]
        }
    }

    private var required: [JSONValue] {
        switch self {
        case .listConnections: []
        case .requestAuthorization: ["provider", "scopes", "reason"]
        case .findAPI: ["query"]
        case .learnAPI: ["operation"]
        case .callAPI: ["provider", "method", "path"]
        }
    }

    var definition: JSONValue {
        [
            "name": .string(rawValue), "title": title, "description": description,
            "inputSchema": [
                "type": "object", "properties": .object(properties), "required": .array(required),
                "additionalProperties": false,
            ],
            "annotations": [
                "readOnlyHint": .bool(self == .listConnections || self == .findAPI || self == .learnAPI),
                "openWorldHint": .bool(self == .callAPI),
            ],
        ]
    }

    static let definitions = allCases.map(\.definition)

    /// What a tool was given, before its members are looked at.
    public struct Arguments: Sendable {
        public let tool: Tool
        public let members: [String: JSONValue]
        /// How the person answered the request to open an address: `accept`, `decline`, `cancel`; nil: nobody was asked.
        public let answer: String?

        /// An unknown tool is the protocol's error, a wrong member the tool's.
        public init(_ call: Call) throws(RPCError) {
            guard case .string(let name)? = call.request.params["name"] else {
                throw RPCError(.invalidParams, "params.name is not a tool's name.")
            }
            guard let tool = Tool(rawValue: name) else {
                throw RPCError(.invalidParams, "Unknown tool: \(name.prefix(64))")
            }
            self.tool = tool
            let given = call.request.params["arguments"] ?? [:]
            guard let members = given == .null ? [:] : given.object else {
                throw RPCError(.invalidParams, "params.arguments is not an object.")
            }
            self.members = members
            answer = call.request.params["inputResponses"]?[Elicitation.key]?["action"]?.string
        }

        /// A member that none of ours is called.
        public var unknown: String? { members.keys.sorted().first { !tool.properties.keys.contains($0) } }
    }
}
