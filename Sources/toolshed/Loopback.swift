import CLinux
import Dispatch
import Encoding
import Glibc

/// Waits on a port of 127.0.0.1 for the one request with which the browser comes back (RFC 8252 section 7.3).
struct LoopbackListener: ~Copyable, Sendable {
    private let descriptor: Int32
    let port: UInt16

    init?() {
        guard let (descriptor, port) = Self.listen() else { return nil }
        (self.descriptor, self.port) = (descriptor, port)
    }

    private static func listen() -> (Int32, UInt16)? {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { return nil }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let isBound = withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, length) == 0 && Glibc.listen(descriptor, 8) == 0
                    && getsockname(descriptor, $0, &length) == 0
            }
        }
        guard isBound else {
            close(descriptor)
            return nil
        }
        return (descriptor, UInt16(bigEndian: address.sin_port))
    }

    deinit { close(descriptor) }

    /// The query of the request for `path` that has our `state`; everything else gets 404 and changes nothing. A browser
    /// that brings a yes goes on to `next`.
    borrowing func answer(
        path: String, state: String, next: String, within seconds: Int32
    ) async throws -> [String: String] {
        let descriptor = descriptor
        let fields: [String: String]? = await withCheckedContinuation { continuation in
            DispatchQueue.global().async {
                continuation.resume(returning: Self.serve(descriptor, path, state, next, seconds))
            }
        }
        guard let fields else {
            throw Failure(
                .personMustAct, "timeout", "The browser did not come back within five minutes.",
                hint: "Where it cannot reach this computer: toolshed login --device")
        }
        return fields
    }

    private static func serve(
        _ listener: Int32, _ path: String, _ state: String, _ next: String, _ seconds: Int32
    ) -> [String: String]? {
        let deadline = ContinuousClock.now + .seconds(Int64(seconds))
        while true {
            let left = deadline - ContinuousClock.now
            guard left > .zero else { return nil }
            var waiting = pollfd(fd: listener, events: Int16(POLLIN), revents: 0)
            guard poll(&waiting, 1, Int32(left.components.seconds * 1000 + 1)) > 0 else { continue }
            let connection = accept(listener, nil, nil)
            guard connection >= 0 else { continue }
            defer { close(connection) }
            var patience = timeval(tv_sec: 5, tv_usec: 0)
            setsockopt(connection, SOL_SOCKET, SO_RCVTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
            if let fields = fields(of: head(connection), path), fields["state"] == state {
                let sentence = "You can close this window and go back to the terminal."
                let isYes = fields["code"] != nil
                reply(connection, isYes ? "303 See Other" : "200 OK", sentence, location: isYes ? next : nil)
                return fields
            }
            reply(connection, "404 Not Found", "There is nothing here.")
        }
    }

    private static func head(_ connection: Int32) -> String {
        var bytes: [UInt8] = []
        var part = [UInt8](repeating: 0, count: 4096)
        while bytes.count < 16_384 {
            let count = recv(connection, &part, part.count, 0)
            guard count > 0 else { break }
            bytes += part[..<count]
            if String(decoding: bytes, as: UTF8.self).contains("\r\n\r\n") { break }
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    private static func fields(of head: String, _ path: String) -> [String: String]? {
        let line = head.prefix { $0 != "\r\n" }.split(separator: " ")
        guard line.count == 3, line[0] == "GET", line[1].hasPrefix("\(path)?"),
            let pairs = try? Form.parse(Array(line[1].dropFirst(path.count + 1).utf8))
        else { return nil }
        return Dictionary(pairs.map { ($0.name, $0.value) }) { first, _ in first }
    }

    private static func reply(
        _ connection: Int32, _ status: String, _ sentence: String, location: String? = nil
    ) {
        let page = "<!doctype html><html lang=en><meta charset=utf-8><title>Toolshed</title><p>\(sentence)"
        let text = """
            HTTP/1.1 \(status)\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: \(page.utf8.count)\r\n\
            \(location.map { "Location: \($0)\r\n" } ?? "")Connection: close\r\nCache-Control: no-store\r\nReferrer-Policy: no-referrer\r\n\
            Content-Security-Policy: default-src 'none'\r\n\r\n\(page)
            """
        let bytes = Array(text.utf8)
        _ = send(connection, bytes, bytes.count, Int32(MSG_NOSIGNAL))
        shutdown(connection, Int32(SHUT_RDWR))
    }
}

/// Opens an address in the person's browser, where there is one.
enum Browser {
    static func open(_ link: String) {
        let named = Configuration.variable("BROWSER")
        guard
            named != nil || Configuration.variable("DISPLAY") != nil || Configuration.variable("WAYLAND_DISPLAY") != nil
        else { return }
        var pid = pid_t()
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        for descriptor in [Int32(0), 1, 2] {
            posix_spawn_file_actions_addopen(&actions, descriptor, "/dev/null", O_RDWR, 0)
        }
        let program: String = named ?? "xdg-open"
        let arguments: [UnsafeMutablePointer<CChar>?] = [strdup(program), strdup(link), nil]
        defer { for argument in arguments { free(argument) } }
        // Whoever has none opens the link that was shown.
        _ = posix_spawnp(&pid, program, &actions, nil, arguments, clinux_environment())
    }
}
