import Glibc

/// Writes RFC 8259 text directly into bytes. Commas are its business, balance is the caller's.
///
/// It has one owner and one piece of memory, which grows in the way of an array's; an array would look at each byte
/// whether somebody else holds it (docs/BENCHMARKS.md).
public struct JSONWriter: ~Copyable {
    private var base: UnsafeMutableRawPointer
    private var capacity: Int
    private var count = 0
    private var needsComma = false

    public init(capacity: Int = 256) {
        self.capacity = max(capacity, 64)
        base = .allocate(byteCount: self.capacity, alignment: 8)
    }

    deinit { base.deallocate() }

    /// What was written so far.
    public var bytes: [UInt8] {
        [UInt8](unsafeUninitializedCapacity: count) { out, filled in
            UnsafeMutableRawBufferPointer(out).copyMemory(from: UnsafeRawBufferPointer(start: base, count: count))
            filled = count
        }
    }

    public var byteCount: Int { count }

    /// The same where it lies.
    public borrowing func withUnsafeBytes<Result, Failure: Error>(
        _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try body(UnsafeRawBufferPointer(start: base, count: count))
    }

    public mutating func beginObject() { open(UInt8(ascii: "{")) }
    public mutating func endObject() { close(UInt8(ascii: "}")) }
    public mutating func beginArray() { open(UInt8(ascii: "[")) }
    public mutating func endArray() { close(UInt8(ascii: "]")) }

    /// A member name known at compile time; it must need no escape.
    public mutating func key(_ name: StaticString) {
        let length = name.utf8CodeUnitCount
        reserve(length + 4)
        separate()
        put(UInt8(ascii: "\""))
        put(UnsafeRawBufferPointer(start: name.utf8Start, count: length))
        put(UInt8(ascii: "\""))
        put(UInt8(ascii: ":"))
        needsComma = false
    }

    @_disfavoredOverload
    public mutating func key(_ name: String) {
        string(name)
        reserve(1)
        put(UInt8(ascii: ":"))
        needsComma = false
    }

    public mutating func string(_ text: String) {
        var text = text
        text.withUTF8 { string(utf8: UnsafeRawBufferPointer($0)) }
    }

    /// For text that must not become a `String`; it must be UTF-8.
    public mutating func string(utf8 text: UnsafeRawBufferPointer) {
        reserve(text.count + 3)
        separate()
        put(UInt8(ascii: "\""))
        // Mostly nothing needs an escape, and that is seen faster of all bytes together.
        var needsEscape = false
        for byte in text { needsEscape = Self.needsEscape(byte) || needsEscape }
        if needsEscape { putEscaping(text) } else { put(text) }
        put(UInt8(ascii: "\""))
        needsComma = true
    }

    public mutating func string<Kind>(_ id: ID<Kind>) { string(prefix: Kind.prefix, id.high, id.low) }

    private mutating func string(prefix: String, _ high: UInt64, _ low: UInt64) {
        let length = prefix.utf8.count + IDText.digits
        reserve(length + 3)
        separate()
        put(UInt8(ascii: "\""))
        IDText.write(
            prefix: prefix, high, low, to: UnsafeMutableRawBufferPointer(start: base + count, count: length))
        count += length
        put(UInt8(ascii: "\""))
        needsComma = true
    }

    /// A string of base64url digits.
    public mutating func string(base64URL bytes: UnsafeRawBufferPointer) {
        let length = Base64URL.encodedCount(bytes.count)
        reserve(length + 3)
        separate()
        put(UInt8(ascii: "\""))
        Base64URL.encode(bytes, into: UnsafeMutableRawBufferPointer(start: base + count, count: length))
        count += length
        put(UInt8(ascii: "\""))
        needsComma = true
    }

