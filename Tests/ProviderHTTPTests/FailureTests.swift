import Foundation
import OAuth
import ProviderHTTP
import Secrets
import Synchronization
import Testing

@Suite("What may have reached the provider, and what cannot have")
struct FailureTests {
    @Test("Nothing listens: not sent")
    func refused() async throws {
        let listener = try Listener { _, _ in }
        listener.stop()
        #expect(try await LoopThread().send(.loopback("POST", listener.origin, body: "a=b")).kind == "notSent")
    }

    @Test("The name does not resolve: not sent")
    func unknownHost() async throws {
        let call = ProviderCall(method: "GET", url: "https://provider.invalid/")
        #expect(try await LoopThread().send(call, deadlineMilliseconds: 2_000).kind == "notSent")
    }

    @Test("The other side does not speak TLS, or says nothing in the handshake: not sent", arguments: [true, false])
    func handshake(answers: Bool) async throws {
        let listener = try Listener { _, fd in
            if answers { write(fd, "HTTP/1.1 400 Bad Request\r\n\r\n") }
            readToEnd(fd)
        }
        defer { listener.stop() }
        let call = ProviderCall.loopback("POST", "https://127.0.0.1:\(listener.port)/", body: "code=c")
        #expect(try await LoopThread().send(call, deadlineMilliseconds: 300).kind == "notSent")
        #expect(listener.connections == 1)
    }

    @Test(
        "The connection ends after the request was read: lost",
        arguments: ["drop", "truncated"], ["before", "after"])
    func dropped(kind: String, when: String) async throws {
        let provider = try ProviderDouble()
        let loop = try LoopThread()
        try await loop.arm(
            provider, #"{"family": "generic", "endpoint": "token", "kind": "\#(kind)", "when": "\#(when)"}"#)
        #expect(await loop.send(.exchange(provider)).kind == "lost")
        #expect(try await loop.requests(provider, "exchange").count == 1)
    }

    @Test("The answer does not come in time: lost, at the deadline")
    func silence() async throws {
        let provider = try ProviderDouble()
        let loop = try LoopThread()
        try await loop.arm(provider, #"{"family": "generic", "endpoint": "token", "kind": "hold"}"#)
        let start = ContinuousClock.now
        #expect(await loop.send(.exchange(provider), deadlineMilliseconds: 400).kind == "lost")
        let taken = ContinuousClock.now - start
        // Well before the fifteen seconds that a call has otherwise; a busy machine may take its time.
        #expect(taken >= .milliseconds(390) && taken < .seconds(12))
    }

    @Test("An answer that comes a byte at a time ends at the deadline")
    func slowLoris() async throws {
        let provider = try ProviderDouble()
        let loop = try LoopThread()
        try await loop.arm(
            provider, #"{"family": "generic", "endpoint": "token", "kind": "slow_loris", "interval": 0.05}"#)
        #expect(await loop.send(.exchange(provider), deadlineMilliseconds: 600).kind == "lost")
    }

    @Test("The call's own total ends it where the given deadline is longer")
    func ownTotal() async throws {
        let listener = try Listener { _, fd in readToEnd(fd) }
        defer { listener.stop() }
        var limits = ProviderCall.Limits()
        limits.allowsLoopbackHTTP = true
        limits.totalMilliseconds = 200
        let call = ProviderCall(method: "GET", url: listener.origin, limits: limits)
        #expect(try await LoopThread().send(call, deadlineMilliseconds: 60_000).kind == "lost")
    }

    @Test("Five megabytes are refused by their announced length")
    func huge() async throws {
        let provider = try ProviderDouble()
        let loop = try LoopThread()
        try await loop.arm(provider, #"{"family": "generic", "endpoint": "token", "kind": "huge"}"#)
        #expect(await loop.send(.exchange(provider)).kind == "tooLarge")
    }

    @Test("An endless body, and endless headers, are refused as they grow", arguments: ["\r\n", "X-Filler: "])
    func endless(start: String) async throws {
        let listener = try Listener { _, fd in
            _ = readHead(fd)
            write(fd, "HTTP/1.1 200 OK\r\n" + start)
            let filler = start == "\r\n" ? String(repeating: "x", count: 8192) : "y\r\nX-Filler: y\r\nX-Filler: y"
            while write(fd, filler) {}
        }
        defer { listener.stop() }
        #expect(try await LoopThread().send(.loopback("GET", listener.origin)).kind == "tooLarge")
    }

    @Test("The limit itself is allowed, a byte more is not", arguments: [(65_536, "200"), (65_537, "tooLarge")])
    func limit(bytes: Int, kind: String) async throws {
        let listener = try Listener { _, fd in
            _ = readHead(fd)
            write(fd, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + String(repeating: "x", count: bytes))
        }
        defer { listener.stop() }
        let outcome = try await LoopThread().send(.loopback("GET", listener.origin))
        #expect(outcome.kind == kind)
        if case .success(let reply) = outcome { #expect(reply.body.count == bytes) }
    }

    @Test("A redirect is not followed, with credentials or without", arguments: [301, 302, 303, 307, 308])
    func redirect(status: Int) async throws {
        let provider = try ProviderDouble()
        let loop = try LoopThread()
        let elsewhere = provider.url("/generic/api/whoami")
        try await loop.arm(
            provider,
            #"{"family": "generic", "endpoint": "token", "kind": "redirect", "status": \#(status), "location": "\#(elsewhere)"}"#
        )
        #expect(await loop.send(.exchange(provider)).kind == "redirected")
        #expect(try await loop.requests(provider, "api").isEmpty)
    }

    @Test("A request that consumes something is never repeated on its own when a kept connection turns out dead")
    func neverRepeated() async throws {
        let posts = Mutex(0)
        let listener = try Listener { _, fd in
            // Keeps the connection after a GET, and closes it unanswered once a POST was read.
            while case let head = readHead(fd), !head.isEmpty {
                if head.hasPrefix("POST") {
                    posts.withLock { $0 += 1 }
                    return
                }
                write(fd, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
            }
        }
        defer { listener.stop() }
        let loop = try LoopThread()
        #expect(await loop.send(.loopback("GET", listener.origin)).kind == "200")
        #expect(await loop.send(.loopback("POST", listener.origin, body: "refresh_token=r")).kind == "lost")
        #expect(posts.withLock { $0 } == 1)
    }
}
