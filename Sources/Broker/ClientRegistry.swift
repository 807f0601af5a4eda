import Encoding
import OAuth
import Settings
import Vault

/// Which clients there are: part of the product, registered by themselves, or described at their own address.
extension Broker {
    /// The command line's own client id (standards.md §2.12). Public, redirected to loopback only.
    public static let commandLineClient = "toolshed-cli"

    static let commandLine = OAuthClient(
        builtIn: commandLineClient, name: "Toolshed command line",
        redirectURIs: ["http://127.0.0.1/callback", "http://[::1]/callback", "http://localhost/callback"]
            .compactMap { RedirectURI(registering: $0) },
        grantTypes: ["authorization_code", "urn:ietf:params:oauth:grant-type:device_code"])

    /// What is known of a client here, without asking anybody. The end points that clients call themselves use this.
    func knownClient(_ id: String, at now: Instant) throws -> OAuthClient? {
        if id == Self.commandLineClient { return Self.commandLine }
        guard id.utf8.count <= 1024 else { return nil }
        return try store.read { try $0.client(id, at: now) }
    }

    /// The client that a person is asked about: a document at its own address is fetched when it is not at hand, for a
    /// signed-in person only, so that nobody else can make this server ask another one.
    func client(_ id: String, at now: Instant) throws -> Step<OAuthClient> {
        if let known = try knownClient(id, at: now), known.isFresh { return .done(known) }
        guard ClientDocument.host(of: id) != nil else { throw Refusal.unknownClient }
        var limits = ProviderCall.Limits()
        limits.replyBytes = ClientDocument.maximumBytes
        limits.totalMilliseconds = 5_000
        // The draft's exception: a development server on loopback may have clients there (B-CIMD-2).
        limits.allowsLoopbackHTTP = settings.developmentLoopback
        let call = ProviderCall(
            method: "GET", url: id,
            headers: [
                ProviderCall.Header("Accept", "application/json"),
                ProviderCall.Header("User-Agent", ProviderCall.userAgent),
            ], limits: limits)
        return .send(call) { broker, result in
            guard case .success(let reply) = result,
                let metadata = try? ClientDocument.parse(reply, id: id, clean: \.withoutControls)
            else { throw Refusal.unknownClient }
            let now = Instant.now()
            let known = try broker.store.write { rows in
                try rows.store(document: metadata, of: id, freshFor: ClientDocument.freshness(reply), at: now)
                return try rows.client(id, at: now)
            }
            guard let known else { throw Refusal.unknownClient }
            return .done(known)
        }
    }

    public struct Registration: Sendable {
        public let id: String
        public let secret: String?
        public let metadata: ClientMetadata
    }

    /// `POST /register` (RFC 7591): anybody may, within limits that all workers share.
    public func register(
        _ metadata: ClientMetadata, from address: String, network: String, at now: Instant
    ) throws -> Registration {
        let made = try store.write { rows -> (id: String, secret: String?)? in
            let isLeft = try rows.registrationsLeft(
                from: address, network: network, limits: settings.registrationLimits, at: now)
            return isLeft ? try rows.register(metadata, from: address, at: now) : nil
        }
        guard let made else { throw Refusal.rateLimited(retryAfter: 60) }
        return Registration(id: made.id, secret: made.secret, metadata: metadata)
    }
}
