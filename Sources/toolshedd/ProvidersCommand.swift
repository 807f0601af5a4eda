import ArgumentParser
import Encoding
import Foundation
import OAuth
import Providers
import Secrets
import Settings

/// `toolshedd providers`: what the catalogue knows, and what is registered here.
struct ProvidersCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "providers",
        abstract: "List the providers of the catalogue and how they are set up here.",
        discussion: "The redirect URI of a provider is what has to be registered there.")

    @Argument(help: "One provider: its name, or OWNER/NAME.")
    var name: String?

    @Flag(help: "Only those with a client id and secret.")
    var configured = false

    @Flag(help: "Print JSON.")
    var json = false

    func run() throws {
        let settings = try Administration.settings()
        let shown = try chosen(from: settings.catalogue)
        show(json: json, Self.table(shown, settings).joined(separator: "\n")) { writer in
            writer.object { $0.array("providers", shown) { Self.write($1, settings, to: &$0) } }
        }
    }

    private func chosen(from catalogue: Catalogue) throws -> [Provider] {
        let all = catalogue.providers.values.sorted { $0.id < $1.id }.filter { !configured || $0.isConfigured }
        guard let name else { return all }
        guard let id = try? ProviderID(parsing: name), let provider = all.first(where: { $0.id == id }) else {
            throw ValidationError("The catalogue has no provider '\(name)'.")
        }
        return [provider]
    }

    private static func table(_ providers: [Provider], _ settings: Settings) -> [String] {
        let heads = ["PROVIDER", "CONFIGURED", "PKCE", "REVOKE", "KNOWN FROM", "REDIRECT URI"]
        let rows = providers.map { provider in
            [
                provider.id.json, provider.isConfigured ? "yes" : "no", provider.usesPKCE ? "S256" : "off",
                provider.revokesAtProvider ? "on" : "off",
                provider.kind == .operator ? "operator" : provider.basis.words,
                settings.callbackURL(provider.id),
            ]
        }
        let widths = heads.indices.map { column in ([heads] + rows).map { $0[column].count }.max() ?? 0 }
        return ([heads] + rows).map { row in
            row.enumerated().map { column, text in
                column == row.count - 1 ? text : text + String(repeating: " ", count: widths[column] - text.count)
            }.joined(separator: "  ")
        }
    }

    private static func write(_ provider: Provider, _ settings: Settings, to writer: inout JSONWriter) {
        writer.member("provider", provider.id.json)
        writer.member("name", provider.name)
        writer.member("configured", provider.isConfigured)
        writer.member("kind", provider.kind.rawValue)
        writer.member("basis", provider.basis.rawValue)
        writer.member("redirectUri", settings.callbackURL(provider.id))
        writer.member("defaultScopes", provider.defaultScopes.names)
        writer.member("pkce", provider.usesPKCE ? "S256" : "off")
        writer.member("revoke", provider.revokesAtProvider)
        if let issuer = provider.issuer { writer.member("issuer", issuer) }
        writer.key("endpoints")
        writer.object {
            for (name, url) in provider.resolvedEndpoints {
                $0.key(name)
                $0.string(url)
            }
        }
        if let documentation = provider.documentation { writer.member("documentation", documentation) }
    }
}

extension Basis {
    fileprivate var words: String {
        switch self {
        case .documentation: "documentation"
        case .clients: "clients"
        case .memory: "memory"
        }
    }
}
