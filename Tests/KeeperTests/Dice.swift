import Encoding
import Secrets
import Synchronization

/// SplitMix64: everything that a history leaves to chance, repeatable by its seed.
final class Dice: Sendable {
    private let state: Atomic<UInt64>

    init(_ seed: UInt64) { state = Atomic(seed &* 0x9E37_79B9_7F4A_7C15 &+ 1) }

    func next() -> UInt64 {
        var word = state.wrappingAdd(0x9E37_79B9_7F4A_7C15, ordering: .relaxed).newValue
        word = (word ^ (word >> 30)) &* 0xBF58_476D_1CE4_E5B9
        word = (word ^ (word >> 27)) &* 0x94D0_49BB_1331_11EB
        return word ^ (word >> 31)
    }

    func below(_ limit: Int) -> Int { Int(next() % UInt64(limit)) }
    func between(_ low: Int64, _ high: Int64) -> Int64 { low + Int64(next() % UInt64(high - low + 1)) }
    func unit() -> Double { Double(next() >> 11) / Double(UInt64(1) << 53) }
    func chance(_ probability: Double) -> Bool { unit() < probability }

    var randomness: Randomness {
        Randomness { [self] out in
            for index in out.indices { out[index] = UInt8(truncatingIfNeeded: next()) }
        }
    }
}
