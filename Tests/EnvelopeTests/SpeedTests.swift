import Encoding
import Glibc
import Secrets
import Testing

@testable import Envelope

/// What the cryptography of one vend costs. A measurement, not a test; run it with
/// `TOOLSHED_MEASURE=1 swift test -c release -Xswiftc -enable-testing --filter Speed`.
@Suite(.enabled(if: getenv("TOOLSHED_MEASURE") != nil), .serialized) struct SpeedTests {
    init() { testHeap }

    @Test("One vend's cryptography, step by step")
    func vend() throws {
        let stored = try StoredSlot(.system)
        let text = try stored.token.text()
        let holder = try stored.pair.holderKey()
        let credential = try stored.sealedCredential(.system)
        measure("parse a token") {
            _ = try text.withUnsafeBytes { (raw) throws(TokenError) in try Token(parsing: raw) }
        }
        measure("derive (HKDF extract and expand)") {
            _ = try stored.token.derivedKey(salt: stored.salt, vault: stored.vault)
        }
        measure("holder key (HKDF expand)") { _ = try stored.pair.holderKey() }
        measure("open 300 bytes") { _ = try AEAD.open(credential, under: stored.connectionKey, stored.data) }
        measure("unwrap a key") {
            _ = try AEAD.unwrap(stored.innerVault, as: VaultRole.self, under: holder, stored.data)
        }
        measure("open an outer seal") { _ = try stored.openOuter(stored.outerVault, "vault") }
        measure("a key of 32 random bytes") { _ = try Key<VaultRole>(random: .system) }
        measure("secure heap, 32 bytes and back") { _ = try SecretBytes(count: 32) { _ in } }
        measure("associated data of four fields") {
            var data = AssociatedData("toolshed/v1/measure")
            data.add(stored.slot)
            data.add(stored.vault)
            data.add(7)
        }
        measure("seal 300 bytes") { _ = try stored.sealedCredential(.system) }
        measure("HPKE seal a key", rounds: 10) { _ = try stored.sealedToPair(.system) }
        let sealed = try stored.sealedToPair(.system)
        measure("HPKE open a key", rounds: 10) {
            _ = try HPKE.openKey(sealed, as: VaultRole.self, with: stored.pair, info: stored.data, stored.data)
        }
        measure("the whole vend sequence") {
            let derived = try stored.token.derivedKey(salt: stored.salt, vault: stored.vault)
            let pair = try PrivateKey.unwrap(
                stored.openOuter(stored.outerPair, "private"), under: derived, stored.data)
            let vaultKey = try AEAD.unwrap(
                stored.openOuter(stored.outerVault, "vault"), as: VaultRole.self, under: pair.holderKey(), stored.data)
            let connectionKey = try AEAD.unwrap(
                stored.innerConnection, as: ConnectionRole.self, under: vaultKey, stored.data)
            _ = try AEAD.open(credential, under: connectionKey, stored.data)
        }
    }

    /// The best of many short runs, so that what else this machine does shows least.
    private func measure(_ name: String, rounds: Int = 200, _ body: () throws -> Void) {
        var best = Double.infinity
        for _ in 0..<200 {
            let start = nanoseconds()
            for _ in 0..<rounds { try! body() }
            best = min(best, Double(nanoseconds() - start) / Double(rounds) / 1000)
        }
        print("\(name): \((best * 100).rounded() / 100) µs")
    }

    private func nanoseconds() -> Int64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
    }
}
