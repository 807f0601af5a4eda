import Encoding
import Secrets
import Synchronization

@testable import Envelope

/// The arena of the test process, started once.
let testHeap: Void = {
    do { try SecureHeap.start(bytes: 1 << 20) } catch { fatalError("no locked memory for tests: \(error)") }
}()

extension Randomness {
    /// The same bytes for the same seed, in blocks of SHA-256 over seed and counter.
    static func seeded(_ seed: String) -> Randomness {
        let stream = SeededStream(seed)
        return Randomness { stream.fill($0) }
    }

    /// Exactly these bytes, once.
    static func fixed(_ bytes: [UInt8]) -> Randomness {
        Randomness { out in
            precondition(out.count == bytes.count)
            out.copyBytes(from: bytes)
        }
    }
}

private final class SeededStream: Sendable {
    private let seed: [UInt8]
    private let state = Mutex<(counter: UInt64, rest: [UInt8])>((0, []))

    init(_ seed: String) {
        self.seed = Array(seed.utf8)
    }

    func fill(_ out: UnsafeMutableRawBufferPointer) {
        state.withLock { state in
            for index in out.indices {
                if state.rest.isEmpty {
                    state.rest = sha256(seed + withUnsafeBytes(of: state.counter.bigEndian) { Array($0) }).reversed()
                    state.counter += 1
                }
                out[index] = state.rest.removeLast()
            }
        }
    }
}

func hex(_ text: String) -> [UInt8] {
    Hex.decode(text)!
}

extension SecretBytes {
    /// A copy in ordinary memory, which only a test may make.
    var revealed: [UInt8] { withUnsafeBytes { Array($0) } }
}

extension Key {
    init(revealed: [UInt8]) throws {
        let secret = try SecretBytes(count: revealed.count) { $0.copyBytes(from: revealed) }
        try self.init(secret)
    }

    var revealed: [UInt8] { withUnsafeBytes { Array($0) } }
}

/// What `body` throws, for values that `#expect(throws:)` cannot take because they are not copied.
func errorOf<Failure: Error, Value: ~Copyable>(_ body: () throws(Failure) -> Value) -> Failure? {
    do throws(Failure) {
        _ = try body()
        return nil
    } catch {
        return error
    }
}
