import Glibc

/// Where random bytes come from; an argument, so that a test can repeat a run.
public struct Randomness: Sendable {
    private let source: @Sendable (UnsafeMutableRawBufferPointer) -> Void

    /// The kernel's generator. OpenSSL's own would keep a state per thread on the secure heap, and a full heap would
    /// leave a new thread without random bytes.
    public static let system = Randomness { out in
        var rest = out[...]
        while !rest.isEmpty {
            let part = UnsafeMutableRawBufferPointer(rebasing: rest.prefix(mostAtOnce))
            // Nothing may go on with bytes that are not random.
            guard getentropy(part.baseAddress!, part.count) == 0 else { fatalError("no random bytes from the kernel") }
            rest = rest.dropFirst(part.count)
        }
    }

    /// getentropy(3) gives no more than this at a time.
    private static let mostAtOnce = 256

    /// `fill` must write every byte that it is given.
    public init(fill: @escaping @Sendable (UnsafeMutableRawBufferPointer) -> Void) {
        source = fill
    }

    public func fill(_ out: UnsafeMutableRawBufferPointer) {
        source(out)
    }

    /// For values that are not secret: nonces, salts, identifiers.
    public func bytes(_ count: Int) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: count) { out, filled in
            source(UnsafeMutableRawBufferPointer(UnsafeMutableBufferPointer(rebasing: out[..<count])))
            filled = count
        }
    }

    public func secret(_ count: Int) throws(SecureHeapError) -> SecretBytes {
        try SecretBytes(count: count, filling: source)
    }
}
