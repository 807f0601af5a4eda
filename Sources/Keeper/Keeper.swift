import Broker
import Encoding
import Envelope
import Glibc
import Logging
import OAuth
import ProviderHTTP
import Providers
import Secrets
import Settings
import Synchronization
import Threads
import Vault

/// One `toolshedd keep`: the database prepared and recovered first, then an I/O thread (channels of the workers, calls to
/// providers), a thread for the engine, one for what the database needs (checkpoints, activity, sweeping).
public final class Keeper: Sendable {
    public enum Failure: Error, Hashable, Sendable, CustomStringConvertible {
        case another(path: String)
        case system(call: String, errno: Int32)

        public var description: String {
            switch self {
            case .another(let path): "Another keeper holds \(path)."
            case .system(let call, let errno): "\(call) failed (errno \(errno))."
            }
        }
    }

    enum Message: Sendable {
        case event(RefreshEngine.Event)
        case endpoints([ProviderID: TokenEndpoint])
        case leave
    }

    let http: ProviderHTTP
    let mailbox: Mailbox<Message>
    let channels: WorkerChannels
    let audit: AuditLog
    let log: Logger
    private let lock: KeeperLock
    /// Made at each start and stored nowhere.
    private let minute = MinuteKey()
    private let settings: Mutex<Settings>
    /// What providers that are configured by issuer said about themselves, and when. Kept over a reload: whoever asks in
    /// between is not told to wait for a document that has hardly changed.
    private let metadata = Mutex<[ProviderID: (reply: ProviderReply, at: Int64)]>([:])
    /// Those that could not be asked, to say it once.
    private let unknown = Mutex<Set<ProviderID>>([])
    private let engine: Handed<RefreshEngine>
    private let upkeep: Handed<Upkeep>

    /// Passes what one thread owns from the thread that made it.
    private struct Handed<Value>: @unchecked Sendable { let value: Value }

    /// Opens the database before anybody else does: making it, bringing it up to date, recovering it.
    public init(
        settings: Settings, keys: KeeperKeys, log: Logger, checkpoint: @escaping @Sendable (String) -> Void
    ) throws {
        let path = settings.databasePath
        lock = try KeeperLock(path: path + ".keeper")
        let storeKeys = StoreKeys(keys)
        try Store.prepare(path: path, audit: settings.auditFolder, keys: storeKeys)
        let writer = try Store.Writer(path: path)
        let store = try Store(path: path, writer: writer, keys: storeKeys, random: .system)
        let engine = RefreshEngine(
            store: store, keys: keys, endpoints: Self.endpoints(settings), random: .system, clock: { .now() },
            failed: { Self.storeFailed($0, log) })
        try engine.recover()
        self.engine = Handed(value: engine)
        upkeep = Handed(
            value: Upkeep(
                checkpointer: try Checkpointer(path: path),
                store: try Store(path: path, writer: writer, keys: storeKeys, random: .system),
                watch: WALWatch(database: path, limit: settings.process.walAlarmMegabytes << 20) {
                    log.warning("\($0)")
                },
                auditFolder: settings.auditFolder, auditKeepDays: settings.audit.keepDays, said: checkpoint,
                failed: { Self.storeFailed($0, log) }))
        try minute.makeNew(.system)
        audit = try AuditLog(
            folder: settings.auditFolder, options: settings.audit.options, at: .now(), say: checkpoint)
        http = try ProviderHTTP(caFile: settings.caFile)
        guard let mailbox = Mailbox<Message>() else { throw Failure.system(call: "eventfd", errno: errno) }
        self.mailbox = mailbox
        channels = WorkerChannels(http: http) { mailbox.put(.event(.asked($0, by: $1))) }
        self.settings = Mutex(settings)
        self.log = log
    }

    /// A worker's channel, from the supervisor. Takes ownership; any thread.
    public func attach(_ descriptor: Int32) {
        KeeperProtocol.withMinute(minute) {
            _ = send(descriptor, $0.baseAddress, $0.count, Int32(MSG_DONTWAIT) | Int32(MSG_NOSIGNAL))
        }
        channels.attach(descriptor)
    }

    /// Takes up changed configuration, without a pause. Any thread.
    public func reload(_ new: Settings) {
        settings.withLock { $0 = new }
        publish()
        discover(all: true)
    }

    /// Finishes what is in flight; then `run` returns. Any thread.
    public func leave() { mailbox.put(.leave) }

