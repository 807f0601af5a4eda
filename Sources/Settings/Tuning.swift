import Encoding
import Envelope
import Providers

public enum LogLevel: String, Hashable, Sendable, CaseIterable {
    case trace, debug, info, notice, warning, error, critical
}

enum Switch: String, Hashable, Sendable, CaseIterable { case on, off }

/// The optional `toolshed.yaml`: everything has a value without it, and a variable of the environment wins over it.
/// Rate limits are not here: they are nginx's.
struct Tuning: Hashable, Sendable {
    var workers: Int
    var threads = 4
    var peerUser = "www-data"
    var warmSeconds = 15 * 60
    var logLevel = LogLevel.info
    var caFile: String?
    var signIn = SignInSettings()
    var registrationsPerHour = 600
    var allowsDeviceGrant = true
    var audit = AuditSettings()
    var process = ProcessSettings()

    init(processors: Int) {
        workers = max(2, processors)
    }

    mutating func read(file path: String) throws(CatalogueError) {
        let text: String
        do throws(CatalogueError) {
            text = try YAMLFile.read(path).text
        } catch {
            if case .unreadable(let code) = error.problem, code == 2 { return }
            throw error
        }
        guard let value = try YAMLFile.parse(text, file: path) else { return }
        var fields = try Fields(value, path: "")
        guard try fields.text("version", expected: "version: 1") == "1" else {
            throw fields.wrong("version", expected: "1", found: "another version")
        }
        workers = Int(try fields.integer("workers", in: 1...256) ?? Int64(workers))
        threads = Int(try fields.integer("threads", in: 1...64) ?? Int64(threads))
        peerUser = try fields.text("peer_user") ?? peerUser
        warmSeconds = Int(try fields.integer("warm_seconds", in: 0...86_400) ?? Int64(warmSeconds))
        logLevel = try fields.choice("log_level", LogLevel.self) ?? logLevel
        caFile = try fields.text("ca_file") ?? caFile
        if let block = try fields.fields("sign_in") { signIn = try SignInSettings(reading: block) }
        registrationsPerHour = Int(
            try fields.integer("registrations_per_hour", in: 0...1_000_000) ?? Int64(registrationsPerHour))
        allowsDeviceGrant = try fields.choice("device_grant", Switch.self).map { $0 == .on } ?? allowsDeviceGrant
        try audit.read(&fields)
        try process.read(&fields)
        try fields.finish()
    }

    mutating func read(_ surroundings: Surroundings) throws(SettingsError) {
        workers = try Self.number("TOOLSHED_WORKERS", 1...256, surroundings) ?? workers
        threads = try Self.number("TOOLSHED_THREADS", 1...64, surroundings) ?? threads
        warmSeconds = try Self.number("TOOLSHED_WARM_SECONDS", 0...86_400, surroundings) ?? warmSeconds
        registrationsPerHour =
            try Self.number("TOOLSHED_REGISTRATIONS_PER_HOUR", 0...1_000_000, surroundings) ?? registrationsPerHour
        try process.read(surroundings)
        if let text = surroundings["TOOLSHED_DEVICE_GRANT"] {
            guard let choice = Switch(rawValue: text) else {
                throw .variable(name: "TOOLSHED_DEVICE_GRANT", expected: "on or off", found: "'\(text.prefix(40))'")
            }
            allowsDeviceGrant = choice == .on
        }
        peerUser = surroundings["TOOLSHED_PEER_USER"] ?? peerUser
        caFile = surroundings["TOOLSHED_CA_FILE"] ?? caFile
        if let text = surroundings["TOOLSHED_LOG_LEVEL"] {
            guard let level = LogLevel(rawValue: text) else {
                let known = LogLevel.allCases.map(\.rawValue).joined(separator: ", ")
                throw .variable(name: "TOOLSHED_LOG_LEVEL", expected: "one of \(known)", found: "'\(text.prefix(40))'")
            }
            logLevel = level
        }
    }

    static func number(
        _ name: String, _ range: ClosedRange<Int>, _ surroundings: Surroundings
    ) throws(SettingsError) -> Int? {
        guard let text = surroundings[name] else { return nil }
        guard let number = Int(text), range.contains(number) else {
            throw .variable(
                name: name, expected: "a whole number from \(range.lowerBound) to \(range.upperBound)",
                found: "'\(text.prefix(40))'")
        }
        return number
    }
}
