import Encoding

/// What a box is bound to: its purpose with a version, then whose it is and which row, column and generation. Each field
/// is preceded by its length in four bytes, big endian, so no two lists of fields have the same bytes.
///
/// Mostly it is short, and then it lies where the variable lies: a vend makes eight of them.
public struct AssociatedData: Sendable {
    /// In front, so that a box's header can stand before the fields without a copy of them.
    private static let headerRoom = BoxHeader.count

    private var near = InlineArray<256, UInt8>(repeating: 0)
    private var end = headerRoom
    /// Everything, once it has become too long for `near`.
    private var far: [UInt8] = []

    /// `purpose` says what and in which version, such as `toolshed/v1/connection.credential`.
    public init(_ purpose: StaticString) {
        add(UnsafeRawBufferPointer(start: purpose.utf8Start, count: purpose.utf8CodeUnitCount))
    }

    public var bytes: [UInt8] { withUnsafeBytes { [UInt8]($0) } }

    public func withUnsafeBytes<Result>(_ body: (UnsafeRawBufferPointer) throws -> Result) rethrows -> Result {
        if far.isEmpty {
            let range = Self.headerRoom..<end
            return try near.span.withUnsafeBytes { try body(UnsafeRawBufferPointer(rebasing: $0[range])) }
        }
        return try far.withUnsafeBytes { try body(UnsafeRawBufferPointer(rebasing: $0[Self.headerRoom...])) }
    }

    /// The header of the box, then the fields: what AES-GCM authenticates beside the ciphertext.
    func withBytes<Result>(
        behind header: UnsafeRawBufferPointer, _ body: (UnsafeRawBufferPointer) throws -> Result
    ) rethrows -> Result {
        precondition(header.count == Self.headerRoom)
        var copy = self
        if far.isEmpty {
            for index in 0..<Self.headerRoom { copy.near[index] = header[index] }
            return try copy.near.span.withUnsafeBytes { try body(UnsafeRawBufferPointer(rebasing: $0[..<end])) }
        }
        for index in 0..<Self.headerRoom { copy.far[index] = header[index] }
        return try copy.far.withUnsafeBytes { try body($0) }
    }

    /// 16 bytes.
    @inlinable
    public mutating func add<Kind>(_ id: ID<Kind>) { add(id: id.high, id.low) }

    @usableFromInline
    mutating func add(id high: UInt64, _ low: UInt64) {
        Swift.withUnsafeBytes(of: (high.bigEndian, low.bigEndian)) { add($0) }
    }

    /// UTF-8.
    public mutating func add(_ text: String) {
        var text = text
        text.withUTF8 { add(UnsafeRawBufferPointer($0)) }
    }

    /// 8 bytes, big endian.
    public mutating func add(_ number: UInt64) {
        Swift.withUnsafeBytes(of: number.bigEndian) { add($0) }
    }

    public mutating func add(bytes field: [UInt8]) {
        field.withUnsafeBytes { add($0) }
    }

    mutating func add(_ text: StaticString) {
        add(UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    private mutating func add(_ field: UnsafeRawBufferPointer) {
        let start = end
        end += 4 + field.count
        guard far.isEmpty, end <= near.count else { return addFar(field, at: start) }
        let range = start..<end
        var near = near.mutableSpan
        near.withUnsafeMutableBytes { all in
            let out = UnsafeMutableRawBufferPointer(rebasing: all[range])
            out.storeBytes(of: UInt32(field.count).bigEndian, as: UInt32.self)
            UnsafeMutableRawBufferPointer(rebasing: out[4...]).copyMemory(from: field)
        }
    }

    private mutating func addFar(_ field: UnsafeRawBufferPointer, at start: Int) {
        if far.isEmpty { far = near.span.withUnsafeBytes { [UInt8]($0[..<start]) } }
        Swift.withUnsafeBytes(of: UInt32(field.count).bigEndian) { far.append(contentsOf: $0) }
        far.append(contentsOf: field)
    }
}
