import ArgumentParser
import Broker
import Envelope
import FastCGI
import Foundation
import Gateway
import Glibc
import Logging
import ProviderHTTP
import Secrets
import Settings
import Threads

/// One worker and one client in one process, one request after the other: what a vend costs without a web server and
/// without anybody waiting. For `bench/cost`, for profilers, and for counting instructions
/// (`valgrind --tool=callgrind`).
@main struct Vend: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "bench-vend")

    @Option(help: "The callers that bench-seed wrote.")
    var callers: String

    @Option(help: "plugin, key, or hello for /healthz.")
    var kind = "plugin"

    @Option(help: "How many requests are measured.")
    var count = 20_000

    @Option(help: "How many come before, unmeasured.")
    var warmUp = 2_000

    func run() throws {
        try SecureHeap.start(bytes: 1 << 20)
        signal(SIGPIPE, SIG_IGN)
        let environment = ProcessInfo.processInfo.environment
        let settings = try Settings.load(environment: environment)
        let keys = try Settings.encryptionKeys(environment: environment).workerKeys()
        let http = try ProviderHTTP(caFile: settings.caFile)
        let channel = KeeperChannel(http: http, warmSeconds: settings.warmSeconds)
        let requests = try self.requests()
        let (listener, address) = try listen()
        let worker = try Worker(
            settings: settings, keys: keys, listener: listener, peers: [getuid()], limits: Limits(), http: http,
            keeper: KeeperPort(
                isAttached: { channel.isAttached }, hold: { channel.hold($0, $1, $2, isNeeded: $3) },
                forget: { channel.forget($0) }), minute: channel.minute,
            refresh: { channel.refresh($0, $1, completion: $2) }, log: Logger(label: "bench"), checkpoint: { _ in })
        let pool = worker.pool
        let (count, warmUp) = (count, warmUp)
        _ = try startThread {
            do {
                let client = try Client(address)
                for turn in 0..<warmUp { try client.ask(requests[turn % requests.count]) }
                let before = spentByOthers()
                for turn in 0..<count { try client.ask(requests[(warmUp + turn) % requests.count]) }
                let spent = Double(spentByOthers() - before) / 1000 / Double(count)
                print("\(kind): \((spent * 10).rounded() / 10) µs of a worker's processor time a request")
            } catch {
                print("bench-vend: \(error)")
            }
            pool.drain()
        }
        try worker.run {}
    }

    /// One FastCGI request a line of the file, ready to be sent.
    private func requests() throws -> [[UInt8]] {
        try String(contentsOfFile: callers, encoding: .utf8).split(separator: "\n").map { line in
            let parts = line.split(separator: " ").map(String.init)
            switch kind {
            case "hello": return Client.request("GET", "/healthz", bearer: nil, body: "")
            case "key":
                return Client.request(
                    "POST", "/api/tokens/vend", bearer: parts[1], body: #"{"provider":"github","scopes":["repo"]}"#)
            default:
                return Client.request(
                    "POST", "/api/tokens/vend", bearer: parts[2],
                    body: #"{"userId":"\#(parts[0])","provider":"github","scopes":["repo"]}"#)
            }
        }
    }

    private func listen() throws -> (Int32, sockaddr_un) {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) {
            $0.copyBytes(from: "\u{0}toolshed-bench-\(getpid())".utf8)
        }
        let listener = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        try Client.check(Client.with(address) { bind(listener, $0, $1) } == 0 && Glibc.listen(listener, 16) == 0)
        return (listener, address)
    }
}

/// Processor time of everything but the thread that asks, in nanoseconds.
private func spentByOthers() -> UInt64 {
    nanoseconds(CLOCK_PROCESS_CPUTIME_ID) - nanoseconds(CLOCK_THREAD_CPUTIME_ID)
}

private func nanoseconds(_ clock: clockid_t) -> UInt64 {
    var time = timespec()
    clock_gettime(clock, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}

/// The least of a FastCGI client: one connection, one request at a time.
private struct Client {
    enum Failure: Error {
        case system(Int32)
        case unexpected(String)
    }

    let connection: Int32

    init(_ address: sockaddr_un) throws {
        connection = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        let connection = connection
        try Self.check(Self.with(address) { connect(connection, $0, $1) } == 0)
    }

    func ask(_ request: [UInt8]) throws {
        try Self.check(send(connection, request, request.count, Int32(MSG_NOSIGNAL)) == request.count)
        try withUnsafeTemporaryAllocation(byteCount: 65_536, alignment: 8) { buffer in
            var count = 0
            // The last record is FCGI_END_REQUEST, eight bytes long.
            while count < 16 || buffer[count - 15] != 3 || buffer[count - 16] != 1 {
                let more = recv(connection, buffer.baseAddress! + count, buffer.count - count, 0)
                try Self.check(more > 0)
                count += more
            }
            let answer = String(decoding: buffer[..<count], as: UTF8.self)
            guard answer.contains("Status: 200") else { throw Failure.unexpected(answer) }
        }
    }

    /// FastCGI 1.0 §3.3, with what nginx/toolshed/fastcgi.conf sends.
    static func request(_ method: String, _ path: String, bearer: String?, body: String) -> [UInt8] {
        var parameters: [(String, String)] = [
            ("REQUEST_METHOD", method), ("REQUEST_URI", path), ("DOCUMENT_URI", path), ("QUERY_STRING", ""),
            ("CONTENT_TYPE", body.isEmpty ? "" : "application/json"),
            ("CONTENT_LENGTH", body.isEmpty ? "" : String(body.utf8.count)), ("REMOTE_ADDR", "127.0.0.1"),
            ("HTTP_PROXY", ""), ("HTTP_HOST", "127.0.0.1:8443"),
        ]
        if let bearer { parameters.append(("HTTP_AUTHORIZATION", "Bearer \(bearer)")) }
        var pairs: [UInt8] = []
        for (name, value) in parameters {
            pairs += [UInt8(name.utf8.count), UInt8(value.utf8.count)] + Array(name.utf8) + Array(value.utf8)
        }
        var records = record(1, [0, 1, 1, 0, 0, 0, 0, 0]) + record(4, pairs) + record(4, [])
        if !body.isEmpty { records += record(5, Array(body.utf8)) }
        return records + record(5, [])
    }

    private static func record(_ type: UInt8, _ content: [UInt8]) -> [UInt8] {
        [1, type, 0, 1, UInt8(content.count >> 8), UInt8(content.count & 255), 0, 0] + content
    }

    static func with(_ address: sockaddr_un, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32) -> Int32 {
        withUnsafePointer(to: address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, socklen_t(MemoryLayout<sockaddr_un>.size)) }
        }
    }

    static func check(_ isRight: Bool) throws {
        guard isRight else { throw Failure.system(errno) }
    }
}
