import Encoding
import Envelope
import Glibc
import OAuth
import Providers

/// The whole configuration, read once and then a value. A wrong one is refused as a whole.
public struct Settings: Sendable {
    /// Scheme, host and port of `AUTH_REDIRECT_BASE`: issuer, `Origin` and cookies are held to it.
    public let origin: String
    public let host: String
    /// Callbacks are below it.
    public let redirectBase: String
    /// The service itself is on loopback: `make up`, or a test.
    public let developmentLoopback: Bool
    public let stateDirectory: String
    public let runtimeDirectory: String
    public let configDirectory: String
    public let catalogue: Catalogue
    public let workers: Int
    /// Request threads of a worker.
    public let threads: Int
    /// Whose processes may connect to the workers' socket.
    public let peerUser: String
    /// How long the keeper may hold a connection's key after a vend.
    public let warmSeconds: Int
    public let logLevel: LogLevel
    /// Certificate authorities for calls to providers instead of the system's.
    public let caFile: String?
    public let signIn: SignInSettings
    public let registrationLimits: RegistrationLimits
    /// Whether a program without a browser may be let in by a code that a person types (RFC 8628).
    public let allowsDeviceGrant: Bool
    public let audit: AuditSettings
    public let process: ProcessSettings
    public let warnings: [String]

    /// Reads the environment, `$CREDENTIALS_DIRECTORY`, `toolshed.yaml` and `providers.d`. `ENCRYPTION_KEY` is not
    /// looked at: only the supervisor has it (`encryptionKeys`).
    public static func load(environment: [String: String]) throws(SettingsError) -> Settings {
        let surroundings = try Surroundings(environment)
        guard let text = surroundings["AUTH_REDIRECT_BASE"] else {
            throw .variable(name: "AUTH_REDIRECT_BASE", expected: RedirectBase.expected, found: nil)
        }
        guard let base = RedirectBase(parsing: text) else {
            throw .variable(
                name: "AUTH_REDIRECT_BASE", expected: RedirectBase.expected, found: "'\(text.prefix(200))'")
        }
        let config = surroundings["TOOLSHED_CONFIG_DIR"] ?? "/etc/toolshed"
        var tuning = Tuning(processors: sysconf(Int32(_SC_NPROCESSORS_ONLN)))
        let catalogue: Catalogue
        do throws(CatalogueError) {
            try tuning.read(file: "\(config)/toolshed.yaml")
            catalogue = try Catalogue.load(
                environment: surroundings.values, providersFolder: "\(config)/providers.d")
        } catch {
            throw .file(error)
        }
        try tuning.read(surroundings)
        return Settings(base, surroundings, config, catalogue, tuning)
    }

    /// `ENCRYPTION_KEY` from the environment or the credentials. The supervisor alone asks.
    public static func encryptionKeys(environment: [String: String]) throws(SettingsError) -> EncryptionKeys {
        let text = try Surroundings(environment)["ENCRYPTION_KEY"] ?? ""
        let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: text.utf8.count, alignment: 1)
        bytes.copyBytes(from: text.utf8)
        defer {
            explicit_bzero(bytes.baseAddress!, bytes.count)
            bytes.deallocate()
        }
        do throws(EncryptionKeyError) {
            return try EncryptionKeys(parsing: UnsafeRawBufferPointer(bytes))
        } catch {
            throw .encryptionKey(error)
        }
    }

    private init(
        _ base: RedirectBase, _ surroundings: Surroundings, _ config: String, _ catalogue: Catalogue, _ tuning: Tuning
    ) {
        origin = base.origin
        host = base.host
        redirectBase = base.text
        developmentLoopback = base.isLoopback
        stateDirectory = surroundings["TOOLSHED_STATE_DIR"] ?? "/var/lib/toolshed"
        runtimeDirectory = surroundings["TOOLSHED_RUNTIME_DIR"] ?? "/run/toolshed"
        configDirectory = config
        self.catalogue = catalogue
        workers = tuning.workers
        threads = tuning.threads
        peerUser = tuning.peerUser
        warmSeconds = tuning.warmSeconds
        logLevel = tuning.logLevel
        caFile = tuning.caFile
        signIn = tuning.signIn
        registrationLimits = RegistrationLimits(perHour: tuning.registrationsPerHour)
        allowsDeviceGrant = tuning.allowsDeviceGrant
        audit = tuning.audit
        process = tuning.process
        warnings =
            catalogue.warnings + Self.warnings(base, catalogue) + Self.warnings(base, tuning)
            + Self.warnings(folder: surroundings["TOOLSHED_CONFIG_DIR"])
    }

    /// The redirect URI that is registered at the provider. Never derived from a request.
    public var databasePath: String { "\(stateDirectory)/toolshed.sqlite" }
    /// What limited plugins have left, for the workers among themselves.
    public var ratesPath: String { "\(runtimeDirectory)/rates" }
    /// What addresses have left that fail to say who they are.
    public var failuresPath: String { "\(runtimeDirectory)/failures" }
    public var auditFolder: String { "\(stateDirectory)/audit" }

    public func signInCallbackURL(_ id: ProviderID) -> String { "\(origin)/api/sign-in/\(id.path)/callback" }

    public func callbackURL(_ id: ProviderID) -> String { "\(redirectBase)/\(id.path)/callback" }
}
