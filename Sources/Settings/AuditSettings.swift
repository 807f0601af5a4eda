import Encoding
import Envelope
import Providers

/// How the audit record is kept: `audit_…` in `toolshed.yaml`.
public struct AuditSettings: Hashable, Sendable {
    /// 0: for ever.
    public var keepDays: Int64 = 400
    public var fileBytes: Int64 = 64 << 20
    public var reserveBytes: Int64 = 16 << 20
    /// The public half of `toolshedd audit key`.
    public var publicKey: PublicKey?

    mutating func read(_ fields: inout Fields) throws(CatalogueError) {
        keepDays = try fields.integer("audit_keep_days", in: 0...36_500) ?? keepDays
        if let megabytes = try fields.integer("audit_file_mb", in: 1...1024) { fileBytes = megabytes << 20 }
        if let megabytes = try fields.integer("audit_reserve_mb", in: 0...1024) { reserveBytes = megabytes << 20 }
        guard let text = try fields.text("audit_key") else { return }
        guard let key = Base64URL.decode(text).flatMap({ PublicKey(bytes: $0) }) else {
            throw fields.wrong("audit_key", expected: "what toolshedd audit key prints", found: "something else")
        }
        publicKey = key
    }
}
