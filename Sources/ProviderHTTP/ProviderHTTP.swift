import CCurl
import Glibc
import OAuth
import Synchronization

/// Calls to providers, many at a time, on one I/O thread: a curl multi loop with room for timers and for other
/// descriptors to watch, so that a worker needs no second such thread.
///
/// One thread calls `run`; everything else may be called from any thread. All closures run on the loop's thread and must
/// be short: whatever takes time holds up every other call.
public final class ProviderHTTP: Sendable {
    public typealias Completion = @Sendable (Result<ProviderReply, TransportFailure>) -> Void

    private struct Inbox {
        var calls: [(call: ProviderCall, due: Uptime, completion: Completion)] = []
        var timers: [(due: Uptime, body: @Sendable () -> Void)] = []
        var watches: [(fd: Int32, onReadable: (@Sendable () -> Void)?)] = []
        var stops = false
    }

    private let inbox = Mutex(Inbox())
    /// Calls handed in and not answered yet.
    private let open = Atomic<Int>(0)
    private let caFile: String?
    private let multi: Multi

    /// curl's multi handle. Only `curl_multi_wakeup` may be called on it from other threads, and nothing else is.
    private struct Multi: @unchecked Sendable {
        let handle: UnsafeMutableRawPointer
    }

    public enum StartFailure: Error, Sendable { case curl }

    /// - Parameter caFile: certificates (PEM) to trust instead of the system's.
    public init(caFile: String? = nil) throws(StartFailure) {
        guard CurlLibrary.isReady, let handle = curl_multi_init() else { throw .curl }
        // Idle connections worth keeping for the next identity call; see FRESH_CONNECT in Transfer.
        ccurl_multi_set_long(handle, CURLMOPT_MAXCONNECTS, 32)
        multi = Multi(handle: handle)
        self.caFile = caFile
    }

    deinit {
        curl_multi_cleanup(multi.handle)
    }

    /// Calls that have not been answered.
    public var pending: Int { open.load(ordering: .relaxed) }

    /// Sends one call. The completion runs exactly once, also when the loop stops first.
    ///
    /// - Parameter deadlineMilliseconds: from now to the end of the reply, waiting for the loop included; the call's own
    ///   total where that is shorter.
    public func send(_ call: ProviderCall, deadlineMilliseconds: Int? = nil, completion: @escaping Completion) {
        let total = min(deadlineMilliseconds ?? call.limits.totalMilliseconds, call.limits.totalMilliseconds)
        let due = Uptime.now().adding(milliseconds: total)
        open.add(1, ordering: .relaxed)
        let accepted = post { inbox in
            guard !inbox.stops else { return false }
            inbox.calls.append((call, due, completion))
            return true
        }
        if !accepted { answer(completion, .failure(.notSent("stopped"))) }
    }

    /// Runs `body` on the loop's thread, not before that many milliseconds have passed.
    public func after(milliseconds: Int, _ body: @escaping @Sendable () -> Void) {
        let due = Uptime.now().adding(milliseconds: milliseconds)
        post { $0.timers.append((due, body)) }
    }

    /// Calls `onReadable` whenever `fd` has something to read or its other end is gone, until `unwatch`. It must read, or
    /// unwatch: it is called again as long as something is there.
    public func watch(fd: Int32, _ onReadable: @escaping @Sendable () -> Void) {
        post { $0.watches.append((fd, onReadable)) }
    }

    /// Before the descriptor is closed, on the loop's thread.
    public func unwatch(fd: Int32) {
        post { $0.watches.append((fd, nil)) }
    }

    /// Makes `run` return; calls under way are answered as `lost` or `notSent`.
    public func stop() {
        post { $0.stops = true }
    }

    @discardableResult
    private func post<R: Sendable>(_ change: (inout Inbox) -> R) -> R {
        defer { curl_multi_wakeup(multi.handle) }
        return inbox.withLock { change(&$0) }
    }

    private func answer(_ completion: Completion, _ outcome: Transfer.Outcome) {
        open.subtract(1, ordering: .relaxed)
        completion(outcome)
    }
}

// MARK: The loop

extension ProviderHTTP {
    /// What only the loop's thread touches.
    private struct Loop {
        var transfers: [UnsafeMutableRawPointer: (transfer: Transfer, due: Uptime, completion: Completion)] = [:]
        var timers = Timers()
        var watched: [Int32: @Sendable () -> Void] = [:]
    }

