import ArgumentParser
import Encoding
import Envelope
import Foundation
import Secrets
import Vault

extension PluginCommand {
    struct NewKey: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "key",
            abstract: "Give a plugin a new key; everything that persons approved for it stays.",
            discussion: """
                The present key opens what the new one will hold, so it is read from standard input or a file, never \
                from the command line. Both work until the old one ends.
                """)

        @Argument(help: "The plugin's name or id.")
        var plugin: String

        @Option(help: "A file with the present key; without it, the key is read from standard input.")
        var keyFile: String?

        @Option(help: "When the old key ends, as 2026-11-30T12:00:00Z; at most 30 days from now. Default: in a day.")
        var until: String?

        @Flag(help: "Make no new key: end the keys that are being replaced, now.")
        var finish = false

        @Flag(help: "Print JSON.")
        var json = false

        func run() throws {
            let administration = try Administration()
            let found = try administration.plugin(plugin)
            guard !finish else {
                let ended = try administration.onRecord(.pluginKeyEnded, of: found.id, at: .now()) {
                    try $0.endReplacedKeys(of: found.id)
                }
                return show(json: json, ended == 1 ? "1 key ended." : "\(ended) keys ended.") {
                    $0.beginObject()
                    $0.key("ended")
                    $0.integer(Int64(ended))
                    $0.endObject()
                }
            }
            let now = Instant.now()
            let ends = try end(after: now)
            let open = try present(of: found, administration, at: now)
            let made: SecretText
            do {
                made = try administration.onRecord(.pluginKeyChanged, of: found.id, at: now) {
                    try $0.replaceKey(of: open, oldEndsAt: ends, at: now)
                }
            } catch VaultError.conflict {
                throw ValidationError("That key is being replaced already; show the newest one.")
            }
            made.withString { key in
                show(json: json, key) {
                    $0.beginObject()
                    $0.key("pluginId")
                    $0.string(found.id.text)
                    $0.key("key")
                    $0.string(key)
                    $0.key("oldKeyUntil")
                    $0.string(ends.rfc3339)
                    $0.endObject()
                }
            }
        }

        private func end(after now: Instant) throws -> Instant {
            guard let until else { return now.adding(seconds: 86_400) }
            guard let end = Instant(rfc3339: until), end > now, end <= now.adding(seconds: 30 * 86_400) else {
                throw ValidationError("--until: expected a time within the next 30 days, such as 2026-11-30T12:00:00Z.")
            }
            return end
        }

        private func present(of plugin: Plugin, _ administration: Administration, at now: Instant) throws -> OpenPlugin
        {
            let line: String?
            if let keyFile {
                line = try? String(contentsOfFile: keyFile, encoding: .utf8)
            } else {
                line = readLine()
            }
            let text = (line ?? "").trimmingCharacters(in: .whitespacesAndNewlines)
            guard let token = try? Token(parsing: text), token.kind == .plugin,
                let open = try administration.store.read({ try $0.openPlugin(token, at: now) }), open.id == plugin.id
            else {
                throw ValidationError(
                    "The plugin's present key is needed. Without it, remove the plugin and add it again: persons approve anew."
                )
            }
            return open
        }
    }

    struct Change: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "set", abstract: "Change a plugin's limits; what is not named stays as it is.")

        @Argument(help: "The plugin's name or id.")
        var plugin: String

        @OptionGroup var options: PluginOptions

        @Flag(help: "Begin without any limit.")
        var unlimited = false

        @Flag(help: "Print JSON.")
        var json = false

        func run() throws {
            let administration = try Administration()
            let found = try administration.plugin(plugin)
            var limits = unlimited ? PluginLimits() : found.limits
            try options.apply(to: &limits)
            let changed = limits
            try administration.onRecord(.pluginChanged, of: found.id, at: .now()) {
                try $0.setLimits(changed, found.id)
            }
            let described = changed.described
            show(json: json, described.isEmpty ? "No limits." : described.joined(separator: "\n")) {
                $0.beginObject()
                $0.key("pluginId")
                $0.string(found.id.text)
                $0.key("limits")
                $0.strings(described)
                $0.endObject()
            }
        }
    }
}

extension Administration {
    /// By id, or by its exact name.
    func plugin(_ text: String) throws -> Plugin {
        let all = try store.read { try $0.allPlugins() }
        guard let found = all.first(where: { $0.id.text == text || $0.name == text }) else {
            throw ValidationError("There is no plugin of that name or id.")
        }
        return found
    }
}
