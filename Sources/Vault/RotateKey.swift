import Encoding
import Envelope
import Foundation
import GRDB
import Secrets

/// Moves everything that was sealed or tagged under an earlier `ENCRYPTION_KEY` to the current one. No person's secret is
/// needed. It may be interrupted at any point and run again: each batch is a transaction, and what is done is not found
/// again. The service may run meanwhile, with both keys configured.
public struct KeyRotation {
    public struct Progress: Hashable, Sendable {
        /// Outer layers sealed anew.
        public var resealed = 0
        public var retagged = 0
        /// Connections with background refresh on that were given a new key.
        public var rekeyed = 0
        /// Rows that do not open with any configured key: they stay as they are.
        public var failed = 0
    }

    private let store: Store
    private let keys: KeeperKeys
    private let batch: Int

    public init(store: Store, keys: KeeperKeys, batch: Int = 100) {
        (self.store, self.keys, self.batch) = (store, keys, batch)
    }

    public func run(at now: Instant) throws -> Progress {
        var progress = Progress()
        for layer in Layer.all {
            try each { rows, after in
                try rows.reseal(layer, after: after, limit: batch, &progress)
            }
        }
        for holder in ["vault", "plugin", "plugin_person", "slot"] as [StaticString] {
            try each { rows, after in try rows.retag(holder, after: after, limit: batch, &progress) }
        }
        try each { rows, after in try rows.rekeyBackground(with: keys, at: now, after: after, limit: batch, &progress) }
        return progress
    }

    /// Batch after batch, each from where the one before it ended.
    private func each(_ body: (Rows, _ after: [UInt8]) throws -> [UInt8]?) throws {
        var after: [UInt8]? = []
        while let from = after { after = try store.write { try body($0, from) } }
    }

    /// A column with an outer layer.
    fileprivate struct Layer {
        let table, column: StaticString
        var id: StaticString = "id"

        static let all: [Layer] = [
            Layer(table: "vault", column: "private_key"), Layer(table: "slot", column: "private_key"),
            Layer(table: "slot", column: "vault_key"), Layer(table: "connection", column: "vault_key"),
            Layer(table: "approval", column: "connection_key"),
            Layer(table: "plugin_person", column: "private_key"),
            Layer(table: "link", column: "vault_key"), Layer(table: "log_key", column: "key"),
            Layer(table: "request", column: "claim", id: "id_hash"),
            Layer(table: "client_token", column: "successor"), Layer(table: "device_request", column: "private_key"),
        ]
    }
}

extension Rows {
    /// The next rows whose box names another key than the current one, in the order of their ids.
    private func stale(
        _ table: StaticString, _ column: StaticString, id: StaticString = "id", keyIDAt offset: Int, current: UInt16,
        after: [UInt8], limit: Int, more: String = ""
    ) throws -> [(id: [UInt8], bytes: [UInt8])] {
        let keyID = [UInt8(current >> 8), UInt8(current & 0xFF)]
        return try rows(
            """
            SELECT \(id) AS id, \(column) AS bytes FROM \(table)
            WHERE \(id) > ? AND \(column) IS NOT NULL AND substr(\(column), \(offset), 2) != ? \(more)
            ORDER BY \(id) LIMIT ?
            """, [after.blob, keyID.blob, limit]
        ).map { ($0.bytes("id"), $0.bytes("bytes")) }
    }

    fileprivate func reseal(
        _ layer: KeyRotation.Layer, after: [UInt8], limit: Int, _ progress: inout KeyRotation.Progress
    ) throws -> [UInt8]? {
        // Behind version and algorithm (BoxHeader).
        let found = try stale(
            layer.table, layer.column, id: layer.id, keyIDAt: 3, current: keys.outer.currentKeyID, after: after,
            limit: limit)
        for (id, box) in found {
            do {
                let inner = try outerOpen(box, layer.table, id, layer.column)
                let sealed = try outerSeal(inner, layer.table, id, layer.column)
                progress.resealed += try changed(
                    "UPDATE \(layer.table) SET \(layer.column) = ? WHERE \(layer.id) = ? AND \(layer.column) = ?",
                    [sealed.blob, id.blob, box.blob])
            } catch is EnvelopeError {
                progress.failed += 1
            }
        }
        return found.count < limit ? nil : found.last?.id
    }

    fileprivate func retag(
        _ holder: StaticString, after: [UInt8], limit: Int, _ progress: inout KeyRotation.Progress
    ) throws -> [UInt8]? {
        let found = try stale(
            holder, "public_tag", keyIDAt: 1, current: keys.tags.currentKeyID, after: after, limit: limit)
        for (id, tag) in found {
            guard let row = try row("SELECT public_key FROM \(holder) WHERE id = ?", [id.blob]),
                let key = PublicKey(bytes: row.bytes("public_key"))
            else { continue }
            let purpose = Purpose.publicKey(of: holder, id, key)
            // A tag that does not hold is not made to hold.
            guard keys.tags.matches(tag, purpose) else {
                progress.failed += 1
                continue
            }
            progress.retagged += try changed(
                "UPDATE \(holder) SET public_tag = ? WHERE id = ? AND public_tag = ?",
                [keys.tags.tag(purpose).blob, id.blob, tag.blob])
        }
        return found.count < limit ? nil : found.last?.id
    }

    /// Their service key was made to last no longer than the `ENCRYPTION_KEY` it belongs to, so the connection is given a
    /// new key, and with it the vault, the plugins and the new service key.
    fileprivate func rekeyBackground(
        with keeper: KeeperKeys, at now: Instant, after: [UInt8], limit: Int, _ progress: inout KeyRotation.Progress
    ) throws -> [UInt8]? {
        let found = try stale(
            "connection", "service_key", keyIDAt: 3, current: keys.servicePublic.id, after: after, limit: limit,
            more: "AND background = 1")
        for (id, _) in found {
            guard let connection = try ConnectionID(bytes: id).flatMap({ try connection($0) }) else { continue }
            do {
                try nested {
                    guard let key = try openServiceKey(of: connection, with: keeper) else { return }
                    let credential = try openCredential(of: connection, with: key.key)
                    // The token is the same as before: whoever was let in stays.
                    try replaceKey(
                        of: connection, credential: credential, generation: connection.generation,
                        scopes: connection.scopes, at: now, covers: { _, _ in true })
                    progress.rekeyed += 1
                }
            } catch is EnvelopeError {
                progress.failed += 1
            }
        }
        return found.count < limit ? nil : found.last?.id
    }
}
