import CLinux
import Glibc

public enum ListeningSocketError: Error, Equatable, Sendable, CustomStringConvertible {
    case inUse(path: String)
    case tooLong(path: String)
    case system(call: String, path: String, errno: Int32)

    public var description: String {
        switch self {
        case .inUse(let path): "Another process answers at \(path); stop it first."
        case .tooLong(let path): "The path \(path) is longer than the 107 bytes that a unix socket may have."
        case .system(let call, let path, let code): "\(call) \(path): \(String(cString: strerror(code)))."
        }
    }
}

/// The socket that nginx speaks FastCGI to.
public struct ListeningSocket: Sendable, Equatable {
    public let descriptor: Int32
    /// Where it was bound; nil when systemd bound it, and keeps it when we leave.
    public let path: String?

    /// systemd's, if it passed one to this process (sd_listen_fds(3)).
    public static func inherited(environment: [String: String]) -> ListeningSocket? {
        guard environment["LISTEN_PID"] == String(getpid()), let count = Int(environment["LISTEN_FDS"] ?? ""), count > 0
        else { return nil }
        let first: Int32 = 3
        _ = fcntl(first, F_SETFD, FD_CLOEXEC)
        return ListeningSocket(descriptor: first, path: nil)
    }

    /// A unix socket of our own, mode 0660. A path that nobody answers at is taken over.
    public static func bind(path: String) throws(ListeningSocketError) -> ListeningSocket {
        var address = sockaddr_un()
        let fits = withUnsafeMutableBytes(of: &address.sun_path) { room in
            guard path.utf8.count < room.count else { return false }
            room.copyBytes(from: path.utf8)
            return true
        }
        guard fits else { throw .tooLong(path: path) }
        address.sun_family = sa_family_t(AF_UNIX)
        if answers(at: address) { throw .inUse(path: path) }
        unlink(path)
        let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw .system(call: "socket", path: path, errno: errno) }
        let mask = umask(0o117)
        let bound = withSocketAddress(address) { Glibc.bind(descriptor, $0, $1) }
        let code = errno
        umask(mask)
        guard bound == 0 else { throw .system(call: "bind", path: path, errno: code) }
        guard listen(descriptor, 1024) == 0 else { throw .system(call: "listen", path: path, errno: errno) }
        return ListeningSocket(descriptor: descriptor, path: path)
    }

    private static func answers(at address: sockaddr_un) -> Bool {
        let probe = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        defer { close(probe) }
        return withSocketAddress(address) { connect(probe, $0, $1) } == 0
    }
}

func withSocketAddress<R>(
    _ address: sockaddr_un, length: Int = MemoryLayout<sockaddr_un>.size,
    _ body: (UnsafePointer<sockaddr>, socklen_t) -> R
) -> R {
    withUnsafePointer(to: address) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, socklen_t(length)) }
    }
}
