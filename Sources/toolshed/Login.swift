import ArgumentParser
import Encoding
import Envelope
import Glibc
import OAuth
import Secrets
import ToolshedClient

struct Login: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Let this computer use your vault.",
        discussion: """
            Opens the browser; without one, or over ssh, shows a code to type in any browser. The login is kept in \
            ~/.toolshed/config.json (TOOLSHED_CONFIG for another file).
            """)

    @Option(help: "The server, https://HOST (default: TOOLSHED_URL, or where you were logged in).")
    var url: String?

    @Flag(help: "Show a code instead of opening a browser.")
    var device = false

    @Flag(inversion: .prefixedNo, help: "Try to open a browser; the link is shown in any case.")
    var browser = true

    @OptionGroup var common: CommonOptions

    private static let client = "toolshed-cli"
    private static let patience: Int32 = 300

    func run() async throws {
        let before = try Configuration.load()
        guard let url = url ?? Configuration.variable("TOOLSHED_URL") ?? before?.serverURL else {
            throw Failure(.usage, "usage", "Which server?", hint: "toolshed login --url https://HOST")
        }
        let caFile = Configuration.variable("TOOLSHED_CA_FILE") ?? before?.caFile
        let server: Transport
        let token: String
        do {
            server = try Transport(url: url, key: nil, caFile: caFile, timeoutSeconds: 30)
            let metadata = try await metadata(server)
            let overSSH = Configuration.variable("SSH_CONNECTION") != nil
            let wantsCode = device || overSSH && metadata.texts["device_authorization_endpoint"] != nil
            token = wantsCode ? try await byCode(server, metadata) : try await byBrowser(server, metadata)
        } catch { throw Failure(error) }
        var configuration = Configuration(
            serverURL: server.origin, sessionToken: token, caFile: caFile.map(Self.absolute))
        // Before anything else can fail: a login that is not kept cannot be ended from here.
        try configuration.save()
        let me = try await Session().get("/api/me")
        configuration.userID = me.texts["userId"]
        try configuration.save()
        let name = shown(me.texts["name"] ?? "")
        if common.json {
            var writer = JSONWriter()
            writer.beginObject()
            for (member, value) in [("url", server.origin), ("userId", me.texts["userId"] ?? ""), ("name", name)] {
                writer.key(member)
                writer.string(value)
            }
            writer.endObject()
            print(String(decoding: writer.bytes, as: UTF8.self))
        } else {
            print("Logged in to \(server.origin) as \(name).")
            complain("  toolshed connect PROVIDER, or connect what you want at \(server.origin)/vault")
        }
    }

    private static func absolute(_ path: String) -> String {
        guard !path.hasPrefix("/"), let real = realpath(path, nil) else { return path }
        defer { free(real) }
        return String(cString: real)
    }

    /// RFC 8414; what is not this issuer's is not used (section 3.3).
    private func metadata(_ server: Transport) async throws -> Document {
        let answer = try await server.call("GET", "/.well-known/oauth-authorization-server")
        guard answer.status != 0 else { throw ToolshedError(answer) }
        guard answer.status == 200, answer.document.texts["issuer"] == server.origin else {
            throw Failure(.refused, "not-toolshed", "\(server.origin) is not a Toolshed server.")
        }
        return answer.document
    }

    // MARK: RFC 8252: the browser comes back to a port of this computer

    private func byBrowser(_ server: Transport, _ metadata: Document) async throws -> String {
        guard let endpoint = metadata.texts["authorization_endpoint"], let listener = LoopbackListener() else {
            throw Failure(
                .refused, "no-listener", "No port can be opened on 127.0.0.1.", hint: "toolshed login --device")
        }
        let verifier = PKCE.verifier(random: Randomness.system.bytes(32))
        let state = Base64URL.encode(Randomness.system.bytes(24))
        let redirect = "http://127.0.0.1:\(listener.port)/callback"
        let query = Form.encode([
            ("response_type", "code"), ("client_id", Self.client), ("redirect_uri", redirect), ("state", state),
            ("code_challenge", PKCE.challenge(verifier: verifier, sha256: { sha256($0) })),
            ("code_challenge_method", PKCE.method), ("scope", "vault:use"),
        ])
        let link = "\(endpoint)?\(query)"
        complain("Open \(link)")
        if browser { Browser.open(link) }
        // The page then lets the person connect what they want.
        let fields = try await listener.answer(
            path: "/callback", state: state, next: "\(server.origin)/vault#connections", within: Self.patience)
        guard fields["iss"] == server.origin else {
            throw Failure(.refused, "wrong-issuer", "The answer came from another server; nothing was kept.")
        }
        if let error = fields["error"] {
            throw error == "access_denied"
                ? Failure(.declined, "declined", "You said no.")
                : Failure(.refused, error, fields["error_description"] ?? "The server refused.")
        }
        return try await redeem(
            server,
            [
                ("grant_type", "authorization_code"), ("code", fields["code"] ?? ""), ("code_verifier", verifier),
                ("redirect_uri", redirect),
            ])
    }

    // MARK: RFC 8628: a code is typed in any browser

    private func byCode(_ server: Transport, _ metadata: Document) async throws -> String {
        let began = try await post(server, "/device_authorization", [("scope", "vault:use")])
        guard began.status == 200, let code = began.document.texts["device_code"],
            let shown = began.document.texts["user_code"], let page = began.document.texts["verification_uri"]
        else {
            if began.status == 0 || began.status >= 500 { throw ToolshedError(began) }
            throw Failure(
                .refused, "no-device-login", "This server lets nobody in by a code.",
                hint: "toolshed login, where there is a browser; over ssh, forward the port that it names.")
        }
        complain("Open \(page) in any browser, and type the code: \(shown)")
        var interval = began.document.numbers["interval"] ?? 5
        let deadline = ContinuousClock.now + .seconds(began.document.numbers["expires_in"] ?? 600)
        while ContinuousClock.now < deadline {
            try await Task.sleep(for: .seconds(interval))
            let answer = try await post(
                server, "/token",
                [("grant_type", "urn:ietf:params:oauth:grant-type:device_code"), ("device_code", code)])
            if let token = answer.document.texts["access_token"], answer.status == 200 { return token }
            switch answer.document.texts["error"] {
            case "authorization_pending": continue
            case "slow_down": interval += 5
            case "access_denied": throw Failure(.declined, "declined", "You said no.")
            case "expired_token": throw tooLate()
            default:
                guard answer.status == 0 || answer.status == 429 || answer.status >= 500 else {
                    throw Failure(
                        .refused, "refused", answer.document.texts["error_description"] ?? "The server refused.")
                }
                interval = max(interval, Int64(answer.retryAfter ?? 1))
            }
        }
        throw tooLate()
    }

    private func tooLate() -> Failure {
        Failure(
            .personMustAct, "expired", "Nobody typed the code in time.", hint: "Run the command again for a new one.")
    }

    private func redeem(_ server: Transport, _ fields: [(String, String)]) async throws -> String {
        let answer = try await post(server, "/token", fields)
        guard answer.status == 200, let token = answer.document.texts["access_token"] else {
            if answer.status == 0 || answer.status >= 500 { throw ToolshedError(answer) }
            throw Failure(.refused, "refused", answer.document.texts["error_description"] ?? "The server refused.")
        }
        return token
    }

    private func post(_ server: Transport, _ path: String, _ fields: [(String, String)]) async throws -> Answer {
        let body = Array(Form.encode([("client_id", Self.client)] + fields).utf8)
        return try await server.call("POST", path, body: body, type: "application/x-www-form-urlencoded")
    }
}

