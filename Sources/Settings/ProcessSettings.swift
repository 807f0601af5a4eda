import Providers

/// When a process says something of itself, and when it makes room for another. 0 switches each of them off.
public struct ProcessSettings: Hashable, Sendable {
    /// A worker is replaced after about so many requests.
    public private(set) var recycleRequests: Int64 = 1_000_000
    /// And when it holds about so much memory of its own.
    public private(set) var recycleMegabytes: Int64 = 256
    /// A request that took longer is a line in the log.
    public private(set) var slowMilliseconds: Int64 = 1000
    /// A WAL that stays longer is a line in the log.
    public private(set) var walAlarmMegabytes: Int64 = 16
    /// While a WAL is longer, workers store nothing: whoever reads since then would fill the disk.
    public private(set) var walLimitMegabytes: Int64 = 256
    /// How many failed authentications of one address are answered as such.
    public private(set) var failedAuthenticationsPerSecond: Int64 = 10

    /// Field and variable (`TOOLSHED_` before it, in capitals) of each, and what may stand there.
    private static var names: [(name: String, range: ClosedRange<Int64>, path: WritableKeyPath<Self, Int64>)] {
        [
            ("recycle_requests", 0...1_000_000_000, \.recycleRequests),
            ("recycle_memory_mb", 0...65_536, \.recycleMegabytes),
            ("slow_ms", 0...3_600_000, \.slowMilliseconds),
            ("wal_alarm_mb", 0...65_536, \.walAlarmMegabytes),
            ("wal_limit_mb", 0...65_536, \.walLimitMegabytes),
            ("failed_authentications_per_second", 0...100_000, \.failedAuthenticationsPerSecond),
        ]
    }

    mutating func read(_ fields: inout Fields) throws(CatalogueError) {
        for (name, range, path) in Self.names {
            if let number = try fields.integer(name, in: range) { self[keyPath: path] = number }
        }
    }

    mutating func read(_ surroundings: Surroundings) throws(SettingsError) {
        for (name, range, path) in Self.names {
            let variable = "TOOLSHED_" + name.uppercased()
            let whole = Int(range.lowerBound)...Int(range.upperBound)
            if let number = try Tuning.number(variable, whole, surroundings) { self[keyPath: path] = Int64(number) }
        }
    }

    var effective: [String] { Self.names.map { "\($0.name): \(self[keyPath: $0.path])" } }
}
