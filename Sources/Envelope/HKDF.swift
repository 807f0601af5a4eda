import COpenSSL
import Secrets

/// RFC 2104 with SHA-256. `message` feeds the message; `out` takes 32 bytes.
func hmac(_ key: UnsafeRawBufferPointer, into out: UnsafeMutableRawPointer, message: (borrowing Digest) -> Void) {
    withUnsafeTemporaryAllocation(byteCount: Digest.blockSize + Digest.size, alignment: 8) { scratch in
        defer { wipe(scratch) }
        let block = UnsafeMutableRawBufferPointer(rebasing: scratch[..<Digest.blockSize])
        let inner = UnsafeMutableRawBufferPointer(rebasing: scratch[Digest.blockSize...])
        block.initializeMemory(as: UInt8.self, repeating: 0)
        if key.count <= Digest.blockSize {
            block.copyMemory(from: key)
        } else {
            let digest = Digest()
            digest.update(key)
            digest.finish(into: block.baseAddress!)
        }
        for index in block.indices { block[index] ^= 0x36 }
        let first = Digest()
        first.update(UnsafeRawBufferPointer(block))
        message(first)
        first.finish(into: inner.baseAddress!)
        for index in block.indices { block[index] ^= 0x36 ^ 0x5C }
        let second = Digest()
        second.update(UnsafeRawBufferPointer(block))
        second.update(UnsafeRawBufferPointer(inner))
        second.finish(into: out)
    }
}

/// RFC 5869 with SHA-256.
enum HKDF {
    /// §2.2; `out` takes 32 bytes. The keying material is fed, so that it need not be one piece.
    static func extract(
        salt: UnsafeRawBufferPointer, into out: UnsafeMutableRawPointer, keyingMaterial: (borrowing Digest) -> Void
    ) {
        hmac(salt, into: out, message: keyingMaterial)
    }

    /// §2.3; as many blocks as fill `out`.
    static func expand(
        _ pseudorandomKey: UnsafeRawBufferPointer, into out: UnsafeMutableRawBufferPointer,
        info: (borrowing Digest) -> Void
    ) {
        precondition(out.count <= 255 * Digest.size)
        withUnsafeTemporaryAllocation(byteCount: Digest.size, alignment: 8) { block in
            defer { wipe(block) }
            for start in stride(from: 0, to: out.count, by: Digest.size) {
                hmac(pseudorandomKey, into: block.baseAddress!) { digest in
                    if start > 0 { digest.update(UnsafeRawBufferPointer(block)) }
                    info(digest)
                    digest.update(UInt8(start / Digest.size + 1))
                }
                let length = min(Digest.size, out.count - start)
                UnsafeMutableRawBufferPointer(rebasing: out[start..<start + length])
                    .copyMemory(from: UnsafeRawBufferPointer(rebasing: block[..<length]))
            }
        }
    }
}
