import OAuth

/// What this server says of itself, in each revision's words.
public enum Server {
    static let info: JSONValue = ["name": "toolshed", "title": "Toolshed", "version": "1"]

    static let instructions: JSONValue = """
        Calls people's accounts at providers (GitHub, Google, Slack, Linear and others) for you; you never see a token. \
        find_api names operations, learn_api explains one, call_api makes the call. If a person has to authorize first, \
        the answer holds a link and a match code: show both to them, and call again once they have approved.
        """

    public static func initialized(_ revision: Revision) -> JSONValue {
        [
            "protocolVersion": .string(revision.rawValue), "capabilities": ["tools": [:]], "serverInfo": info,
            "instructions": instructions,
        ]
    }

    static var discovered: JSONValue {
        ["supportedVersions": Revision.names, "capabilities": ["tools": [:]], "instructions": instructions]
    }

    /// What needs nobody's account. nil: a tool is called.
    public static func answer(_ call: Call) throws(RPCError) -> JSONValue? {
        switch (call.request.method, call.revision.isStateless) {
        case ("tools/call", _): return nil
        case ("initialize", false): return initialized(call.revision)
        case ("ping", false): return [:]
        case ("server/discover", true): return stamped(discovered, call.revision, cached: true)
        case ("tools/list", _): return stamped(["tools": .array(Tool.definitions)], call.revision, cached: true)
        default: throw RPCError(.methodNotFound, "There is no \(call.request.method.prefix(64)) here.")
        }
    }

    /// The members that 2026-07-28 has on every result.
    public static func stamped(_ result: JSONValue, _ revision: Revision, cached: Bool = false) -> JSONValue {
        guard revision.isStateless, var members = result.object else { return result }
        members["resultType"] = members["resultType"] ?? "complete"
        members["_meta"] = ["io.modelcontextprotocol/serverInfo": info]
        if cached {
            members["ttlMs"] = 300_000
            members["cacheScope"] = "public"
        }
        return .object(members)
    }
}
