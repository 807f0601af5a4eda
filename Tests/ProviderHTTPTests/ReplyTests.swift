import Foundation
import OAuth
import ProviderHTTP
import Secrets
import Testing

@Suite("What comes back, and what goes out")
struct ReplyTests {
    @Test("A reply has its status, lower-case headers and body, whatever the status")
    func reply() async throws {
        let provider = try ProviderDouble()
        let loop = try LoopThread()
        let reply = try await loop.send(.exchange(provider)).get()
        #expect(reply.status == 400)
        #expect(reply.headers["content-type"] == "application/json; charset=utf-8")
        #expect(String(decoding: reply.body, as: UTF8.self).hasPrefix(#"{"error":"invalid_grant""#))
    }

    @Test("Method, headers, secret header and body reach the provider as given")
    func request() async throws {
        let provider = try ProviderDouble()
        let loop = try LoopThread()
        try await loop.arm(provider, #"{"family": "*", "endpoint": "*", "kind": "body", "body": {}}"#)
        let call = ProviderCall.loopback(
            "DELETE", provider.url("/github/api/applications/github-client/token"),
            headers: [
                .init("Authorization", try SecretText("Basic c2VjcmV0")), .init("Content-Type", "application/json"),
            ], body: #"{"access_token":"a"}"#)
        #expect(await loop.send(call).kind == "200")
        let seen = try #require(try await loop.requests(provider, "revoke").first)
        #expect(seen.method == "DELETE")
        #expect(seen.header("authorization") == "Basic c2VjcmV0")
        #expect(seen.header("content-type") == "application/json")
        #expect(seen.header("user-agent") == ProviderCall.userAgent)
        #expect(seen.body == #"{"access_token":"a"}"#)
    }

    @Test("A blocking call behaves as one on the loop")
    func blocking() throws {
        let provider = try ProviderDouble()
        #expect(ProviderHTTP.perform(.exchange(provider)).kind == "400")
        #expect(ProviderHTTP.perform(.loopback("GET", "http://127.0.0.1:1/")).kind == "notSent")
    }

    @Test("A cookie that a provider sets is not sent back")
    func cookies() async throws {
        let provider = try ProviderDouble()
        let loop = try LoopThread()
        try await loop.arm(
            provider,
            #"{"family": "generic", "endpoint": "*", "kind": "body", "body": {}, "headers": {"Set-Cookie": "a=b; Path=/"}}"#
        )
        for _ in 0..<2 {
            #expect(try await loop.send(.exchange(provider)).get().headers["set-cookie"] == "a=b; Path=/")
        }
        let seen = try await loop.requests(provider, "exchange")
        #expect(seen.map { $0.header("cookie") } == [nil, nil])
    }

    @Test("Repeated headers are joined, and those of an interim answer are dropped")
    func headers() async throws {
        let listener = try Listener { _, fd in
            _ = readHead(fd)
            write(fd, "HTTP/1.1 103 Early Hints\r\nLink: early\r\n\r\n")
            write(fd, "HTTP/1.1 200 OK\r\nX-Scope:  a \r\nx-scope: b\r\nContent-Length: 0\r\n\r\n")
        }
        defer { listener.stop() }
        let reply = try await LoopThread().send(.loopback("GET", listener.origin)).get()
        #expect(reply.headers == ["x-scope": "a, b", "content-length": "0"])
    }

    @Test("A header that would smuggle in another is not sent", arguments: ["a\r\nB: c", "a\nb", "a\0b"])
    func smuggling(value: String) async throws {
        let listener = try Listener { _, _ in }
        defer { listener.stop() }
        let call = ProviderCall.loopback("GET", listener.origin, headers: [.init("X-Name", value)])
        #expect(try await LoopThread().send(call).kind == "notSent")
        #expect(listener.connections == 0)
    }
}
