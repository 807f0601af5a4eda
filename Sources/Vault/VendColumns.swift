import Encoding
import GRDBSQLite

/// The row on which a statement stands, read in place.
struct Columns {
    private let statement: OpaquePointer

    init(_ statement: OpaquePointer) { self.statement = statement }

    func isNull(_ index: Int32) -> Bool { sqlite3_column_type(statement, index) == SQLITE_NULL }

    func number(_ index: Int32) -> Int64 { sqlite3_column_int64(statement, index) }

    func optionalNumber(_ index: Int32) -> Int64? { isNull(index) ? nil : number(index) }

    func text(_ index: Int32) -> String {
        // As a blob it need not be copied to get a NUL.
        String(decoding: blob(index), as: UTF8.self)
    }

    func optionalText(_ index: Int32) -> String? { isNull(index) ? nil : text(index) }

    func id<Kind>(_ index: Int32) -> ID<Kind>? { ID(bytes: blob(index)) }

    func bytes(_ index: Int32) -> [UInt8] { [UInt8](blob(index)) }

    func blobs(_ first: Int32, _ second: Int32) -> Blobs { Blobs(blob(first), blob(second)) }

    /// Valid until the statement goes on.
    private func blob(_ index: Int32) -> UnsafeRawBufferPointer {
        let start = sqlite3_column_blob(statement, index)
        return UnsafeRawBufferPointer(start: start, count: Int(sqlite3_column_bytes(statement, index)))
    }
}

/// Two columns in one piece of memory.
struct Blobs: Sendable {
    private let bytes: [UInt8]
    private let middle: Int

    init(_ first: UnsafeRawBufferPointer, _ second: UnsafeRawBufferPointer) {
        middle = first.count
        let total = first.count + second.count
        bytes = [UInt8](unsafeUninitializedCapacity: total) { out, count in
            let out = UnsafeMutableRawBufferPointer(out)
            UnsafeMutableRawBufferPointer(rebasing: out[..<first.count]).copyMemory(from: first)
            UnsafeMutableRawBufferPointer(rebasing: out[first.count..<total]).copyMemory(from: second)
            count = total
        }
    }

    func withFirst<R: ~Copyable>(_ body: (UnsafeRawBufferPointer) throws -> R) throws -> R {
        try bytes.span.withUnsafeBytes { try body(UnsafeRawBufferPointer(rebasing: $0[..<middle])) }
    }

    func withSecond<R: ~Copyable>(_ body: (UnsafeRawBufferPointer) throws -> R) throws -> R {
        try bytes.span.withUnsafeBytes { try body(UnsafeRawBufferPointer(rebasing: $0[middle...])) }
    }

    var second: [UInt8] { Array(bytes[middle...]) }
}
