import Encoding
import GRDB
import GRDBSQLite

/// A statement that is run for one row after the other, tens of thousands in a transaction: bound and stepped by hand,
/// because GRDB takes three times as long over a row (docs/BENCHMARKS.md).
struct BoundStatement {
    private let statement: OpaquePointer
    // Keeps the statement alive, and in the connection's cache.
    private let owner: Statement

    init(_ sql: String, _ db: Database) throws {
        owner = try db.cachedStatement(sql: sql)
        statement = owner.sqliteStatement
    }

    func bind(_ index: Int32, _ number: Int64) { sqlite3_bind_int64(statement, index, number) }

    func bind(_ index: Int32, _ text: String?) {
        guard var text else { return bindNull(index) }
        text.withUTF8 { utf8 in
            utf8.withMemoryRebound(to: CChar.self) {
                _ = sqlite3_bind_text(statement, index, $0.baseAddress, Int32($0.count), Self.copied)
            }
        }
    }

    func bind(_ index: Int32, _ bytes: [UInt8]?) {
        guard let bytes else { return bindNull(index) }
        bytes.withUnsafeBytes { bind(index, $0) }
    }

    func bind<Kind>(_ index: Int32, _ id: ID<Kind>?) {
        guard let id else { return bindNull(index) }
        bind(index, id.high, id.low)
    }

    /// 16 bytes, most significant first.
    func bind(_ index: Int32, _ high: UInt64, _ low: UInt64) {
        withUnsafeBytes(of: (high.bigEndian, low.bigEndian)) { bind(index, $0) }
    }

    func run() throws(VaultError) {
        let code = sqlite3_step(statement)
        sqlite3_reset(statement)
        guard code == SQLITE_DONE else { throw .storage(code: code) }
    }

    private func bind(_ index: Int32, _ bytes: UnsafeRawBufferPointer) {
        sqlite3_bind_blob(statement, index, bytes.baseAddress, Int32(bytes.count), Self.copied)
    }

    private func bindNull(_ index: Int32) { sqlite3_bind_null(statement, index) }

    /// SQLITE_TRANSIENT: SQLite copies what is bound.
    private static var copied: sqlite3_destructor_type { unsafeBitCast(-1, to: sqlite3_destructor_type.self) }
}
