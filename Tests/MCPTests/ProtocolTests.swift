import OAuth
import Testing

@testable import MCP

@Suite("JSON-RPC and the revisions of MCP")
struct ProtocolTests {
    private func message(_ text: String) throws(RPCError) -> Message {
        var copy = text
        let result = copy.withUTF8 { bytes in
            Result { () throws(RPCError) in try Message(parsing: UnsafeRawBufferPointer(bytes)) }
        }
        return try result.get()
    }

    private func request(_ method: String, _ params: [String: JSONValue] = [:]) -> Message.Request {
        Message.Request(id: .number(1), method: method, params: params)
    }

    private func code(_ body: () throws -> some Any) -> RPCError.Code? {
        do {
            _ = try body()
            return nil
        } catch { return (error as? RPCError)?.code }
    }

    private func modern(
        _ method: String, _ params: [String: JSONValue] = [:], capabilities: JSONValue = [:],
        version: String = "2026-07-28", header: String? = "2026-07-28", method headerMethod: String?? = nil,
        name: String? = nil
    ) throws(RPCError) -> Call {
        var params = params
        params["_meta"] = [
            "io.modelcontextprotocol/protocolVersion": .string(version),
            "io.modelcontextprotocol/clientCapabilities": capabilities,
        ]
        let said: String? = headerMethod ?? method
        return try Call(request(method, params), Envelope(version: header, method: said, name: name, session: nil))
    }

    @Test("Requests, notifications and responses are told apart by what they have")
    func kinds() throws {
        #expect(
            try message(#"{"jsonrpc":"2.0","id":7,"method":"ping"}"#)
                == .request(
                    Message.Request(id: .number(7), method: "ping", params: [:])))
        #expect(
            try message(#"{"jsonrpc":"2.0","id":"7","method":"ping","params":{"a":[1]}}"#)
                == .request(
                    Message.Request(id: .text("7"), method: "ping", params: ["a": [1]])))
        #expect(
            try message(#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#)
                == .notification(
                    method: "notifications/initialized"))
        #expect(try message(#"{"jsonrpc":"2.0","id":1,"result":{}}"#) == .response)
        #expect(try message(#"{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"x"}}"#) == .response)
    }

