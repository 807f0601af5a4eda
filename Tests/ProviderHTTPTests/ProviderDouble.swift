import Foundation
import OAuth
import ProviderHTTP
import Secrets

/// The provider double, a process of its own that leaves with this one.
final class ProviderDouble: Sendable {
    let origin: String
    private let process: Process
    private let input: Pipe

    init(_ arguments: [String] = []) throws {
        // A proxy that leads nowhere, in the environment of all these tests: no call may take it.
        setenv("http_proxy", "http://127.0.0.1:1", 1)
        setenv("https_proxy", "http://127.0.0.1:1", 1)
        setenv("ALL_PROXY", "http://127.0.0.1:1", 1)
        let script = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../double/double.py")
        let output = Pipe()
        input = Pipe()
        process = Process()
        process.executableURL = URL(filePath: "/usr/bin/env")
        process.arguments = ["python3", "-B", script.standardizedFileURL.path, "--until-eof"] + arguments
        process.standardInput = input
        process.standardOutput = output
        try process.run()
        struct Ready: Decodable { let port: Int }
        let line = try JSONDecoder().decode(Ready.self, from: output.fileHandleForReading.availableData)
        origin = "\(arguments.contains("--cert") ? "https" : "http")://127.0.0.1:\(line.port)"
    }

    deinit {
        try? input.fileHandleForWriting.close()
        process.waitUntilExit()
    }

    func url(_ path: String) -> String { origin + path }

    /// The operator's file that points the service at this double.
    func operatorFile(demo: Bool) throws -> Data {
        let script = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../double/operator_yaml.py")
        let output = Pipe()
        let writer = Process()
        writer.executableURL = URL(filePath: "/usr/bin/env")
        writer.arguments =
            ["python3", "-B", script.standardizedFileURL.path, String(origin.split(separator: ":").last!)]
            + (demo ? ["--demo"] : [])
        writer.standardOutput = output
        try writer.run()
        return output.fileHandleForReading.readDataToEndOfFile()
    }
}

/// A loop with a thread of its own, stopped with its owner.
final class LoopThread: Sendable {
    let http: ProviderHTTP

    init(caFile: String? = nil) throws {
        let http = try ProviderHTTP(caFile: caFile)
        self.http = http
        Thread.detachNewThread { http.run() }
    }

    deinit { http.stop() }

    func send(_ call: ProviderCall, deadlineMilliseconds: Int? = nil) async -> Result<ProviderReply, TransportFailure> {
        await withCheckedContinuation { continuation in
            http.send(call, deadlineMilliseconds: deadlineMilliseconds) { continuation.resume(returning: $0) }
        }
    }

    /// A call to /control, which must succeed.
    @discardableResult
    func control<Reply: Decodable>(_ provider: ProviderDouble, _ verb: String, _ body: String? = nil) async throws
        -> Reply
    {
        let reply = try await send(
            .loopback(
                body == nil ? "GET" : "POST", provider.url("/control/\(verb)"), body: body, replyBytes: 64 << 20)
        ).get()
        return try JSONDecoder().decode(Reply.self, from: Data(reply.body))
    }

    func arm(_ provider: ProviderDouble, _ fault: String) async throws {
        let _: Ignored = try await control(provider, "fault", fault)
    }

    /// What reached the provider's endpoint of that name.
    func requests(_ provider: ProviderDouble, _ endpoint: String) async throws -> [Recorded] {
        let log: Log = try await control(provider, "log?endpoint=\(endpoint)")
        return log.requests
    }
}

struct Ignored: Decodable {}

struct Log: Decodable {
    let requests: [Recorded]
}

struct Recorded: Decodable {
    let method: String
    let path: String
    let headers: [[String]]
    let body: String

    func header(_ name: String) -> String? {
        headers.first { $0[0].lowercased() == name }?[1]
    }
}

extension ProviderCall {
    static func loopback(
        _ method: String, _ url: String, headers: [Header] = [], body: String? = nil, replyBytes: Int = 64 * 1024
    ) -> ProviderCall {
        var limits = Limits()
        limits.allowsLoopbackHTTP = true
        limits.replyBytes = replyBytes
        try! SecureHeap.start(bytes: 4 << 20)
        return ProviderCall(
            method: method, url: url, headers: headers, body: body.map { try! SecretText($0) }, limits: limits)
    }

    /// A token request as the flows make it.
    static func exchange(_ provider: ProviderDouble) -> ProviderCall {
        .loopback(
            "POST", provider.url("/generic/token"),
            headers: [
                Header("Accept", "application/json"), Header("Content-Type", "application/x-www-form-urlencoded"),
            ],
            body: "grant_type=authorization_code&code=none&client_id=generic-client&client_secret=generic-secret")
    }
}

extension Result where Success == ProviderReply, Failure == TransportFailure {
    /// The failure without its words, which are for the log.
    var kind: String {
        switch self {
        case .success(let reply): "\(reply.status)"
        case .failure(.notSent): "notSent"
        case .failure(.lost): "lost"
        case .failure(.tooLarge): "tooLarge"
        case .failure(.redirected): "redirected"
        }
    }
}
