import Encoding
import Secrets

/// What comes back to the redirect URI (RFC 6749 section 4.1.2, RFC 9207), untrusted and bounded.
public struct AuthorizationResponse: Sendable {
    public enum Outcome: Sendable {
        case code(SecretText)
        /// Wins over a code that came with it. The text is the provider's: cut and escaped where it is shown.
        case error(code: String, text: String?)
    }

    /// What the provider calls the parameters; RFC names unless its entry says otherwise.
    public struct Names: Sendable, Hashable {
        public var code = "code"
        public var state = "state"
        public var error = "error"
        public var errorText = "error_description"
        /// Further parameters to keep with the connection.
        public var keep: [String] = []

        public init() {}
    }

    public enum Limit {
        public static let query = 8 * 1024
        public static let code = 4096
        public static let text = 500
    }

    public let state: String
    public let outcome: Outcome
    /// RFC 9207 `iss`, as sent.
    public let issuer: String?
    public let kept: [String: String]

    /// Reads a query as it arrived, still encoded.
    public init(parsing query: some StringProtocol, names: Names = Names()) throws(AuthorizationResponseError) {
        guard query.utf8.count <= Limit.query else { throw .tooLong("query") }
        let fields: [(name: String, value: String)]
        do {
            fields = try Form.parse(Array(query.utf8))
        } catch {
            throw .malformed
        }
        func single(_ name: String) throws(AuthorizationResponseError) -> String? {
            let values = fields.filter { $0.name == name }
            guard values.count <= 1 else { throw .repeated(name) }
            return values.first.flatMap { $0.value.isEmpty ? nil : $0.value }
        }
        let code = try single(names.code)
        let error = try single(names.error)
        let state = try single(names.state)
        issuer = try single("iss")
        guard let state else { throw .missing("state") }
        self.state = state
        if let error {
            let text = fields.first { $0.name == names.errorText }?.value
            outcome = .error(code: error.cut(to: 128), text: text?.cut(to: Limit.text))
        } else if let code {
            guard code.utf8.count <= Limit.code else { throw .tooLong("code") }
            do {
                outcome = .code(try SecretText(code))
            } catch {
                throw .secureMemory
            }
        } else {
            throw .missing("code")
        }
        let wanted = Set(names.keep)
        kept = Dictionary(fields.filter { wanted.contains($0.name) }.map { ($0.name, $0.value) }) { first, _ in first }
    }

    /// RFC 9207 section 2.4: simple string comparison, no normalization.
    public func checkIssuer(expected: String?, required: Bool) throws(IssuerMismatch) {
        guard let issuer else {
            if required { throw .absent }
            return
        }
        if let expected, !issuer.utf8.elementsEqual(expected.utf8) { throw .different }
    }
}

public enum AuthorizationResponseError: Error, Hashable, Sendable {
    case tooLong(String)
    case malformed
    case repeated(String)
    case missing(String)
    /// Owned secret memory is full; nothing was consumed.
    case secureMemory
}

/// RFC 9207: the answer is another authorization server's. The code is not redeemed, its error is not shown.
public enum IssuerMismatch: Error, Hashable, Sendable {
    case absent
    case different
}
