import CLinux
import Encoding
import Glibc

/// How many vends a minute each limited plugin has left, counted over all workers of this box: cells in a file that
/// every worker maps. Taking one costs a compare-and-set on shared memory; nothing is written to the database.
///
/// A cell is the generic cell rate algorithm: the time at which the plugin's allowance would be whole again. A minute's
/// worth may come at once, then they come evenly.
public final class RateTable: @unchecked Sendable {
    public struct Unavailable: Error {}

    /// A key and its time, each 64 bits. 256 KiB; many more than plugins that are limited and busy in the same minute.
    static let cells = 16_384
    static let probes = 32
    static let minute: Int64 = 60_000_000

    // Shared with other processes: read and written by atomic operations only.
    private let base: UnsafeMutablePointer<UInt64>

    /// In the runtime folder, so that a worker that is replaced does not give everybody a new allowance.
    public init(path: String) throws(Unavailable) {
        let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw Unavailable() }
        defer { close(descriptor) }
        let size = Self.cells * 16
        guard ftruncate(descriptor, off_t(size)) == 0,
            let mapped = mmap(nil, size, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0), mapped != MAP_FAILED
        else { throw Unavailable() }
        base = mapped.bindMemory(to: UInt64.self, capacity: Self.cells * 2)
    }

    deinit { munmap(base, Self.cells * 16) }

    /// What is counted together: a plugin's vends for everybody, or for one person.
    public struct Key: Sendable {
        let value: UInt64

        public init(_ parts: [UInt8]...) {
            // FNV-1a (64 bits) over ids that we made at random: nobody chooses what falls into one cell.
            var hash: UInt64 = 0xCBF2_9CE4_8422_2325
            for byte in parts.joined() { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
            value = max(1, hash)
        }
    }

    /// Takes one from each, or none: then the seconds until it is worth another try.
    public func take(_ allowances: [(key: Key, perMinute: Int64)], at now: Instant) -> Int64? {
        for (index, allowance) in allowances.enumerated() {
            guard let wait = take(allowance.key, Self.minute / allowance.perMinute, Self.minute, at: now) else {
                continue
            }
            for taken in allowances[..<index] { giveBack(taken.key, taken.perMinute, at: now) }
            return wait
        }
        return nil
    }

    /// Takes one; `burst` may come at once. Otherwise the seconds until it is worth another try.
    public func take(_ key: Key, perSecond: Int64, burst: Int64, at now: Instant) -> Int64? {
        let step = max(1, 1_000_000 / perSecond)
        return take(key, step, step * burst, at: now)
    }

    /// - Parameters:
    ///   - step: microseconds for each.
    ///   - span: microseconds' worth may come at once.
    private func take(_ key: Key, _ step: Int64, _ span: Int64, at now: Instant) -> Int64? {
        let now = now.milliseconds * 1000
        // Without a cell nothing is counted: better than to refuse everybody because the table is full.
        guard let cell = cell(key, at: now) else { return nil }
        var seen = clinux_load(cell)
        while true {
            // A time further away than a whole allowance is of a clock that was set back, or of another limit.
            let owed = Int64(bitPattern: seen)
            let whole = owed - now > span + step ? now : max(owed, now)
            let next = whole + step
            guard next - now <= max(span, step) else { return max(1, (next - now - span + 999_999) / 1_000_000) }
            if clinux_exchange(cell, &seen, UInt64(bitPattern: next)) { return nil }
        }
    }

    private func giveBack(_ key: Key, _ perMinute: Int64, at now: Instant) {
        guard let cell = cell(key, at: now.milliseconds * 1000) else { return }
        var seen = clinux_load(cell)
        while !clinux_exchange(cell, &seen, seen &- UInt64(Self.minute / perMinute)) {}
    }

    /// The cell of this key: its own, an empty one, or one whose allowance is whole again. Two that take over one cell
    /// at the same moment may count one vend wrongly.
    private func cell(_ key: Key, at now: Int64) -> UnsafeMutablePointer<UInt64>? {
        let first = Int(key.value % UInt64(Self.cells))
        var idle: Int?
        for probe in 0..<Self.probes {
            let index = (first + probe) % Self.cells * 2
            let owner = clinux_load(base + index)
            if owner == key.value { return base + index + 1 }
            if owner == 0 || (idle == nil && Int64(bitPattern: clinux_load(base + index + 1)) <= now) {
                idle = idle ?? index
                if owner == 0 { break }
            }
        }
        guard let idle else { return nil }
        var owner = clinux_load(base + idle)
        guard clinux_exchange(base + idle, &owner, key.value) || owner == key.value else { return nil }
        return base + idle + 1
    }
}
