import Encoding

/// How a client of ours shows who it is at `/token` (RFC 7591 section 2).
public enum ClientAuthenticationMethod: String, Sendable, CaseIterable {
    case none
    case basic = "client_secret_basic"
    case post = "client_secret_post"
}

/// What a client says about itself, registering (RFC 7591) or in a document at its own address. Everything is a claim;
/// only what we act on or echo is kept, bounded and without what could not be shown.
public struct ClientMetadata: Sendable, Hashable {
    public static let maximumRedirects = 10
    public static let maximumName = 80
    static let maximumText = 512

    /// The acceptable ones, in their order.
    public let redirectURIs: [RedirectURI]
    public let name: String
    public let grantTypes: [String]
    public let responseTypes: [String]
    public let method: ClientAuthenticationMethod
    public let scope: String?
    public let applicationType: String?
    public let contacts: [String]
    /// `client_uri`, `logo_uri`, `software_id`, `software_version`: echoed, never fetched.
    public let texts: [(name: String, value: String)]

    public static let grantTypes = [
        "authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code",
    ]
    private static let textNames = ["client_uri", "logo_uri", "software_id", "software_version"]

    public static func == (left: ClientMetadata, right: ClientMetadata) -> Bool { left.json == right.json }
    public func hash(into hasher: inout Hasher) { hasher.combine(json) }

    /// `clean` takes out what a person must not be shown: control and direction characters.
    public init(parsing document: JSONValue, clean: (String) -> String) throws(OAuthError) {
        func text(_ name: String, limit: Int = ClientMetadata.maximumText) throws(OAuthError) -> String? {
            switch document[name] {
            case nil, .null: return nil
            case .string(let text):
                let cleaned = clean(text)
                guard cleaned.count <= limit else {
                    throw OAuthError(.invalidClientMetadata, "\(name) is longer than \(limit) characters")
                }
                return cleaned.isEmpty ? nil : cleaned
            default: throw OAuthError(.invalidClientMetadata, "\(name) must be a string")
            }
        }
        func list(_ name: String, limit: Int) throws(OAuthError) -> [String]? {
            switch document[name] {
            case nil, .null: return nil
            case .array(let values):
                let texts = values.compactMap(\.string)
                guard texts.count == values.count, texts.count <= limit else {
                    throw OAuthError(.invalidClientMetadata, "\(name) must be an array of at most \(limit) strings")
                }
                return texts
            default: throw OAuthError(.invalidClientMetadata, "\(name) must be an array of strings")
            }
        }
        guard case .object = document else { throw OAuthError(.invalidClientMetadata, "expected one JSON object") }
        guard case .array(let asked) = document["redirect_uris"] ?? .null, !asked.isEmpty else {
            throw OAuthError(.invalidRedirectURI, "redirect_uris must be a non-empty array")
        }
        // What is not acceptable is left out: one client registers three at once, one of them of a scheme of its own.
        let acceptable = asked.prefix(64).compactMap { $0.string.flatMap { RedirectURI(registering: $0) } }
        guard !acceptable.isEmpty else {
            throw OAuthError(
                .invalidRedirectURI, "no redirect URI is acceptable: https, http on loopback, or a known custom scheme")
        }
        redirectURIs = Array(acceptable.prefix(Self.maximumRedirects))
        name = try text("client_name", limit: Self.maximumName) ?? ""
        let grants = try list("grant_types", limit: 16) ?? ["authorization_code"]
        grantTypes = grants.filter(Self.grantTypes.contains)
        guard grantTypes.contains("authorization_code") else {
            throw OAuthError(.invalidClientMetadata, "grant_types must hold authorization_code")
        }
        responseTypes = try list("response_types", limit: 16) ?? ["code"]
        guard responseTypes.contains("code") else {
            throw OAuthError(.invalidClientMetadata, "response_types must hold code")
        }
        let asks = try text("token_endpoint_auth_method") ?? ClientAuthenticationMethod.none.rawValue
        guard let method = ClientAuthenticationMethod(rawValue: asks) else {
            throw OAuthError(
                .invalidClientMetadata,
                "token_endpoint_auth_method must be none, client_secret_basic or client_secret_post")
        }
        self.method = method
        scope = try text("scope", limit: 1024)
        applicationType = try text("application_type")
        contacts = try (list("contacts", limit: 10) ?? []).map { String(clean($0).prefix(Self.maximumText)) }
        var texts: [(String, String)] = []
        for name in Self.textNames {
            if let value = try text(name) { texts.append((name, value)) }
        }
        self.texts = texts
    }

