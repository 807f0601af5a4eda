import Envelope
import Providers

/// Why the service does not start, or keeps its old configuration.
public enum SettingsError: Error, Sendable {
    /// A variable of the environment: its name, what was expected, what was found (never a secret).
    case variable(name: String, expected: String, found: String?)
    case file(CatalogueError)
    case encryptionKey(EncryptionKeyError)
}

extension SettingsError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .variable(let name, let expected, let found?): "\(name): expected \(expected), found \(found)"
        case .variable(let name, let expected, nil): "\(name): not set, expected \(expected)"
        case .file(let error): error.description
        case .encryptionKey(let error): error.description
        }
    }
}
