import CCurl
import Glibc

/// Bytes at a fixed address, overwritten before they are given back: what curl reads from while it sends, and what an
/// answer is gathered in.
struct WipedBytes: ~Copyable {
    private(set) var base: UnsafeMutableRawPointer
    private(set) var count = 0
    private var capacity: Int

    init(capacity: Int) {
        self.capacity = max(capacity, 1)
        base = .allocate(byteCount: self.capacity, alignment: 1)
    }

    deinit {
        explicit_bzero(base, capacity)
        base.deallocate()
    }

    mutating func append(_ bytes: UnsafeRawBufferPointer) {
        if count + bytes.count > capacity { grow(to: count + bytes.count) }
        guard let start = bytes.baseAddress else { return }
        (base + count).copyMemory(from: start, byteCount: bytes.count)
        count += bytes.count
    }

    mutating func append(_ text: String) {
        var text = text
        text.withUTF8 { append(UnsafeRawBufferPointer($0)) }
    }

    /// A grown array would leave its old bytes behind.
    private mutating func grow(to needed: Int) {
        let larger = max(needed, capacity * 2)
        let moved = UnsafeMutableRawPointer.allocate(byteCount: larger, alignment: 1)
        moved.copyMemory(from: base, byteCount: count)
        explicit_bzero(base, capacity)
        base.deallocate()
        (base, capacity) = (moved, larger)
    }

    mutating func removeAll() {
        explicit_bzero(base, count)
        count = 0
    }

    borrowing func withBytes<R>(_ body: (UnsafeRawBufferPointer) -> R) -> R {
        body(UnsafeRawBufferPointer(start: base, count: count))
    }
}

/// Request header lines as curl wants them, overwritten before they are given back.
struct HeaderLines: ~Copyable {
    private(set) var list: UnsafeMutablePointer<curl_slist>?

    init() {}

    deinit {
        var line = list
        while let here = line {
            if let text = here.pointee.data { explicit_bzero(text, strlen(text)) }
            line = here.pointee.next
        }
        curl_slist_free_all(list)
    }

    /// False for a line that could end early or smuggle in another one.
    mutating func append(name: String, value: UnsafeRawBufferPointer) -> Bool {
        let isToken = !name.isEmpty && name.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7f && $0 != UInt8(ascii: ":") }
        guard isToken, !value.contains(where: { $0 < 0x20 && $0 != 0x09 || $0 == 0x7f }) else { return false }
        var line = WipedBytes(capacity: name.utf8.count + value.count + 3)
        line.append(name)
        // curl drops a header without a value unless it ends in a semicolon.
        line.append(value.isEmpty ? ";" : ": ")
        line.append(value)
        line.append("\0")
        guard let longer = curl_slist_append(list, line.base.assumingMemoryBound(to: CChar.self)) else { return false }
        list = longer
        return true
    }
}
