import Encoding
import Glibc
import ToolshedClient

/// `~/.toolshed/config.json`: which server, who, and the token that logs in there. It opens the vault, so nobody else may
/// read it.
struct Configuration {
    var serverURL: String
    /// nil: not yet known.
    var userID: String?
    var sessionToken: String
    var caFile: String?

    static func path() throws -> String {
        if let path = variable("TOOLSHED_CONFIG") { return path }
        if let home = variable("HOME") { return "\(home)/.toolshed/config.json" }
        // Without HOME, as under cron or a service manager, the account's own entry says where it lives.
        if let entry = getpwuid(getuid()), let home = entry.pointee.pw_dir, home.pointee != 0 {
            return "\(String(cString: home))/.toolshed/config.json"
        }
        throw Failure(
            .configuration, "no-home", "There is no HOME to keep the login in.", hint: "Set TOOLSHED_CONFIG to a file.")
    }

    static func variable(_ name: String) -> String? {
        getenv(name).map { String(cString: $0) }.flatMap { $0.isEmpty ? nil : $0 }
    }

    /// nil: there is none.
    static func load() throws -> Configuration? {
        let path = try path()
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            if errno == ENOENT || errno == ENOTDIR { return nil }
            throw wrong("\(path) cannot be read (\(String(cString: strerror(errno)))).")
        }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            throw wrong("\(path) is not a file.")
        }
        guard status.st_uid == geteuid() else { throw wrong("\(path) belongs to somebody else.") }
        guard status.st_mode & 0o077 == 0 else {
            throw wrong(
                "\(path) can be read by others, and whoever reads it opens your vault.", hint: "chmod 600 \(path)")
        }
        var bytes = [UInt8](repeating: 0, count: 16_384)
        let count = read(descriptor, &bytes, bytes.count)
        guard count > 0, let document = Document(parsing: Array(bytes[..<count])),
            let serverURL = document.texts["serverUrl"],
            let token = document.texts["sessionToken"]
        else { throw wrong("\(path) is not what toolshed login wrote.", hint: "Remove it and log in again.") }
        return Configuration(
            serverURL: serverURL, userID: document.texts["userId"], sessionToken: token,
            caFile: document.texts["caFile"])
    }

    private static func wrong(_ sentence: String, hint: String? = nil) -> Failure {
        Failure(.configuration, "configuration", sentence, hint: hint)
    }

    /// Whole or not at all: another name first.
    func save() throws {
        let path = try Self.path()
        let folder = path.split(separator: "/", omittingEmptySubsequences: false).dropLast().joined(separator: "/")
        if !folder.isEmpty { mkdir(folder, 0o700) }
        var writer = JSONWriter()
        writer.beginObject()
        for (name, value) in [
            ("serverUrl", serverURL), ("userId", userID), ("sessionToken", sessionToken), ("caFile", caFile),
        ] {
            guard let value else { continue }
            writer.key(name)
            writer.string(value)
        }
        writer.endObject()
        writer.endLine()
        let temporary = "\(path).new-\(getpid())"
        let descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else {
            throw Self.wrong("\(path) cannot be written (\(String(cString: strerror(errno)))).")
        }
        let isWritten =
            write(descriptor, writer.bytes, writer.bytes.count) == writer.bytes.count && fsync(descriptor) == 0
        close(descriptor)
        guard isWritten, rename(temporary, path) == 0 else {
            unlink(temporary)
            throw Self.wrong("\(path) cannot be written (\(String(cString: strerror(errno)))).")
        }
    }

    static func remove() throws { unlink(try path()) }
}

/// A logged-in vault.
struct Session {
    let configuration: Configuration
    let transport: Transport
    let auth: Auth

    init() throws {
        guard let configuration = try Configuration.load() else {
            throw Failure(
                .notLoggedIn, "not-logged-in", "You are not logged in.", hint: "toolshed login --url https://HOST")
        }
        self.configuration = configuration
        let caFile = Configuration.variable("TOOLSHED_CA_FILE") ?? configuration.caFile
        do {
            transport = try Transport(
                url: configuration.serverURL, key: configuration.sessionToken, caFile: caFile, timeoutSeconds: 30)
            auth = try Toolshed(url: configuration.serverURL, key: configuration.sessionToken, caFile: caFile).person()
                .auth
        } catch { throw Failure(error) }
    }

    func get(_ path: String) async throws -> Document { try await call("GET", path) }

    func call(_ method: String, _ path: String) async throws -> Document {
        do {
            let answer = try await answer(method, path)
            guard (200..<300).contains(answer.status) else { throw ToolshedError(answer) }
            return answer.document
        } catch { throw Failure(error) }
    }

    /// Whatever it is.
    func answer(_ method: String, _ path: String) async throws -> Answer {
        do { return try await transport.call(method, path) } catch { throw Failure(error) }
    }

    /// Every item of a list that comes in pages.
    func all(_ path: String, _ plural: String) async throws -> [Document] {
        var (items, next): ([Document], String?) = ([], nil)
        repeat {
            let page = try await get(next.map { "\(path)?after=\(Percent.encode($0))" } ?? path)
            items += page.items[plural] ?? []
            next = page.texts["next"]
        } while next != nil
        return items
    }

    /// A token; where a person must act, shows the link, and waits where somebody is there to see it.
    func token(_ ask: AskOptions, waits: Bool, tool: String) async throws -> Token {
        do {
            return try await auth.getToken(
                ask.provider, scopes: ask.scopes, reason: ask.reason ?? "", tool: tool, account: ask.account)
        } catch let needed as AuthorizationRequired {
            guard waits else {
                throw Failure(
                    .personMustAct, "authorization-required", "You must allow this first: \(needed.url)",
                    hint: "Compare the code \(needed.matchCode), approve, and run the command again.",
                    members: [
                        ("authorizationUrl", needed.url), ("matchCode", needed.matchCode), ("reason", needed.reason),
                    ])
            }
            complain("Open \(needed.url)")
            complain("and compare the code: \(needed.matchCode)")
            do { return try await needed.whenAuthorized() } catch { throw Failure(error) }
        } catch { throw Failure(error) }
    }
}
