import Encoding
import OAuth
import Settings
import Vault

/// What tokens of our own are for: scopes and resources (RFC 6749 section 3.3, RFC 8707).
enum ClientScope: String, CaseIterable {
    case use = "vault:use"
    case manage = "vault:manage"

    /// An agent never sees a provider's token; a command line is handed it.
    func words(isCommandLine: Bool) -> String {
        switch self {
        case .use where isCommandLine: "Get the tokens of your connections, and do with them whatever they allow"
        case .use: "Use your connections through this server, without ever seeing the keys to them"
        case .manage: "See what is connected and used, and take it back"
        }
    }

    /// The command line does for a person what the vault's page does, short of a person's decisions.
    static let all = ScopeSet(allCases.map(\.rawValue))

    /// All that an agent can be given, whatever it asks for (B-AUT-5): no tool of `/mcp` manages anything, and a person is
    /// not asked for a power that does not exist.
    static let agents = ScopeSet([ClientScope.use.rawValue])
}

extension Settings {
    /// The one resource that OAuth clients get tokens for.
    public var agentResource: String { origin + "/mcp" }

    /// What this client's tokens are for: the command line calls the API, everybody else `/mcp`.
    func resource(of client: OAuthClient) -> String { client.id == Broker.commandLineClient ? origin : agentResource }
}

extension Broker {
    /// The resource of a client, if that is what was asked for; nothing asked is that one, too (B-AUT-4, B-TOK-5).
    func resource(
        _ asked: [ResourceIndicator], for client: OAuthClient
    ) throws(OAuthError) -> String {
        let own = settings.resource(of: client)
        guard let known = ResourceIndicator(parsing: own), asked.allSatisfy({ $0 == known }) else {
            throw OAuthError(.invalidTarget, "the only resource for this client is \(own)")
        }
        return own
    }
}
