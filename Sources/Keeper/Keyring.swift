import Encoding
import Envelope
import Vault

/// Connection keys that workers handed over after a vend, in locked memory, each for some minutes.
struct Keyring {
    struct Entry {
        let key: ConnectionKey
        let generation: Int64
        let vault: VaultID
        let person: PersonID
        /// Uptime.
        var until: Int64
        /// When this connection is to be renewed, wall clock; nil: not ahead of time.
        var dueAt: Instant?
    }

    static let capacity = 8192
    /// As docs/KEYS.md says, whatever a worker asks for.
    static let longestSeconds: Int64 = 3600

    private(set) var entries: [ConnectionID: Entry] = [:]

    var count: Int { entries.count }

    func key(of connection: ConnectionID, at uptime: Int64) -> ConnectionKey? {
        guard let entry = entries[connection], entry.until > uptime else { return nil }
        return entry.key
    }

    /// A message that was overtaken must not put an older key in the place of a newer one.
    mutating func hold(_ entry: Entry, of connection: ConnectionID, at uptime: Int64) {
        if let held = entries[connection], held.until > uptime, held.generation > entry.generation { return }
        if entries[connection] == nil, entries.count >= Self.capacity {
            guard let least = entries.min(by: { $0.value.until < $1.value.until }) else { return }
            entries[least.key] = nil
        }
        entries[connection] = entry
    }

    mutating func plan(_ connection: ConnectionID, dueAt: Instant?) {
        entries[connection]?.dueAt = dueAt
    }

    mutating func drop(_ connection: ConnectionID) { entries[connection] = nil }

    mutating func dropExpired(at uptime: Int64) {
        entries = entries.filter { $0.value.until > uptime }
    }

    mutating func dropAll(where matches: (Entry) -> Bool) {
        entries = entries.filter { !matches($0.value) }
    }

    func count(of person: PersonID, at uptime: Int64) -> Int {
        entries.values.count { $0.person == person && $0.until > uptime }
    }

    func due(at now: Instant) -> [ConnectionID] {
        entries.filter { $0.value.dueAt.map { $0 <= now } ?? false }
            .sorted { ($0.value.dueAt ?? now) < ($1.value.dueAt ?? now) }.map(\.key)
    }

    /// When something is to be done next: an end or a renewal.
    func nextUptime(at moment: Moment) -> Int64? {
        entries.values.lazy.map { entry in
            min(entry.until, entry.dueAt.map { moment.uptime(of: $0) } ?? .max)
        }.min()
    }
}
