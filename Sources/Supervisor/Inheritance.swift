import Glibc

/// What a child is given by its supervisor before anything else.
public final class Inheritance {
    /// The settings, by name: the child's environment and what came over the control socket.
    public private(set) var environment: [String: String]
    /// The role's key material.
    public let keys: ControlMessage

    private init(environment: [String: String], keys: ControlMessage) {
        (self.environment, self.keys) = (environment, keys)
    }

    /// Once both are read: a child keeps its keys in locked memory and its client secrets with their providers.
    public func forget() {
        keys.wipe()
        environment = [:]
    }

    /// Waits for both. Nil when the supervisor is gone, or this process was not started by one.
    public static func receive(from control: ControlSocket, own: OwnEnvironment) -> Inheritance? {
        guard let settings = try? control.receive(), settings.tag == .settings,
            let keys = try? control.receive(), keys.tag == .keys
        else { return nil }
        let sent = settings.withPayload(OwnEnvironment.decode)
        return Inheritance(environment: own.variables.merging(sent) { _, sent in sent }, keys: keys)
    }
}
