import Foundation
import Synchronization

/// A bare TCP listener on loopback, for what no HTTP server would do. Each connection is given to `serve` on a thread of
/// its own and closed after it.
final class Listener: Sendable {
    let port: UInt16
    private let fd: Int32
    private let accepted = Mutex(0)

    init(serve: @escaping @Sendable (_ number: Int, _ fd: Int32) -> Void) throws {
        let fd = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let bound = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(fd, $0, length) == 0 && listen(fd, 1024) == 0 && getsockname(fd, $0, &length) == 0
            }
        }
        guard bound else { throw POSIXError(POSIXErrorCode(rawValue: errno) ?? .EIO) }
        self.fd = fd
        port = UInt16(bigEndian: address.sin_port)
        Thread.detachNewThread { [self] in
            while case let connection = accept(fd, nil, nil), connection >= 0 {
                let number = accepted.withLock { count in
                    count += 1
                    return count
                }
                Thread.detachNewThread {
                    serve(number, connection)
                    close(connection)
                }
            }
        }
    }

    /// The thread keeps `self`; closing is what ends it.
    func stop() {
        shutdown(fd, Int32(SHUT_RDWR))
        close(fd)
    }

    var connections: Int { accepted.withLock { $0 } }
    var origin: String { "http://127.0.0.1:\(port)" }
}

/// Reads a request up to the end of its headers, or of the connection.
func readHead(_ fd: Int32) -> String {
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 4096)
    while !String(decoding: bytes, as: UTF8.self).contains("\r\n\r\n") {
        let count = recv(fd, &buffer, buffer.count, 0)
        guard count > 0 else { break }
        bytes += buffer[..<count]
    }
    return String(decoding: bytes, as: UTF8.self)
}

/// Reads until the other side has closed.
func readToEnd(_ fd: Int32) {
    var buffer = [UInt8](repeating: 0, count: 4096)
    while recv(fd, &buffer, buffer.count, 0) > 0 {}
}

/// False when the other side is gone.
@discardableResult
func write(_ fd: Int32, _ text: String) -> Bool {
    var text = text
    return text.withUTF8 { send(fd, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) == $0.count }
}
