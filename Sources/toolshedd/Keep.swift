import ArgumentParser
import Envelope
import Keeper
import Settings
import Supervisor

struct Keep: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Hold keys and refresh (started by 'supervise').", shouldDisplay: false)

    func run() throws {
        ChildProcess.run(secureHeapBytes: 4 << 20) { child in
            let (settings, keys, log) = try child.open("keep") { try KeeperKeys(decoding: $0) }
            let keeper = try Keeper(settings: settings, keys: keys, log: log, checkpoint: { say($0) })
            let control = child.control
            try child.listen(leave: { _ in keeper.leave() }) { message in
                switch message.tag {
                case .channel: if let descriptor = message.descriptor { keeper.attach(descriptor) }
                case .reload: Self.reload(keeper, message, control)
                default: return
                }
            }
            try control.send(.ready)
            try keeper.run()
        }
    }

    private static func reload(_ keeper: Keeper, _ message: ControlMessage, _ control: ControlSocket) {
        let sent = message.withPayload(OwnEnvironment.decode)
        do {
            keeper.reload(try Settings.load(environment: OwnEnvironment().variables.merging(sent) { _, sent in sent }))
            try control.send(.reloaded)
        } catch {
            try? control.send(.refused, "\(error)")
        }
    }
}
