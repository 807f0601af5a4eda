import Encoding
import Secrets

/// How the client proves itself to a token endpoint (RFC 6749 section 2.3).
public enum ClientAuthentication: String, Hashable, Sendable, CaseIterable {
    /// `client_id` and `client_secret` as fields of the body.
    case body
    /// HTTP Basic; id and secret are form-encoded first (section 2.3.1).
    case basic
    /// `client_id` only: a public client.
    case none
}

public struct ClientCredentials: Sendable {
    public let id: String
    /// Absent for a public client.
    public let secret: SecretText?

    public init(id: String, secret: SecretText?) {
        self.id = id
        self.secret = secret
    }

    /// The value of an `Authorization` header (RFC 6749 section 2.3.1, RFC 7617).
    public func basicAuthorization() throws -> SecretText {
        var pair = WipedBuffer(capacity: 3 * (id.utf8.count + (secret?.count ?? 0)) + 1)
        pair.appendPercentEncoded(.text(id))
        pair.append(UInt8(ascii: ":"))
        if let secret { pair.appendPercentEncoded(.secret(secret)) }
        return try pair.withBytes { bytes in
            var header = WipedBuffer(capacity: 6 + (bytes.count + 2) / 3 * 4)
            header.append(contentsOf: "Basic ".utf8)
            header.appendBase64(bytes)
            return try header.seal()
        }
    }
}

/// RFC 6750 section 2.1.
public func bearerAuthorization(_ token: SecretText) throws -> SecretText {
    var header = WipedBuffer(capacity: 7 + token.count)
    header.append(contentsOf: "Bearer ".utf8)
    token.withUnsafeBytes { header.append(contentsOf: $0) }
    return try header.seal()
}