    /// RFC 7591 section 3.2.1: what holds, without members that say nothing (standards.md B-DCR-5).
    public func write(to writer: inout JSONWriter) {
        writer.key("redirect_uris")
        writer.strings(redirectURIs.map(\.text))
        if !name.isEmpty { member("client_name", name, &writer) }
        writer.key("grant_types")
        writer.strings(grantTypes)
        writer.key("response_types")
        writer.strings(["code"])
        member("token_endpoint_auth_method", method.rawValue, &writer)
        if let scope { member("scope", scope, &writer) }
        if let applicationType { member("application_type", applicationType, &writer) }
        if !contacts.isEmpty {
            writer.key("contacts")
            writer.strings(contacts)
        }
        for (name, value) in texts { member(name, value, &writer) }
    }

    /// One JSON object, as it is kept.
    public var json: [UInt8] {
        var writer = JSONWriter()
        writer.beginObject()
        write(to: &writer)
        writer.endObject()
        return writer.bytes
    }

    private func member(_ name: String, _ value: String, _ writer: inout JSONWriter) {
        writer.key(name)
        writer.string(value)
    }
}

/// An address that is a client's id (client id metadata documents, standards.md B-CIMD-1).
public enum ClientDocument {
    /// What was found there, and how long it may be kept.
    public struct Read: Sendable {
        public let metadata: ClientMetadata
        public let freshSeconds: Int64

        public init(metadata: ClientMetadata, freshSeconds: Int64) {
            (self.metadata, self.freshSeconds) = (metadata, freshSeconds)
        }
    }

    /// Longest document that is read.
    public static let maximumBytes = 10 * 1024

    /// An https URL with a path, without fragment, user information and dot segments in any encoding. Its host is what a
    /// person is told.
    public static func host(of id: String) -> String? {
        guard id.hasPrefix("https://"), id.utf8.count <= 1024, let uri = RedirectURI(registering: id),
            uri.kind == .https
        else { return nil }
        let target = id.dropFirst("https://".count).drop { $0 != "/" && $0 != "?" }
        guard target.hasPrefix("/"), target != "/", !target.hasPrefix("/?") else { return nil }
        let path = target.prefix { $0 != "?" }
        for segment in path.split(separator: "/") {
            guard let plain = Percent.decode(segment), plain != ".", plain != "..", !plain.contains("/") else {
                return nil
            }
        }
        return uri.host
    }

    /// The document of this id, checked (B-CIMD-3).
    public static func parse(
        _ reply: ProviderReply, id: String, clean: (String) -> String
    ) throws(OAuthError) -> ClientMetadata {
        let type = reply.headers["content-type"]?.prefix { $0 != ";" }.lowercased() ?? ""
        guard reply.status == 200, reply.body.count <= maximumBytes,
            type == "application/json" || type.hasSuffix("+json"), let document = JSONValue(parsing: reply.body)
        else { throw OAuthError(.invalidClient, "the client's metadata document cannot be had") }
        guard document["client_id"]?.string == id else {
            throw OAuthError(.invalidClient, "the document names another client_id")
        }
        guard document["client_secret"] == nil else {
            throw OAuthError(.invalidClient, "a public document cannot hold a client_secret")
        }
        let metadata = try ClientMetadata(parsing: document, clean: clean)
        guard metadata.method == .none else {
            throw OAuthError(.invalidClient, "a client of a public document has no secret")
        }
        guard !metadata.name.isEmpty else { throw OAuthError(.invalidClient, "the document has no client_name") }
        return metadata
    }

    /// Seconds that the document may be used without asking again: by its headers, from 5 minutes to 24 hours (B-CIMD-4).
    public static func freshness(_ reply: ProviderReply) -> Int64 {
        let control = (reply.headers["cache-control"] ?? "").lowercased()
        let age = control.split(separator: ",").lazy.compactMap { part -> Int64? in
            let pair = part.split(separator: "=", maxSplits: 1).map { $0.trimmingSpaces }
            return pair.count == 2 && pair[0] == "max-age" ? Int64(pair[1]) : nil
        }.first
        return min(max(age ?? 300, 300), 86_400)
    }
}

extension Substring {
    fileprivate var trimmingSpaces: String { String(drop { $0 == " " }.reversed().drop { $0 == " " }.reversed()) }
}

/// How many clients may register by themselves that nobody has authorized yet (B-DCR-1).
public struct RegistrationLimits: Sendable, Hashable {
    /// From anywhere. The others follow from it: a tenth from one neighbourhood, a sixtieth in a minute from one address.
    public var perHour: Int

    public init(perHour: Int) { self.perHour = perHour }

    public var perNetworkAndHour: Int { (perHour + 9) / 10 }
    public var perAddressAndMinute: Int { (perHour + 59) / 60 }
}
