import CLinux
import Glibc
import Testing

@testable import FastCGI

/// Small, seeded and repeatable (SplitMix64).
private struct Seeded: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}

@Suite struct HostileRecordTests {
    static let proper = Record.request(["REQUEST_METHOD": "GET", "DOCUMENT_URI": "/x"], body: [1, 2, 3])

    /// Bytes, and why they are refused.
    static let refused: [(String, [UInt8], RecordViolation)] = [
        ("version 2", Record.bytes(type: 1, version: 2, [0, 1, 0, 0, 0, 0, 0, 0]), .version(2)),
        ("version 0", [UInt8](repeating: 0, count: 64), .version(0)),
        ("an HTTP request", Array("GET / HTTP/1.1\r\nHost: x\r\n\r\n".utf8), .version(0x47)),
        (
            "values asked for", Record.bytes(type: 9, id: 0, Record.pair("FCGI_MAX_CONNS", "")),
            .managementRecord(type: 9)
        ),
        (
            "values asked for, with a NUL in the name",
            Record.bytes(type: 9, id: 0, [1, 0, 0]), .managementRecord(type: 9)
        ),
        (
            "many values asked for",
            Record.bytes(type: 9, id: 0, (0..<100).flatMap { _ in Record.pair("FCGI_MAX_CONNS", "") }),
            .managementRecord(type: 9)
        ),
        (
            "values asked for within a request",
            Record.begin() + Record.bytes(type: 9, id: 0, [1, 0, 0]), .managementRecord(type: 9)
        ),
        ("an unknown type", Record.bytes(type: 77), .unexpectedRecord(type: 77)),
        ("an unknown type within", Record.begin() + Record.bytes(type: 77), .unexpectedRecord(type: 77)),
        ("an abort", Record.begin() + Record.bytes(type: 2), .unexpectedRecord(type: 2)),
        ("parameters first", Record.stream(4, Record.pair("A", "1")), .unexpectedRecord(type: 4)),
        ("two beginnings", Record.begin() + Record.begin(), .unexpectedRecord(type: 1)),
        ("two requests at once", Record.begin() + Record.begin(id: 2), .multiplexed),
        (
            "a beginning with padding, which libfcgi reads as a record",
            Record.bytes(type: 1, [0, 1, 1, 0, 0, 0, 0, 0], padding: 8) + proper.dropFirst(16), .padding(type: 1)
        ),
        (
            "an end of parameters with padding, which libfcgi reads as a record",
            Record.begin() + Record.bytes(type: 4, padding: 8) + Record.bytes(type: 5), .padding(type: 4)
        ),
        ("another request's parameters", Record.begin() + Record.bytes(type: 4, id: 2, [0]), .multiplexed),
        ("no role", Record.begin(role: 0), .role(0)),
        ("the filter role", Record.begin(role: 3), .role(3)),
        ("a short beginning", Record.bytes(type: 1, [0, 1, 0]), .beginLength(3)),
        ("a body before the parameters", Record.begin() + Record.bytes(type: 5, [1]), .unexpectedRecord(type: 5)),
        (
            "a parameter that claims two gigabytes",
            Record.begin() + Record.bytes(type: 4, [1, 0xFF, 0xFF, 0xFF, 0xFF, 65]), .parametersTooLarge
        ),
        (
            "a name that claims two gigabytes",
            Record.begin() + Record.bytes(type: 4, [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]), .parameterName
        ),
        ("a nameless parameter", Record.begin() + Record.bytes(type: 4, [0, 1, 65]), .parameterName),
        ("a NUL in a name", Record.begin() + Record.bytes(type: 4, Record.pair("A\u{0}B", "1")), .parameterName),
        ("an equals sign in a name", Record.begin() + Record.bytes(type: 4, Record.pair("A=B", "1")), .parameterName),
        ("a NUL in a value", Record.begin() + Record.bytes(type: 4, Record.pair("A", "1\u{0}2")), .parameterValue),
        (
            "too many parameters",
            Record.begin() + Record.stream(4, (0..<300).flatMap { Record.pair("A\($0)", "") }), .tooManyParameters
        ),
        (
            "too long parameters",
            Record.begin()
                + Record.stream(4, (0..<10).flatMap { Record.pair("A\($0)", String(repeating: "x", count: 20000)) }),
            .parametersTooLarge
        ),
        (
            "parameters that end within a pair",
            Record.begin() + Record.bytes(type: 4, [5, 5, 65]) + Record.bytes(type: 4), .truncatedParameters
        ),
        ("a second request before the answer", proper + proper, .bytesAfterRequest),
    ]

    @Test("What no web server sends is refused for its own reason, however it is cut", arguments: refused.indices)
    func refusals(index: Int) {
        let (name, bytes, violation) = Self.refused[index]
        for piece in [1, 2, 3, 7, 1000, bytes.count] {
            var guarding = RecordGuard()
            var rest = bytes[...]
            var seen: RecordViolation?
            while !rest.isEmpty, seen == nil {
                do {
                    try Array(rest.prefix(piece)).withUnsafeBytes { try guarding.admit($0) }
                } catch {
                    seen = error as? RecordViolation
                }
                rest = rest.dropFirst(piece)
            }
            #expect(seen == violation, "\(name), \(piece) at a time")
        }
    }

    @Test("Each of them closes its connection, and the pool goes on")
    func survival() throws {
        let served = try Served()
        for (name, bytes, _) in Self.refused {
            let client = served.client()
            client.send(bytes)
            shutdown(client.descriptor, Int32(SHUT_WR))
            #expect(client.receive() == nil, "\(name)")
        }
        #expect(served.client().request("/still")?.hasSuffix("/still 0") == true)
        #expect(served.pool.status.malformed == Self.refused.count)
    }

    @Test("Every prefix of a request closes quietly")
    func prefixes() throws {
        let served = try Served()
        for count in 0..<Self.proper.count {
            let client = served.client()
            client.send(Array(Self.proper.prefix(count)))
            shutdown(client.descriptor, Int32(SHUT_WR))
            #expect(client.receive() == nil, "\(count) bytes")
        }
        #expect(served.client().request("/still") != nil)
    }

    @Test("Any change of any request leaves the pool standing", arguments: 0..<8)
    func mutations(seed: Int) throws {
        var random = Seeded(state: UInt64(seed))
        let served = try Served()
        for _ in 0..<400 {
            var bytes = Self.proper
            for _ in 0..<Int.random(in: 1...6, using: &random) {
                let place = Int.random(in: 0..<bytes.count, using: &random)
                switch Int.random(in: 0..<4, using: &random) {
                case 0: bytes[place] = UInt8.random(in: 0...255, using: &random)
                case 1: bytes[place] ^= 1 << UInt8.random(in: 0..<8, using: &random)
                case 2: bytes.insert(contentsOf: bytes.prefix(Int.random(in: 0...32, using: &random)), at: place)
                default: bytes.remove(at: place)
                }
                if bytes.isEmpty { bytes = [1] }
            }
            let client = served.client()
            client.send(bytes)
            shutdown(client.descriptor, Int32(SHUT_WR))
            while client.receiveRecord() != nil {}
        }
        #expect(served.client().request("/still")?.hasSuffix("/still 0") == true)
    }

    @Test("A client that leaves before its answer harms nobody")
    func leaving() throws {
        let served = try Served { exchange, _, _ in
            exchange.respond("Status: 200\r\n\r\n", body: [UInt8](repeating: 65, count: 500_000))
            return .answered
        }
        for _ in 0..<50 { served.client().send(Self.proper) }
        #expect(served.client().request("/") != nil)
    }
}
