import Glibc

/// No thread was made.
public struct ThreadError: Error, Equatable, Sendable, CustomStringConvertible {
    public let errno: Int32
    public var description: String { "No thread could be started (errno \(errno))." }
}

/// Starts a thread with every signal blocked: signals belong to the one thread that waits for them.
public func startThread(_ body: @escaping @Sendable () -> Void) throws(ThreadError) -> pthread_t {
    final class Box: Sendable {
        let body: @Sendable () -> Void
        init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }
    var all = sigset_t()
    var before = sigset_t()
    sigfillset(&all)
    pthread_sigmask(SIG_SETMASK, &all, &before)
    defer { pthread_sigmask(SIG_SETMASK, &before, nil) }
    let box = Unmanaged.passRetained(Box(body))
    var thread = pthread_t()
    let failure = pthread_create(
        &thread, nil,
        { context in
            if let context { Unmanaged<Box>.fromOpaque(context).takeRetainedValue().body() }
            return nil
        }, box.toOpaque())
    guard failure == 0 else {
        box.release()
        throw ThreadError(errno: failure)
    }
    return thread
}
