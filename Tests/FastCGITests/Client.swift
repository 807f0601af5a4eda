import CLinux
import Glibc

/// A web server's side of FastCGI 1.0, small and without mercy: it can send whatever bytes a test wants.
final class Client {
    let descriptor: Int32

    init(descriptor: Int32) {
        self.descriptor = descriptor
        var timeout = timeval(tv_sec: 10, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &timeout, socklen_t(MemoryLayout<timeval>.size))
    }

    convenience init?(path: String) {
        let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        guard withAddress(of: path, { connect(descriptor, $0, $1) }) == 0 else {
            close(descriptor)
            return nil
        }
        self.init(descriptor: descriptor)
    }

    deinit { close(descriptor) }

    @discardableResult
    func send(_ bytes: [UInt8]) -> Bool {
        var sent = 0
        while sent < bytes.count {
            let count = bytes.withUnsafeBytes {
                Glibc.send(descriptor, $0.baseAddress! + sent, bytes.count - sent, Int32(MSG_NOSIGNAL))
            }
            guard count > 0 else { return false }
            sent += count
        }
        return true
    }

    /// Everything until the end of the request (its stdout), or nil when the connection ended before.
    func receive() -> String? {
        var output: [UInt8] = []
        while let (type, content) = receiveRecord() {
            if type == 6 { output += content }
            if type == 3 { return String(decoding: output, as: UTF8.self) }
        }
        return nil
    }

    func receiveRecord() -> (type: UInt8, content: [UInt8])? {
        guard let header = read(8) else { return nil }
        let count = Int(header[4]) << 8 | Int(header[5])
        guard let content = read(count), read(Int(header[6])) != nil else { return nil }
        return (header[1], content)
    }

    /// True when the other side has closed, and nothing more came.
    func isAtEnd() -> Bool {
        var byte: UInt8 = 0
        let count = recv(descriptor, &byte, 1, 0)
        return count == 0 || (count < 0 && errno == ECONNRESET)
    }

    func request(_ path: String, body: [UInt8] = [], keep: Bool = true) -> String? {
        send(Record.request(["REQUEST_METHOD": "POST", "DOCUMENT_URI": path], body: body, keep: keep))
        return receive()
    }

    private func read(_ count: Int) -> [UInt8]? {
        var bytes = [UInt8](repeating: 0, count: count)
        var got = 0
        while got < count {
            let more = bytes.withUnsafeMutableBytes { recv(descriptor, $0.baseAddress! + got, count - got, 0) }
            guard more > 0 else { return nil }
            got += more
        }
        return bytes
    }
}

/// Records of FastCGI 1.0 §3.3.
enum Record {
    static func bytes(
        type: UInt8, id: UInt16 = 1, version: UInt8 = 1, _ content: [UInt8] = [], padding: UInt8 = 0
    ) -> [UInt8] {
        [
            version, type, UInt8(id >> 8), UInt8(id & 255), UInt8(content.count >> 8), UInt8(content.count & 255),
            padding,
            0,
        ] + content + [UInt8](repeating: 0, count: Int(padding))
    }

    static func begin(keep: Bool = true, role: UInt8 = 1, id: UInt16 = 1) -> [UInt8] {
        bytes(type: 1, id: id, [0, role, keep ? 1 : 0, 0, 0, 0, 0, 0])
    }

    static func length(_ count: Int) -> [UInt8] {
        count < 128
            ? [UInt8(count)]
            : [UInt8(count >> 24 | 0x80), UInt8(count >> 16 & 255), UInt8(count >> 8 & 255), UInt8(count & 255)]
    }

    static func pair(_ name: String, _ value: String) -> [UInt8] {
        length(name.utf8.count) + length(value.utf8.count) + Array(name.utf8) + Array(value.utf8)
    }

    static func stream(_ type: UInt8, _ content: [UInt8], piece: Int = 65535) -> [UInt8] {
        var output: [UInt8] = []
        var rest = content[...]
        while !rest.isEmpty {
            output += bytes(type: type, Array(rest.prefix(piece)), padding: 3)
            rest = rest.dropFirst(piece)
        }
        return output + bytes(type: type)
    }

    static func request(
        _ parameters: KeyValuePairs<String, String>, body: [UInt8] = [], keep: Bool = true, piece: Int = 65535
    ) -> [UInt8] {
        begin(keep: keep) + stream(4, parameters.flatMap { pair($0.key, $0.value) }, piece: piece)
            + stream(5, body, piece: piece)
    }
}

func withAddress<R>(of path: String, _ body: (UnsafePointer<sockaddr>, socklen_t) -> R) -> R {
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8.prefix($0.count - 1)) }
    return withUnsafePointer(to: &address) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, socklen_t(MemoryLayout<sockaddr_un>.size)) }
    }
}
