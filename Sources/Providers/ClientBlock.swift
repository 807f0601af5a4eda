import Glibc
import OAuth
import Secrets

/// An operator's `client:` block: the id, and one of three ways to say the secret.
struct ClientBlock {
    enum Secret {
        case none
        case written(String, Place)
        case environment(String)
        case file(String, Place)
    }

    let id: String
    let secret: Secret
    let place: Place
    private let path: String
    private let idVariable: String?

    init(reading value: SourceValue, path: String, environment: [String: String]) throws(CatalogueError) {
        var fields = try Fields(value, path: path)
        (place, self.path) = (fields.place, path)
        idVariable = try fields.text("id_env")
        if let idVariable {
            id = environment[idVariable] ?? ""
            _ = try fields.text("id")
        } else {
            id = try fields.text("id", expected: "the client's id")
        }
        let written = try fields.text("secret")
        let variable = try fields.text("secret_env")
        let file = try fields.text("secret_file")
        try fields.finish()
        guard variable != "ENCRYPTION_KEY" else {
            throw fields.wrong(
                "secret_env", expected: "a variable with a client secret", found: "the service's own key")
        }
        guard [written, variable, file].compactMap({ $0 }).count <= 1 else {
            throw fields.wrong("secret", expected: "one of secret, secret_env, secret_file", found: "several")
        }
        if let written {
            secret = .written(written, fields.place)
        } else if let variable {
            secret = .environment(variable)
        } else if let file {
            secret = .file(file, fields.place)
        } else {
            secret = .none
        }
    }

    /// The variable of the environment that holds the secret.
    var secretVariable: String? {
        guard case .environment(let name) = secret else { return nil }
        return name
    }

    /// Whether the configuration file itself holds a secret and must be the owner's alone.
    var isSecret: Bool {
        if case .written = secret { return true }
        return false
    }

    /// What a client without credentials lacks.
    var lacking: String {
        if id.isEmpty { return idVariable.map { "\($0) is not set" } ?? "client has no id" }
        return switch secret {
        case .environment(let name): "\(name) is not set"
        case .file(let path, _): "\(path) is empty"
        case .none, .written: "client has no secret"
        }
    }

    /// `nil`: what it names is not set.
    func credentials(_ environment: [String: String], isPublic: Bool) throws(CatalogueError) -> ClientCredentials? {
        guard !id.isEmpty else { return nil }
        switch secret {
        case .none: return isPublic ? ClientCredentials(id: id, secret: nil) : nil
        case .written(let text, let place): return try Self.client(id, text, place)
        case .environment(let name):
            guard let text = environment[name], !text.isEmpty else { return nil }
            return try Self.client(id, text, place)
        case .file(let path, let place):
            let (text, mode): (String, UInt32)
            do {
                (text, mode) = try YAMLFile.read(path)
            } catch {
                throw CatalogueError(
                    place, field: "\(self.path).secret_file",
                    .wrong(expected: "a file with the secret", found: error.description))
            }
            guard mode & 0o177 == 0 else { throw CatalogueError(Place(file: path), .readableByOthers(mode: mode)) }
            let secret = text.hasSuffix("\n") ? String(text.dropLast()) : text
            return secret.isEmpty ? nil : try Self.client(id, secret, place)
        }
    }

    static func client(_ id: String, _ secret: String, _ place: Place) throws(CatalogueError) -> ClientCredentials {
        do {
            return ClientCredentials(id: id, secret: try SecretText(secret))
        } catch {
            throw CatalogueError(place, .secureMemory)
        }
    }
}
