import CLinux
import Glibc

/// What one request thread is reading through libfcgi at the moment.
///
/// The thread points its thread-local slot here before it calls into libfcgi, and the functions below find it there.
struct Intake {
    var bounds: RecordGuard.Bounds
    var records: RecordGuard
    /// Bounds the whole of a request's reading, however slowly its bytes drip (CLOCK_MONOTONIC_COARSE).
    var deadlineMilliseconds: Int64 = 0
    var reads = 0
    var violation: RecordViolation?
    /// libfcgi's own buffer: the request's secrets lie in it until it is wiped.
    var buffer: UnsafeMutableRawPointer?
    var bufferUsed = 0

    init(bounds: RecordGuard.Bounds) {
        self.bounds = bounds
        records = RecordGuard(bounds: bounds)
    }

    mutating func begin(deadlineMilliseconds: Int64) {
        records = RecordGuard(bounds: bounds)
        self.deadlineMilliseconds = deadlineMilliseconds
        reads = 0
        violation = nil
        buffer = nil
        bufferUsed = 0
    }

    /// Returns what libfcgi's reader expects: a count, 0 at the end, -1 on an error.
    fileprivate mutating func read(_ descriptor: Int32, into target: UnsafeMutableRawPointer, _ room: Int) -> Int32 {
        guard violation == nil else { return 0 }
        reads += 1
        if reads > 1, monotonicMilliseconds() > deadlineMilliseconds {
            violation = .tooSlow
            return 0
        }
        var count: Int
        repeat { count = recv(descriptor, target, room, 0) } while count < 0 && errno == EINTR
        guard count > 0 else {
            if count < 0, errno == EAGAIN { violation = .tooSlow }
            return Int32(count)
        }
        buffer = target
        bufferUsed = max(bufferUsed, count)
        do {
            try records.admit(UnsafeRawBufferPointer(start: target, count: count))
        } catch {
            violation = error
            clinux_wipe(target, count)
            return 0
        }
        return Int32(count)
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
    guard let source else { return -1 }
    var sent = 0
    while sent < count {
        let written = send(descriptor, source + sent, count - sent, Int32(MSG_NOSIGNAL))
        if written > 0 {
            sent += written
        } else if errno != EINTR {
            break
        }
    }
    clinux_wipe(source, count)
    return sent == count ? Int32(count) : -1
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
