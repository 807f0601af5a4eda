import CLinux
import Glibc
import Synchronization
import Threads

@testable import FastCGI

/// A running pool on a socket in a folder of its own.
final class Served: Sendable {
    enum Answer: Sendable {
        case text(String)
        case late
    }

    let path: String
    let pool: Pool<Answer>
    let tickets = Tickets()
    private let folder: String
    private let listener: Int32
    private let ended = Flag()
    nonisolated(unsafe) private var runner = pthread_t()

    init(
        threads: Int = 2, atWork: Int? = nil, limits: Limits = Limits(), peers: [uid_t] = [getuid()],
        respond: (@Sendable (Exchange, Pool<Answer>, Tickets) -> Verdict)? = nil
    ) throws {
        var template = Array("/tmp/fastcgi-test-XXXXXX".utf8CString)
        folder = template.withUnsafeMutableBufferPointer { String(cString: mkdtemp($0.baseAddress!)) }
        path = folder + "/socket"
        listener = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        let bound = withAddress(of: path) { [listener] in bind(listener, $0, $1) }
        precondition(bound == 0 && listen(listener, 128) == 0)
        let tickets = tickets
        pool = try Pool(listener: listener, threads: threads, atWork: atWork, peers: peers, limits: limits) { _, pool in
            Handler(
                respond: { respond?($0, pool, tickets) ?? Served.echo($0, pool, tickets) },
                resume: { exchange, answer in
                    switch answer {
                    case .text(let text): exchange.respond("Status: 200\r\n\r\n", body: Array(text.utf8))
                    case .late: exchange.respond("Status: 503\r\n\r\n", body: Array("late".utf8))
                    }
                    return .answered
                })
        }
        let started = Flag()
        runner = try startThread { [pool, ended] in
            try? pool.run { started.raise() }
            ended.raise()
        }
        started.wait()
    }

    deinit {
        pool.drain()
        pthread_join(runner, nil)
        close(listener)
        unlink(path)
        rmdir(folder)
    }

    func client() -> Client { Client(path: path)! }

    func waitForEnd() { ended.wait() }

    /// `/wait` is set aside; anything else tells what was received.
    static let echo: @Sendable (Exchange, Pool<Answer>, Tickets) -> Verdict = { exchange, pool, tickets in
        if exchange.pathIs("/wait") {
            guard let ticket = pool.setAside(exchange, otherwise: .late) else {
                exchange.respond("Status: 503\r\n\r\n", body: Array("full".utf8))
                return .answered
            }
            tickets.add(ticket)
            return .setAside
        }
        let size = exchange.bodyIsTooLarge ? "too large" : String(exchange.withBody { $0.count })
        exchange.respond(
            status: 200, headers: [("X-Path", exchange.path)],
            body: Array("\(exchange.method) \(exchange.path) \(size)".utf8))
        return .answered
    }
}

/// The tickets that the handler was given, in order.
final class Tickets: Sendable {
    private let tickets = Mutex<[Ticket]>([])
    private let semaphore = CountingSemaphore()

    func add(_ ticket: Ticket) {
        tickets.withLock { $0.append(ticket) }
        semaphore.post()
    }

    func next() -> Ticket {
        semaphore.wait()
        return tickets.withLock { $0.removeFirst() }
    }
}

final class CountingSemaphore: Sendable {
    nonisolated(unsafe) private let semaphore: UnsafeMutablePointer<sem_t>
    init() {
        semaphore = .allocate(capacity: 1)
        sem_init(semaphore, 0, 0)
    }
    deinit {
        sem_destroy(semaphore)
        semaphore.deallocate()
    }
    func post() { sem_post(semaphore) }
    func wait() { while sem_wait(semaphore) != 0 {} }
}

/// Raised once, seen by any number of waiters.
final class Flag: Sendable {
    private let semaphore = CountingSemaphore()
    func raise() { semaphore.post() }
    func wait() {
        semaphore.wait()
        semaphore.post()
    }
}