    @Test(
        "What is no JSON is a parse error",
        arguments: [
            "", "{", "nonsense", #"{"jsonrpc":"2.0",}"#, "\u{feff}{}", #"{"a":1,"a":2}"#,
            #"{"jsonrpc":"2.0","id":1,"method":"a","method":"b"}"#, String(repeating: "[", count: 100),
        ])
    func noJSON(_ text: String) { #expect(code { try message(text) } == .parseError) }

    @Test(
        "What is no one message is an invalid request, a batch among it",
        arguments: [
            "[]", #"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#, "1", "null", #""x""#, "{}",
            #"{"jsonrpc":"1.0","id":1,"method":"x"}"#,
            #"{"jsonrpc":2.0,"id":1,"method":"x"}"#, #"{"jsonrpc":"2.0","id":1}"#,
            #"{"jsonrpc":"2.0","id":1,"method":7}"#,
            #"{"jsonrpc":"2.0","id":null,"method":"x"}"#, #"{"jsonrpc":"2.0","id":1.5,"method":"x"}"#,
            #"{"jsonrpc":"2.0","id":{},"method":"x"}"#, #"{"jsonrpc":"2.0","id":1,"method":"x","params":[1]}"#,
            #"{"jsonrpc":"2.0","id":1,"method":""}"#,
        ])
    func noMessage(_ text: String) { #expect(code { try message(text) } == .invalidRequest) }

    @Test("An answer carries the id that came, of the same kind")
    func ids() {
        #expect(
            String(decoding: Response.result([:], to: .number(7)), as: UTF8.self)
                == #"{"id":7,"jsonrpc":"2.0","result":{}}"#)
        #expect(
            String(decoding: Response.result([:], to: .text("7")), as: UTF8.self)
                == #"{"id":"7","jsonrpc":"2.0","result":{}}"#)
        let error = Response.error(RPCError(.parseError, "x"), to: nil)
        #expect(
            String(decoding: error, as: UTF8.self)
                == #"{"error":{"code":-32700,"message":"x"},"id":null,"jsonrpc":"2.0"}"#)
    }

    @Test("A handshake gets the revision it asks for, or the newest that has one")
    func negotiation() {
        #expect(Revision.negotiated("2025-06-18") == .june2025)
        #expect(Revision.negotiated("2025-11-25") == .november2025)
        #expect(Revision.negotiated("2026-07-28") == .november2025)
        #expect(Revision.negotiated("2024-11-05") == .november2025)
        #expect(Revision.negotiated(nil) == .november2025)
    }

    @Test("After a handshake the header says the revision; without it the oldest is meant, another is refused")
    func handshaken() throws {
        func revision(_ header: String?) throws -> Revision {
            try Call(request("tools/list"), Envelope(version: header, method: nil, name: nil, session: nil)).revision
        }
        #expect(try revision("2025-06-18") == .june2025)
        #expect(try revision("2025-11-25") == .november2025)
        #expect(try revision(nil) == .june2025)
        #expect(code { try revision("2024-11-05") } == .unsupportedVersion)
        #expect(code { try revision("nonsense") } == .unsupportedVersion)
        #expect(code { try revision("2026-07-28") } == .invalidParams)
    }

    @Test("A stateless request says all of itself, and its headers say the same")
    func stateless() throws {
        let call = try modern("tools/call", ["name": "find_api"], name: "find_api")
        #expect(call.revision == .july2026 && !call.canOpenURLs)
        #expect(try modern("server/discover").revision == .july2026)
        #expect(try modern("tools/call", ["name": "find_api"], name: "=?base64?ZmluZF9hcGk=?=").revision == .july2026)
        #expect(code { try modern("tools/list", header: nil) } == .headerMismatch)
        #expect(code { try modern("tools/list", header: "2025-11-25") } == .headerMismatch)
        #expect(code { try modern("tools/list", method: "tools/call") } == .headerMismatch)
        #expect(code { try modern("tools/list", method: .some(nil)) } == .headerMismatch)
        #expect(code { try modern("tools/call", ["name": "find_api"], name: "call_api") } == .headerMismatch)
        #expect(code { try modern("tools/call", ["name": "find_api"]) } == .headerMismatch)
        #expect(code { try modern("tools/list", version: "2027-01-01", header: "2027-01-01") } == .unsupportedVersion)
        #expect(code { try modern("tools/list", capabilities: 1) } == .invalidParams)
        let bare = Envelope(version: "2026-07-28", method: "tools/list", name: nil, session: nil)
        #expect(code { try Call(request("tools/list"), bare) } == .invalidParams)
    }

    @Test("What there is, in each revision's words")
    func answers() throws {
        func old(_ method: String, _ params: [String: JSONValue] = [:]) throws -> JSONValue? {
            try Server.answer(
                Call(request(method, params), Envelope(version: "2025-11-25", method: nil, name: nil, session: nil)))
        }
        let initialized = try old("initialize", ["protocolVersion": "2025-06-18"])
        #expect(initialized?["protocolVersion"] == "2025-06-18")
        #expect(initialized?["capabilities"] == ["tools": [:]])
        #expect(initialized?["serverInfo"]?["name"] == "toolshed")
        #expect(try old("ping") == [:])
        #expect(try old("tools/list")?["resultType"] == nil)
        #expect(try old("tools/call") == nil)
        for method in ["server/discover", "prompts/list", "resources/read", "nonsense"] {
            #expect(code { try old(method) } == .methodNotFound)
        }
        let discovered = try Server.answer(modern("server/discover"))
        #expect(discovered?["supportedVersions"] == ["2026-07-28", "2025-11-25", "2025-06-18"])
        #expect(discovered?["resultType"] == "complete" && discovered?["cacheScope"] == "public")
        #expect(discovered?["_meta"]?["io.modelcontextprotocol/serverInfo"]?["name"] == "toolshed")
        let tools = try Server.answer(modern("tools/list"))?["tools"]?.array ?? []
        #expect(tools.map { $0["name"]?.string } == Tool.allCases.map(\.rawValue))
        #expect(
            tools.allSatisfy {
                $0["inputSchema"]?["type"] == "object" && $0["inputSchema"]?["additionalProperties"] == false
            })
        for method in ["initialize", "ping", "nonsense"] {
            #expect(code { try Server.answer(modern(method)) } == .methodNotFound)
        }
    }

    @Test("Statuses go with the revision")
    func statuses() {
        #expect(RPCError(.methodNotFound, "x").status(.july2026) == 404)
        #expect(RPCError(.methodNotFound, "x").status(.november2025) == 200)
        #expect(RPCError(.invalidParams, "x").status(.july2026) == 400)
        #expect(RPCError(.headerMismatch, "x").status(.july2026) == 400)
        #expect(RPCError(.parseError, "x").status(nil) == 400)
        #expect(RPCError(.urlElicitationRequired, "x").status(.november2025) == 200)
    }

    @Test("Tools are known by name, and their arguments are one object")
    func arguments() throws {
        func read(_ params: [String: JSONValue]) throws -> Tool.Arguments {
            try Tool.Arguments(
                Call(request("tools/call", params), Envelope(version: nil, method: nil, name: nil, session: nil)))
        }
        #expect(try read(["name": "find_api", "arguments": ["query": "x"]]).members == ["query": "x"])
        #expect(try read(["name": "list_connections"]).members == [:])
        #expect(try read(["name": "find_api", "arguments": ["query": "x", "q": "y"]]).unknown == "q")
        for params: [String: JSONValue] in [
            [:], ["name": "nothing"], ["name": 1], ["name": "find_api", "arguments": [1]],
        ] {
            #expect(code { try read(params) } == .invalidParams)
        }
        let answered: [String: JSONValue] = ["name": "call_api", "inputResponses": ["authorize": ["action": "accept"]]]
        #expect(try read(answered).answer == "accept")
    }

    @Test("A person is asked to open an address only where the client said that it can, in the revision's dialect")
    func elicitation() throws {
        let elicitation = Elicitation(url: "https://h.example/connect?x", message: "Do", id: "r_1")
        let urls: JSONValue = ["elicitation": ["form": [:], "url": [:]]]
        let session = try #require(SessionID.issue(capabilities: urls, Array(repeating: 7, count: 16)))
        #expect(SessionID.issue(capabilities: ["elicitation": [:]], []) == nil)
        #expect(SessionID.issue(capabilities: nil, []) == nil)
        func old(_ version: String, _ session: String?) throws -> Call {
            try Call(request("tools/call"), Envelope(version: version, method: nil, name: nil, session: session))
        }
        #expect(try elicitation.asked(old("2025-11-25", nil)) == nil)
        #expect(try elicitation.asked(old("2025-06-18", session)) == nil)
        #expect(try elicitation.asked(modern("tools/list", capabilities: ["elicitation": [:]])) == nil)
        let error = #expect(throws: RPCError.self) { try elicitation.asked(old("2025-11-25", session)) }
        #expect(error?.code == .urlElicitationRequired)
        #expect(
            error?.data == [
                "elicitations": [
                    ["mode": "url", "elicitationId": "r_1", "url": "https://h.example/connect?x", "message": "Do"]
                ]
            ])
        let asked = try elicitation.asked(modern("tools/list", capabilities: urls))
        #expect(
            asked == [
                "resultType": "input_required",
                "inputRequests": [
                    "authorize": [
                        "method": "elicitation/create",
                        "params": ["mode": "url", "url": "https://h.example/connect?x", "message": "Do"],
                    ]
                ],
            ])
    }
}
