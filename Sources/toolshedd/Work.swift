import ArgumentParser
import Envelope
import FastCGI
import Glibc
import Settings
import Supervisor

struct Work: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Answer requests (started by 'supervise').", shouldDisplay: false)

    func run() throws {
        ChildProcess.run(secureHeapBytes: 1 << 20) { child in
            let settings = try Settings.load(environment: child.inheritance.environment)
            _ = try child.inheritance.keys.withPayload { try WorkerKeys(decoding: $0) }
            let pool = try Pool<Int>(
                listener: 0, threads: settings.threads, peers: [try userID(of: settings.peerUser)]
            ) { _, _ in
                Handler(
                    respond: { exchange in
                        let isHealth = exchange.pathIs("/healthz") || exchange.pathIs("/readyz")
                        exchange.respond(
                            isHealth
                                ? "Status: 200\r\nContent-Type: text/plain\r\n\r\nok\n"
                                : "Status: 404\r\nContent-Type: text/plain\r\n\r\n")
                        return .answered
                    }, resume: { _, _ in .answered })
            }
            try child.listen(leave: { pool.drain(backlog: $0) }) { message in
                if message.tag == .channel, let descriptor = message.descriptor { close(descriptor) }
            }
            try pool.run { try? child.control.send(.ready) }
        }
    }

    enum Failure: Error, CustomStringConvertible {
        case unknownUser(String)
        var description: String {
            switch self {
            case .unknownUser(let name): "TOOLSHED_PEER_USER: there is no user '\(name)'."
            }
        }
    }

    /// The user whose connections are accepted: a name, or a number.
    private func userID(of name: String) throws(Failure) -> uid_t {
        if let number = uid_t(name) { return number }
        guard let entry = getpwnam(name) else { throw .unknownUser(name) }
        return entry.pointee.pw_uid
    }
}
