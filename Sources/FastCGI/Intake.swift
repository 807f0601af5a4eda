import CLinux
import Glibc

/// What one request thread is reading through libfcgi at the moment.
///
/// The thread points its thread-local slot here before it calls into libfcgi, and the functions below find it there.
struct Intake {
    let bounds: RecordGuard.Bounds
    let patienceMilliseconds: Int64
    var records: RecordGuard
    /// Bounds the whole of a request's reading, however slowly its bytes drip (CLOCK_MONOTONIC_COARSE).
    var readDeadline: Int64 = 0
    /// Bounds the writing of an answer from the moment when the peer does not take it; 0 until then.
    var writeDeadline: Int64 = 0
    var reads = 0
    /// The connection had nothing to read: what made it look readable was read before, as part of the last request.
    var foundNothing = false
    var violation: RecordViolation?
    /// libfcgi's own buffer: the request's secrets lie in it until it is wiped.
    var buffer: UnsafeMutableRawPointer?
    var bufferUsed = 0

    /// Something came, and it was no request; an idle connection that ends is none of these.
    var isMalformed: Bool { !foundNothing && (reads > 1 || violation != nil) }

    init(_ limits: Limits) {
        bounds = RecordGuard.Bounds(parameterBytes: limits.parameterBytes, parameters: limits.parameters)
        patienceMilliseconds = limits.ioMilliseconds
        records = RecordGuard(bounds: bounds)
    }

    mutating func begin() {
        records = RecordGuard(bounds: bounds)
        readDeadline = 0
        writeDeadline = 0
        reads = 0
        foundNothing = false
        violation = nil
        buffer = nil
        bufferUsed = 0
    }

    /// Returns what libfcgi's reader expects: a count, 0 at the end, -1 on an error.
    fileprivate mutating func read(_ descriptor: Int32, into target: UnsafeMutableRawPointer, _ room: Int) -> Int32 {
        guard violation == nil else { return 0 }
        reads += 1
        var count = recv(descriptor, target, room, Int32(MSG_DONTWAIT))
        while count < 0, errno == EINTR || errno == EAGAIN {
            if errno == EAGAIN {
                if reads == 1 {
                    foundNothing = true
                    return -1
                }
                guard wait(for: descriptor, POLLIN, until: &readDeadline) else {
                    violation = .tooSlow
                    return 0
                }
            }
            count = recv(descriptor, target, room, Int32(MSG_DONTWAIT))
        }
        guard count > 0 else { return Int32(count) }
        buffer = target
        bufferUsed = max(bufferUsed, count)
        do throws(RecordViolation) {
            try records.admit(UnsafeRawBufferPointer(start: target, count: count))
        } catch {
            violation = error
            clinux_wipe(target, count)
            return 0
        }
        return Int32(count)
    }

    /// Returns what libfcgi's writer expects: the count, or -1.
    fileprivate mutating func write(_ descriptor: Int32, _ source: UnsafeMutableRawPointer, _ count: Int) -> Int32 {
        var sent = 0
        while sent < count {
            let written = send(descriptor, source + sent, count - sent, Int32(MSG_NOSIGNAL | MSG_DONTWAIT))
            if written > 0 {
                sent += written
            } else if errno == EAGAIN {
                guard wait(for: descriptor, POLLOUT, until: &writeDeadline) else { return -1 }
            } else if errno != EINTR {
                return -1
            }
        }
        return Int32(count)
    }

    private func wait(for descriptor: Int32, _ events: Int32, until deadline: inout Int64) -> Bool {
        let now = monotonicMilliseconds()
        if deadline == 0 { deadline = now + patienceMilliseconds }
        guard deadline > now else { return false }
        var one = pollfd(fd: descriptor, events: Int16(events), revents: 0)
        let ready = poll(&one, 1, Int32(deadline - now))
        return ready > 0 || (ready < 0 && errno == EINTR)
    }
}

/// Milliseconds of a clock that never jumps, at the resolution of a tick: good for deadlines, free of a system call.
func monotonicMilliseconds() -> Int64 {
    var now = timespec()
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now)
    return Int64(now.tv_sec) * 1000 + Int64(now.tv_nsec) / 1_000_000
}

// libfcgi keeps its system calls in one file behind the names OS_*, so that it can be carried to another system. An
// executable's definition of such a name comes before the library's (ELF symbol interposition), and the four below are
// ours: reading passes the guard, writing raises no signal and leaves no token behind, and libfcgi neither closes nor
// accepts a descriptor, so a number can never be closed twice or belong to another thread by then.

@c(OS_Read)
public func readForParser(_ descriptor: Int32, _ target: UnsafeMutableRawPointer?, _ room: Int) -> Int32 {
    guard let target, let slot = clinux_thread_slot() else { return -1 }
    return slot.assumingMemoryBound(to: Intake.self).pointee.read(descriptor, into: target, room)
}

@c(OS_Write)
public func writeForParser(_ descriptor: Int32, _ source: UnsafeMutableRawPointer?, _ count: Int) -> Int32 {
    guard let source, let slot = clinux_thread_slot() else { return -1 }
    defer { clinux_wipe(source, count) }
    return slot.assumingMemoryBound(to: Intake.self).pointee.write(descriptor, source, count)
}

@c(OS_IpcClose)
public func closeForParser(_ descriptor: Int32) -> Int32 {
    0
}

@c(OS_Accept)
public func acceptForParser(_ listener: Int32, _ failOnInterrupt: Int32, _ addresses: UnsafePointer<CChar>?) -> Int32 {
    errno = EBADF
    return -1
}
