import COpenSSL
import Secrets

/// FIPS 180-4.
public func sha256(_ bytes: UnsafeRawBufferPointer) -> [UInt8] {
    let digest = Digest()
    digest.update(bytes)
    return [UInt8](unsafeUninitializedCapacity: Digest.size) { out, count in
        digest.finish(into: UnsafeMutableRawPointer(out.baseAddress!))
        count = Digest.size
    }
}

public func sha256(_ bytes: [UInt8]) -> [UInt8] {
    bytes.withUnsafeBytes { sha256($0) }
}

/// One SHA-256 on this thread's context; begun by making it, and finished before another is begun.
struct Digest: ~Copyable {
    static let size = 32
    static let blockSize = 64

    private let context = ThreadContexts.current.digest

    borrowing func update(_ bytes: UnsafeRawBufferPointer) {
        guard bytes.count > 0 else { return }
        check(EVP_DigestUpdate(context, bytes.baseAddress, bytes.count))
    }

    borrowing func update(_ bytes: [UInt8]) {
        bytes.withUnsafeBytes { update($0) }
    }

    borrowing func update(_ text: StaticString) {
        update(UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    borrowing func update(_ byte: UInt8) {
        withUnsafeBytes(of: byte) { update($0) }
    }

    /// Writes 32 bytes. Initialising at the end instead of the beginning leaves nothing of the message in the context.
    borrowing func finish(into out: UnsafeMutableRawPointer) {
        check(EVP_DigestFinal_ex(context, out.assumingMemoryBound(to: UInt8.self), nil))
        check(EVP_DigestInit_ex2(context, Algorithms.sha256, nil))
    }

    private func check(_ result: Int32) {
        guard result == 1 else { fatalError("SHA-256 failed") }
    }
}
