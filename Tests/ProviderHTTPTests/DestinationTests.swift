import Foundation
import OAuth
import Testing

@testable import ProviderHTTP

@Suite("Where a call may go")
struct DestinationTests {
    @Test(
        "Special-use addresses are not global",
        arguments: [
            "0.0.0.0", "10.1.2.3", "100.64.0.1", "100.127.255.255", "127.0.0.1", "127.255.0.1", "169.254.169.254",
            "172.16.0.1", "172.31.255.255", "192.0.0.8", "192.0.2.1", "192.168.1.1", "198.18.0.1", "198.19.255.255",
            "198.51.100.1", "203.0.113.9", "224.0.0.1", "240.0.0.1", "255.255.255.255", "::", "::1", "::7f00:1",
            "::ffff:10.0.0.1", "::ffff:127.0.0.1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "100::1", "2001::1",
            "2001:db8::1", "2002:7f00:1::", "2002:c0a8:101::1", "3fff::1", "fc00::1", "fd12::1", "fe80::1", "fec0::1",
            "ff02::1",
        ])
    func special(text: String) throws {
        let address = try #require(PeerAddress(parsing: text))
        #expect(!address.isGlobal)
    }

    @Test(
        "Their neighbours are",
        arguments: [
            "1.1.1.1", "9.255.255.255", "11.0.0.1", "100.63.255.255", "100.128.0.1", "126.1.1.1", "128.0.0.1",
            "169.253.1.1", "172.15.1.1", "172.32.0.1", "192.0.1.1", "192.167.1.1", "192.169.1.1", "198.17.1.1",
            "198.20.0.1", "223.255.255.255", "2606:4700::1111", "2001:4860:4860::8888", "::ffff:1.1.1.1",
            "64:ff9b::101:101", "2002:101:101::1",
        ])
    func global(text: String) throws {
        let address = try #require(PeerAddress(parsing: text))
        #expect(address.isGlobal)
    }

    @Test("Loopback is this machine in any notation")
    func loopback() throws {
        for text in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
            #expect(PeerAddress(parsing: text)?.isLoopback == true)
        }
        for text in ["128.0.0.1", "10.0.0.1", "::2", "1.1.1.1"] {
            #expect(PeerAddress(parsing: text)?.isLoopback == false)
        }
    }

    @Test(
        "Anything but https, or http to this machine where permitted, is not called",
        arguments: [
            "http://127.0.0.1", "ftp://127.0.0.1/", "file:///etc/passwd", "gopher://127.0.0.1/",
            "https://me@127.0.0.1/",
            "https://127.0.0.1", "https://[::ffff:127.0.0.1]", "https://2130706433", "https://0x7f.1", "", "https://",
            "127.0.0.1",
        ])
    func refused(start: String) async throws {
        let listener = try Listener { _, _ in }
        defer { listener.stop() }
        let host = start.hasSuffix("/") || start.isEmpty ? start : "\(start):\(listener.port)/"
        let call = ProviderCall(method: "GET", url: host)
        #expect(try await LoopThread().send(call, deadlineMilliseconds: 2_000).kind == "notSent")
        #expect(listener.connections == 0)
    }

    @Test(
        "http leaves this machine in no case", arguments: ["http://192.0.2.1/", "http://10.0.0.1/", "http://1.1.1.1/"])
    func plainHTTP(url: String) async throws {
        let loop = try LoopThread()
        await #expect(throws: TransportFailure.notSent("the address is not permitted")) {
            try await loop.send(.loopback("GET", url)).get()
        }
    }

    @Test("A kept connection to an address that this call may not use is not used")
    func keptConnection() async throws {
        let certificate = try Certificate()
        let provider = try ProviderDouble(["--cert", certificate.path, "--key", certificate.keyPath])
        let loop = try LoopThread(caFile: certificate.path)
        let url = provider.url("/generic/.well-known/openid-configuration")
        #expect(await loop.send(.loopback("GET", url)).kind == "200")
        #expect(await loop.send(ProviderCall(method: "GET", url: url)).kind == "notSent")
        #expect(try await loop.requests(provider, "discovery").count == 1)
    }

    @Test("A server that the CA file vouches for is called, and only then")
    func trust() async throws {
        let certificate = try Certificate()
        let provider = try ProviderDouble(["--cert", certificate.path, "--key", certificate.keyPath])
        #expect(try await LoopThread(caFile: certificate.path).send(.exchange(provider)).kind == "400")
        #expect(try await LoopThread().send(.exchange(provider)).kind == "notSent")
        #expect(try await LoopThread(caFile: Certificate().path).send(.exchange(provider)).kind == "notSent")
        #expect(ProviderHTTP.perform(.exchange(provider), caFile: certificate.path).kind == "400")
    }

    @Test("The certificate must name the host that was called")
    func hostName() async throws {
        let certificate = try Certificate(names: "DNS:other.example")
        let provider = try ProviderDouble(["--cert", certificate.path, "--key", certificate.keyPath])
        #expect(try await LoopThread(caFile: certificate.path).send(.exchange(provider)).kind == "notSent")
    }
}

/// A self-signed certificate in a folder of its own.
final class Certificate {
    private let folder: URL
    var path: String { folder.appending(path: "cert.pem").path }
    var keyPath: String { folder.appending(path: "key.pem").path }

    init(names: String = "IP:127.0.0.1") throws {
        folder = FileManager.default.temporaryDirectory.appending(path: "wire-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        let openssl = Process()
        openssl.executableURL = URL(filePath: "/usr/bin/env")
        openssl.arguments =
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1"]
            + ["-subj", "/CN=double", "-addext", "subjectAltName=\(names)", "-keyout", keyPath, "-out", path]
        openssl.standardError = FileHandle.nullDevice
        try openssl.run()
        openssl.waitUntilExit()
    }

    deinit { try? FileManager.default.removeItem(at: folder) }
}
