import CFastCGI
import CLinux
import Glibc

/// The request methods that a route may name (RFC 9110 §9).
public enum Method: Hashable, Sendable {
    case get, head, post, put, patch, delete, options, other
}

/// What a handler did with a request.
public enum Verdict: Sendable {
    /// `respond` was called.
    case answered
    /// `Pool.setAside` gave a ticket; the answer comes when the ticket is resumed.
    case setAside
}

/// One request while it is being answered.
///
/// Unchecked Sendable: exactly one thread owns it at a time, and it changes hands only under the pool's lock.
public final class Exchange: @unchecked Sendable {
    // libfcgi's streams point back to the request, so it never moves.
    let request: UnsafeMutablePointer<FCGX_Request>
    var connection: Int32 = -1
    var asideDeadline: Int64 = 0
    var ticket: UInt64 = 0
    public var timing = Timing()
    private(set) var hasAnswered = false

    private var bodyBuffer: UnsafeMutableRawPointer
    private var bodyCapacity: Int
    private var bodyCount = 0
    /// The body was longer than the pool's limit; its bytes were read and dropped.
    public private(set) var bodyIsTooLarge = false

    private var parserBuffer: UnsafeMutableRawPointer?
    private var parserBufferUsed = 0

    init() {
        request = .allocate(capacity: 1)
        request.initialize(to: FCGX_Request())
        bodyCapacity = 4096
        bodyBuffer = .allocate(byteCount: bodyCapacity, alignment: 16)
    }

    deinit {
        bodyBuffer.deallocate()
        request.deinitialize(count: 1)
        request.deallocate()
    }
}

// MARK: - The request

