import Encoding

/// `expires_in` as providers really write it: number, integral float, decimal string, nonsense.
public enum Lifetime: Hashable, Sendable {
    case absent
    /// Zero when the provider said zero or less: dead on arrival.
    case seconds(Int64)

    /// The largest lifetime believed, 68 years. Linear's old apps answer ten years.
    public static let maximumSeconds: Int64 = 1 << 31

    public init(_ value: JSONValue?) {
        switch value {
        case .integer(let number): self.init(number)
        case .number(let number): self.init(number)
        case .string(let text): self = Int64(text).map { Lifetime($0) } ?? Double(text).map { Lifetime($0) } ?? .absent
        case nil, .null, .bool, .array, .object: self = .absent
        }
    }

    private init(_ seconds: Int64) {
        self = seconds > Self.maximumSeconds ? .absent : .seconds(max(seconds, 0))
    }

    /// A part of a second does not make an end unknown: it is rounded to the safe side.
    private init(_ seconds: Double) {
        guard seconds.isFinite else {
            self = .absent
            return
        }
        self.init(seconds > Double(Self.maximumSeconds) ? .max : Int64(max(seconds, 0).rounded(.down)))
    }

    /// The absolute expiry, counted from when the answer was received.
    public func expiry(from received: Instant, default fallback: Int64? = nil) -> Instant? {
        switch self {
        case .seconds(let seconds): received.adding(seconds: seconds)
        case .absent: fallback.map { received.adding(seconds: $0) }
        }
    }
}
