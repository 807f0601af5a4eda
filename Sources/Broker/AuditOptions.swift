import Settings
import Vault

extension AuditSettings {
    public var options: AuditOptions {
        AuditOptions(publicKey: publicKey, reserveBytes: reserveBytes, fileBytes: fileBytes)
    }
}
