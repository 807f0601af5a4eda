import ArgumentParser
import Encoding
import Glibc
import ToolshedClient

struct Connect: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Connect an account, or let a connection do more.",
        discussion: "Shows a link and waits until you have decided in the browser.")

    @OptionGroup var ask: AskOptions
    @OptionGroup var common: CommonOptions

    func run() async throws {
        let token = try await Session().token(ask, waits: true, tool: "toolshed connect")
        print(
            common.json
                ? token.json
                : "Connected: \(token.provider) as \(shown(token.account)), \(token.scopes.joined(separator: " "))")
    }
}

struct TokenCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "token", abstract: "Print a token, and nothing else.",
        discussion: """
            For scripts: curl -H "Authorization: Bearer $(toolshed token github)" … At a terminal it shows the link where \
            you must allow something first, and waits; elsewhere it exits with 3.
            """)

    @OptionGroup var ask: AskOptions
    @OptionGroup var common: CommonOptions

    @Flag(help: "Wait for the person even where nobody sits at a terminal.")
    var wait = false

    func run() async throws {
        let token = try await Session().token(
            ask, waits: wait || isatty(2) == 1 && !common.json, tool: "toolshed token")
        print(common.json ? token.json(withToken: true) : token.accessToken)
    }
}

struct Exec: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Run a command with a token in its environment.",
        discussion: "toolshed exec github -- gh issue list: the token is in GITHUB_TOKEN, or in what --env names.")

    @OptionGroup var ask: AskOptions

    @Option(name: .customLong("env"), help: "The variable (default: PROVIDER_TOKEN).")
    var variable: String?

    @Flag(help: "Print errors as JSON.")
    var json = false

    @Argument(parsing: .postTerminator, help: "The command and its arguments.")
    var command: [String] = []

    func validate() throws {
        guard !command.isEmpty else { throw ValidationError("Give the command after --.") }
        if let variable, !Self.isName(variable) { throw ValidationError("--env takes the name of a variable.") }
    }

    private static func isName(_ text: String) -> Bool {
        text.utf8.first.map { !($0 >= 0x30 && $0 <= 0x39) } ?? false
            && text.unicodeScalars.allSatisfy {
                $0.isASCII && ($0.properties.isAlphabetic || $0 == "_" || ("0"..."9").contains($0))
            }
    }

    func run() async throws {
        let token = try await Session().token(ask, waits: isatty(2) == 1 && !json, tool: "toolshed exec")
        let name =
            variable
            ?? "\(String(ask.provider.split(separator: "/").last ?? "")).TOKEN"
            .uppercased().map { $0.isLetter || $0.isNumber ? String($0) : "_" }.joined()
        // In the environment only: arguments can be read by everybody on this computer.
        setenv(name, token.accessToken, 1)
        let arguments = command.map { strdup($0) } + [nil]
        execvp(arguments[0]!, arguments)
        let code = errno
        complain("toolshed: \(command[0]) cannot be run (\(String(cString: strerror(code))))")
        Glibc.exit(code == ENOENT ? 127 : 126)
    }
}

struct Status: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Who you are, and what is connected.")

    @Flag(help: "List the providers instead.")
    var providers = false

    @OptionGroup var common: CommonOptions

    func run() async throws {
        let session = try Session()
        if providers {
            let all = try await session.get("/api/providers").items["providers"] ?? []
            if common.json { return print(Table.json("providers", all)) }
            return Table.show(
                all.map {
                    [$0.texts["provider"], $0.texts["name"], $0.flags["configured"] == true ? nil : "not set up"]
                })
        }
        let me = try await session.get("/api/me")
        let connections = try await session.all("/api/connections", "connections")
        if common.json {
            return print(
                Table.json(
                    "connections", connections,
                    [
                        ("url", session.configuration.serverURL), ("userId", me.texts["userId"] ?? ""),
                        ("name", me.texts["name"] ?? ""),
                    ]))
        }
        print(
            "\(session.configuration.serverURL), logged in as \(shown(me.texts["name"] ?? "")) (\(me.texts["userId"] ?? ""))"
        )
        if connections.isEmpty { return complain("  Nothing is connected yet: toolshed connect PROVIDER") }
        Table.show(
            connections.map {
                [
                    $0.texts["provider"], $0.texts["account"] ?? "(locked)", $0.texts["status"],
                    ($0.lists["scopes"] ?? []).joined(separator: " "), $0.texts["id"],
                ]
            })
    }
}

struct Revoke: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Take a connection back, here and at the provider where it can be.")

    @Argument(help: "A provider, or the id of a connection.")
    var which: String

    @Option(help: "One of several accounts, by name.")
    var account: String?

    @OptionGroup var common: CommonOptions

    func run() async throws {
        let session = try Session()
        let all = try await session.all("/api/connections", "connections")
        let found = all.filter {
            ($0.texts["id"] == which || $0.texts["provider"] == which)
                && (account == nil || $0.texts["account"] == account)
        }
        guard let one = found.first, let id = one.texts["id"] else {
            throw Failure(.refused, "not-found", "Nothing of that name is connected.", hint: "toolshed status")
        }
        guard found.count == 1 else {
            let names = found.compactMap { $0.texts["account"] }.joined(separator: ", ")
            throw Failure(
                .refused, "account-choice", "Several accounts fit.", hint: "Add --account with one of: \(names)")
        }
        let result = try await session.call("DELETE", "/api/connections/\(id)")
        let atProvider = result.texts["provider"] ?? ""
        if common.json { return print(Table.json(result)) }
        print("Revoked: \(one.texts["provider"] ?? "") as \(shown(one.texts["account"] ?? "")).")
        let words = [
            "revoked": "The provider took it back, too.", "unsupported": "The provider cannot take it back by itself.",
            "failed": "The provider did not confirm that it took it back.",
        ]
        if let sentence = words[atProvider] { print(sentence) }
        if let url = result.texts["manageUrl"], atProvider != "revoked" { complain("  See \(url)") }
    }
}
