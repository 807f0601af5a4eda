import COpenSSL

/// Where random bytes come from; an argument, so that a test can repeat a run.
public struct Randomness: Sendable {
    private let source: @Sendable (UnsafeMutableRawBufferPointer) -> Void

    /// OpenSSL's generator, seeded by the kernel.
    public static let system = Randomness { out in
        guard let base = out.baseAddress, out.count > 0 else { return }
        // Nothing may go on with bytes that are not random.
        guard RAND_bytes_ex(nil, base, out.count, 256) == 1 else { fatalError("the random generator failed") }
    }

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
