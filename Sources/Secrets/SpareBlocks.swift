import COpenSSL
import Glibc

/// Wiped blocks of the secure heap that this thread gave back and will want again: a vend takes about ten of them, and
/// OpenSSL's arena has one lock for all threads. They go back to the arena with their thread.
final class SpareBlocks {
    /// Blocks of 32, 64, 128, 256 and 512 bytes, the arena's own sizes.
    private static let sizes = 5
    private static let mostOfASize = 8
    private static let smallest = SecureHeap.smallestBlock

    private let blocks: UnsafeMutablePointer<UnsafeMutableRawPointer>
    private let counts: UnsafeMutablePointer<Int>

    private init() {
        blocks = .allocate(capacity: Self.sizes * Self.mostOfASize)
        counts = .allocate(capacity: Self.sizes)
        counts.initialize(repeating: 0, count: Self.sizes)
    }

    deinit {
        for size in 0..<Self.sizes {
            for place in 0..<counts[size] { CRYPTO_secure_free(blocks[size * Self.mostOfASize + place], nil, 0) }
        }
        blocks.deallocate()
        counts.deallocate()
    }

    func take(_ count: Int) -> UnsafeMutableRawPointer? {
        let size = Self.size(count)
        guard size < Self.sizes, counts[size] > 0 else { return nil }
        counts[size] -= 1
        return blocks[size * Self.mostOfASize + counts[size]]
    }

    /// False when there are enough of this size.
    func keep(_ block: UnsafeMutableRawPointer, _ count: Int) -> Bool {
        let size = Self.size(count)
        guard size < Self.sizes, counts[size] < Self.mostOfASize else { return false }
        blocks[size * Self.mostOfASize + counts[size]] = block
        counts[size] += 1
        return true
    }

    /// What is asked of the arena for `count` bytes, so that a spare block fits every count of its size.
    static func rounded(_ count: Int) -> Int {
        let size = size(count)
        return size < sizes ? smallest << size : count
    }

    private static func size(_ count: Int) -> Int {
        count <= smallest ? 0 : Int.bitWidth - ((count - 1) / smallest).leadingZeroBitCount
    }

    static var current: SpareBlocks {
        if let stored = pthread_getspecific(slot) {
            return Unmanaged<SpareBlocks>.fromOpaque(stored).takeUnretainedValue()
        }
        let made = SpareBlocks()
        pthread_setspecific(slot, Unmanaged.passRetained(made).toOpaque())
        return made
    }

    private static let slot: pthread_key_t = {
        var key = pthread_key_t()
        let made = pthread_key_create(&key) { stored in
            guard let stored else { return }
            Unmanaged<SpareBlocks>.fromOpaque(stored).release()
        }
        guard made == 0 else { fatalError("no thread-specific key left") }
        return key
    }()
}
