import Broker
import Encoding
import FastCGI
import Glibc
import OAuth
import Secrets
import Settings
import Vault

/// The end points that clients of our authorization server call themselves: the RFCs' names, encodings and errors.
extension Gateway {
    func token(_ exchange: Exchange, _ now: Instant) throws -> Step<Reply> {
        let form = try tokenForm(exchange)
        guard let grant = form["grant_type"] else {
            throw OAuthError(.invalidRequest, "grant_type is missing")
        }
        if grant == Self.exchangeGrant { return try exchangeToken(exchange, form, now) }
        let client = try broker.authenticate(credentials(exchange, form), at: now)
        switch grant {
        case "authorization_code":
            return .done(.tokens(try broker.redeemCode(form, client: client, at: now), at: now))
        case "refresh_token": return .done(.tokens(try broker.refresh(form, client: client, at: now), at: now))
        case Broker.deviceGrant: return .done(.tokens(try broker.redeemDevice(form, client: client, at: now), at: now))
        default: throw OAuthError(.unsupportedGrantType, "this grant_type is not supported")
        }
    }

    func revokeToken(_ exchange: Exchange, _ now: Instant) throws -> Step<Reply> {
        let form = try tokenForm(exchange)
        let client = try broker.authenticate(credentials(exchange, form), at: now)
        try broker.revoke(form.required("token"), client: client, at: now)
        return .done(.json { $0.object { _ in } })
    }

    func introspectToken(_ exchange: Exchange, _ now: Instant) throws -> Step<Reply> {
        let form = try tokenForm(exchange)
        let credentials = try credentials(exchange, form)
        let client = try broker.authenticate(credentials, at: now)
        // RFC 7662 section 2.1: not for just anybody who has found a token.
        guard client.method != .none else {
            throw OAuthError(.invalidClient, "introspection is for clients with a secret", triedBasic: true)
        }
        let status = try broker.introspect(form.required("token"), client: client, at: now)
        return .done(
            .json {
                $0.object { writer in
                    writer.member("active", status != nil)
                    guard let status else { return }
                    writer.member("client_id", status.clientID)
                    writer.member("sub", status.subject.text)
                    writer.member("aud", status.audience)
                    writer.member("iss", settings.origin)
                    writer.member("scope", status.scope.text)
                    writer.member("iat", status.issuedAt.milliseconds / 1000)
                    writer.member("exp", status.expiresAt.milliseconds / 1000)
                    writer.member("token_type", "Bearer")
                }
            })
    }

    /// RFC 7591. Whatever is wrong is JSON, never a page (B-DCR-8).
    func registerClient(_ exchange: Exchange, _ now: Instant) throws -> Step<Reply> {
        guard !exchange.bodyIsTooLarge else { throw RouteRefusal.tooLarge }
        guard exchange.hasJSON, let document = JSONValue(parsing: exchange.withBody { [UInt8]($0) }) else {
            throw OAuthError(.invalidClientMetadata, "expected one JSON object with Content-Type: application/json")
        }
        let metadata = try ClientMetadata(parsing: document, clean: \.withoutControls)
        let (address, network) = Neighbourhood.of(exchange.parameter("REMOTE_ADDR") ?? "")
        let made = try broker.register(metadata, from: address, network: network, at: now)
        return .done(
            .json(201, secret: made.secret != nil) { writer in
                writer.object {
                    $0.member("client_id", made.id)
                    $0.member("client_id_issued_at", now.milliseconds / 1000)
                    if let secret = made.secret {
                        $0.member("client_secret", secret)
                        // It does not expire (RFC 7591 section 3.2.1).
                        $0.member("client_secret_expires_at", Int64(0))
                    }
                    made.metadata.write(to: &$0)
                }
            })
    }

