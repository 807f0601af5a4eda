import Encoding

/// Big-endian fields, one after the other, into memory that is large enough by construction.
struct FixedWriter {
    private let buffer: UnsafeMutableRawBufferPointer
    private(set) var count = 0

    init(_ buffer: UnsafeMutableRawBufferPointer) { self.buffer = buffer }

    mutating func put(_ number: some FixedWidthInteger) {
        buffer.storeBytes(of: number.bigEndian, toByteOffset: count, as: type(of: number))
        count += MemoryLayout.size(ofValue: number)
    }

    mutating func put<Kind>(_ id: ID<Kind>) {
        put(id.high)
        put(id.low)
    }

    mutating func put(_ bytes: UnsafeRawBufferPointer) {
        UnsafeMutableRawBufferPointer(rebasing: buffer[count...]).copyMemory(from: bytes)
        count += bytes.count
    }
}

/// Reads them back; whoever reads has checked the length first.
struct FixedReader {
    private let buffer: UnsafeRawBufferPointer
    private var offset = 0

    init(_ buffer: UnsafeRawBufferPointer) { self.buffer = buffer }

    var left: Int { buffer.count - offset }

    mutating func byte() -> UInt8 { take(UInt8.self) }
    mutating func half() -> UInt32 { take(UInt32.self) }
    mutating func word() -> UInt64 { take(UInt64.self) }

    mutating func rest() -> UnsafeRawBufferPointer {
        defer { offset = buffer.count }
        return UnsafeRawBufferPointer(rebasing: buffer[offset...])
    }

    private mutating func take<Number: FixedWidthInteger & BitwiseCopyable>(_ type: Number.Type) -> Number {
        defer { offset += MemoryLayout<Number>.size }
        return Number(bigEndian: buffer.loadUnaligned(fromByteOffset: offset, as: type))
    }
}
