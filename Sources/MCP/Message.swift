import Encoding
import OAuth

/// One JSON-RPC 2.0 message from a client.
public enum Message: Hashable, Sendable {
    case request(Request)
    /// Without an id: nothing is owed.
    case notification(method: String)
    /// The answer to something that we never ask.
    case response

    public struct Request: Hashable, Sendable {
        public let id: RequestID
        public let method: String
        public let params: [String: JSONValue]

        public init(id: RequestID, method: String, params: [String: JSONValue]) {
            (self.id, self.method, self.params) = (id, method, params)
        }
    }

    /// Strings and numbers are different ids, and come back as they were.
    public enum RequestID: Hashable, Sendable {
        case text(String)
        case number(Int64)

        var json: JSONValue {
            switch self {
            case .text(let text): .string(text)
            case .number(let number): .integer(number)
            }
        }
    }

    public init(parsing body: UnsafeRawBufferPointer) throws(RPCError) {
        let value: JSONValue
        do {
            value = try JSONValue(strictly: body)
        } catch { throw RPCError(.parseError, "The body is no JSON text.") }
        // Batches went with 2025-06-18.
        guard let members = value.object else {
            throw RPCError(.invalidRequest, "The body is not one JSON-RPC message.")
        }
        guard members["jsonrpc"] == "2.0" else { throw RPCError(.invalidRequest, "jsonrpc is not \"2.0\".") }
        guard let method = members["method"] else {
            guard members["result"] != nil || members["error"] != nil else {
                throw RPCError(.invalidRequest, "There is no method.")
            }
            self = .response
            return
        }
        guard case .string(let name) = method, (1...128).contains(name.utf8.count) else {
            throw RPCError(.invalidRequest, "method is not a name.")
        }
        var params: [String: JSONValue] = [:]
        if let given = members["params"] {
            guard let object = given.object else { throw RPCError(.invalidRequest, "params is not an object.") }
            params = object
        }
        switch members["id"] {
        case nil: self = .notification(method: name)
        case .string(let text)? where text.utf8.count <= 256:
            self = .request(Request(id: .text(text), method: name, params: params))
        case .integer(let number)?: self = .request(Request(id: .number(number), method: name, params: params))
        default: throw RPCError(.invalidRequest, "id is neither a short string nor a whole number.")
        }
    }
}

/// What is answered instead of a result.
public struct RPCError: Error, Hashable, Sendable {
    public enum Code: Int64, Sendable {
        case parseError = -32700
        case invalidRequest = -32600
        case methodNotFound = -32601
        case invalidParams = -32602
        case internalError = -32603
        /// Headers and body do not say the same (2026-07-28).
        case headerMismatch = -32020
        case unsupportedVersion = -32022
        /// A person has to open an address first (2025-11-25 alone; retired since).
        case urlElicitationRequired = -32042
    }

    public let code: Code
    public let message: String
    public let data: JSONValue?

    public init(_ code: Code, _ message: String, data: JSONValue? = nil) {
        (self.code, self.message, self.data) = (code, message, data)
    }

    /// The HTTP status that goes with it where the message itself was at fault.
    public func status(_ revision: Revision?) -> Int {
        switch code {
        case .parseError, .invalidRequest, .headerMismatch, .unsupportedVersion: 400
        case .methodNotFound: revision?.isStateless ?? false ? 404 : 200
        case .invalidParams: revision?.isStateless ?? false ? 400 : 200
        case .internalError, .urlElicitationRequired: 200
        }
    }
}

/// Bytes of an answer.
public enum Response {
    public static func result(_ result: JSONValue, to id: Message.RequestID) -> [UInt8] {
        JSONValue.object(["jsonrpc": "2.0", "id": id.json, "result": result]).json
    }

    public static func error(_ error: RPCError, to id: Message.RequestID?) -> [UInt8] {
        var members: [String: JSONValue] = ["code": .integer(error.code.rawValue), "message": .string(error.message)]
        if let data = error.data { members["data"] = data }
        return JSONValue.object(["jsonrpc": "2.0", "id": id?.json ?? .null, "error": .object(members)]).json
    }
}
