import Encoding
import Foundation
import Secrets
import Testing

@testable import Envelope

/// After a vend's cryptography nothing of its keys is left in ordinary memory: not in OpenSSL's contexts, not on the
/// heap, not on the stack. The secure heap is where they may be.
@Suite(.disabled(if: isSanitized, "a sanitizer has copies of its own and guards what is searched")) struct ResidueTests
{
    @Test("Ordinary memory holds no key after a vend, and the search finds one that is planted")
    func residue() async {
        await #expect(processExitsWith: .success) {
            try SecureHeap.start(bytes: 1 << 16)
            let hunt = try Hunt()
            try hunt.run()
            // As a worker does it: the contexts forget at the end of the request.
            try forgettingKeysAfterwards { try hunt.run() }
            let found = hunt.search()
            for (name, places) in found { print("FOUND", name, places) }
            #expect(found.isEmpty)

            let planted = hunt.plant()
            #expect(hunt.search().map(\.name) == ["vault key"])
            planted.deallocate()
        }
    }
}

private let isSanitized = dlsym(nil, "__asan_init") != nil || dlsym(nil, "__tsan_init") != nil

/// Keys that exist on the secure heap alone, and the search for them elsewhere.
private final class Hunt {
    private let slot: StoredSlot
    private let credential: SecretBytes
    private let sealed: [UInt8]
    private let sealedKey: [UInt8]
    private let text: SecretText

    init() throws {
        let random = Randomness.system
        slot = try StoredSlot(random)
        credential = try random.secret(300)
        sealed = try credential.withUnsafeBytes { [slot] in
            try AEAD.seal($0, under: slot.connectionKey, slot.data, random)
        }
        sealedKey = try slot.sealedToPair(random)
        text = try slot.token.text()
    }

    /// What an approval does with a key, and then what a worker does with a token: the connection key is the last that the
    /// contexts see, which is the one that they would keep.
    func run() throws {
        _ = try slot.sealedToPair(.system)
        _ = try HPKE.openKey(sealedKey, as: VaultRole.self, with: slot.pair, info: slot.data, slot.data)
        _ = try slot.sealedCredential(.system)
        for _ in 0..<3 {
            let token = try text.withUnsafeBytes { (raw) throws(TokenError) in try Token(parsing: raw) }
            let derived = try token.derivedKey(salt: slot.salt, vault: slot.vault)
            let pair = try PrivateKey.unwrap(slot.openOuter(slot.outerPair, "private"), under: derived, slot.data)
            let vaultKey = try AEAD.unwrap(
                slot.openOuter(slot.outerVault, "vault"), as: VaultRole.self, under: pair.holderKey(), slot.data)
            let connectionKey = try AEAD.unwrap(
                slot.innerConnection, as: ConnectionRole.self, under: vaultKey, slot.data)
            _ = try AEAD.open(sealed, under: connectionKey, slot.data)
        }
    }

    func plant() -> UnsafeMutableRawPointer {
        let copy = UnsafeMutableRawPointer.allocate(byteCount: 32, alignment: 1)
        slot.vaultKey.withUnsafeBytes { copy.copyMemory(from: $0.baseAddress!, byteCount: 32) }
        return copy
    }

    func search() -> [(name: String, places: Int)] {
        [
            ("token's secret", text.withUnsafeBytes { count(UnsafeRawBufferPointer(rebasing: $0[30..<62])) }),
            ("vault key", slot.vaultKey.withUnsafeBytes { count($0) }),
            ("connection key", slot.connectionKey.withUnsafeBytes { count($0) }),
            ("private key", slot.pair.withUnsafeBytes { count($0) }),
            ("credential", credential.withUnsafeBytes { count($0) }),
        ].filter { $0.places > 0 }
    }

    /// How often 16 bytes of `secret`, from its start or its middle, stand in writable memory that may be dumped.
    private func count(_ secret: UnsafeRawBufferPointer) -> Int {
        var places = 0
        for region in ordinaryMemory() {
            for start in [0, secret.count / 2] {
                let needle = UnsafeRawBufferPointer(rebasing: secret[start..<start + 16])
                var rest = region
                while let place = memchr(rest.baseAddress!, Int32(needle[0]), rest.count - 15) {
                    if memcmp(place, needle.baseAddress!, 16) == 0 { places += 1 }
                    let next = UnsafeRawPointer(place) + 1
                    guard next + 16 <= rest.baseAddress! + rest.count else { break }
                    rest = UnsafeRawBufferPointer(start: next, count: rest.baseAddress! + rest.count - next)
                }
            }
        }
        return places
    }

    /// The writable mappings that are not excluded from dumps, which the arena is.
    private func ordinaryMemory() -> [UnsafeRawBufferPointer] {
        guard let file = FileHandle(forReadingAtPath: "/proc/self/smaps"), let bytes = try? file.readToEnd()
        else { return [] }
        var regions: [UnsafeRawBufferPointer] = []
        var current: UnsafeRawBufferPointer?
        for line in String(decoding: bytes, as: UTF8.self).split(separator: "\n") {
            let parts = line.split(separator: " ")
            let ends = parts[0].split(separator: "-")
            if ends.count == 2, let low = UInt(ends[0], radix: 16), let high = UInt(ends[1], radix: 16) {
                let isOurs = parts[1].hasPrefix("rw") && parts.last != "[vvar]"
                current =
                    isOurs
                    ? UnsafeRawBufferPointer(start: UnsafeRawPointer(bitPattern: low), count: Int(high - low)) : nil
            } else if parts[0] == "VmFlags:", let region = current, !parts.contains("dd") {
                regions.append(region)
            }
        }
        return regions
    }
}
