import CLinux
import Glibc
import Testing

@testable import Supervisor

@Suite struct ControlTests {
    @Test("A message carries its payload, and a descriptor that works")
    func descriptor() throws {
        let (one, other) = try ControlSocket.pair()
        defer { for end in [one, other] { close(end.descriptor) } }
        var pipe: [Int32] = [0, 0]
        #expect(Glibc.pipe(&pipe) == 0)
        try ([0, 0, 1, 2] as [UInt8]).withUnsafeBytes { try one.send(.channel, $0, descriptor: pipe[1]) }
        close(pipe[1])
        let message = try #require(try other.receive())
        #expect(message.tag == .channel)
        #expect(message.worker == 258)
        let passed = try #require(message.descriptor)
        #expect(write(passed, "x", 1) == 1)
        close(passed)
        var byte: UInt8 = 0
        #expect(read(pipe[0], &byte, 1) == 1 && byte == 0x78)
        #expect(read(pipe[0], &byte, 1) == 0)
        close(pipe[0])
    }

    @Test("The other end's end is the end")
    func end() throws {
        let (one, other) = try ControlSocket.pair()
        close(one.descriptor)
        #expect(try other.receive() == nil)
        close(other.descriptor)
    }

    @Test(
        "What is no message is refused, with or without a descriptor",
        arguments: [[0], [99], [255, 1, 2]] as [[UInt8]])
    func malformed(bytes: [UInt8]) throws {
        let (one, other) = try ControlSocket.pair()
        defer { for end in [one, other] { close(end.descriptor) } }
        var handed: Int32 = one.descriptor
        for count in [0, 1] {
            #expect(clinux_send(one.descriptor, bytes, bytes.count, &handed, count) == bytes.count)
            #expect(throws: ControlError.malformed) { try other.receive() }
        }
    }

    @Test("Settings arrive as they were sent, whatever is in them")
    func settings() {
        let encoded = Array("A=1\u{0}B=\u{0}C=x=y\nz\u{0}noise\u{0}".utf8)
        #expect(encoded.withUnsafeBytes(OwnEnvironment.decode) == ["A": "1", "B": "", "C": "x=y\nz"])
    }

    @Test("A variable can be blanked where the kernel put it")
    func blanking() {
        setenv("TOOLSHED_TEST_CANARY", "a secret", 1)
        OwnEnvironment.blank("TOOLSHED_TEST_CANARY")
        #expect(String(cString: getenv("TOOLSHED_TEST_CANARY")) == "")
        unsetenv("TOOLSHED_TEST_CANARY")
    }

    @Test("A socket whose path does not fit is refused before anything is made")
    func longPath() {
        let path = "/tmp/" + String(repeating: "x", count: 110)
        #expect(throws: ListeningSocketError.tooLong(path: path)) { try ListeningSocket.bind(path: path) }
    }

    @Test("systemd's socket is taken only when it was meant for this process")
    func inheritance() {
        #expect(ListeningSocket.inherited(environment: ["LISTEN_PID": "1", "LISTEN_FDS": "1"]) == nil)
        #expect(ListeningSocket.inherited(environment: ["LISTEN_PID": "\(getpid())", "LISTEN_FDS": "0"]) == nil)
        #expect(ListeningSocket.inherited(environment: [:]) == nil)
    }
}
