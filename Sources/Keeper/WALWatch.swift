import Vault

/// Says when the WAL stays long: somebody reads for longer than any request of ours, or the disk does not keep up. Nothing
/// is wrong with what is stored, so the service stays ready; but every read gets slower, and the disk fuller.
struct WALWatch {
    /// A burst of commits is cut off within twenty seconds.
    static let patience: Int64 = 30_000
    static let repeatEvery: Int64 = 600_000

    private let database: String
    private let limit: Int64
    private let say: @Sendable (String) -> Void
    private var longSince: Int64?
    private var saidAt: Int64?

    /// - Parameter limit: bytes; 0: nothing is ever said.
    init(database: String, limit: Int64, say: @escaping @Sendable (String) -> Void) {
        (self.database, self.limit, self.say) = (database, limit, say)
    }

    /// - Parameter uptime: milliseconds.
    mutating func look(at uptime: Int64) {
        guard limit > 0 else { return }
        let size = Store.walBytes(path: database)
        guard size > limit else {
            if saidAt != nil { say("the WAL is short again: \(size >> 10) KiB") }
            (longSince, saidAt) = (nil, nil)
            return
        }
        let since = longSince ?? uptime
        longSince = since
        guard uptime - since >= Self.patience, saidAt.map({ uptime - $0 >= Self.repeatEvery }) ?? true else { return }
        saidAt = uptime
        say(
            "the WAL has been longer than \(limit >> 20) MB for \((uptime - since) / 1000) s: \(size >> 20) MB;"
                + " some process may be reading since then, or the disk is too slow")
    }
}
