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

    /// A client that asks a person, and its document where it had to be fetched.
    struct AskingClient: Sendable {
        let client: OAuthClient
        var document: ClientDocument.Read?
    }

    /// Documents that are fetched in a minute, for one person and for all.
    private static let fetches: (person: Int64, all: Int64) = (20, 300)

    /// The client that a person is asked about: a document at its own address is fetched when it is not at hand, for a
    /// signed-in person only and not without end, so that nobody can make this server ask others as often as they like.
    /// It is kept once somebody approves: an address that anybody can make up leaves nothing here.
    func client(_ id: String, for person: PersonID, at now: Instant) throws -> Step<AskingClient> {
        if let known = try knownClient(id, at: now), known.isFresh { return .done(AskingClient(client: known)) }
        guard ClientDocument.host(of: id) != nil else { throw Refusal.unknownClient }
        let label = Array("client documents".utf8)
        let wait = rates.take(
            [
                (RateTable.Key(label, person.bytes), Self.fetches.person), (RateTable.Key(label), Self.fetches.all),
            ], at: now)
        if let wait { throw Refusal.rateLimited(retryAfter: wait) }
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
        return .send(call) { _, result in
            guard case .success(let reply) = result,
                let metadata = try? ClientDocument.parse(reply, id: id, clean: \.withoutControls)
            else { throw Refusal.unknownClient }
            let read = ClientDocument.Read(metadata: metadata, freshSeconds: ClientDocument.freshness(reply))
            return .done(AskingClient(client: OAuthClient(document: read, of: id), document: read))
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