    /// Runs the loop on this thread until `stop`.
    public func run() {
        var loop = Loop()
        while takeIn(&loop) {
            var running: Int32 = 0
            curl_multi_perform(multi.handle, &running)
            finishTransfers(&loop)
            endLateOnes(&loop)
            let now = Uptime.now()
            while let body = loop.timers.popDue(at: now) { body() }
            rest(&loop)
        }
        for (handle, entry) in loop.transfers {
            curl_multi_remove_handle(multi.handle, handle)
            answer(entry.completion, entry.transfer.abandoned())
        }
    }

    /// Takes over what other threads handed in; false when the loop is to end.
    private func takeIn(_ loop: inout Loop) -> Bool {
        let taken = inbox.withLock { inbox in
            defer { (inbox.calls, inbox.timers, inbox.watches) = ([], [], []) }
            return inbox
        }
        for timer in taken.timers { loop.timers.add(due: timer.due, timer.body) }
        for watch in taken.watches { loop.watched[watch.fd] = watch.onReadable }
        for entry in taken.calls {
            if taken.stops {
                answer(entry.completion, .failure(.notSent("stopped")))
                continue
            }
            do {
                let left = Int(entry.due.milliseconds - Uptime.now().milliseconds)
                let transfer = try Transfer(
                    entry.call, caFile: caFile, deadlineMilliseconds: left, endsItself: false)
                loop.transfers[transfer.handle] = (transfer, entry.due, entry.completion)
                curl_multi_add_handle(multi.handle, transfer.handle)
            } catch {
                answer(entry.completion, .failure(error))
            }
        }
        return !taken.stops
    }

    private func finishTransfers(_ loop: inout Loop) {
        var left: Int32 = 0
        while let message = curl_multi_info_read(multi.handle, &left) {
            guard message.pointee.msg == CURLMSG_DONE, let handle = message.pointee.easy_handle else { continue }
            // The message is gone once the handle is removed.
            let code = ccurl_message_result(message)
            curl_multi_remove_handle(multi.handle, handle)
            guard let entry = loop.transfers.removeValue(forKey: handle) else { continue }
            answer(entry.completion, entry.transfer.outcome(code))
        }
    }

    /// Their time is looked at after what has arrived was read, and not by curl, which looks at it first: a process that
    /// was stopped for a minute finds the answer of a provider that has spent a refresh token for it.
    private func endLateOnes(_ loop: inout Loop) {
        let now = Uptime.now()
        for (handle, entry) in loop.transfers where entry.due <= now {
            curl_multi_remove_handle(multi.handle, handle)
            loop.transfers[handle] = nil
            answer(entry.completion, entry.transfer.outcome(CURLE_OPERATION_TIMEDOUT))
        }
    }

    /// Waits for sockets, wake-ups, watched descriptors or the next timer, and serves the watched ones.
    private func rest(_ loop: inout Loop) {
        var extra = loop.watched.keys.map { curl_waitfd(fd: $0, events: Int16(CURL_WAIT_POLLIN), revents: 0) }
        let longest: Int64 = 60_000
        let next = [loop.timers.next, loop.transfers.values.map(\.due).min()].compactMap { $0 }.min()
        let untilTimer = next.map { $0.milliseconds - Uptime.now().milliseconds } ?? longest
        curl_multi_poll(
            multi.handle, &extra, UInt32(extra.count), Int32(max(0, min(untilTimer, longest))), nil)
        // curl reports a descriptor whose other end is gone as readable.
        for descriptor in extra where descriptor.revents != 0 {
            loop.watched[descriptor.fd]?()
        }
    }
}

// MARK: One call, blocking

extension ProviderHTTP {
    /// Sends one call on this thread and waits for its end: for threads whose work it is to wait.
    public static func perform(
        _ call: ProviderCall, caFile: String? = nil, deadlineMilliseconds: Int? = nil
    ) -> Result<ProviderReply, TransportFailure> {
        do {
            let transfer = try Transfer(
                call, caFile: caFile, deadlineMilliseconds: deadlineMilliseconds, endsItself: true)
            return transfer.outcome(curl_easy_perform(transfer.handle))
        } catch {
            return .failure(error)
        }
    }
}
