import Encoding
import Secrets

/// The layer that `ENCRYPTION_KEY` adds around what is stored: without it, a stolen token and a copy of the database open
/// nothing. Each row has its own key: `Expand(outer subkey, table ‖ row)`.
public final class OuterSeal: Sendable {
    private enum RowRole {}

    private let keys: ConfiguredKeys<OuterRole>

    init(_ keys: ConfiguredKeys<OuterRole>) {
        self.keys = keys
    }

    public var currentKeyID: UInt16 { keys.current.id }

    public func seal(
        _ inner: [UInt8], table: StaticString, row: [UInt8], column: StaticString, _ random: Randomness
    ) throws(EnvelopeError) -> [UInt8] {
        let key = try rowKey(keys.current, table, .bytes(row))
        return inner.withUnsafeBytes {
            AEAD.seal($0, under: key, keyID: keys.current.id, Self.binding(table, .bytes(row), column), random)
        }
    }

    /// The inner box, which is no secret: it is still sealed under a key of the vault.
    public func open(
        _ box: [UInt8], table: StaticString, row: [UInt8], column: StaticString
    ) throws(EnvelopeError) -> [UInt8] {
        try box.withUnsafeBufferPointer { (box) throws(EnvelopeError) in
            try open(UnsafeRawBufferPointer(box), table, .bytes(row), column)
        }
    }

    public func open<Kind>(
        _ box: UnsafeRawBufferPointer, table: StaticString, row: ID<Kind>, column: StaticString
    ) throws(EnvelopeError) -> [UInt8] {
        try open(box, table, .id(row.high, row.low), column)
    }

    private func open(
        _ box: UnsafeRawBufferPointer, _ table: StaticString, _ row: RowName, _ column: StaticString
    ) throws(EnvelopeError) -> [UInt8] {
        let header = try BoxHeader(parsing: box, expecting: .aes256gcm)
        guard box.count >= AEAD.overhead else { throw .malformed }
        let key = try rowKey(keys.key(header.keyID), table, row)
        let count = box.count - AEAD.overhead
        var isOpen = false
        let inner = [UInt8](unsafeUninitializedCapacity: count) { out, filled in
            let target = UnsafeMutableRawBufferPointer(start: out.baseAddress, count: count)
            isOpen = key.withUnsafeBytes { AEAD.open(box, key: $0, Self.binding(table, row, column), into: target) }
            filled = isOpen ? count : 0
        }
        guard isOpen else { throw .doesNotOpen }
        return inner
    }

    private func rowKey(
        _ configured: ConfiguredKey<OuterRole>, _ table: StaticString, _ row: RowName
    ) throws(EnvelopeError) -> Key<RowRole> {
        var info = AssociatedData("toolshed/v1/outer/row")
        info.add(table)
        info.add(row)
        return try configured.key.derive(RowRole.self, info: info)
    }

    private static func binding(_ table: StaticString, _ row: RowName, _ column: StaticString) -> AssociatedData {
        var data = AssociatedData("toolshed/v1/outer")
        data.add(table)
        data.add(row)
        data.add(column)
        return data
    }
}

/// What a row is found by.
private enum RowName {
    case bytes([UInt8])
    case id(UInt64, UInt64)
}

extension AssociatedData {
    fileprivate mutating func add(_ row: RowName) {
        switch row {
        case .bytes(let bytes): add(bytes: bytes)
        case .id(let high, let low): add(id: high, low)
        }
    }
}
