import Encoding

/// What a box is bound to: its purpose with a version, then whose it is and which row, column and generation. Each field
/// is preceded by its length in four bytes, big endian, so no two lists of fields have the same bytes.
public struct AssociatedData: Sendable {
    public private(set) var bytes: [UInt8] = []

    /// `purpose` says what and in which version, such as `toolshed/v1/connection.credential`.
    public init(_ purpose: StaticString) {
        bytes.reserveCapacity(160)
        add(UnsafeRawBufferPointer(start: purpose.utf8Start, count: purpose.utf8CodeUnitCount))
    }

    /// 16 bytes.
    @inlinable
    public mutating func add<Kind>(_ id: ID<Kind>) { add(id: id.high, id.low) }

    @usableFromInline
    mutating func add(id high: UInt64, _ low: UInt64) {
        withUnsafeTemporaryAllocation(byteCount: 20, alignment: 8) { field in
            field.storeBytes(of: UInt32(16).bigEndian, as: UInt32.self)
            field.storeBytes(of: high.bigEndian, toByteOffset: 4, as: UInt64.self)
            field.storeBytes(of: low.bigEndian, toByteOffset: 12, as: UInt64.self)
            bytes.append(contentsOf: field)
        }
    }

    /// UTF-8.
    public mutating func add(_ text: String) {
        var text = text
        text.withUTF8 { add(UnsafeRawBufferPointer($0)) }
    }

    /// 8 bytes, big endian.
    public mutating func add(_ number: UInt64) {
        addLength(8)
        withUnsafeBytes(of: number.bigEndian) { bytes.append(contentsOf: $0) }
    }

    public mutating func add(bytes field: [UInt8]) {
        field.withUnsafeBytes { add($0) }
    }

    mutating func add(_ text: StaticString) {
        add(UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    private mutating func add(_ field: UnsafeRawBufferPointer) {
        addLength(field.count)
        bytes.append(contentsOf: field)
    }

    private mutating func addLength(_ count: Int) {
        withUnsafeBytes(of: UInt32(count).bigEndian) { bytes.append(contentsOf: $0) }
    }
}
