import Secrets

enum OuterRole {}
enum ServiceRole {}

/// One subkey of one `ENCRYPTION_KEY`, under that key's id.
final class ConfiguredKey<Role>: Sendable {
    let id: UInt16
    let key: Key<Role>

    init(id: UInt16, key: consuming Key<Role>) {
        self.id = id
        self.key = key
    }
}

/// The same subkey of every configured key. The first is current: it seals; all of them open.
struct ConfiguredKeys<Role>: Sendable {
    let all: [ConfiguredKey<Role>]

    var current: ConfiguredKey<Role> { all[0] }

    /// A handful of keys at most, so a scan.
    func key(_ id: UInt16) throws(EnvelopeError) -> ConfiguredKey<Role> {
        for key in all where key.id == id { return key }
        throw .unknownKey(id)
    }
}
