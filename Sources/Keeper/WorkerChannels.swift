import Broker
import Glibc
import ProviderHTTP
import Secrets
import Synchronization

/// The keeper's ends of the socketpairs to the workers. Read on the I/O thread, answered from the engine's.
///
/// Who is at the other end is known: the supervisor made each pair and gave the other half to a worker. There is no name
/// in the file system to connect to.
final class WorkerChannels: Sendable {
    private struct State {
        var descriptors: [UInt64: Int32] = [:]
        var last: UInt64 = 0
    }

    private let state = Mutex(State())
    private let http: ProviderHTTP
    private let asked: @Sendable (KeeperRequest, RefreshEngine.Waiter) -> Void

    init(http: ProviderHTTP, asked: @escaping @Sendable (KeeperRequest, RefreshEngine.Waiter) -> Void) {
        (self.http, self.asked) = (http, asked)
    }

    /// Takes ownership of the descriptor. Any thread.
    func attach(_ descriptor: Int32) {
        _ = fcntl(descriptor, F_SETFL, O_NONBLOCK)
        let channel = state.withLock { state in
            state.last += 1
            state.descriptors[state.last] = descriptor
            return state.last
        }
        http.watch(fd: descriptor) { [weak self] in self?.read(channel, descriptor) }
    }

    /// A worker that is gone, or does not read, misses its answer: it has a deadline of its own.
    func answer(_ waiter: RefreshEngine.Waiter, _ answer: KeeperAnswer, tries: Int = 0) {
        let bytes = answer.encode(serial: waiter.serial)
        // Under the lock, or the number could stand for another descriptor by now.
        let isFull = state.withLock { state in
            guard let descriptor = state.descriptors[waiter.channel] else { return false }
            return bytes.withUnsafeBytes { KeeperProtocol.send($0, to: descriptor) } == .full
        }
        guard isFull, tries < KeeperProtocol.mostTries else { return }
        http.after(milliseconds: KeeperProtocol.tryAgainAfter) { [weak self] in
            self?.answer(waiter, answer, tries: tries + 1)
        }
    }

    var count: Int { state.withLock { $0.descriptors.count } }

    private func read(_ channel: UInt64, _ descriptor: Int32) {
        guard state.withLock({ $0.descriptors[channel] == descriptor }) else { return }
        withUnsafeTemporaryAllocation(byteCount: KeeperProtocol.maximumSize, alignment: 8) { buffer in
            // Keys pass through here.
            defer { wipe(buffer) }
            // Other descriptors have their turn, too.
            for _ in 0..<64 {
                let count = recv(descriptor, buffer.baseAddress, buffer.count, Int32(MSG_DONTWAIT) | Int32(MSG_TRUNC))
                if count < 0, errno == EINTR { continue }
                if count < 0, errno == EAGAIN || errno == EWOULDBLOCK { return }
                guard count > 0 else { return detach(channel, descriptor) }
                // What cannot be read is left out: the worker's deadline answers it.
                guard count <= buffer.count,
                    let message = try? KeeperRequest.decode(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
                else { continue }
                asked(message.request, RefreshEngine.Waiter(channel: channel, serial: message.serial))
            }
        }
    }

    private func detach(_ channel: UInt64, _ descriptor: Int32) {
        let isOurs = state.withLock { $0.descriptors.removeValue(forKey: channel) != nil }
        guard isOurs else { return }
        http.unwatch(fd: descriptor)
        close(descriptor)
    }
}