    func beginDevice(_ exchange: Exchange, _ now: Instant) throws -> Step<Reply> {
        let form = try tokenForm(exchange)
        let client = try broker.authenticate(credentials(exchange, form), at: now)
        let made = try broker.beginDevice(
            form, client: client, from: exchange.parameter("REMOTE_ADDR") ?? "", at: now)
        return .done(
            .json(secret: true) { writer in
                writer.object {
                    $0.key("device_code")
                    made.code.write(to: &$0)
                    $0.member("user_code", UserCode.shown(made.userCode))
                    // No address that holds the code: it is typed, by whoever began this (docs/OAUTH.md).
                    $0.member("verification_uri", settings.origin + "/device")
                    $0.member("expires_in", Rows.deviceLifetime)
                    $0.member("interval", Int64(5))
                }
            })
    }

    func tokenForm(_ exchange: Exchange) throws -> TokenForm {
        guard !exchange.bodyIsTooLarge else { throw RouteRefusal.tooLarge }
        let type = (exchange.parameter("CONTENT_TYPE") ?? "").prefix { $0 != ";" }.lowercased()
        guard type.split(separator: " ").first == "application/x-www-form-urlencoded" else {
            throw OAuthError(.invalidRequest, "expected application/x-www-form-urlencoded")
        }
        return try TokenForm(parsing: exchange.withBody { [UInt8]($0) })
    }

    func credentials(_ exchange: Exchange, _ form: TokenForm) throws -> ShownCredentials {
        try ShownCredentials(authorization: exchange.parameter("HTTP_AUTHORIZATION"), form: form.fields)
    }
}

extension Exchange {
    /// Where the other end is, as nginx sees it.
    var address: String { parameter("REMOTE_ADDR") ?? "" }
}

/// An address as limits count it: a person's line, and those around it.
enum Neighbourhood {
    /// IPv4: the address and its /24. IPv6: its /64, which is one line, and its /48.
    static func of(_ text: String) -> (address: String, network: String) {
        var four = in_addr()
        var six = in6_addr()
        if inet_pton(AF_INET, text, &four) == 1 {
            let bytes = withUnsafeBytes(of: four) { Array($0) }
            return ("4:" + Hex.encode(bytes), "4:" + Hex.encode(Array(bytes.prefix(3))))
        }
        if inet_pton(AF_INET6, text, &six) == 1 {
            let bytes = withUnsafeBytes(of: six) { Array($0) }
            return ("6:" + Hex.encode(Array(bytes.prefix(8))), "6:" + Hex.encode(Array(bytes.prefix(6))))
        }
        return ("", "")
    }

    /// Whether both are one line; what is no address is nowhere.
    static func isOne(_ one: String, _ other: String) -> Bool {
        let (here, there) = (of(one).address, of(other).address)
        return here == there && !here.isEmpty
    }
}

extension Reply {
    /// RFC 6749 section 5.1.
    static func tokens(_ issued: IssuedTokens, at now: Instant) -> Reply {
        var reply = Reply.json(secret: true) { writer in
            writer.object {
                $0.key("access_token")
                issued.access.write(to: &$0)
                $0.member("token_type", "Bearer")
                $0.member("expires_in", max(0, now.seconds(until: issued.expiresAt)))
                if let refresh = issued.refresh {
                    $0.key("refresh_token")
                    refresh.write(to: &$0)
                }
                $0.member("scope", issued.scope.text)
            }
        }
        reply.headers.append(("Pragma", "no-cache"))
        return reply
    }

    /// RFC 6749 section 5.2.
    static func oauth(_ error: OAuthError) -> Reply {
        var reply = Reply.json(error.code == .invalidClient ? 401 : 400) {
            $0.object {
                $0.member("error", error.code.rawValue)
                $0.member("error_description", error.description)
            }
        }
        reply.headers.append(("Pragma", "no-cache"))
        reply.stranger = error.stranger
        if error.triedBasic { reply.headers.append(("WWW-Authenticate", "Basic realm=\"token\"")) }
        return reply
    }
}

extension SecretText {
    fileprivate func write(to writer: inout JSONWriter) {
        withUnsafeBytes { writer.string(utf8: $0) }
    }
}
