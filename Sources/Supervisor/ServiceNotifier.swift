import CLinux
import Glibc

/// Tells systemd how the service is (sd_notify(3)); silent where nobody asked.
public struct ServiceNotifier: Sendable {
    private let path: String?

    public init(environment: [String: String]) {
        path = environment["NOTIFY_SOCKET"].flatMap { $0.first == "/" || $0.first == "@" ? $0 : nil }
    }

    public func ready() { send("READY=1\nSTATUS=Answering requests") }
    public func stopping() { send("STOPPING=1\nSTATUS=Finishing what is in flight") }

    public func reloading() {
        var now = timespec()
        clock_gettime(CLOCK_MONOTONIC, &now)
        send("RELOADING=1\nMONOTONIC_USEC=\(now.tv_sec * 1_000_000 + now.tv_nsec / 1000)")
    }

    private func send(_ text: String) {
        guard let path else { return }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        var name = Array(path.utf8)
        // An abstract socket's name begins with a NUL (unix(7)), and is as long as it is.
        if name[0] == UInt8(ascii: "@") { name[0] = 0 }
        guard name.count < MemoryLayout.size(ofValue: address.sun_path) else { return }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: name) }
        let length = MemoryLayout.offset(of: \sockaddr_un.sun_path)! + name.count
        let socket = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        defer { close(socket) }
        var bytes = Array(text.utf8)
        _ = withSocketAddress(address, length: length) { target, size in
            sendto(socket, &bytes, bytes.count, Int32(MSG_NOSIGNAL), target, size)
        }
    }
}
