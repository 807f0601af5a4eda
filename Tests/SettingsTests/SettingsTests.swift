import Glibc
import OAuth
import Providers
import Secrets
import Testing

@testable import Settings

private let heap: Void = {
    do { try SecureHeap.start(bytes: 1 << 20) } catch { fatalError("no locked memory for tests: \(error)") }
}()

/// A folder of its own for one test, gone afterwards.
final class Folder {
    let path: String

    init() throws {
        var template = Array("/tmp/toolshed-settings-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw CatalogueError(Place(file: "/tmp"), .unreadable(errno: errno)) }
        path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    deinit {
        for name in [
            "toolshed.yaml", "ENCRYPTION_KEY", "GITHUB_CLIENT_SECRET", "providers.d/a.yaml", "notes.txt", "secret",
        ] {
            unlink("\(path)/\(name)")
        }
        rmdir("\(path)/providers.d")
        rmdir(path)
    }

    func write(_ name: String, _ text: String, mode: mode_t = 0o600) {
        if name.hasPrefix("providers.d/") { mkdir("\(path)/providers.d", 0o700) }
        let descriptor = open("\(path)/\(name)", O_WRONLY | O_CREAT | O_TRUNC, mode)
        _ = Array(text.utf8).withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
        fchmod(descriptor, mode)
        close(descriptor)
    }
}

@Suite("Settings")
struct SettingsTests {
    private let folder: Folder

    init() throws {
        _ = heap
        folder = try Folder()
    }

    private func load(_ more: [String: String] = [:]) throws(SettingsError) -> Settings {
        let base = ["AUTH_REDIRECT_BASE": "https://toolshed.example.com/api/auth", "TOOLSHED_CONFIG_DIR": folder.path]
        return try Settings.load(environment: base.merging(more) { _, new in new })
    }

    private func refusal(_ more: [String: String] = [:]) -> String {
        do {
            _ = try load(more)
            return "accepted"
        } catch {
            return "\(error)"
        }
    }

    @Test("Everything but AUTH_REDIRECT_BASE has a value of its own")
    func defaults() throws {
        let settings = try load()
        #expect(settings.stateDirectory == "/var/lib/toolshed")
        #expect(settings.runtimeDirectory == "/run/toolshed")
        #expect(settings.peerUser == "www-data")
        #expect(settings.threads == 4)
        #expect(settings.workers >= 2)
        #expect(settings.warmSeconds == 900)
        #expect(settings.logLevel == .info)
        #expect(settings.warnings == ["no provider is configured"])
        #expect(!settings.developmentLoopback)
    }

    @Test(
        "The origin is that of AUTH_REDIRECT_BASE",
        arguments: [
            ("https://toolshed.example.com/api/auth", "https://toolshed.example.com", "toolshed.example.com"),
            ("https://Toolshed.Example.com:443/api/auth", "https://toolshed.example.com", "toolshed.example.com"),
            ("https://localhost:8443/api/auth", "https://localhost:8443", "localhost"),
            ("http://127.0.0.1:8080/api/auth", "http://127.0.0.1:8080", "127.0.0.1"),
            ("http://localhost/api/auth", "http://localhost", "localhost"),
            ("http://[::1]:80/api/auth", "http://[::1]", "[::1]"),
            ("https://example.com/api/auth", "https://example.com", "example.com"),
        ])
    func origins(base: String, origin: String, host: String) throws {
        let settings = try load(["AUTH_REDIRECT_BASE": base])
        #expect(settings.origin == origin)
        #expect(settings.host == host)
        let id = try ProviderID(parsing: "acme/github")
        #expect(settings.callbackURL(id).hasSuffix("/api/auth/acme~github/callback"))
        #expect(settings.callbackURL(id).hasPrefix(origin))
    }

    @Test(
        "Anything else is refused at start, and says what is expected",
        arguments: [
            "", "https://toolshed.example.com", "https://toolshed.example.com/api/auth/",
            "https://toolshed.example.com/auth",
            "http://toolshed.example.com/api/auth", "http://127.0.0.1.evil.example/api/auth",
            "ftp://localhost/api/auth",
            "https:///api/auth", "https://u:p@host/api/auth", "https://host:0/api/auth", "https://host:99999/api/auth",
            "https://host/../api/auth", "https://host//api/auth", "https://host/x?y/api/auth",
            "https://host/#/api/auth",
            "https://ho st/api/auth", "https://-host/api/auth", "//host/api/auth", "https://host\\@evil/api/auth",
            "https://host/xapi/auth", "https://host/x/api/auth", "https://host/api/auth/",
        ])
    func refusedBases(base: String) {
        #expect(refusal(["AUTH_REDIRECT_BASE": base]).contains("expected an https URL"))
    }

    @Test("toolshed.yaml is read, and a variable wins over it")
    func file() throws {
        folder.write(
            "toolshed.yaml",
            """
            version: 1
            workers: 3
            threads: 6
            peer_user: nginx
            warm_seconds: 60
            log_level: debug
            audit_keep_days: 30
            audit_file_mb: 2
            audit_reserve_mb: 0
            audit_key: AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA
            """)
        let settings = try load(["TOOLSHED_WORKERS": "7", "TOOLSHED_LOG_LEVEL": "error"])
        #expect(settings.workers == 7)
        #expect(settings.threads == 6)
        #expect(settings.peerUser == "nginx")
        #expect(settings.warmSeconds == 60)
        #expect(settings.audit.keepDays == 30)
        #expect(settings.audit.fileBytes == 2 << 20 && settings.audit.reserveBytes == 0)
        #expect(settings.audit.publicKey != nil)
        #expect(settings.logLevel == .error)
    }

    @Test(
        "A wrong toolshed.yaml is refused with its line",
        arguments: [
            ("version: 1\nworker: 3\n", ":2:1: worker: unknown field"),
            ("version: 1\nthreads: 0\n", ":2:10: threads: expected a whole number from 1 to 64, found '0'"),
            ("version: 1\nlog_level: loud\n", ":2:12: log_level: expected trace or debug"),
            ("version: 1\naudit_key: abc\n", ":2:12: audit_key: expected what toolshedd audit key prints"),
            ("version: 1\nrate_limits: { vend: 1 }\n", ":2:1: rate_limits: unknown field"),
            ("threads: 2\n", ":1:1: version: missing, expected version: 1"),
            ("version: 1\nthreads: 2\nthreads: 3\n", ":2:1: not YAML: threads is given twice"),
        ])
    func wrongFile(text: String, sentence: String) {
        folder.write("toolshed.yaml", text)
        let refusal = refusal()
        #expect(refusal.hasPrefix("\(folder.path)/toolshed.yaml\(sentence)"), "\(refusal)")
    }

    @Test(
        "A wrong variable is refused with its name",
        arguments: [
            ("TOOLSHED_THREADS", "many", "TOOLSHED_THREADS: expected a whole number from 1 to 64, found 'many'"),
            ("TOOLSHED_WORKERS", "0", "TOOLSHED_WORKERS: expected a whole number from 1 to 256, found '0'"),
            ("TOOLSHED_LOG_LEVEL", "loud", "TOOLSHED_LOG_LEVEL: expected one of trace, debug"),
        ])
    func wrongVariable(name: String, value: String, sentence: String) {
        #expect(refusal([name: value]).hasPrefix(sentence))
    }

    @Test("A provider of the operator's folder is there, and a wrong one keeps everything from starting")
    func providers() throws {
        folder.write("providers.d/a.yaml", "version: 1\nproviders:\n  notion: { client: { id: n, secret: s } }\n")
        #expect(try load().catalogue.providers.values.filter(\.isConfigured).map(\.id.bridge) == ["notion"])
        folder.write(
            "providers.d/a.yaml", "version: 1\nproviders:\n  notion: { client: { id: n, secret: s } }\n", mode: 0o644)
        #expect(
            refusal().contains("a.yaml:3:38: providers.notion.client.secret: holds a client secret and has mode 0644"))
        folder.write("providers.d/a.yaml", "version: 1\nproviders:\n  notion: { nmae: x }\n")
        #expect(refusal().contains("a.yaml:3:13: providers.notion.nmae: unknown field"))
    }

    @Test("A secret file is its owner's alone, and its last line end is not part of the secret")
    func secretFile() throws {
        folder.write("secret", "s3cret\n")
        let text = "version: 1\nproviders:\n  notion: { client: { id: n, secret_file: \(folder.path)/secret } }\n"
        folder.write("providers.d/a.yaml", text, mode: 0o644)
        let client = try load().catalogue[ProviderID(parsing: "notion")]?.client
        #expect(client?.secret?.withString { $0 } == "s3cret")
        folder.write("secret", "s3cret\n", mode: 0o640)
        #expect(refusal().contains("/secret: holds a client secret and has mode 0640"))
    }

    @Test("systemd's credentials stand for variables, blank ones for none")
    func credentials() throws {
        folder.write("GITHUB_CLIENT_SECRET", "from-a-file\n", mode: 0o400)
        folder.write("notes.txt", "not a variable")
        let more = ["CREDENTIALS_DIRECTORY": folder.path, "GITHUB_CLIENT_ID": "id"]
        let github = try load(more).catalogue[ProviderID(parsing: "github")]
        #expect(github?.client?.secret?.withString { $0 } == "from-a-file")
        folder.write("GITHUB_CLIENT_SECRET", "\n", mode: 0o400)
        #expect(try load(more).catalogue[ProviderID(parsing: "github")]?.isConfigured == false)
    }

    @Test("ENCRYPTION_KEY is read from either place, and its refusal never repeats it")
    func encryptionKey() throws {
        let key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
        _ = try Settings.encryptionKeys(environment: ["ENCRYPTION_KEY": key])
        folder.write("ENCRYPTION_KEY", key + "\n", mode: 0o400)
        _ = try Settings.encryptionKeys(environment: ["CREDENTIALS_DIRECTORY": folder.path])
        for wrong in ["", "c2hvcnQ=", "not base64 at all"] {
            do {
                _ = try Settings.encryptionKeys(environment: ["ENCRYPTION_KEY": wrong])
                Issue.record("accepted")
            } catch {
                #expect("\(error)".contains("openssl rand -base64 32"))
                #expect(wrong.isEmpty || !"\(error)".contains(wrong))
            }
        }
    }

    @Test("What is printed holds every setting, is YAML, and no secret")
    func effective() throws {
        folder.write(
            "providers.d/a.yaml",
            "version: 1\nowner: acme\nproviders:\n  github: { name: 'Acme \"Git\"', client: { id: i, secret: TOPSECRET } }\n"
        )
        let settings = try load([
            "GITHUB_CLIENT_ID": "gh-id", "GITHUB_CLIENT_SECRET": "TOPSECRET", "ENCRYPTION_KEY": "TOPSECRET",
        ])
        let text = settings.effective()
        #expect(!text.contains("TOPSECRET"))
        #expect(!"\(settings)".contains("TOPSECRET"))
        let read = try #require(try YAMLFile.parse(text, file: "effective"))
        #expect(read["origin"] == .text("https://toolshed.example.com", Place(file: "effective", line: 1, column: 9)))
        guard case .text(let name, _)? = read["providers"]?["acme/github"]?["name"] else {
            Issue.record("no name")
            return
        }
        #expect(name == #"Acme "Git""#)
        guard case .text(let uri, _)? = read["providers"]?["github"]?["redirect_uri"] else {
            Issue.record("no redirect URI")
            return
        }
        #expect(uri == "https://toolshed.example.com/api/auth/github/callback")
    }

    @Test("What is unwise is said")
    func warnings() throws {
        let client = "client: { id: i, secret: s }"
        folder.write(
            "providers.d/a.yaml",
            """
            version: 1
            providers:
              spotify: { \(client) }
              corp: { \(client), allow_loopback_http: true, endpoints: { authorize: "http://127.0.0.1:1/a", token: "http://127.0.0.1:1/t" } }
            """)
        let here = try load(["AUTH_REDIRECT_BASE": "http://localhost:8080/api/auth"]).warnings
        #expect(here.contains { $0.hasPrefix("spotify: refuses redirect URIs on localhost") })
        #expect(here.contains { $0.hasPrefix("AUTH_REDIRECT_BASE is http") })
        let there = try load().warnings
        #expect(there.contains("corp: allow_loopback_http on a host that is not a development host"))
        #expect(!there.contains { $0.hasPrefix("spotify: refuses") })
    }

    @Test(
        "Each switch that is unwise on a host is said",
        arguments: [
            (
                "sign_in: { header: { secret_sha256: \(String(repeating: "a", count: 64)), new_people: anyone } }",
                "sign_in.header"
            ),
            ("sign_in: { days: 365 }", "sign_in: a session"), ("warm_seconds: 7200", "warm_seconds"),
            ("audit_reserve_mb: 0", "audit_reserve_mb"), ("registrations_per_hour: 1000000", "registrations_per_hour"),
            ("failed_authentications_per_second: 0", "failed_authentications_per_second"),
            ("peer_user: root", "peer_user"),
        ])
    func unwise(line: String, warning: String) throws {
        folder.write("toolshed.yaml", "version: 1\n\(line)\n")
        #expect(try load().warnings.contains { $0.hasPrefix(warning) })
        folder.write("toolshed.yaml", "version: 1\n")
        #expect(try load().warnings == ["no provider is configured"])
    }

    @Test("A folder of configuration that was named and is not there is told")
    func noFolder() throws {
        let warnings = try load(["TOOLSHED_CONFIG_DIR": "/nowhere/etc"]).warnings
        #expect(warnings.contains("TOOLSHED_CONFIG_DIR: there is no folder /nowhere/etc, so nothing is read from it"))
    }

    @Test("What processes say of themselves is set by file and by environment, within bounds")
    func process() throws {
        #expect(try load().process == ProcessSettings())
        folder.write(
            "toolshed.yaml", "version: 1\nrecycle_requests: 200\nslow_ms: 0\nwal_alarm_mb: 1\nwal_limit_mb: 2\n")
        let settings = try load(["TOOLSHED_SLOW_MS": "250", "TOOLSHED_RECYCLE_MEMORY_MB": "64"]).process
        #expect(settings.recycleRequests == 200 && settings.recycleMegabytes == 64)
        #expect(settings.slowMilliseconds == 250 && settings.walAlarmMegabytes == 1)
        #expect(settings.walLimitMegabytes == 2 && ProcessSettings().walLimitMegabytes == 256)
        #expect(refusal(["TOOLSHED_SLOW_MS": "-1"]).contains("TOOLSHED_SLOW_MS"))
        folder.write("toolshed.yaml", "version: 1\nrecycle_memory_mb: plenty\n")
        #expect(refusal().contains("recycle_memory_mb"))
    }
}
