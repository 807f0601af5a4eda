import Encoding
import Secrets
import Testing

@testable import Envelope

private func privateKey(_ text: String) throws -> PrivateKey {
    try PrivateKey(Key<HolderRole>(revealed: hex(text)))
}

private func agreement(_ own: borrowing PrivateKey, _ peer: PublicKey) throws -> [UInt8] {
    var out = [UInt8](repeating: 0, count: 32)
    let own = try own.agreement()
    try out.withUnsafeMutableBytes { try own.agree(with: peer, into: $0) }
    return out
}

@Suite struct X25519Tests {
    init() { testHeap }

    @Test("Diffie–Hellman of RFC 7748 §6.1")
    func diffieHellman() throws {
        let alice = try privateKey("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a")
        let bob = try privateKey("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb")
        let (alicePublic, bobPublic) = (try alice.publicKey, try bob.publicKey)
        #expect(
            Hex.encode(alicePublic.bytes) == "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a")
        #expect(Hex.encode(bobPublic.bytes) == "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f")
        let shared = "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742"
        #expect(try Hex.encode(agreement(alice, bobPublic)) == shared)
        #expect(try Hex.encode(agreement(bob, alicePublic)) == shared)
    }

    @Test("A public key of small order leads nowhere", arguments: smallOrder)
    func weak(point: String) throws {
        let own = try PrivateKey(random: .system)
        let peer = try #require(PublicKey(bytes: hex(point)))
        #expect(throws: EnvelopeError.weakPublicKey) { try agreement(own, peer) }
        let key = try Key<VaultRole>(random: .system)
        let data = AssociatedData("test")
        #expect(
            errorOf { () throws(EnvelopeError) in try HPKE.sealKey(key, to: peer, info: data, data, .system) }
                == .weakPublicKey)
        // As the encapsulated key of a box, too.
        let box = [1, 2, 0, 0] + peer.bytes + [UInt8](repeating: 0, count: 48)
        #expect(
            errorOf { () throws(EnvelopeError) in try HPKE.open(box, with: own, info: data, data) } == .weakPublicKey)
    }

    /// The points of RFC 7748 §7 whose every multiple by a clamped scalar is zero, with their non-canonical spellings.
    static let smallOrder = [
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    ]

    @Test("A public key has 32 bytes")
    func length() {
        #expect(PublicKey(bytes: [UInt8](repeating: 1, count: 31)) == nil)
        #expect(PublicKey(bytes: [UInt8](repeating: 1, count: 33)) == nil)
    }
}

/// RFC 9180's own vectors. A.1.1 is for AES-128-GCM; the vector for AES-256-GCM is of the same set (CFRG's
/// test-vectors.json, mode 0, KEM 0x20, KDF 1, AEAD 2), its key, nonce and first ciphertext computed by an
/// implementation that reproduces the set's digest over a thousand messages.
@Suite struct HPKEVectorTests {
    init() { testHeap }

    private let info = hex("4f6465206f6e2061204772656369616e2055726e")

    @Test("RFC 9180 A.1.1: encapsulation and key schedule")
    func appendixA1() throws {
        let suite = HPKESuite(id: Array("HPKE".utf8) + [0x00, 0x20, 0x00, 0x01, 0x00, 0x01])
        let ephemeral = try privateKey("52c4a758a802cd8b936eceea314432798d5baf2d7e9235dc084ab1b9cfa2f736")
        let recipient = try privateKey("4612c550263fc8ad58375df3f557aac531d26850903e55a9f23f21d8534e8ac8")
        let encapsulated = try ephemeral.publicKey
        let recipientPublic = try recipient.publicKey
        #expect(Hex.encode(encapsulated.bytes) == "37fda3567bdbd628e88668c3c8d7e97d1d1253b6d4ea6d44c150f741f1bf4431")
        #expect(
            Hex.encode(recipientPublic.bytes) == "3948cfe0ad1ddb695d780e59077195da6c56506b027329794ab02bca80815c4d")
        for isSender in [true, false] {
            let own = isSender ? try ephemeral.agreement() : try recipient.agreement()
            let shared = try HPKESchedule.sharedSecret(
                own: own, peer: isSender ? recipientPublic : encapsulated,
                context: encapsulated.bytes + recipientPublic.bytes)
            #expect(
                Hex.encode(shared.revealed) == "fe0e18c9f024ce43799ae393c7e8fe8fce9d218875e8227b0187c04e7d2ea1fc")
            var (key, nonce) = ([UInt8](repeating: 0, count: 16), [UInt8](repeating: 0, count: 12))
            try key.withUnsafeMutableBytes { key in
                try nonce.withUnsafeMutableBytes { nonce in
                    try HPKESchedule.expand(shared, info: info, suite: suite, key: key, nonce: nonce)
                }
            }
            #expect(Hex.encode(key) == "4531685d41d65f03dc48f6b8302c05b0")
            #expect(Hex.encode(nonce) == "56d890e5accaaf011cff4b7d")
        }
    }

    @Test("The set's vector for AES-256-GCM, as sender and as recipient")
    func aes256() throws {
        let ephemeral = try privateKey("179d4b53b6365c45b600c4163b61d95cbc2f4d9e36f1695558dce265ab8bab11")
        let recipient = try privateKey("497b4502664cfea5d5af0b39934dac72242a74f8480451e1aee7d6a53320333d")
        let encapsulated = try ephemeral.publicKey
        let recipientPublic = try recipient.publicKey
        #expect(Hex.encode(encapsulated.bytes) == "6c93e09869df3402d7bf231bf540fadd35cd56be14f97178f0954db94b7fc256")
        #expect(
            Hex.encode(recipientPublic.bytes) == "430f4b9859665145a6b1ba274024487bd66f03a2dd577d7753c68d7d7d00c00c")
        for isSender in [true, false] {
            let own = isSender ? try ephemeral.agreement() : try recipient.agreement()
            let message = try HPKESchedule(
                own: own, peer: isSender ? recipientPublic : encapsulated, encapsulated: encapsulated,
                recipient: recipientPublic, info: info)
            #expect(
                Hex.encode(message.key.revealed) == "f50b0609186798729ed0564b36ef2ef8044f1f9d05636874d1f46c819c7a669f")
            #expect(Hex.encode(message.nonce) == "151d9929e2449747889bc923")
            let plaintext = Array("Beauty is truth, truth beauty".utf8)
            var sealed = [UInt8](repeating: 0, count: plaintext.count + GCM.tagSize)
            sealed.withUnsafeMutableBytes { out in
                plaintext.withUnsafeBytes { plaintext in
                    message.key.withUnsafeBytes { key in
                        Array("Count-0".utf8).withUnsafeBytes {
                            GCM.encrypt(
                                plaintext, key: key, nonce: message.nonce, data: $0,
                                into: out.baseAddress!)
                        }
                    }
                }
            }
            #expect(
                Hex.encode(sealed)
                    == "e5d84cd531cfb583096e7cfa9641bd3079cf3a91cda813c52deb5f512be9931980a41de125a925cdad859d5b7a")
        }
    }
}

