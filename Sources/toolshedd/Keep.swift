import ArgumentParser
import Envelope
import Glibc
import Settings
import Supervisor
import Vault

struct Keep: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Hold keys and refresh (started by 'supervise').", shouldDisplay: false)

    func run() throws {
        ChildProcess.run(secureHeapBytes: 4 << 20) { child in
            let settings = try Settings.load(environment: child.inheritance.environment)
            let keys = try child.inheritance.keys.withPayload { try KeeperKeys(decoding: $0) }
            try Store.prepare(path: settings.databasePath, keys: StoreKeys(keys))
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
