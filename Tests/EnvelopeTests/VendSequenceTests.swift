import Encoding
import Secrets
import Testing

@testable import Envelope

@Suite struct VendSequenceTests {
    init() { testHeap }

    @Test("A token opens, step by step, what was sealed for it")
    func vend() throws {
        let random = Randomness.system
        let value = try SecretText(Base64.encode(random.bytes(32)))
        let configured = try value.withUnsafeBytes { (raw) throws(EncryptionKeyError) in
            try EncryptionKeys(parsing: raw)
        }
        let keys = try configured.workerKeys()

        // Stored at issuing.
        let (slot, vault): (SlotID, VaultID) = (random.id(), random.id())
        let salt = random.bytes(32)
        let issued = try Token(issuing: .session, id: slot, random)
        let slotPair = try PrivateKey(random: random)
        let vaultKey = try Key<VaultRole>(random: random)
        let connectionKey = try Key<ConnectionRole>(random: random)
        let data = AssociatedData("test")
        let wrappedPair = try keys.outer.seal(
            slotPair.wrap(under: issued.derivedKey(salt: salt, vault: vault), data, random), table: "slots",
            row: slot.bytes, column: "private", random)
        let wrappedVault = try keys.outer.seal(
            AEAD.wrap(vaultKey, under: slotPair.holderKey(), data, random), table: "slots", row: slot.bytes,
            column: "vault", random)
        let wrappedConnection = try AEAD.wrap(connectionKey, under: vaultKey, data, random)
        let credential = try Array("the credential".utf8).withUnsafeBytes {
            try AEAD.seal($0, under: connectionKey, data, random)
        }

        // At a vend, from the text alone.
        let token = try Token(parsing: issued.text().withString { $0 })
        let derived = try token.derivedKey(salt: salt, vault: vault)
        let pair = try PrivateKey.unwrap(
            keys.outer.open(wrappedPair, table: "slots", row: token.id.bytes, column: "private"), under: derived, data)
        let openedVault = try AEAD.unwrap(
            keys.outer.open(wrappedVault, table: "slots", row: token.id.bytes, column: "vault"), as: VaultRole.self,
            under: pair.holderKey(), data)
        let openedConnection = try AEAD.unwrap(
            wrappedConnection, as: ConnectionRole.self, under: openedVault, data)
        let plaintext = try AEAD.open(credential, under: openedConnection, data)
        plaintext.withUnsafeBytes { #expect($0.elementsEqual("the credential".utf8)) }

        let sealed = try HPKE.sealKey(vaultKey, to: pair.publicKey, info: data, data, random)
        let received = try HPKE.openKey(sealed, as: VaultRole.self, with: slotPair, info: data, data)
        let isSame = received.matches(vaultKey)
        #expect(isSame)
    }
}
