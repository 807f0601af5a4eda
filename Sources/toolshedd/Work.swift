import ArgumentParser
import Broker
import Encoding
import Envelope
import FastCGI
import Gateway
import Glibc
import ProviderHTTP
import Settings
import Supervisor

struct Work: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Answer requests (started by 'supervise').", shouldDisplay: false)

    func run() throws {
        ChildProcess.run(secureHeapBytes: 1 << 20) { child in
            let (settings, keys, log) = try child.open("work") { try WorkerKeys(decoding: $0) }
            let http = try ProviderHTTP(caFile: settings.caFile)
            let channel = KeeperChannel(http: http, warmSeconds: settings.warmSeconds)
            let worker = try Worker(
                settings: settings, keys: keys, listener: 0, peers: [try settings.peerUserID()],
                limits: Limits(), http: http,
                keeper: KeeperPort(
                    isAttached: { channel.isAttached },
                    hold: { channel.hold($0, $1, $2, isNeeded: $3) }, forget: { channel.forget($0) }),
                minute: channel.minute, refresh: { channel.refresh($0, $1, completion: $2) }, log: log,
                checkpoint: { say($0) })
            let pool = worker.pool
            let control = child.control
            try child.listen(leave: { pool.drain(backlog: $0) }) { message in
                if message.tag == .channel, let descriptor = message.descriptor { channel.attach(descriptor) }
                guard message.tag == .look else { return }
                if let reason = worker.look() { try? control.send(.worn, reason) }
                try? control.send(.looked)
            }
            try worker.run(worn: { try? control.send(.worn, $0) }) { try? control.send(.ready) }
        }
    }
}
