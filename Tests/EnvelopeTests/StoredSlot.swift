import Encoding
import Secrets

@testable import Envelope

/// A slot as the database would hold it, with everything that led to it.
final class StoredSlot {
    let keys: WorkerKeys
    let (slot, vault, connection): (SlotID, VaultID, ConnectionID)
    let salt: [UInt8]
    let token: Token
    let pair: PrivateKey
    let pairPublic: PublicKey
    let vaultKey: Key<VaultRole>
    let connectionKey: Key<ConnectionRole>
    let data: AssociatedData
    let outerPair, outerVault, innerVault, innerConnection: [UInt8]

    init(_ random: Randomness) throws {
        keys = try testKeys(random).workerKeys()
        (slot, vault, connection) = (random.id(), random.id(), random.id())
        salt = random.bytes(32)
        token = try Token(issuing: .session, id: slot, random)
        pair = try PrivateKey(random: random)
        pairPublic = try pair.publicKey
        vaultKey = try Key(random: random)
        connectionKey = try Key(random: random)
        var data = AssociatedData("toolshed/v1/test")
        data.add(slot)
        data.add(vault)
        data.add(7)
        self.data = data
        let innerPair = try pair.wrap(under: token.derivedKey(salt: salt, vault: vault), data, random)
        outerPair = try keys.outer.seal(innerPair, table: "slots", row: slot.bytes, column: "private", random)
        innerVault = try AEAD.wrap(vaultKey, under: pair.holderKey(), data, random)
        outerVault = try keys.outer.seal(innerVault, table: "slots", row: slot.bytes, column: "vault", random)
        innerConnection = try AEAD.wrap(connectionKey, under: vaultKey, data, random)
    }

    func openOuter(_ box: [UInt8], _ column: StaticString) throws(EnvelopeError) -> [UInt8] {
        try keys.outer.open(box, table: "slots", row: slot.bytes, column: column)
    }

    func sealedCredential(_ random: Randomness) throws -> [UInt8] {
        try [UInt8](repeating: 0x61, count: 300).withUnsafeBytes {
            try AEAD.seal($0, under: connectionKey, data, random)
        }
    }

    func sealedToPair(_ random: Randomness) throws -> [UInt8] {
        try HPKE.sealKey(vaultKey, to: pairPublic, info: data, data, random)
    }
}

func testKeys(_ random: Randomness) throws -> EncryptionKeys {
    try encryptionKeys(Base64.encode(random.bytes(32)))
}

func encryptionKeys(_ text: String) throws -> EncryptionKeys {
    try SecretText(text).withUnsafeBytes { (raw) throws(EncryptionKeyError) in try EncryptionKeys(parsing: raw) }
}
