import CFastCGI
import Glibc

@testable import FastCGI

/// FastCGI 1.0 §3.3 and §3.4 read a second time, from all bytes at once: what the guard is compared with.
private struct WholeRequest {
    var parameters: [(name: [UInt8], value: [UInt8])] = []
    var body: [UInt8] = []

    /// nil: not exactly one request, from its first byte to its last.
    init?(_ bytes: [UInt8], _ bounds: RecordGuard.Bounds) {
        var rest = bytes[...]
        var identifier: [UInt8] = []
        // Padding is taken only where libfcgi takes it.
        func record(_ type: UInt8) -> ArraySlice<UInt8>? {
            guard rest.count >= 8 else { return nil }
            let header = Array(rest.prefix(8))
            let content = Int(header[4]) << 8 | Int(header[5])
            guard header[0] == 1, header[1] == type, rest.count >= 8 + content + Int(header[6]) else { return nil }
            if identifier.isEmpty { identifier = Array(header[2...3]) }
            guard identifier == Array(header[2...3]), header[6] == 0 || type == 5 || (type == 4 && content > 0) else {
                return nil
            }
            defer { rest = rest.dropFirst(8 + content + Int(header[6])) }
            return rest.dropFirst(8).prefix(content)
        }
        func stream(_ type: UInt8) -> [UInt8]? {
            var whole: [UInt8] = []
            while let part = record(type) {
                if part.isEmpty { return whole }
                whole += part
            }
            return nil
        }
        guard let begin = record(1), begin.count == 8, begin.prefix(2).elementsEqual([0, 1]), identifier != [0, 0],
            let pairs = stream(4), let input = stream(5), rest.isEmpty, pairs.count <= bounds.parameterBytes
        else { return nil }
        body = input
        var left = pairs[...]
        func length() -> Int? {
            guard let first = left.first else { return nil }
            guard first & 0x80 != 0 else { return Int(left.removeFirst()) }
            guard left.count >= 4 else { return nil }
            defer { left = left.dropFirst(4) }
            return left.prefix(4).reduce(0) { $0 << 8 | Int($1) } & 0x7FFF_FFFF
        }
        while !left.isEmpty {
            guard let nameLength = length(), let valueLength = length(), left.count >= nameLength + valueLength,
                nameLength > 0, nameLength <= bounds.nameBytes
            else { return nil }
            let name = Array(left.prefix(nameLength))
            let value = Array(left.dropFirst(nameLength).prefix(valueLength))
            guard !name.contains(0), !name.contains(0x3D), !value.contains(0) else { return nil }
            parameters.append((name, value))
            left = left.dropFirst(nameLength + valueLength)
        }
        guard parameters.count <= bounds.parameters else { return nil }
    }
}

extension Fuzz {
    private static func judged(_ bytes: [UInt8], cut piece: Int) -> (violation: RecordViolation?, isComplete: Bool) {
        var records = RecordGuard()
        for start in stride(from: 0, to: bytes.count, by: piece) {
            let part = Array(bytes[start..<min(start + piece, bytes.count)])
            do throws(RecordViolation) {
                try part.span.withUnsafeBytes { (part) throws(RecordViolation) in try records.admit(part) }
            } catch {
                return (error, records.isComplete)
            }
        }
        return (nil, records.isComplete)
    }

    /// Records may be cut anywhere, and only the whole of one request is one.
    static func records(_ bytes: [UInt8]) throws -> Verdict {
        let whole = judged(bytes, cut: max(1, bytes.count))
        for piece in [1, 7] {
            let cut = judged(bytes, cut: piece)
            try promise(cut.violation == whole.violation, "cut, they are \(cut), in one piece \(whole)")
            try promise(whole.violation != nil || cut.isComplete == whole.isComplete, "cut, they end elsewhere")
        }
        let isTaken = whole.violation == nil && whole.isComplete
        try promise(isTaken == (WholeRequest(bytes, RecordGuard.Bounds()) != nil), "\(whole) of a request or of none")
        return isTaken ? .accept : .reject
    }

    private static let limits = {
        var limits = Limits()
        // Within reach of a fuzzer's inputs.
        limits.bodyBytes = 4200
        limits.drainedBytes = 6000
        return limits
    }()

    /// The same bytes through libfcgi, as a worker reads them: what comes out is what went in.
    static func exchange(_ bytes: [UInt8]) throws -> Verdict {
        // More would not fit into the socket at once, and nobody reads meanwhile.
        guard bytes.count <= 65_536 else { return .reject }
        do { try Parser.start() } catch { fatalError("libfcgi is not guarded: \(error)") }
        var pair: [Int32] = [-1, -1]
        guard socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &pair) == 0 else {
            fatalError("socketpair: \(errno)")
        }
        defer { for descriptor in pair { close(descriptor) } }
        guard bytes.withUnsafeBytes({ send(pair[0], $0.baseAddress, $0.count, 0) }) == bytes.count else {
            fatalError("send: \(errno)")
        }
        shutdown(pair[0], Int32(SHUT_WR))
        let thread = RequestThread(limits: limits)
        defer { thread.leave() }
        thread.intake.pointee.begin()
        let exchange = thread.exchange()
        let request = WholeRequest(bytes, thread.intake.pointee.bounds)
        guard exchange.receive(from: pair[1], thread.intake, limits) else {
            exchange.abandon()
            try promise((request?.body.count ?? .max) > limits.drainedBytes, "a whole request was not taken")
            return .reject
        }
        guard let request else { throw BrokenPromise(description: "what is no request was taken") }
        try check(exchange, against: request)
        exchange.respond("Status: 200\r\n\r\n", body: Array("answer".utf8))
        // FCGI_KEEP_CONN (§5.1), behind the header and the role.
        try promise(exchange.finish() == (bytes[10] & 1 == 1), "the connection is not what was asked for")
        var answer = [UInt8](repeating: 0, count: 1024)
        let count = answer.withUnsafeMutableBytes {
            recv(pair[0], $0.baseAddress, $0.count, Int32(MSG_DONTWAIT))
        }
        try promise(
            count > 8 && answer[1] == 6 && answer[2...3].elementsEqual(bytes[2...3]), "no answer to the request")
        return .accept
    }

    private static func check(_ exchange: Exchange, against request: WholeRequest) throws {
        if request.body.count <= limits.bodyBytes {
            try promise(exchange.body == .bytes(request.body), "another body")
        } else {
            try promise(exchange.body == .tooLarge, "a body beyond the limit")
        }
        var entries: [[UInt8]] = []
        var entry = exchange.request.pointee.envp
        while let pair = entry?.pointee {
            entries.append(Array(UnsafeRawBufferPointer(start: pair, count: strlen(pair))))
            entry = entry?.advanced(by: 1)
        }
        let expected = [Array("FCGI_ROLE=RESPONDER".utf8)] + request.parameters.map { $0.name + [0x3D] + $0.value }
        try promise(entries == expected, "other parameters")
        let hosts = request.parameters.filter { $0.name.elementsEqual("HTTP_HOST".utf8) }
        try promise(exchange.parameterCount("HTTP_HOST") == hosts.count, "another count of a parameter")
        try promise(exchange.withParameter("HTTP_HOST") { [UInt8]($0) } == hosts.first?.value, "another parameter")
        _ = (exchange.method, exchange.path, exchange.query)
    }
}
