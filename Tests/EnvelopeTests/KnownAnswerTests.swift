import Encoding
import Secrets
import Testing

@testable import Envelope

/// Answers that others published, so that our formats rest on the primitives that they name.
@Suite struct KnownAnswerTests {
    init() { testHeap }

    @Test("SHA-256 (FIPS 180-4 examples)")
    func digests() {
        #expect(Hex.encode(sha256([])) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
        #expect(
            Hex.encode(sha256(Array("abc".utf8))) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
        #expect(
            Hex.encode(sha256([UInt8](repeating: 0x61, count: 1_000_000)))
                == "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0")
    }

    @Test(
        "HMAC-SHA-256 (RFC 4231 §4.2–4.4, 4.7, 4.8)",
        arguments: [
            (
                [UInt8](repeating: 0x0B, count: 20), Array("Hi There".utf8),
                "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
            ),
            (
                Array("Jefe".utf8), Array("what do ya want for nothing?".utf8),
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
            ),
            (
                [UInt8](repeating: 0xAA, count: 20), [UInt8](repeating: 0xDD, count: 50),
                "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"
            ),
            (
                [UInt8](repeating: 0xAA, count: 131),
                Array("Test Using Larger Than Block-Size Key - Hash Key First".utf8),
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
            ),
        ])
    func hmacs(key: [UInt8], message: [UInt8], tag: String) {
        var out = [UInt8](repeating: 0, count: 32)
        out.withUnsafeMutableBytes { out in
            key.withUnsafeBytes { hmac($0, into: out.baseAddress!) { $0.update(message) } }
        }
        #expect(Hex.encode(out) == tag)
    }

    @Test(
        "HKDF-SHA-256 (RFC 5869 A.1–A.3)",
        arguments: [
            HKDFVector(
                material: [UInt8](repeating: 0x0B, count: 22), salt: Array(0x00...0x0C), info: Array(0xF0...0xF9),
                extracted: "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5",
                expanded:
                    "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"),
            HKDFVector(
                material: Array(0x00...0x4F), salt: Array(0x60...0xAF), info: Array(0xB0...0xFF),
                extracted: "06a6b88c5853361a06104c9ceb35b45cef760014904671014a193f40c15fc244",
                expanded: "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c"
                    + "59045a99cac7827271cb41c65e590e09da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f"
                    + "1d87"),
            HKDFVector(
                material: [UInt8](repeating: 0x0B, count: 22), salt: [], info: [],
                extracted: "19ef24a32c717b167f33a91d6f648bdf96596776afdb6377ac434c1c293ccb04",
                expanded:
                    "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"),
        ])
    func derivations(vector: HKDFVector) {
        var extracted = [UInt8](repeating: 0, count: 32)
        extracted.withUnsafeMutableBytes { out in
            vector.salt.withUnsafeBytes { salt in
                HKDF.extract(salt: salt, into: out.baseAddress!) { $0.update(vector.material) }
            }
        }
        #expect(Hex.encode(extracted) == vector.extracted)
        var expanded = [UInt8](repeating: 0, count: vector.expanded.count / 2)
        expanded.withUnsafeMutableBytes { out in
            extracted.withUnsafeBytes { key in HKDF.expand(key, into: out) { $0.update(vector.info) } }
        }
        #expect(Hex.encode(expanded) == vector.expanded)
    }

    struct HKDFVector: Sendable {
        let material, salt, info: [UInt8]
        let extracted, expanded: String
    }

    @Test("AES-256-GCM (McGrew and Viega, test cases 13–16)", arguments: GCMVector.all)
    func gcm(vector: GCMVector) {
        let (key, nonce, data) = (hex(vector.key), hex(vector.nonce), hex(vector.data))
        let plaintext = hex(vector.plaintext)
        var sealed = [UInt8](repeating: 0, count: plaintext.count + GCM.tagSize)
        sealed.withUnsafeMutableBytes { out in
            plaintext.withUnsafeBytes { plaintext in
                key.withUnsafeBytes { key in
                    data.withUnsafeBytes {
                        GCM.encrypt(plaintext, key: key, nonce: nonce, data: $0, into: out.baseAddress!)
                    }
                }
            }
        }
        #expect(Hex.encode(sealed) == vector.ciphertext + vector.tag)
        var opened = [UInt8](repeating: 0xFF, count: plaintext.count)
        let isOpen = opened.withUnsafeMutableBytes { out in
            sealed.withUnsafeBytes { sealed in
                key.withUnsafeBytes { key in
                    data.withUnsafeBytes {
                        GCM.decrypt(sealed, key: key, nonce: nonce, data: $0, into: out)
                    }
                }
            }
        }
        #expect(isOpen)
        #expect(opened == plaintext)
    }

    struct GCMVector: Sendable {
        let key, nonce, plaintext, data, ciphertext, tag: String

        static let all = [
            GCMVector(
                key: zeros(32), nonce: zeros(12), plaintext: "", data: "", ciphertext: "",
                tag: "530f8afbc74536b9a963b4f1c4cb738b"),
            GCMVector(
                key: zeros(32), nonce: zeros(12), plaintext: zeros(16), data: "",
                ciphertext: "cea7403d4d606b6e074ec5d3baf39d18", tag: "d0d1c8a799996bf0265b98b5d48ab919"),
            GCMVector(
                key: case15Key, nonce: "cafebabefacedbaddecaf888", plaintext: case15Plaintext, data: "",
                ciphertext: case15Ciphertext, tag: "b094dac5d93471bdec1a502270e3cc6c"),
            GCMVector(
                key: case15Key, nonce: "cafebabefacedbaddecaf888", plaintext: String(case15Plaintext.prefix(120)),
                data: "feedfacedeadbeeffeedfacedeadbeefabaddad2", ciphertext: String(case15Ciphertext.prefix(120)),
                tag: "76fc6ece0f4e1768cddf8853bb2d551b"),
        ]

        private static let case15Key = "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308"
        private static let case15Plaintext =
            "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
            + "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255"
        private static let case15Ciphertext =
            "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
            + "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662898015ad"

        private static func zeros(_ count: Int) -> String { String(repeating: "00", count: count) }
    }
}
