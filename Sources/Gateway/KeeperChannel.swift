import Broker
import Encoding
import Envelope
import Glibc
import ProviderHTTP
import Secrets
import Synchronization
import Vault

/// A worker's way to the keeper. Asked from any thread; answers are read on the I/O thread, where completions run.
///
/// The supervisor replaces a keeper that ended and hands over a new descriptor: what was asked of the old one is asked of
/// the new one, and what cannot be answered in time is `unavailable`.
public final class KeeperChannel: Sendable {
    public typealias Completion = @Sendable (RefreshAnswer) -> Void

    private struct Question: Hashable {
        let connection: ConnectionID
        let generation: Int64
    }

    /// Asked once, however many wait for it: a socket's buffer holds a few hundred messages, and what does not fit is lost.
    private struct Pending {
        let question: Question
        var waiters: [UInt64: Completion] = [:]
    }

    /// Closed when the last thread that sends on it is done, so that a number never means another socket meanwhile.
    private final class Socket: Sendable {
        let descriptor: Int32
        init(_ descriptor: Int32) { self.descriptor = descriptor }
        deinit { close(descriptor) }
    }

    /// What the keeper was given lately, so that a busy connection costs one message in five minutes. In parts, because
    /// every vend of every thread asks here.
    private final class Held: Sendable {
        let connections = Mutex<[ConnectionID: (generation: Int64, until: Int64)]>([:])
    }

    private struct State {
        var socket: Socket?
        var lastSerial: UInt64 = 0
        var refreshes: [UInt64: Pending] = [:]
        var asked: [Question: UInt64] = [:]
        var waiters = 0
        var counts: [UInt64: @Sendable (Int64?) -> Void] = [:]
    }

    /// Waiting for the keeper at once; more are `unavailable`.
    static let mostPending = 1024
    /// In each of the parts.
    static let mostHeld = 4096
    static let holdAgainAfter: Int64 = 300_000

    private let state = Mutex(State())
    private let held = (0..<16).map { _ in Held() }
    private let http: ProviderHTTP
    private let warmSeconds: UInt32
    /// The keeper's key of what lives for minutes, as it last said it.
    public let minute = MinuteKey()

    /// - Parameter warmSeconds: how long the keeper may hold a key after a vend.
    public init(http: ProviderHTTP, warmSeconds: Int) {
        self.http = http
        self.warmSeconds = UInt32(clamping: warmSeconds)
    }

    /// Takes ownership of a descriptor from the supervisor, in the place of the one before.
    public func attach(_ descriptor: Int32) {
        _ = fcntl(descriptor, F_SETFL, O_NONBLOCK)
        let (old, waiting) = state.withLock { state in
            defer { state.socket = Socket(descriptor) }
            return (state.socket, state.refreshes)
        }
        // The new keeper holds nothing.
        forgetHeld()
        // Reading and closing happen on the I/O thread alone, so no other number is ever meant.
        if let old { http.after(milliseconds: 0) { [http] in Self.retire(old, http) } }
        http.watch(fd: descriptor) { [weak self] in self?.read(descriptor) }
        for (serial, pending) in waiting {
            ask(pending.question, serial: serial)
        }
    }

    public var isAttached: Bool { state.withLock { $0.socket != nil } }

    /// The keeper may keep this connection fresh for a while. Fire and forget, and cheap when it was said lately.
    ///
    /// - Parameter isNeeded: a refresh is asked for next, so it is said again whatever was said before.
    public func hold(_ connection: ConnectionID, _ generation: Int64, _ key: ConnectionKey, isNeeded: Bool = false) {
        guard warmSeconds > 0 || isNeeded else { return }
        // Who asked first gave it the key.
        let question = Question(connection: connection, generation: generation)
        if isNeeded, state.withLock({ $0.asked[question] }) != nil { return }
        let now = Self.uptime()
        let isNew = part(of: connection).connections.withLock { held in
            if !isNeeded, let known = held[connection], known.generation == generation, known.until > now {
                return false
            }
            if held.count >= Self.mostHeld { held = [:] }
            held[connection] = (generation, now + min(Self.holdAgainAfter, Int64(warmSeconds) * 500))
            return true
        }
        guard isNew else { return }
        // Without "warm" the key is there for the refresh and its retries only.
        transmit(.hold(connection, generation: generation, seconds: max(warmSeconds, 30), key: key), serial: 0)
    }

    /// Asks for a generation newer than this one. The completion runs once, on the I/O thread.
    public func refresh(
        _ connection: ConnectionID, _ generation: Int64, deadlineMilliseconds: Int = 8_000,
        completion: @escaping Completion
    ) {
        let question = Question(connection: connection, generation: generation)
        let place = state.withLock { state -> (serial: UInt64, waiter: UInt64, isFirst: Bool)? in
            guard state.waiters < Self.mostPending else { return nil }
            state.waiters += 1
            state.lastSerial += 1
            let waiter = state.lastSerial
            let serial = state.asked[question] ?? waiter
            state.asked[question] = serial
            state.refreshes[serial, default: Pending(question: question)].waiters[waiter] = completion
            return (serial, waiter, serial == waiter)
        }
        guard let place else {
            http.after(milliseconds: 0) { completion(.unavailable) }
            return
        }
        // Not sent means that the keeper is being replaced: asked again when its successor is there.
        if place.isFirst { ask(question, serial: place.serial) }
        http.after(milliseconds: deadlineMilliseconds) { [weak self] in self?.giveUp(place.waiter, of: place.serial) }
    }

