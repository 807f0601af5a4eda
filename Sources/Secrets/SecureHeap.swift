import COpenSSL
import Synchronization

public enum SecureHeapError: Error, Equatable, Sendable {
    /// `SecureHeap.start` was not called, or failed, in this process.
    case notStarted
    /// The kernel refused to lock the pages (RLIMIT_MEMLOCK), or to keep them out of dumps.
    case notLocked
    /// No arena of that size could be had.
    case refused(bytes: Int)
    /// The arena is full: a passing state, answered with 503.
    case exhausted
}

/// OpenSSL's secure heap: an arena between guard pages, locked in memory and excluded from dumps, from which every
/// secret of this process comes. A lock is not inherited by fork, so each process starts its own, after exec.
public enum SecureHeap {
    /// 32 bytes, the size of every key: the smallest block of the arena.
    static let smallestBlock = 32

    private static let starting = Mutex(())

    /// Starts the arena, `bytes` rounded up to a power of two. A process whose arena is not locked must not go on.
    /// Starting again is no error and changes nothing.
    public static func start(bytes: Int) throws(SecureHeapError) {
        try starting.withLock { (_) throws(SecureHeapError) in
            guard !isStarted else { return }
            let size = max(bytes, 4096)
            guard size <= 1 << 40 else { throw .refused(bytes: bytes) }
            let rounded = 1 << (Int.bitWidth - (size - 1).leadingZeroBitCount)
            switch CRYPTO_secure_malloc_init(rounded, smallestBlock) {
            case 1: return
            case 0: throw .refused(bytes: bytes)
            default:
                // 2: the arena is there, but a lock, a guard page or the exclusion from dumps is not.
                CRYPTO_secure_malloc_done()
                throw .notLocked
            }
        }
    }

    public static var isStarted: Bool { CRYPTO_secure_malloc_initialized() == 1 }

    /// Bytes handed out at this moment, rounded up to blocks.
    public static var bytesInUse: Int { CRYPTO_secure_used() }

    static func allocate(_ count: Int) throws(SecureHeapError) -> UnsafeMutableRawPointer {
        if let spare = SpareBlocks.current.take(count) { return spare }
        // Without an arena OpenSSL would fall back to malloc in silence.
        guard isStarted else { throw .notStarted }
        guard let base = CRYPTO_secure_malloc(SpareBlocks.rounded(count), nil, 0) else { throw .exhausted }
        return base
    }

    static func wipeAndFree(_ base: UnsafeMutableRawPointer, count: Int) {
        OPENSSL_cleanse(base, max(count, 1))
        if !SpareBlocks.current.keep(base, count) { CRYPTO_secure_free(base, nil, 0) }
    }
}

/// Overwrites memory that held a secret; the stores are not optimised away.
public func wipe(_ bytes: UnsafeMutableRawBufferPointer) {
    guard let base = bytes.baseAddress else { return }
    OPENSSL_cleanse(base, bytes.count)
}

/// Overwrites an array that held a secret. Only for one that was never shared: a shared one is copied first.
public func wipe(_ bytes: inout [UInt8]) {
    bytes.withUnsafeMutableBytes { wipe($0) }
    bytes.removeAll()
}

/// In constant time for a given length; lengths are not secret. For tags and fingerprints, which are no secrets themselves.
public func constantTimeEquals(_ left: UnsafeRawBufferPointer, _ right: UnsafeRawBufferPointer) -> Bool {
    guard left.count == right.count else { return false }
    guard let first = left.baseAddress, let second = right.baseAddress else { return true }
    return CRYPTO_memcmp(first, second, left.count) == 0
}

public func constantTimeEquals(_ left: [UInt8], _ right: [UInt8]) -> Bool {
    left.withUnsafeBytes { left in right.withUnsafeBytes { constantTimeEquals(left, $0) } }
}
