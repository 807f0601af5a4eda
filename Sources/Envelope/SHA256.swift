import COpenSSL
import Secrets

/// FIPS 180-4.
public func sha256(_ bytes: UnsafeRawBufferPointer) -> [UInt8] {
    [UInt8](unsafeUninitializedCapacity: Digest.size) { out, count in
        Digest.with { digest in
            digest.begin()
            digest.update(bytes)
            digest.finish(into: UnsafeMutableRawPointer(out.baseAddress!))
        }
        count = Digest.size
    }
}

public func sha256(_ bytes: [UInt8]) -> [UInt8] {
    bytes.withUnsafeBytes { sha256($0) }
}

/// SHA-256 in memory that is overwritten afterwards: one message after the other, each from `begin` to `finish`.
struct Digest {
    static let size = 32
    static let blockSize = 64

    private let context: UnsafeMutablePointer<SHA256_CTX>

    /// The digest lasts as long as `body`.
    static func with(_ body: (Digest) -> Void) {
        withUnsafeTemporaryAllocation(of: SHA256_CTX.self, capacity: 1) { memory in
            defer { wipe(UnsafeMutableRawBufferPointer(memory)) }
            body(Digest(context: memory.baseAddress!))
        }
    }

    func begin() { check(SHA256_Init(context)) }

    func update(_ bytes: UnsafeRawBufferPointer) {
        guard bytes.count > 0 else { return }
        check(SHA256_Update(context, bytes.baseAddress, bytes.count))
    }

    func update(_ bytes: [UInt8]) {
        bytes.withUnsafeBytes { update($0) }
    }

    func update(_ data: AssociatedData) { data.withUnsafeBytes { update($0) } }

    func update(_ text: StaticString) {
        update(UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    func update(_ byte: UInt8) {
        withUnsafeBytes(of: byte) { update($0) }
    }

    /// Writes 32 bytes.
    func finish(into out: UnsafeMutableRawPointer) {
        check(SHA256_Final(out.assumingMemoryBound(to: UInt8.self), context))
    }

    private func check(_ result: Int32) {
        guard result == 1 else { fatalError("SHA-256 failed") }
    }
}
