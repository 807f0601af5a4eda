import Encoding
import Envelope
import Secrets

/// The chain of one audit file (docs/KEYS.md "The audit record"): every line ends with its number and the first half of
///
///     value i = HMAC-SHA-256(key i, value i-1 ‖ the line up to its MAC)      key i+1 = SHA-256(label ‖ key i)
///
/// The first key is random and the keys before the present one exist nowhere in the process, so nothing that was written
/// can be written anew by whoever takes it over; a value stands for all lines before it, so one that is kept elsewhere
/// shows whether they are still the same.
struct AuditChain: ~Copyable {
    static let macSize = EvolvingKey.valueSize / 2
    static let start = [UInt8](repeating: 0, count: EvolvingKey.valueSize)

    private var key: EvolvingKey
    private(set) var value = AuditChain.start
    /// Lines so far.
    private(set) var count: Int64 = 0

    init(_ key: consuming EvolvingKey) { self.key = key }

    /// Ends a line that was begun as an object. It counts once `advance` was called, after it was written.
    borrowing func finish(_ line: inout JSONWriter) -> [UInt8] {
        line.key("n")
        line.integer(count)
        let next = line.withUnsafeBytes { key.authenticate($0, after: value) }
        line.key("mac")
        next.withUnsafeBytes { line.string(base64URL: UnsafeRawBufferPointer(rebasing: $0[..<Self.macSize])) }
        line.endObject()
        line.endLine()
        return next
    }

    /// The value that a line with this text before its MAC leads to.
    borrowing func next(_ text: some RandomAccessCollection<UInt8>) -> [UInt8] {
        let value = text.withContiguousStorageIfAvailable {
            key.authenticate(UnsafeRawBufferPointer($0), after: self.value)
        }
        return value ?? Array(text).withUnsafeBytes { key.authenticate($0, after: self.value) }
    }

    mutating func advance(to next: [UInt8]) {
        value = next
        count += 1
        key.evolve()
    }

    /// What stands in front of `"mac"` and what it is; nil where there is none.
    static func split(_ line: ArraySlice<UInt8>) -> (text: ArraySlice<UInt8>, mac: [UInt8])? {
        let opening = Array(#","mac":""#.utf8)
        let closing = Array(#""}"#.utf8)
        let digits = (macSize * 4 + 2) / 3
        let text = line.dropLast(opening.count + digits + closing.count)
        let rest = line[text.endIndex...]
        guard rest.starts(with: opening), rest.suffix(closing.count).elementsEqual(closing), !text.isEmpty,
            let mac = Base64URL.decode(
                String(decoding: rest.dropFirst(opening.count).prefix(digits), as: UTF8.self)), mac.count == macSize
        else { return nil }
        return (text, mac)
    }
}

/// How far a file was at a moment: kept elsewhere, it shows what was cut off or written anew since.
public struct AuditCheckpoint: Hashable, Sendable {
    public let file: String
    /// Lines of the file.
    public let count: Int64
    public let value: [UInt8]

    public init(file: String, count: Int64, value: [UInt8]) {
        (self.file, self.count, self.value) = (file, count, value)
    }

    static let word = "audit checkpoint "
    static let removalWord = "audit removed "

    /// As the service says it on standard error.
    public var text: String { "\(Self.word)\(file) \(count) \(Base64URL.encode(value))" }

    /// Out of a line of a log, whatever stands before it.
    public init?(parsing line: Substring) {
        guard let start = line.firstRange(of: Self.word)?.upperBound else { return nil }
        let parts = line[start...].split(whereSeparator: \.isWhitespace)
        guard parts.count >= 3, let count = Int64(parts[1]), count > 0,
            let value = Base64URL.decode(String(parts[2])), value.count == EvolvingKey.valueSize
        else { return nil }
        self.init(file: String(parts[0]), count: count, value: value)
    }

    /// The service says so, too, when it removes a file that is older than it has to keep.
    public static func removal(of file: String) -> String { removalWord + file }

    public static func removedFile(in line: Substring) -> String? {
        guard let start = line.firstRange(of: removalWord)?.upperBound else { return nil }
        return line[start...].split(whereSeparator: \.isWhitespace).first.map(String.init)
    }
}
