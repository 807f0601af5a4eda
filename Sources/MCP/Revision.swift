import Encoding
import OAuth

/// The revisions of the protocol that are spoken here.
public enum Revision: String, Hashable, Sendable, CaseIterable {
    case june2025 = "2025-06-18"
    case november2025 = "2025-11-25"
    case july2026 = "2026-07-28"

    /// Every request says all of itself; there is no handshake.
    public var isStateless: Bool { self == .july2026 }

    /// What an `initialize` is answered with: the revision that was asked for, else the newest that has a handshake.
    public static func negotiated(_ asked: String?) -> Revision {
        guard let asked, let revision = Revision(rawValue: asked), !revision.isStateless else { return .november2025 }
        return revision
    }

    static let names: JSONValue = .array(allCases.reversed().map { .string($0.rawValue) })

    public static func unsupported(_ requested: String) -> RPCError {
        RPCError(
            .unsupportedVersion, "Unsupported protocol version",
            data: ["supported": names, "requested": .string(String(requested.prefix(64)))])
    }
}

/// What the HTTP header fields of a request say about its message.
public struct Envelope: Sendable {
    public let version: String?
    public let method: String?
    public let name: String?
    /// Of a handshake, see `SessionID`.
    public let session: String?

    public init(version: String?, method: String?, name: String?, session: String?) {
        (self.version, self.method, self.name, self.session) = (version, method, name, session)
    }
}

/// A request with everything that decides how it is answered.
public struct Call: Sendable {
    public let revision: Revision
    public let request: Message.Request
    /// The client shows a person an address and says whether they opened it.
    public let canOpenURLs: Bool

    /// Names of `_meta`.
    private static let prefix = "io.modelcontextprotocol/"

    public init(_ request: Message.Request, _ envelope: Envelope) throws(RPCError) {
        self.request = request
        let meta = request.params["_meta"]?.object ?? [:]
        let inBody = meta["\(Self.prefix)protocolVersion"]
        guard inBody != nil || envelope.version == Revision.july2026.rawValue else {
            revision = try Self.handshaken(envelope.version, request)
            canOpenURLs = envelope.session.map(SessionID.canOpenURLs) ?? false
            return
        }
        guard case .string(let version)? = inBody, let capabilities = meta["\(Self.prefix)clientCapabilities"]?.object
        else {
            throw RPCError(
                .invalidParams,
                "params._meta is without \(Self.prefix)protocolVersion and \(Self.prefix)clientCapabilities")
        }
        guard envelope.version == version else {
            throw RPCError(.headerMismatch, "MCP-Protocol-Version does not say the same as the message.")
        }
        guard envelope.method == request.method else {
            throw RPCError(.headerMismatch, "Mcp-Method does not say the same as the message.")
        }
        if request.method == "tools/call", case .string(let name)? = request.params["name"],
            HeaderValue.decode(envelope.name) != name
        {
            throw RPCError(.headerMismatch, "Mcp-Name does not say the same as the message.")
        }
        guard let revision = Revision(rawValue: version), revision.isStateless else {
            throw Revision.unsupported(version)
        }
        self.revision = revision
        canOpenURLs = capabilities["elicitation"]?["url"]?.object != nil
    }

    private static func handshaken(_ version: String?, _ request: Message.Request) throws(RPCError) -> Revision {
        // The handshake itself says it in its parameters.
        if request.method == "initialize" { return .negotiated(request.params["protocolVersion"]?.string) }
        // A client before the header existed, or one that forgot it, is met on the oldest ground.
        guard let version else { return .june2025 }
        guard let revision = Revision(rawValue: version) else { throw Revision.unsupported(version) }
        return revision
    }
}

/// A handshake leaves nothing here: what a client can do is written into the id that it sends along. It grants nothing, so
/// a client that makes one up only tells itself something wrong.
public enum SessionID {
    private static let urls = "url-"

    /// nil: nothing needs to be remembered.
    public static func issue(capabilities: JSONValue?, _ random: [UInt8]) -> String? {
        capabilities?["elicitation"]?["url"]?.object == nil ? nil : urls + Base64URL.encode(random)
    }

    static func canOpenURLs(_ id: String) -> Bool { id.hasPrefix(urls) }
}

/// `=?base64?…?=` where a value would not survive as a header field.
enum HeaderValue {
    static func decode(_ value: String?) -> String? {
        guard let value, value.hasPrefix("=?base64?"), value.hasSuffix("?="), value.count >= 11 else { return value }
        return Base64.decode(value.dropFirst(9).dropLast(2)).flatMap { String(validating: $0, as: UTF8.self) }
    }
}
