import Secrets
import Synchronization

/// The key of what lives for minutes: the keeper makes it when it starts, tells the workers, and nobody stores it. A copy
/// of the files, with `ENCRYPTION_KEY` and a code that was caught on its way, does not open what was wrapped once more
/// under it.
public final class MinuteKey: Sendable {
    private enum Role {}

    private final class Held: Sendable {
        let key: Key<Role>
        init(_ key: consuming Key<Role>) { self.key = key }
    }

    private let held = Mutex<Held?>(nil)

    public init() {}

    /// Another keeper started: what was wrapped before does not open any more.
    public func replace(with bytes: UnsafeRawBufferPointer) throws(EnvelopeError) {
        let next = Held(try Key(copying: bytes))
        held.withLock { $0 = next }
    }

    public func makeNew(_ random: Randomness) throws(EnvelopeError) {
        let next = Held(try Key(random: random))
        held.withLock { $0 = next }
    }

    /// nil: no keeper has said it yet.
    public func withUnsafeBytes<Result>(_ body: (UnsafeRawBufferPointer) throws -> Result) rethrows -> Result? {
        guard let held = held.withLock({ $0 }) else { return nil }
        return try held.key.withUnsafeBytes { try body($0) }
    }

    /// `.exhausted` where there is no key: it can be tried again in a moment.
    public func seal(_ inner: [UInt8], _ data: AssociatedData, _ random: Randomness) throws(EnvelopeError) -> [UInt8] {
        guard let held = held.withLock({ $0 }) else { throw .exhausted }
        return inner.withUnsafeBytes { AEAD.seal($0, under: held.key, keyID: 0, data, random) }
    }

    /// The inner box, which is no secret.
    public func open(_ box: [UInt8], _ data: AssociatedData) throws(EnvelopeError) -> [UInt8] {
        guard let held = held.withLock({ $0 }) else { throw .exhausted }
        let opened = try AEAD.open(box, under: held.key, data)
        return opened.withUnsafeBytes { Array($0) }
    }
}
