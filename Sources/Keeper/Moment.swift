import Encoding
import Glibc

/// Now, twice: the wall clock, in which expiry is told and stored, and the time since boot, which nobody sets. Leases,
/// pacing and what is held in memory are measured in the second, so a clock that is set makes no burst.
public struct Moment: Hashable, Sendable {
    public var wall: Instant
    /// Milliseconds of CLOCK_BOOTTIME.
    public var uptime: Int64

    public init(wall: Instant, uptime: Int64) { (self.wall, self.uptime) = (wall, uptime) }

    public static func now() -> Moment {
        var time = timespec()
        clock_gettime(CLOCK_BOOTTIME, &time)
        return Moment(
            wall: .now(), uptime: Int64(time.tv_sec) * 1000 + Int64(time.tv_nsec) / 1_000_000)
    }

    /// The uptime at which the wall clock will show `instant`, if nobody sets it.
    func uptime(of instant: Instant) -> Int64 {
        let (ahead, overflow) = instant.milliseconds.subtractingReportingOverflow(wall.milliseconds)
        guard !overflow else { return instant > wall ? .max : uptime }
        let (sum, past) = uptime.addingReportingOverflow(ahead)
        return past ? .max : sum
    }
}
