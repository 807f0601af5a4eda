import ArgumentParser
import Encoding
import Envelope
import Foundation
import Secrets
import Vault

struct PluginCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "plugin", abstract: "Register the plugins that may ask any person.",
        subcommands: [Add.self, List.self, Change.self, NewKey.self, Remove.self])

    struct Add: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Register a plugin and print its key, once.")

        @Argument(help: "The name that people will read on consent pages.")
        var name: String

        @OptionGroup var options: PluginOptions

        @Flag(help: "Print JSON.")
        var json = false

        func validate() throws {
            guard PluginName.isFit(name) else {
                throw ValidationError("A name has 1 to 80 visible characters, and nothing that is not shown.")
            }
        }

        func run() throws {
            var limits = PluginLimits()
            try options.apply(to: &limits)
            let given = limits
            let administration = try Administration()
            let now = Instant.now()
            let id: PluginID = administration.store.random.id()
            let made: (id: PluginID, secret: SecretText)
            let theirs: [Plugin]
            do {
                (made, theirs) = try administration.onRecord(.pluginAdded, of: id, at: now, and: Self.renamed) { rows in
                    let theirs = try rows.ownPlugins(named: name)
                    let made = try rows.addPlugin(name: name, owner: nil, as: id, at: now)
                    try rows.setLimits(given, made.id)
                    return (made: made, theirs: theirs)
                }
            } catch VaultError.nameTaken {
                throw ValidationError("A plugin of that name exists; people could not tell the two apart.")
            }
            if !theirs.isEmpty {
                let who = theirs.count == 1 ? "A person’s own plugin of" : "\(theirs.count) persons’ own plugins of"
                complain("\(who) that name gave way: to its name “(yours)” was added.")
            }
            made.secret.withString { key in
                show(json: json, key) {
                    $0.beginObject()
                    $0.key("pluginId")
                    $0.string(made.id.text)
                    $0.key("key")
                    $0.string(key)
                    $0.endObject()
                }
            }
        }

        /// Of what the command came to, the persons whose own plugins gave way.
        private static func renamed(_ result: (made: (id: PluginID, secret: SecretText), theirs: [Plugin]))
            -> [AuditRecord]
        {
            result.theirs.compactMap { plugin in
                plugin.owner.map {
                    AuditRecord(
                        .pluginRenamed, person: $0, caller: plugin.id.text, callerKind: OperatorAct.callerKind)
                }
            }
        }
    }

    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List the registered plugins.")

        @Flag(help: "Print JSON.")
        var json = false

        func run() throws {
            let plugins = try Administration().store.read { try $0.allPlugins() }
            let lines = plugins.map { plugin in
                (["\(plugin.id.text)  \(plugin.name)  \(plugin.createdAt.rfc3339)"] + plugin.limits.described)
                    .joined(separator: "\n    ")
            }
            show(json: json, lines.joined(separator: "\n")) { writer in
                writer.beginArray()
                for plugin in plugins {
                    writer.beginObject()
                    writer.key("pluginId")
                    writer.string(plugin.id.text)
                    writer.key("name")
                    writer.string(plugin.name)
                    writer.key("createdAt")
                    writer.string(plugin.createdAt.rfc3339)
                    writer.key("limits")
                    writer.strings(plugin.limits.described)
                    writer.endObject()
                }
                writer.endArray()
            }
        }
    }

    struct Remove: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "End a plugin: its key and everything that persons approved for it.")

        @Argument(help: "The plugin's id.")
        var id: String

        @Flag(help: "Print JSON.")
        var json = false

        func run() throws {
            let administration = try Administration()
            let nobody = ValidationError("There is no plugin with that id.")
            guard let plugin = PluginID(parsing: id) else { throw nobody }
            let now = Instant.now()
            try administration.onRecord(.pluginRemoved, of: plugin, at: now) { rows in
                guard try rows.removePlugin(plugin, at: now) else { throw nobody }
            }
            show(json: json, "\(plugin.text) is removed.") { $0.object { $0.member("pluginId", plugin.text) } }
        }
    }
}