    /// Serves until `leave`.
    public func run() throws {
        let loop = try startThread { [http] in http.run() }
        let upkeep = upkeep
        let stop = UpkeepStop()
        let care = try startThread { upkeep.value.run(until: stop) }
        lookForProviders()
        tendAudit()
        turn(engine.value)
        stop.ask()
        pthread_join(care, nil)
        http.stop()
        pthread_join(loop, nil)
        audit.finish(at: .now())
    }

    /// A record is on the disk within a second.
    private func tendAudit() {
        http.after(milliseconds: 500) { [weak self] in
            self?.audit.tend(at: .now())
            self?.tendAudit()
        }
    }

    /// The engine's thread.
    private func turn(_ engine: RefreshEngine) {
        while true {
            let messages = mailbox.take(within: engine.nextWake() - Moment.now().uptime)
            var events: [RefreshEngine.Event] = []
            for message in messages {
                switch message {
                case .event(let event): events.append(event)
                case .endpoints(let endpoints): engine.replace(endpoints: endpoints)
                case .leave: perform(engine.stop())
                }
            }
            perform(engine.handle(events))
            if engine.isStopping, engine.isIdle { return }
        }
    }

    private func perform(_ effects: [RefreshEngine.Effect]) {
        for effect in effects {
            switch effect {
            case .send(let id, let call, let deadline):
                http.send(call, deadlineMilliseconds: deadline) { [mailbox] result in
                    mailbox.put(.event(.completed(call: id, result)))
                }
            case .answer(let waiter, let answer): channels.answer(waiter, answer)
            case .record(let record):
                do {
                    try audit.record(record, id: Randomness.system.bytes(16), at: .now())
                } catch {
                    // What was refreshed is stored; the record of it is not worth losing it for.
                    log.error("the activity log cannot be written")
                }
            case .say(let sentence): log.warning("\(sentence)")
            }
        }
    }

    /// After a failed fsync nobody knows what is on the disk: a new process recovers from what is.
    private static func storeFailed(_ error: any Error, _ log: Logger) {
        guard let code = Store.storageCode(of: error) ?? (error as? VaultError)?.storageCode else {
            log.error("storing failed", metadata: ["error": "\(type(of: error))"])
            return
        }
        log.error("storing failed", metadata: ["sqlite": "\(code)"])
        let ioErrorFsync: Int32 = 10 | 4 << 8
        if code == ioErrorFsync { exit(70) }
    }
}

// MARK: Providers

extension Keeper {
    private static func endpoints(
        _ settings: Settings, metadata: [ProviderID: ProviderReply] = [:]
    ) -> [ProviderID: TokenEndpoint] {
        settings.catalogue.providers.filter { $0.value.isConfigured }.mapValues { provider in
            // Of another issuer than the document it does not apply.
            let known = metadata[provider.id].flatMap { try? provider.applying(metadata: $0) }
            return TokenEndpoint(known ?? provider, redirectURI: settings.callbackURL(provider.id))
        }
    }

    private func publish() {
        let known = metadata.withLock { $0.mapValues(\.reply) }
        mailbox.put(.endpoints(settings.withLock { Self.endpoints($0, metadata: known) }))
    }

    private static let lookEvery = 30_000
    /// As long as workers keep it.
    private static let knownFor: Int64 = 86_400_000

    private func lookForProviders() {
        discover()
        http.after(milliseconds: Self.lookEvery) { [weak self] in self?.lookForProviders() }
    }

    /// Asks providers that are configured by issuer only for their endpoints, until each has answered, and once a day.
    private func discover(all: Bool = false) {
        let since = Moment.now().uptime - Self.knownFor
        let known = metadata.withLock { $0.filter { $0.value.at > since } }
        let providers = settings.withLock {
            $0.catalogue.providers.values.filter { $0.isConfigured && $0.needsDiscovery }
        }
        for provider in providers where all || known[provider.id] == nil {
            discover(provider, from: provider.discoveryCalls()[...])
        }
    }

    private func discover(_ provider: Provider, from calls: ArraySlice<ProviderCall>) {
        guard let call = calls.first else { return }
        http.send(call) { [weak self] result in
            guard let self else { return }
            if case .success(let reply) = result, reply.status == 200, (try? provider.applying(metadata: reply)) != nil
            {
                metadata.withLock { $0[provider.id] = (reply, Moment.now().uptime) }
                publish()
                if unknown.withLock({ $0.remove(provider.id) }) != nil {
                    log.warning("\(provider.id.json): its metadata is known again")
                }
            } else if calls.count > 1 {
                discover(provider, from: calls.dropFirst())
            } else if unknown.withLock({ $0.insert(provider.id).inserted }) {
                log.warning(
                    "\(provider.id.json): its metadata cannot be had, or does not fit (\(provider.fault(of: result)))")
            }
        }
    }
}