@Suite final class HPKEBoxTests {
    private let key: Key<VaultRole>
    private let pair: PrivateKey
    private let recipient: PublicKey
    private let info = AssociatedData("toolshed/v1/test-info")
    private let data = AssociatedData("toolshed/v1/test-data")

    init() throws {
        testHeap
        key = try Key(random: .system)
        pair = try PrivateKey(random: .system)
        recipient = try pair.publicKey
    }

    @Test("What is sealed to a public key opens with its private key, and only with it")
    func roundTrip() throws {
        let box = try HPKE.sealKey(key, to: recipient, info: info, data, keyID: 7, .system)
        #expect(box.count == 4 + 32 + 32 + 16)
        #expect(try BoxHeader(parsing: box) == BoxHeader(.hpke, keyID: 7))
        let opened = try HPKE.openKey(box, as: VaultRole.self, with: pair, info: info, data)
        #expect(opened.revealed == key.revealed)
        let other = try PrivateKey(random: .system)
        #expect(
            errorOf { () throws(EnvelopeError) in try HPKE.open(box, with: other, info: info, data) } == .doesNotOpen)
    }

    @Test("Another info or other associated data does not open")
    func bindings() throws {
        let box = try HPKE.sealKey(key, to: recipient, info: info, data, .system)
        #expect(
            errorOf { () throws(EnvelopeError) in try HPKE.open(box, with: pair, info: data, data) } == .doesNotOpen)
        #expect(
            errorOf { () throws(EnvelopeError) in try HPKE.open(box, with: pair, info: info, info) } == .doesNotOpen)
    }

    @Test("No byte can be changed, none can be missing")
    func altered() throws {
        let box = try HPKE.sealKey(key, to: recipient, info: info, data, .system)
        for index in box.indices {
            var altered = box
            altered[index] ^= 0x10
            let error = errorOf { () throws(EnvelopeError) in try HPKE.open(altered, with: pair, info: info, data) }
            #expect(error == (index < 2 ? .unknownFormat : .doesNotOpen), "byte \(index)")
        }
        for count in 0..<box.count {
            let cut = Array(box[..<count])
            let error = errorOf { () throws(EnvelopeError) in try HPKE.open(cut, with: pair, info: info, data) }
            #expect(error == (count < 52 ? .malformed : .doesNotOpen), "\(count) bytes")
        }
    }

    @Test("Each box has its own encapsulated key")
    func fresh() throws {
        let boxes = try (0..<50).map { _ in try HPKE.sealKey(key, to: recipient, info: info, data, .system) }
        #expect(Set(boxes.map { Array($0[4..<36]) }).count == 50)
    }

    @Test("What is no key is not taken for one")
    func notAKey() throws {
        let box = try Array("short".utf8).withUnsafeBytes {
            try HPKE.seal($0, to: recipient, info: info, data, .system)
        }
        #expect(
            errorOf { () throws(EnvelopeError) in
                try HPKE.openKey(box, as: VaultRole.self, with: pair, info: info, data)
            } == .malformed)
    }
}
