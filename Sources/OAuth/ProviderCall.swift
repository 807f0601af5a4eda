import Secrets

/// One HTTPS call to a provider, as a value. `ProviderHTTP` sends it; nothing here knows how.
public struct ProviderCall: Sendable {
    public struct Header: Sendable {
        public enum Value: Sendable {
            case text(String)
            case secret(SecretText)
        }

        public let name: String
        public let value: Value

        public init(_ name: String, _ text: String) {
            self.name = name
            value = .text(text)
        }

        public init(_ name: String, _ secret: SecretText) {
            self.name = name
            value = .secret(secret)
        }
    }

    public struct Limits: Sendable, Hashable {
        /// Longest reply body that is read, in bytes.
        public var replyBytes = 64 * 1024
        public var connectMilliseconds = 5_000
        public var totalMilliseconds = 15_000
        /// The provider's entry permits `http` to a loopback address; never permitted otherwise.
        public var allowsLoopbackHTTP = false
        /// No connection to private, link-local and other special-use addresses (RFC 6890), whatever the name resolves
        /// to; loopback is excepted where `allowsLoopbackHTTP` permits it.
        public var refusesSpecialAddresses = true
        /// A redirect is an answer like any other; it is never followed either way.
        public var passesRedirects = false

        public init() {}
    }

    public let method: String
    public let url: String
    public let headers: [Header]
    public let body: SecretText?
    /// A body that holds no secret of ours; instead of `body`.
    public let content: [UInt8]?
    public let limits: Limits

    public init(
        method: String, url: String, headers: [Header] = [], body: SecretText? = nil, content: [UInt8]? = nil,
        limits: Limits = Limits()
    ) {
        self.content = content
        self.method = method
        self.url = url
        self.headers = headers
        self.body = body
        self.limits = limits
    }

    public static let userAgent = "Toolshed/1"
}

/// What the provider answered: any status, body already bounded.
public struct ProviderReply: Sendable {
    public let status: Int
    /// Names in lower case; a repeated header is joined with ", ".
    public let headers: [String: String]
    public let body: [UInt8]

    public init(status: Int, headers: [String: String] = [:], body: [UInt8] = []) {
        self.status = status
        self.headers = headers
        self.body = body
    }
}

/// Why there is no reply. The cases differ in whether the provider may have acted.
public enum TransportFailure: Error, Hashable, Sendable {
    /// Not a byte of the request reached the provider: name resolution, connection, TLS.
    case notSent(String)
    /// Something may have reached the provider.
    case lost(String)
    case tooLarge
    /// The provider answered with a redirect, which is never followed.
    case redirected

    /// As it is stored and logged.
    public var code: String {
        switch self {
        case .notSent(let reason): "not_sent: \(reason)"
        case .lost(let reason): "lost: \(reason)"
        case .tooLarge: "too_large"
        case .redirected: "redirected"
        }
    }
}