    /// The keys of these connections are dropped at once.
    public func forget(_ forgetting: KeeperForgetting) {
        // Said again on the next vend: which of the connections are meant is not known here.
        if case .connection(let id) = forgetting {
            part(of: id).connections.withLock { $0[id] = nil }
        } else {
            forgetHeld()
        }
        transmit(.forget(forgetting), serial: 0)
    }

    /// How many of this person's connections the keeper holds; nil: it did not say.
    public func count(
        of person: PersonID, deadlineMilliseconds: Int = 1_000, completion: @escaping @Sendable (Int64?) -> Void
    ) {
        let serial = state.withLock { state in
            state.lastSerial += 1
            state.counts[state.lastSerial] = completion
            return state.lastSerial
        }
        transmit(.count(person), serial: serial)
        http.after(milliseconds: deadlineMilliseconds) { [weak self] in
            self?.state.withLock { $0.counts.removeValue(forKey: serial) }?(nil)
        }
    }

    // MARK: The socket

    private func ask(_ question: Question, serial: UInt64) {
        transmit(.refresh(question.connection, generation: question.generation), serial: serial)
    }

    private func transmit(_ request: KeeperRequest, serial: UInt64, tries: Int = 0) {
        guard let socket = state.withLock({ $0.socket }) else { return }
        let isFull = request.withEncoded(serial: serial) { datagram in
            KeeperProtocol.send(datagram, to: socket.descriptor) == .full
        }
        guard isFull, tries < KeeperProtocol.mostTries else { return }
        // A key that came after "lock now" would be kept; the next vend gives it again.
        if case .hold = request { return }
        http.after(milliseconds: KeeperProtocol.tryAgainAfter) { [weak self] in
            self?.transmit(request, serial: serial, tries: tries + 1)
        }
    }

    private func read(_ descriptor: Int32) {
        withUnsafeTemporaryAllocation(byteCount: KeeperProtocol.maximumAnswer, alignment: 8) { buffer in
            defer { wipe(buffer) }
            for _ in 0..<64 {
                let count = recv(
                    descriptor, buffer.baseAddress, buffer.count,
                    Int32(MSG_DONTWAIT) | Int32(MSG_TRUNC))
                if count < 0, errno == EINTR { continue }
                if count < 0, errno == EAGAIN || errno == EWOULDBLOCK { return }
                guard count > 0 else { return detach(descriptor) }
                if count <= buffer.count,
                    let key = KeeperProtocol.minute(in: UnsafeRawBufferPointer(rebasing: buffer[..<count]))
                {
                    try? minute.replace(with: key)
                    continue
                }
                guard count <= buffer.count,
                    let message = try? KeeperAnswer.decode(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
                else { continue }
                take(message.answer, serial: message.serial)
            }
        }
    }

    private func take(_ answer: KeeperAnswer, serial: UInt64) {
        switch answer {
        case .done: return
        case .count(let count): state.withLock { $0.counts.removeValue(forKey: serial) }?(count)
        case .refresh(let answer): end(serial, answer)
        case .noKey:
            // Dropped since: said again with the next vend.
            if let id = state.withLock({ $0.refreshes[serial]?.question.connection }) {
                part(of: id).connections.withLock { $0[id] = nil }
            }
            end(serial, .unavailable)
        }
    }

    private func end(_ serial: UInt64, _ answer: RefreshAnswer) {
        let ended = state.withLock { state -> Pending? in
            guard let pending = state.refreshes.removeValue(forKey: serial) else { return nil }
            state.asked[pending.question] = nil
            state.waiters -= pending.waiters.count
            return pending
        }
        for completion in (ended?.waiters ?? [:]).values { completion(answer) }
    }

    /// Its time is over. Whoever came later goes on waiting, for an answer that is asked for again: this one may be lost.
    private func giveUp(_ waiter: UInt64, of serial: UInt64) {
        let (completion, question) = state.withLock { state -> (Completion?, Question?) in
            guard let completion = state.refreshes[serial]?.waiters.removeValue(forKey: waiter),
                let pending = state.refreshes[serial]
            else { return (nil, nil) }
            state.waiters -= 1
            guard pending.waiters.isEmpty else { return (completion, pending.question) }
            state.refreshes[serial] = nil
            state.asked[pending.question] = nil
            return (completion, nil)
        }
        completion?(.unavailable)
        if let question { ask(question, serial: serial) }
    }

    /// The keeper is gone; a successor's descriptor comes from the supervisor.
    private func detach(_ descriptor: Int32) {
        let ended = state.withLock { state -> Socket? in
            guard state.socket?.descriptor == descriptor else { return nil }
            defer { state.socket = nil }
            return state.socket
        }
        guard let ended else { return }
        forgetHeld()
        Self.retire(ended, http)
    }

    private static func retire(_ socket: Socket, _ http: ProviderHTTP) { http.unwatch(fd: socket.descriptor) }

    private func part(of connection: ConnectionID) -> Held { held[Int(truncatingIfNeeded: connection.low & 15)] }

    private func forgetHeld() {
        for part in held { part.connections.withLock { $0 = [:] } }
    }

    private static func uptime() -> Int64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Int64(time.tv_sec) * 1000 + Int64(time.tv_nsec) / 1_000_000
    }
}
