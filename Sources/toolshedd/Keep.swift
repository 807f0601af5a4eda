import ArgumentParser
import Envelope
import Glibc
import Settings
import Supervisor

struct Keep: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Hold keys and refresh (started by 'supervise').", shouldDisplay: false)

    func run() throws {
        ChildProcess.run(secureHeapBytes: 4 << 20) { child in
            _ = try Settings.load(environment: child.inheritance.environment)
            _ = try child.inheritance.keys.withPayload { try KeeperKeys(decoding: $0) }
            let done = UnsafeMutablePointer<sem_t>.allocate(capacity: 1)
            sem_init(done, 0, 0)
            nonisolated(unsafe) let leaving = done
            let control = child.control
            try child.listen(leave: { _ in sem_post(leaving) }) { message in
                switch message.tag {
                case .channel: if let descriptor = message.descriptor { close(descriptor) }
                case .reload: try? control.send(.reloaded)
                default: return
                }
            }
            try control.send(.ready)
            while sem_wait(done) != 0 {}
        }
    }
}