struct Logout: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "End the login of this computer, here and at the server.",
        discussion: "Asks first where nothing else opens the vault: what is in it could never be opened again.")

    @Flag(help: "Log out also where that loses what is in the vault.")
    var yes = false

    @OptionGroup var common: CommonOptions

    func run() async throws {
        guard try Configuration.load() != nil else {
            return print(common.json ? #"{"loggedOut":false}"# : "You were not logged in.")
        }
        do {
            try await end(Session())
        } catch let failure as Failure where failure.status == .notLoggedIn {
            // It ended there before.
        } catch let failure as Failure where failure.status == .unreachable {
            throw Failure(
                .unreachable, "unreachable", "The server did not end the login, so it is kept here.",
                hint: "Try again, or revoke it at \(try vault()) and remove \(try Configuration.path())")
        }
        try Configuration.remove()
        print(common.json ? #"{"loggedOut":true}"# : "Logged out.")
    }

    private func end(_ session: Session) async throws {
        let own = try await session.all("/api/clients", "clients").first { $0.flags["current"] == true }
        guard let id = own?.texts["id"] else {
            throw Failure(
                .refused, "not-a-login", "This is no login of a command line.", hint: "Revoke it at \(try vault())")
        }
        let answer = try await session.answer("DELETE", "/api/clients/\(id)")
        guard answer.status == 409, let confirm = answer.document.texts["confirm"] else {
            guard answer.status == 204 else { throw Failure(ToolshedError(answer)) }
            return
        }
        try ask(losing: answer.document.numbers["connections"] ?? 0)
        _ = try await session.call("DELETE", "/api/clients/\(id)?confirm=\(Percent.encode(confirm))")
    }

    /// Returns when the person said yes.
    private func ask(losing connections: Int64) throws {
        guard !yes else { return }
        let what = connections == 1 ? "its connection" : "its \(connections) connections"
        let sentence = "Nothing else opens this vault: without this login \(what) can never be opened again, by nobody."
        let hint = "Make a recovery code at \(try vault()) first"
        guard isatty(0) == 1, isatty(2) == 1, !common.json else {
            throw Failure(.refused, "last-holder", sentence, hint: hint + ", or: toolshed logout --yes")
        }
        complain(sentence)
        complain("  \(hint), or type yes to lose them:")
        guard readLine() == "yes" else {
            throw Failure(.refused, "last-holder", "You are still logged in.")
        }
    }

    private func vault() throws -> String { "\(try Configuration.load()?.serverURL ?? "")/vault" }
}
