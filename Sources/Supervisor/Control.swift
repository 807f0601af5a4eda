import CLinux
import Glibc

/// What the supervisor and its children say to each other over the children's descriptor 3, one datagram each.
public enum ControlTag: UInt8, Sendable {
    // To a child.
    /// `NAME=VALUE` entries, each with a NUL behind it: what is too secret for an environment.
    case settings = 1
    /// The key material of the child's role, opaque here.
    case keys
    /// A channel between a worker and the keeper: its descriptor, and the worker's number (4 bytes, big-endian).
    case channel
    /// To the keeper: take up changed configuration, and answer `reloaded` or `refused`.
    case reload
    /// Finish what is in flight and leave. One byte: 1 when nobody takes over the listening socket.
    case drain
    /// To a worker, every few seconds: look at your threads, and say that you are there.
    case look

    // From a child.
    case ready = 16
    /// A sentence for the operator; the child leaves.
    case failed
    case reloaded
    /// A sentence for the operator; nothing was changed.
    case refused
    /// From a worker: it wants to be replaced, and why.
    case worn
    /// From a worker: it has looked.
    case looked
}

public enum ControlError: Error, Equatable, Sendable {
    case system(call: String, errno: Int32)
    case malformed
}

/// One datagram, wiped when it is released.
public final class ControlMessage {
    public let tag: ControlTag
    /// Owned by whoever received the message.
    public let descriptor: Int32?
    private let buffer: UnsafeMutableRawBufferPointer

    fileprivate init(tag: ControlTag, descriptor: Int32?, buffer: UnsafeMutableRawBufferPointer) {
        self.tag = tag
        self.descriptor = descriptor
        self.buffer = buffer
    }

    deinit {
        clinux_wipe(buffer.baseAddress, buffer.count)
        buffer.deallocate()
    }

    public func withPayload<R>(_ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R {
        try body(UnsafeRawBufferPointer(rebasing: buffer[1...]))
    }

    /// Overwrites the payload before its time.
    func wipe() { clinux_wipe(buffer.baseAddress! + 1, buffer.count - 1) }

    public var text: String { withPayload { String(decoding: $0, as: UTF8.self) } }

    /// The number of a worker in a `channel`.
    public var worker: UInt32? {
        withPayload { $0.count == 4 ? $0.reduce(0) { $0 << 8 | UInt32($1) } : nil }
    }
}

/// One end of a control connection: a SOCK_SEQPACKET socket, whose end-of-file says that the other process is gone.
public struct ControlSocket: Sendable {
    /// Where a child finds its own.
    public static let inherited = ControlSocket(descriptor: 3)

    public let descriptor: Int32

    public init(descriptor: Int32) {
        self.descriptor = descriptor
    }

    /// Two connected ends, both close-on-exec.
    public static func pair() throws(ControlError) -> (ControlSocket, ControlSocket) {
        var ends: [Int32] = [-1, -1]
        let type = Int32(SOCK_SEQPACKET.rawValue | SOCK_CLOEXEC.rawValue)
        guard socketpair(AF_UNIX, type, 0, &ends) == 0 else { throw .system(call: "socketpair", errno: errno) }
        return (ControlSocket(descriptor: ends[0]), ControlSocket(descriptor: ends[1]))
    }

    public func send(
        _ tag: ControlTag, _ payload: UnsafeRawBufferPointer = UnsafeRawBufferPointer(start: nil, count: 0),
        descriptor passed: Int32? = nil
    ) throws(ControlError) {
        let datagram = UnsafeMutableRawBufferPointer.allocate(byteCount: payload.count + 1, alignment: 1)
        defer {
            clinux_wipe(datagram.baseAddress, datagram.count)
            datagram.deallocate()
        }
        datagram[0] = tag.rawValue
        UnsafeMutableRawBufferPointer(rebasing: datagram[1...]).copyMemory(from: payload)
        var handed = passed ?? -1
        let count = clinux_send(descriptor, datagram.baseAddress, datagram.count, &handed, passed == nil ? 0 : 1)
        guard count == datagram.count else { throw .system(call: "sendmsg", errno: errno) }
    }

    public func send(_ tag: ControlTag, _ text: String) throws(ControlError) {
        var text = text
        do {
            try text.withUTF8 { try send(tag, UnsafeRawBufferPointer($0)) }
        } catch {
            throw error as? ControlError ?? .malformed
        }
    }

    /// The next datagram; nil when the other process is gone. Waits, unless `flags` says MSG_DONTWAIT.
    public func receive(flags: Int32 = 0) throws(ControlError) -> ControlMessage? {
        var probe: UInt8 = 0
        var length: Int
        repeat {
            length = recv(descriptor, &probe, 1, flags | Int32(MSG_PEEK) | Int32(MSG_TRUNC))
        } while length < 0 && errno == EINTR
        if length == 0 || (length < 0 && errno == ECONNRESET) { return nil }
        guard length > 0 else { throw .system(call: "recv", errno: errno) }
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: length, alignment: 16)
        var passed: Int32 = -1
        var count = 1
        guard clinux_receive(descriptor, buffer.baseAddress, length, &passed, &count, flags) == length,
            let tag = ControlTag(rawValue: buffer[0])
        else {
            if count == 1 { close(passed) }
            buffer.deallocate()
            throw .malformed
        }
        return ControlMessage(tag: tag, descriptor: count == 1 ? passed : nil, buffer: buffer)
    }
}
