import Glibc
import Secrets
import Settings

/// When a worker has served long enough: copies of secrets that libraries leave in freed memory end with the process
/// (K-MEM-5), and so does what a library loses. The bounds of each process are its own, up to a fifth more or less than
/// configured, so that those that started together do not want to leave together.
struct Wear: Sendable {
    let requests: Int
    let bytes: Int

    /// 0: no such bound.
    init(_ settings: ProcessSettings, _ random: Randomness) {
        let spread = random.bytes(2).reduce(0) { $0 << 8 | Int($1) }
        self.init(
            requests: Int(settings.recycleRequests), bytes: Int(settings.recycleMegabytes) << 20, spread: spread)
    }

    /// - Parameter spread: 0 to 65,535, evenly.
    init(requests: Int, bytes: Int, spread: Int) {
        func near(_ bound: Int) -> Int { bound == 0 ? .max : max(1, bound / 5 * 4 + bound * 2 / 5 * spread / 65_535) }
        (self.requests, self.bytes) = (near(requests), near(bytes))
    }

    /// Why it is enough; nil: it is not.
    func reason(answered: Int, bytes held: Int) -> String? {
        if answered >= requests { return "\(answered) requests answered" }
        if held >= bytes { return "\(held >> 20) MB of memory held" }
        return nil
    }

    /// Memory that is this process's own: what it shares with others, as the mapped database, does not count (proc(5)).
    static func heldBytes() -> Int {
        let file = open("/proc/self/statm", O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return 0 }
        defer { close(file) }
        var text = [UInt8](repeating: 0, count: 256)
        let count = read(file, &text, text.count)
        guard count > 0 else { return 0 }
        let fields = text[..<count].split(separator: 0x20).compactMap { Int(String(decoding: $0, as: UTF8.self)) }
        return fields.count > 2 ? (fields[1] - fields[2]) * Int(sysconf(Int32(_SC_PAGESIZE))) : 0
    }
}
