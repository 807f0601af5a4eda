import ArgumentParser
import Encoding
import OAuth
import Providers
import Settings
import Vault

struct IdentityCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "identity", abstract: "Say by which other names a person may sign in.",
        discussion: """
            A person signs in as the user of nginx's trusted header, or by the subject that an OpenID provider calls them. \
            Neither opens an existing vault: such a session has one of its own.
            """,
        subcommands: [Add.self, List.self, Remove.self])

    /// Which other name: given alike to `add` and `remove`.
    struct Name: ParsableArguments {
        @Option(help: "The user that nginx's trusted header names.")
        var header: String?

        @Option(help: "A provider with an issuer, of the catalogue.")
        var provider: String?

        @Option(help: "The subject (sub) by which the provider knows them.")
        var subject: String?

        func validate() throws {
            guard (header != nil) != (provider != nil), (provider != nil) == (subject != nil) else {
                throw ValidationError("Give either --header, or --provider and --subject.")
            }
        }

        func identity(_ settings: Settings) throws -> Identity {
            if let header { return .header(user: header) }
            guard let provider, let subject, let id = try? ProviderID(parsing: provider),
                let issuer = settings.catalogue[id]?.issuer
            else { throw ValidationError("There is no provider of that name with an issuer.") }
            return Identity(issuer: issuer, subject: subject)
        }
    }

    struct Add: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Let a person sign in by another name.")

        @Argument(help: "The person's user id.")
        var person: String

        @OptionGroup var name: Name

        @Flag(help: "Print JSON.")
        var json = false

        func run() throws {
            let administration = try Administration()
            let identity = try name.identity(administration.settings)
            let isDone = try administration.store.write { rows in
                guard let id = PersonID(parsing: person), try rows.person(id) != nil else {
                    throw ValidationError("There is no person with that id.")
                }
                return try rows.add(identity, of: id, at: .now())
            }
            guard isDone else { throw ValidationError("That name is somebody's already.") }
            IdentityCommand.tell(identity, json: json, "\(person) signs in by it from now on.") {
                $0.member("userId", person)
            }
        }
    }

    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List a person's other names.")

        @Argument(help: "The person's user id.")
        var person: String

        @Flag(help: "Print JSON.")
        var json = false

        func run() throws {
            guard let id = PersonID(parsing: person) else { throw ValidationError("A user id begins with u_.") }
            let list = try Administration().store.read { try $0.identities(of: id) }
            let lines = list.map { "\($0.issuer)  \($0.subject)" }
            show(json: json, lines.joined(separator: "\n")) {
                $0.array(list) {
                    $0.member("issuer", $1.issuer)
                    $0.member("subject", $1.subject)
                }
            }
        }
    }

    struct Remove: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Let nobody sign in by this name. Sessions that are open stay.")

        @OptionGroup var name: Name

        @Flag(help: "Print JSON.")
        var json = false

        func run() throws {
            let administration = try Administration()
            let identity = try name.identity(administration.settings)
            guard try administration.store.write({ try $0.remove(identity) }) else {
                throw ValidationError("Nobody has that name.")
            }
            IdentityCommand.tell(identity, json: json, "Nobody signs in by it from now on.")
        }
    }

    private static func tell(
        _ identity: Identity, json: Bool, _ plain: String, _ more: (inout JSONWriter) -> Void = { _ in }
    ) {
        show(json: json, "\(identity.issuer)  \(identity.subject): \(plain)") { writer in
            writer.object {
                more(&$0)
                $0.member("issuer", identity.issuer)
                $0.member("subject", identity.subject)
            }
        }
    }
}
