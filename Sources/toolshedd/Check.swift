import ArgumentParser
import Encoding
import Foundation
import OAuth
import Providers
import Secrets
import Settings

/// `toolshedd check`: reads everything that a start would read, and says what holds, what is unwise, or what is wrong.
struct Check: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Read the configuration and say what holds, without secrets.",
        discussion: "Exits 0 when the service would start with it, 78 when it would not; warnings go to standard error."
    )

    @Flag(help: "Print JSON.")
    var json = false

    func run() throws {
        hardenProcess()
        try SecureHeap.start(bytes: 256 * 1024)
        let environment = ProcessInfo.processInfo.environment
        let settings: Settings
        do throws(SettingsError) {
            settings = try Settings.load(environment: environment)
            _ = try Settings.encryptionKeys(environment: environment)
        } catch {
            if json { print(Self.refusal(error)) }
            Self.complain("\(error)")
            throw ExitCode(78)
        }
        print(json ? Self.report(settings) : settings.effective(), terminator: json ? "\n" : "")
        for warning in settings.warnings { Self.complain("warning: \(warning)") }
    }

    private static func complain(_ sentence: String) {
        FileHandle.standardError.write(Data("toolshedd: \(sentence)\n".utf8))
    }

    private static func report(_ settings: Settings) -> String {
        var writer = JSONWriter()
        writer.beginObject()
        writer.key("ok")
        writer.bool(true)
        writer.key("origin")
        writer.string(settings.origin)
        writer.key("stateDirectory")
        writer.string(settings.stateDirectory)
        writer.key("runtimeDirectory")
        writer.string(settings.runtimeDirectory)
        writer.key("configDirectory")
        writer.string(settings.configDirectory)
        writer.key("workers")
        writer.integer(Int64(settings.workers))
        writer.key("threads")
        writer.integer(Int64(settings.threads))
        writer.key("peerUser")
        writer.string(settings.peerUser)
        writer.key("warmSeconds")
        writer.integer(Int64(settings.warmSeconds))
        writer.key("logLevel")
        writer.string(settings.logLevel.rawValue)
        writer.key("configured")
        writer.strings(settings.catalogue.providers.values.filter(\.isConfigured).map(\.id).sorted().map(\.json))
        writer.key("warnings")
        writer.strings(settings.warnings)
        writer.endObject()
        return String(decoding: writer.bytes, as: UTF8.self)
    }

    /// The sentence, and for a wrong file also where.
    private static func refusal(_ error: SettingsError) -> String {
        var writer = JSONWriter()
        writer.beginObject()
        writer.key("ok")
        writer.bool(false)
        writer.key("error")
        writer.string("\(error)")
        if case .file(let wrong) = error {
            writer.key("file")
            writer.string(wrong.place.file)
            if wrong.place.line > 0 {
                writer.key("line")
                writer.integer(Int64(wrong.place.line))
            }
            writer.key("field")
            writer.string(wrong.field)
        }
        if case .variable(let name, _, _) = error {
            writer.key("variable")
            writer.string(name)
        }
        writer.endObject()
        return String(decoding: writer.bytes, as: UTF8.self)
    }
}

extension JSONWriter {
    mutating func strings(_ texts: [String]) {
        beginArray()
        for text in texts { string(text) }
        endArray()
    }
}
