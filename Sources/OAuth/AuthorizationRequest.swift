import Encoding

/// RFC 6749 section 4.1.1 with RFC 7636 section 4.3, as a URL to send the browser to.
public struct AuthorizationRequest: Sendable {
    /// In the order in which they are sent.
    public private(set) var parameters: [(name: String, value: String)] = []

    public init(clientID: String, redirectURI: String, state: String) {
        parameters = [("client_id", clientID), ("redirect_uri", redirectURI), ("state", state)]
    }

    /// Sets a parameter, replacing one of that name; RFC 6749 section 3.1 forbids repeating any.
    public mutating func set(_ name: String, _ value: String) {
        if let index = parameters.firstIndex(where: { $0.name == name }) {
            parameters[index].value = value
        } else {
            parameters.append((name, value))
        }
    }

    public mutating func set(codeChallenge: String) {
        set("code_challenge", codeChallenge)
        set("code_challenge_method", PKCE.method)
    }

    /// The endpoint's own query is kept (RFC 6749 section 3.1).
    public func url(endpoint: String) -> String {
        let query = parameters.map { "\(Percent.encode($0.name))=\(Percent.encode($0.value))" }.joined(separator: "&")
        return endpoint + endpoint.jointOfQuery + query
    }
}
