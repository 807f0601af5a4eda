import ArgumentParser

/// The command line for people: their vault in the terminal, tokens for their scripts.
@main struct Command: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "toolshed", abstract: "Tokens from your Toolshed vault, for the terminal and for scripts.",
        discussion: """
            Exit status: 0 done; 1 refused; 3 a person must act, the link is on standard error; 4 the person said no; \
            5 not logged in; 6 the server cannot be reached, nothing was lost; 64 wrong usage; 78 the configuration file \
            is refused. exec exits as the command that it ran.
            """,
        subcommands: [
            Login.self, Connect.self, Status.self, TokenCommand.self, Exec.self, Revoke.self, Logout.self,
        ])

    static func main() async {
        do {
            var command = try parseAsRoot()
            if var asynchronous = command as? any AsyncParsableCommand {
                try await asynchronous.run()
            } else {
                try command.run()
            }
        } catch let failure as Failure {
            failure.tell(json: CommandLine.arguments.prefix { $0 != "--" }.contains("--json"))
        } catch {
            exit(withError: error)
        }
    }
}

struct CommonOptions: ParsableArguments {
    @Flag(help: "Print JSON.")
    var json = false
}

/// What a token is asked for with.
struct AskOptions: ParsableArguments {
    @Argument(help: "The provider: github, google, …, or owner/name.")
    var provider: String

    @Option(name: .customLong("scope"), help: "A scope, or several with spaces or commas; may be repeated.")
    var scope: [String] = []

    @Option(help: "One of several accounts, by connection id or name.")
    var account: String?

    @Option(help: "What for, in words; it stands on the consent page and in your activity.")
    var reason: String?

    var scopes: [String] { scope.flatMap { $0.split { $0 == " " || $0 == "," }.map(String.init) } }
}
