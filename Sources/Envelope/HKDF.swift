import COpenSSL
import Secrets

/// RFC 2104 with SHA-256. `message` feeds the message; `out` takes 32 bytes.
func hmac(_ key: UnsafeRawBufferPointer, into out: UnsafeMutableRawPointer, message: (Digest) -> Void) {
    withUnsafeTemporaryAllocation(byteCount: Digest.blockSize + Digest.size, alignment: 8) { scratch in
        defer { wipe(scratch) }
        let block = UnsafeMutableRawBufferPointer(rebasing: scratch[..<Digest.blockSize])
        let inner = UnsafeMutableRawBufferPointer(rebasing: scratch[Digest.blockSize...])
        block.initializeMemory(as: UInt64.self, repeating: 0)
        Digest.with { digest in
            if key.count <= Digest.blockSize {
                block.copyMemory(from: key)
            } else {
                digest.begin()
                digest.update(key)
                digest.finish(into: block.baseAddress!)
            }
            mask(block, 0x3636_3636_3636_3636)
            digest.begin()
            digest.update(UnsafeRawBufferPointer(block))
            message(digest)
            digest.finish(into: inner.baseAddress!)
            mask(block, 0x3636_3636_3636_3636 ^ 0x5C5C_5C5C_5C5C_5C5C)
            digest.begin()
            digest.update(UnsafeRawBufferPointer(block))
            digest.update(UnsafeRawBufferPointer(inner))
            digest.finish(into: out)
        }
    }
}

private func mask(_ block: UnsafeMutableRawBufferPointer, _ pad: UInt64) {
    for word in block.assumingMemoryBound(to: UInt64.self).indices {
        block.assumingMemoryBound(to: UInt64.self)[word] ^= pad
    }
}

/// RFC 5869 with SHA-256.
enum HKDF {
    /// §2.2; `out` takes 32 bytes. The keying material is fed, so that it need not be one piece.
    static func extract(
        salt: UnsafeRawBufferPointer, into out: UnsafeMutableRawPointer, keyingMaterial: (Digest) -> Void
    ) {
        hmac(salt, into: out, message: keyingMaterial)
    }

    /// §2.3; as many blocks as fill `out`.
    static func expand(
        _ pseudorandomKey: UnsafeRawBufferPointer, into out: UnsafeMutableRawBufferPointer,
        info: (Digest) -> Void
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