extension Exchange {
    /// Calls `body` with the value of a FastCGI parameter, without a copy; nil where the web server sent none.
    ///
    /// The first of several wins, as with `getenv`. Parameters are searched in the order in which they were sent.
    @inline(__always)
    public func withParameter<R>(_ name: StaticString, _ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R? {
        guard let value = find(name) else { return nil }
        return try body(UnsafeRawBufferPointer(start: value, count: strlen(value)))
    }

    /// The value of a FastCGI parameter; bytes that are no UTF-8 are replaced.
    public func parameter(_ name: StaticString) -> String? {
        withParameter(name) { String(decoding: $0, as: UTF8.self) }
    }

    /// How often a parameter came: nginx before 1.23 sends a repeated header field as repeated parameters.
    public func parameterCount(_ name: StaticString) -> Int {
        var count = 0
        forEachParameter { if matches($0, name) { count += 1 } }
        return count
    }

    public var method: Method {
        withParameter("REQUEST_METHOD") { value in
            for (text, method) in Self.methods where text.equals(value) { return method }
            return .other
        } ?? .other
    }

    /// The path that nginx matched its locations against (`DOCUMENT_URI`: decoded once, and in a subrequest the
    /// subrequest's own); where that was not sent, the path of the request line.
    public var path: String { withPath { String(decoding: $0, as: UTF8.self) } }

    public func withPath<R>(_ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R {
        if let decoded = find("DOCUMENT_URI") {
            return try body(UnsafeRawBufferPointer(start: decoded, count: strlen(decoded)))
        }
        guard let line = find("REQUEST_URI") else { return try body(UnsafeRawBufferPointer(start: nil, count: 0)) }
        let length = strlen(line)
        let mark = memchr(line, 0x3F, length).map { $0 - UnsafeMutableRawPointer(line) } ?? length
        return try body(UnsafeRawBufferPointer(start: line, count: mark))
    }

    public func pathIs(_ path: StaticString) -> Bool { withPath { path.equals($0) } }

    /// The query as sent, without the question mark.
    public var query: [UInt8] { withParameter("QUERY_STRING") { [UInt8]($0) } ?? [] }

    /// The request's body, without a copy; empty when `bodyIsTooLarge`.
    public func withBody<R>(_ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R {
        try body(UnsafeRawBufferPointer(start: bodyBuffer, count: bodyCount))
    }

    public enum Body: Sendable, Equatable {
        case bytes([UInt8])
        case tooLarge
    }

    public var body: Body { bodyIsTooLarge ? .tooLarge : .bytes(withBody { [UInt8]($0) }) }

    private static let methods: [(StaticString, Method)] = [
        ("POST", .post), ("GET", .get), ("HEAD", .head), ("PUT", .put), ("PATCH", .patch), ("DELETE", .delete),
        ("OPTIONS", .options),
    ]

    private func find(_ name: StaticString) -> UnsafeMutablePointer<CChar>? {
        guard var entry = request.pointee.envp else { return nil }
        let length = name.utf8CodeUnitCount
        let start = UnsafeRawPointer(name.utf8Start).assumingMemoryBound(to: CChar.self)
        while let pair = entry.pointee {
            if pair.pointee == start.pointee, strncmp(pair, start, length) == 0, pair[length] == 0x3D {
                return pair + length + 1
            }
            entry += 1
        }
        return nil
    }

    private func matches(_ pair: UnsafeMutablePointer<CChar>, _ name: StaticString) -> Bool {
        let length = name.utf8CodeUnitCount
        let start = UnsafeRawPointer(name.utf8Start).assumingMemoryBound(to: CChar.self)
        return strncmp(pair, start, length) == 0 && pair[length] == 0x3D
    }

    private func forEachParameter(_ body: (UnsafeMutablePointer<CChar>) -> Void) {
        guard var entry = request.pointee.envp else { return }
        while let pair = entry.pointee {
            body(pair)
            entry += 1
        }
    }
}

extension StaticString {
    func equals(_ bytes: UnsafeRawBufferPointer) -> Bool {
        guard bytes.count == utf8CodeUnitCount else { return false }
        guard let start = bytes.baseAddress else { return true }
        return memcmp(start, utf8Start, bytes.count) == 0
    }
}

// MARK: - The answer

extension Exchange {
    /// Answers with a header block that is known when compiling: `"Status: 200\r\nContent-Type: …\r\n\r\n"` (RFC 3875 §6).
    public func respond(_ head: StaticString, body: UnsafeRawBufferPointer) {
        guard begin() else { return }
        put(UnsafeRawPointer(head.utf8Start), head.utf8CodeUnitCount)
        if let start = body.baseAddress { put(start, body.count) }
    }

    public func respond(_ head: StaticString, body: [UInt8] = []) {
        body.withUnsafeBytes { respond(head, body: $0) }
    }

    /// Answers with a status (RFC 9110 §15), header fields and a body. Control characters in a field are dropped: they
    /// could otherwise begin another field.
    public func respond(status: Int, headers: [(String, String)], body: [UInt8] = []) {
        guard begin() else { return }
        put("Status: ")
        put(digitsOf: status)
        put("\r\n")
        for (name, value) in headers {
            put(name) { $0 > 0x20 && $0 != 0x7F && $0 != 0x3A }
            put(": ")
            put(value) { $0 >= 0x20 && $0 != 0x7F }
            put("\r\n")
        }
        put("\r\n")
        body.withUnsafeBytes { put($0.baseAddress, $0.count) }
    }

    /// The same without a body, and with one more field whose value goes out from where it lies.
    public func respond(
        status: Int, headers: [(String, String)], field: StaticString, secret value: UnsafeRawBufferPointer
    ) {
        guard begin() else { return }
        put("Status: ")
        put(digitsOf: status)
        put("\r\n")
        for (name, text) in headers {
            put(name) { $0 > 0x20 && $0 != 0x7F && $0 != 0x3A }
            put(": ")
            put(text) { $0 >= 0x20 && $0 != 0x7F }
            put("\r\n")
        }
        put(field)
        put(": ")
        if value.allSatisfy({ $0 >= 0x20 && $0 < 0x7F }) { put(value.baseAddress, value.count) }
        put("\r\n\r\n")
    }

    private func begin() -> Bool {
        assert(!hasAnswered, "a request is answered once")
        defer { hasAnswered = true }
        return !hasAnswered
    }

    private func put(_ text: StaticString) {
        put(UnsafeRawPointer(text.utf8Start), text.utf8CodeUnitCount)
    }

    private func put(digitsOf status: Int) {
        let code = UInt32(clamping: min(max(status, 100), 999))
        withUnsafeBytes(of: (0x30 + code / 100, 0x30 + code / 10 % 10, 0x30 + code % 10)) { digits in
            for place in [0, 4, 8] { put(digits.baseAddress.map { $0 + place }, 1) }
        }
    }

    /// Straight into libfcgi's buffer, which is wiped when it was sent: cookies and addresses may be secrets.
    private func put(_ text: String, where isAllowed: (UInt8) -> Bool) {
        var text = text
        text.withUTF8 { bytes in
            if bytes.allSatisfy(isAllowed) { return put(bytes.baseAddress, bytes.count) }
            for byte in bytes where isAllowed(byte) { withUnsafeBytes(of: byte) { put($0.baseAddress, 1) } }
        }
    }

    private func put(_ bytes: UnsafeRawPointer?, _ count: Int) {
        guard let bytes, count > 0 else { return }
        FCGX_PutStr(bytes.assumingMemoryBound(to: CChar.self), Int32(count), request.pointee.out)
    }
}

// MARK: - What the pool does with it

extension Exchange {
    /// Reads a request from a connection; false when there is none (nothing yet, the end, or not a request).
    func receive(from connection: Int32, _ intake: UnsafeMutablePointer<Intake>, _ limits: Limits) -> Bool {
        self.connection = connection
        hasAnswered = false
        asideDeadline = 0
        timing = Timing()
        bodyCount = 0
        bodyIsTooLarge = false
        // -1: no listener, the pool accepts. With a descriptor set, FCGX_Accept_r goes straight to the parser.
        FCGX_InitRequest(request, -1, 0)
        request.pointee.ipcFd = connection
        request.pointee.keepConnection = 1
        guard FCGX_Accept_r(request) == 0 else { return false }
        let isWhole = receiveBody(limits) && intake.pointee.records.isComplete
        parserBuffer = intake.pointee.buffer
        parserBufferUsed = intake.pointee.bufferUsed
        return isWhole
    }

    /// The body is read to its end whatever the handler does, or its rest would be taken for the next request.
    private func receiveBody(_ limits: Limits) -> Bool {
        let stream = request.pointee.in
        while true {
            if bodyCount == bodyCapacity {
                guard bodyCapacity <= limits.bodyBytes else { return dropBody(limits) }
                growBody(to: min(bodyCapacity * 4, limits.bodyBytes + 1))
            }
            let room = bodyCapacity - bodyCount
            let target = (bodyBuffer + bodyCount).assumingMemoryBound(to: CChar.self)
            let count = Int(FCGX_GetStr(target, Int32(room), stream))
            bodyCount += count
            if count < room { return FCGX_GetError(stream) == 0 }
        }
    }

    private func growBody(to capacity: Int) {
        let grown = UnsafeMutableRawPointer.allocate(byteCount: capacity, alignment: 16)
        grown.copyMemory(from: bodyBuffer, byteCount: bodyCount)
        clinux_wipe(bodyBuffer, bodyCount)
        bodyBuffer.deallocate()
        bodyBuffer = grown
        bodyCapacity = capacity
    }

    private func dropBody(_ limits: Limits) -> Bool {
        var total = bodyCount
        bodyIsTooLarge = true
        bodyCount = 0
        clinux_wipe(bodyBuffer, bodyCapacity)
        let target = bodyBuffer.assumingMemoryBound(to: CChar.self)
        while total <= limits.drainedBytes {
            let count = Int(FCGX_GetStr(target, Int32(bodyCapacity), request.pointee.in))
            total += count
            if count < bodyCapacity { return FCGX_GetError(request.pointee.in) == 0 }
        }
        return false
    }

    /// Sends what `respond` left in libfcgi's buffer; true when the connection can carry another request.
    func finish() -> Bool {
        if !hasAnswered { respond("Status: 500\r\nContent-Type: text/plain\r\n\r\n") }
        wipe()
        FCGX_Finish_r(request)
        return request.pointee.ipcFd >= 0
    }

    /// Frees what libfcgi holds, without an answer.
    func abandon() {
        wipe()
        FCGX_Free(request, 0)
    }

    /// Authorization, cookies and bodies do not outlive the request in freed memory.
    private func wipe() {
        clinux_wipe(bodyBuffer, bodyCount)
        if let parserBuffer, request.pointee.in != nil { clinux_wipe(parserBuffer, parserBufferUsed) }
        parserBuffer = nil
        forEachParameter { clinux_wipe($0, strlen($0)) }
    }
}
