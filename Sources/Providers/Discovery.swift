import OAuth

/// Why an authorization server's metadata does not fit the provider's entry.
public enum DiscoveryError: Error, Hashable, Sendable {
    case metadata(ServerMetadataError)
    /// An endpoint that is not https (nor a permitted loopback http).
    case endpoint(name: String, url: String)
    /// The entry wants S256 and the server says it does not know it.
    case noS256
    /// People are to sign in with it, and the document does not say where its keys are.
    case noKeys
    case noIssuer

    /// In words for the operator, none of them the document's.
    public var words: String {
        switch self {
        case .metadata(.status(let status)): "http_\(status)"
        case .metadata(.notJSON): "not a JSON object"
        case .metadata(.missing(let member)): "no \(member)"
        case .metadata(.issuerDiffers): "another issuer"
        case .endpoint(let name, _): "\(name) is not https"
        case .noS256: "no S256"
        case .noKeys: "no jwks_uri"
        case .noIssuer: "no issuer"
        }
    }
}

extension Provider {
    /// The documents to try, in order (standards 1.11); none when the endpoints are known.
    public func discoveryCalls() -> [ProviderCall] {
        guard needsDiscovery, let issuer else { return [] }
        let own = endpoints.discovery.flatMap { expand($0) }.map { [$0] } ?? []
        return (own + ServerMetadata.locations(issuer: issuer)).map { url in
            ProviderCall(method: "GET", url: url, headers: Self.completed([]), limits: limits(total: 8_000))
        }
    }

    /// This provider with what the document adds; endpoints of the entry win.
    public func applying(metadata reply: ProviderReply) throws(DiscoveryError) -> Provider {
        guard let issuer else { throw .noIssuer }
        let metadata: ServerMetadata
        do {
            metadata = try ServerMetadata(parsing: reply, issuer: issuer)
        } catch {
            throw .metadata(error)
        }
        var provider = self
        provider.endpoints = Endpoints(metadata, under: endpoints)
        for (name, url) in provider.endpoints.all {
            guard let url, endpoints.all.first(where: { $0.name == name })?.template == nil else { continue }
            guard let parsed = try? EndpointURL(parsing: url), parsed.permitted(loopbackHTTP: allowsLoopbackHTTP) else {
                throw .endpoint(name: name, url: url)
            }
        }
        if signIn != nil, provider.endpoints.jwks == nil { throw .noKeys }
        if usesPKCE, let methods = metadata.codeChallengeMethods, !methods.contains(PKCE.method) { throw .noS256 }
        if token.authentication == nil {
            provider.token.authentication = Self.authentication(metadata.tokenEndpointAuthMethods)
        }
        if metadata.sendsIssuer { provider.authorize.requiresIssuer = true }
        if identity.isEmpty, let userinfo = metadata.userinfoEndpoint { provider.identity = [.userinfo(userinfo)] }
        return provider
    }

    /// Why what came back is not this provider's metadata.
    public func fault(of result: Result<ProviderReply, TransportFailure>) -> String {
        switch result {
        case .failure(let failure): return shownCode(failure.code)
        case .success(let reply) where reply.status != 200: return "http_\(reply.status)"
        case .success(let reply):
            do throws(DiscoveryError) {
                _ = try applying(metadata: reply)
                return "it fits now"
            } catch {
                return error.words
            }
        }
    }

    private static func authentication(_ methods: [String]) -> ClientAuthentication {
        if methods.contains("client_secret_basic") { return .basic }
        if methods.contains("client_secret_post") { return .body }
        return methods.contains("none") ? .none : .basic
    }
}
