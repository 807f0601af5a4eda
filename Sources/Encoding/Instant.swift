import Glibc

/// A point in time, in milliseconds since 1970-01-01T00:00:00Z.
public struct Instant: Comparable, Hashable, Sendable {
    public let milliseconds: Int64

    public init(milliseconds: Int64) {
        self.milliseconds = milliseconds
    }

    /// The wall clock. Only entry points call it; everything below takes the time as an argument.
    public static func now() -> Instant {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Instant(milliseconds: Int64(time.tv_sec) * 1000 + Int64(time.tv_nsec) / 1_000_000)
    }

    public static func < (left: Instant, right: Instant) -> Bool {
        left.milliseconds < right.milliseconds
    }

    /// Saturates instead of overflowing, so that a provider's absurd lifetime cannot stop the process.
    public func adding(seconds: Int64) -> Instant {
        let (offset, multiplied) = seconds.multipliedReportingOverflow(by: 1000)
        let (sum, added) = milliseconds.addingReportingOverflow(offset)
        guard multiplied || added else { return Instant(milliseconds: sum) }
        return Instant(milliseconds: seconds < 0 ? .min : .max)
    }

    /// Whole seconds from here to `later`, rounded down; negative when `later` is earlier.
    public func seconds(until later: Instant) -> Int64 {
        let (difference, overflow) = later.milliseconds.subtractingReportingOverflow(milliseconds)
        guard !overflow else { return later > self ? .max / 1000 : .min / 1000 }
        return floorDivide(difference, 1000)
    }
}

/// RFC 3339 §5.6.
extension Instant {
    /// `2026-11-22T14:51:21Z`, the fraction dropped. Years outside 0000–9999 are shown as the nearest that RFC 3339 has.
    public var rfc3339: String {
        let seconds = min(max(floorDivide(milliseconds, 1000), Self.earliestSecond), Self.latestSecond)
        let day = floorDivide(seconds, 86_400)
        let second = seconds - day * 86_400
        let date = CivilDate(daysSince1970: day)
        return String(unsafeUninitializedCapacity: 20) { out in
            var position = 0
            func put(_ number: Int64, digits: Int, then separator: Unicode.Scalar) {
                var rest = number
                for index in stride(from: position + digits - 1, through: position, by: -1) {
                    out[index] = UInt8(ascii: "0") + UInt8(rest % 10)
                    rest /= 10
                }
                out[position + digits] = UInt8(ascii: separator)
                position += digits + 1
            }
            put(date.year, digits: 4, then: "-")
            put(date.month, digits: 2, then: "-")
            put(date.day, digits: 2, then: "T")
            put(second / 3600, digits: 2, then: ":")
            put(second / 60 % 60, digits: 2, then: ":")
            put(second % 60, digits: 2, then: "Z")
            return position
        }
    }

    /// Accepts every `date-time` of the RFC: fractions (cut to milliseconds), offsets, a leap second.
    public init?(rfc3339 text: String) {
        var scanner = DigitScanner(bytes: Array(text.utf8))
        guard let year = scanner.number(digits: 4), scanner.take("-"),
            let month = scanner.number(digits: 2), scanner.take("-"),
            let day = scanner.number(digits: 2), scanner.take("T", or: "t"),
            let hour = scanner.number(digits: 2), hour < 24, scanner.take(":"),
            let minute = scanner.number(digits: 2), minute < 60, scanner.take(":"),
            let second = scanner.number(digits: 2), second <= 60,
            let date = CivilDate(year: year, month: month, day: day)
        else { return nil }
        guard let fraction = scanner.millisecondFraction(), let offset = scanner.offsetSeconds(), scanner.isAtEnd
        else { return nil }
        let total = date.daysSince1970 * 86_400 + hour * 3600 + minute * 60 + second - offset
        self.init(milliseconds: total * 1000 + fraction)
    }

    private static let earliestSecond = CivilDate(year: 0, month: 1, day: 1)!.daysSince1970 * 86_400
    private static let latestSecond = CivilDate(year: 9999, month: 12, day: 31)!.daysSince1970 * 86_400 + 86_399
}

/// A date of the proleptic Gregorian calendar. Years are counted from March, so that the leap day is the last of its year.
private struct CivilDate {
    let year, month, day: Int64

    init?(year: Int64, month: Int64, day: Int64) {
        let isLeap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
        let lengths: [Int64] = [31, isLeap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
        guard (1...12).contains(month), day >= 1, day <= lengths[Int(month) - 1] else { return nil }
        (self.year, self.month, self.day) = (year, month, day)
    }

    init(daysSince1970 days: Int64) {
        let shifted = days + Self.daysFromMarchOfYear0To1970
        let era = floorDivide(shifted, 146_097)
        let dayOfEra = shifted - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let monthFromMarch = (5 * dayOfYear + 2) / 153
        day = dayOfYear - (153 * monthFromMarch + 2) / 5 + 1
        month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9
        year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
    }

    var daysSince1970: Int64 {
        let marchYear = month <= 2 ? year - 1 : year
        let era = floorDivide(marchYear, 400)
        let yearOfEra = marchYear - era * 400
        let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
        let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
        return era * 146_097 + dayOfEra - Self.daysFromMarchOfYear0To1970
    }

    private static let daysFromMarchOfYear0To1970: Int64 = 719_468
}

private struct DigitScanner {
    let bytes: [UInt8]
    var position = 0

    var isAtEnd: Bool { position == bytes.count }

    mutating func number(digits: Int) -> Int64? {
        guard position + digits <= bytes.count else { return nil }
        var value: Int64 = 0
        for byte in bytes[position..<position + digits] {
            guard byte >= UInt8(ascii: "0"), byte <= UInt8(ascii: "9") else { return nil }
            value = value * 10 + Int64(byte - UInt8(ascii: "0"))
        }
        position += digits
        return value
    }

    mutating func take(_ first: Unicode.Scalar, or second: Unicode.Scalar? = nil) -> Bool {
        guard position < bytes.count else { return false }
        let byte = Unicode.Scalar(bytes[position])
        guard byte == first || byte == second else { return false }
        position += 1
        return true
    }

    /// `.123456` → 123; nothing → 0; a dot without digits → nil.
    mutating func millisecondFraction() -> Int64? {
        guard take(".") else { return 0 }
        var value: Int64 = 0
        var digits = 0
        while let digit = number(digits: 1) {
            if digits < 3 { value = value * 10 + digit }
            digits += 1
        }
        guard digits > 0 else { return nil }
        for _ in min(digits, 3)..<3 { value *= 10 }
        return value
    }

    mutating func offsetSeconds() -> Int64? {
        if take("Z", or: "z") { return 0 }
        let isNegative: Bool
        if take("+") { isNegative = false } else if take("-") { isNegative = true } else { return nil }
        guard let hours = number(digits: 2), hours < 24, take(":"), let minutes = number(digits: 2), minutes < 60
        else { return nil }
        return (hours * 3600 + minutes * 60) * (isNegative ? -1 : 1)
    }
}

private func floorDivide(_ dividend: Int64, _ divisor: Int64) -> Int64 {
    let quotient = dividend / divisor
    return dividend % divisor < 0 ? quotient - 1 : quotient
}
