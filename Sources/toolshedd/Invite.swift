import ArgumentParser
import Encoding
import Foundation
import Secrets
import Settings
import Vault

struct Invite: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Print a link that makes one new person, once, within 24 hours.")

    @Argument(help: "What the person is called on their pages.")
    var name: String?

    @Option(name: .customLong("renew"), help: "A new link for an invited person who has not accepted yet, by user id.")
    var renewed: String?

    @Flag(help: "Print JSON.")
    var json = false

    func validate() throws {
        guard (name == nil) != (renewed == nil) else {
            throw ValidationError("Give either a name or --renew with a user id.")
        }
        guard let name else { return }
        guard !name.isEmpty, name.count <= 80 else { throw ValidationError("A name has 1 to 80 characters.") }
    }

    func run() throws {
        let administration = try Administration()
        let now = Instant.now()
        let expiresAt = now.adding(seconds: 86_400)
        let person: PersonID
        let code: SecretText
        if let renewed {
            guard let id = PersonID(parsing: renewed),
                let fresh = try administration.store.write({ try $0.renewInvitation(id, expiresAt: expiresAt) })
            else { throw ValidationError("Nobody with that id is waiting for an invitation.") }
            (person, code) = (id, fresh)
        } else {
            let made = try administration.store.write {
                try $0.invite(name: name ?? "", expiresAt: expiresAt, at: now)
            }
            (person, code) = (made.person, made.code)
        }
        // In the fragment only: it is sent to no server and stands in no log.
        let text = code.withString { $0 }
        let url = "\(administration.settings.origin)/sign-in#\(text)"
        show(json: json, url) {
            $0.beginObject()
            $0.key("code")
            $0.string(text)
            $0.key("url")
            $0.string(url)
            $0.key("expiresAt")
            $0.string(expiresAt.rfc3339)
            $0.key("userId")
            $0.string(person.text)
            $0.endObject()
        }
    }
}