    public mutating func integer(_ value: Int64) {
        reserve(21)
        separate()
        if value < 0 { put(UInt8(ascii: "-")) }
        var value = value.magnitude
        let start = count
        repeat {
            let (quotient, digit) = value.quotientAndRemainder(dividingBy: 10)
            put(UInt8(ascii: "0") + UInt8(truncatingIfNeeded: digit))
            value = quotient
        } while value > 0
        var digits = UnsafeMutableRawBufferPointer(start: base + start, count: count - start)[...]
        digits.reverse()
        needsComma = true
    }

    public mutating func bool(_ value: Bool) {
        raw(value ? "true" : "false")
    }

    public mutating func null() {
        raw("null")
    }

    public mutating func strings(_ values: some Sequence<String>) {
        beginArray()
        for value in values { string(value) }
        endArray()
    }

    /// A value that is JSON already.
    public mutating func raw(_ value: StaticString) {
        raw(UnsafeRawBufferPointer(start: value.utf8Start, count: value.utf8CodeUnitCount))
    }

    /// A value that is JSON already.
    public mutating func raw(_ value: some Collection<UInt8>) {
        let length = value.count
        reserve(length + 1)
        separate()
        UnsafeMutableRawBufferPointer(start: base + count, count: length).copyBytes(from: value)
        count += length
        needsComma = true
    }

    /// Ends a line, so that another value may follow on its own.
    public mutating func endLine() {
        reserve(1)
        put(UInt8(ascii: "\n"))
        needsComma = false
    }

    /// Overwrites what was written, for an answer that carried a secret. What growing left behind was overwritten then.
    public mutating func wipe() {
        Self.wipe(base, count)
        count = 0
        needsComma = false
    }

    private mutating func open(_ bracket: UInt8) {
        reserve(2)
        separate()
        put(bracket)
        needsComma = false
    }

    private mutating func close(_ bracket: UInt8) {
        reserve(1)
        put(bracket)
        needsComma = true
    }

    // MARK: Bytes, for which `reserve` made room

    private mutating func separate() {
        if needsComma { put(UInt8(ascii: ",")) }
    }

    private mutating func put(_ byte: UInt8) {
        base.storeBytes(of: byte, toByteOffset: count, as: UInt8.self)
        count += 1
    }

    private mutating func put(_ bytes: UnsafeRawBufferPointer) {
        guard let start = bytes.baseAddress else { return }
        (base + count).copyMemory(from: start, byteCount: bytes.count)
        count += bytes.count
    }

    private mutating func reserve(_ more: Int) {
        if capacity - count < more { grow(by: more) }
    }

    private mutating func grow(by more: Int) {
        let wanted = max(capacity * 2, count + more)
        let grown = UnsafeMutableRawPointer.allocate(byteCount: wanted, alignment: 8)
        grown.copyMemory(from: base, byteCount: count)
        Self.wipe(base, count)
        base.deallocate()
        (base, capacity) = (grown, wanted)
    }

    /// Stores that are not optimised away.
    private static func wipe(_ base: UnsafeMutableRawPointer, _ count: Int) { explicit_bzero(base, count) }

    private mutating func putEscaping(_ text: UnsafeRawBufferPointer) {
        // No byte becomes more than six.
        reserve(text.count * 6 + 1)
        for byte in text {
            if Self.needsEscape(byte) { put(escaped: byte) } else { put(byte) }
        }
    }

    private static func needsEscape(_ byte: UInt8) -> Bool {
        byte < 0x20 || byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\")
    }

    private mutating func put(escaped byte: UInt8) {
        put(UInt8(ascii: "\\"))
        switch byte {
        case UInt8(ascii: "\n"): put(UInt8(ascii: "n"))
        case UInt8(ascii: "\r"): put(UInt8(ascii: "r"))
        case UInt8(ascii: "\t"): put(UInt8(ascii: "t"))
        case ..<0x20:
            for digit in [UInt8(ascii: "u"), 0x30, 0x30, Hex.digit(byte >> 4), Hex.digit(byte & 15)] { put(digit) }
        default: put(byte)
        }
    }
}
