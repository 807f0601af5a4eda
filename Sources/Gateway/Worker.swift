import Broker
import Encoding
import Envelope
import FastCGI
import Glibc
import Logging
import OAuth
import ProviderHTTP
import Secrets
import Settings
import Synchronization
import Threads
import Vault

/// One `toolshedd work`: a pool of request threads and one I/O thread, put together. Opened after exec.
public final class Worker: Sendable {
    public let pool: Pool<Resumption>
    public let http: ProviderHTTP
    private let audit: AuditLog
    private let wear: Wear
    /// How often the I/O thread has come by, and what was seen of that.
    private let rounds = Atomic<Int>(0)
    private let seen = Mutex((rounds: -1, looks: 0))

    public init(
        settings: Settings, keys: WorkerKeys, listener: Int32, peers: [uid_t], limits: Limits, http: ProviderHTTP,
        keeper: KeeperPort, minute: MinuteKey, refresh: @escaping Gateway.Network.Refresh, log: Logger,
        checkpoint: @escaping @Sendable (String) -> Void
    ) throws {
        self.http = http
        let path = settings.databasePath
        let writer = try Store.Writer(path: path, walLimit: settings.process.walLimitMegabytes << 20)
        let audit = try AuditLog(
            folder: settings.auditFolder, options: settings.audit.options, at: Instant.now(), say: checkpoint)
        self.audit = audit
        wear = Wear(settings.process, .system)
        let strangers = Strangers(
            log: BoundedLog(at: .now()) { log.notice("\($0)") },
            failures: try RateTable(path: settings.failuresPath),
            perSecond: settings.process.failedAuthenticationsPerSecond)
        let slow = SlowLog(
            milliseconds: settings.process.slowMilliseconds, log: BoundedLog(at: .now()) { log.notice("\($0)") })
        let providers = BoundedLog(at: .now()) { log.warning("\($0)") }
        let discovered = Discovered()
        let rates = try RateTable(path: settings.ratesPath)
        let storeKeys = StoreKeys(keys, minute: minute)
        let network = Gateway.Network(
            send: { call, completion in
                http.send(call, deadlineMilliseconds: Self.networkMilliseconds, completion: completion)
            }, refresh: refresh)
        pool = try Pool(
            listener: listener, threads: settings.threads,
            atWork: (Self.processors + settings.workers - 1) / settings.workers, peers: peers, limits: limits
        ) { _, pool in
            let store = try Store(path: path, writer: writer, keys: storeKeys, random: .system)
            let broker = try Broker(
                store: store, settings: settings, audit: audit, keeper: keeper, discovered: discovered,
                rates: rates, random: .system, tell: { providers.note($0, .now()) })
            return Gateway(broker: broker, pool: pool, network: network, log: log, strangers: strangers, slow: slow)
                .handler
        }
    }

    private static let processors = max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN)))

    /// Below the pool's own limit for requests set aside, so that the flow can still say what happened.
    private static let networkMilliseconds = 7_000

    /// Answers until drained. The I/O thread starts first and ends last: what is in flight needs it.
    ///
    /// - Parameter worn: called once when it should be replaced, with the reason.
    public func run(worn: @escaping @Sendable (String) -> Void = { _ in }, ready: () -> Void) throws {
        let loop = try startThread { [http] in http.run() }
        tend(worn)
        defer {
            http.stop()
            pthread_join(loop, nil)
            audit.finish(at: .now())
        }
        try pool.run(ready: ready)
    }

    /// For whoever watches this process, to be called every few seconds: what in it does not come back, as a reason to
    /// replace it; nil when all is well.
    public func look() -> String? {
        let stuck = pool.look()
        if stuck > 0 { return "\(stuck) of its threads do not come back from a request" }
        let now = rounds.load(ordering: .relaxed)
        let looks = seen.withLock { seen in
            seen = (now, seen.rounds == now ? seen.looks + 1 : 1)
            return seen.looks
        }
        return looks >= Limits().looks ? "its thread for the network does not come back" : nil
    }

    /// Records are in the kernel before their answer; within a second they are on the disk too.
    private func tend(_ worn: (@Sendable (String) -> Void)?) {
        http.after(milliseconds: 500) { [weak self] in
            guard let self else { return }
            rounds.wrappingAdd(1, ordering: .relaxed)
            audit.tend(at: .now())
            let reason = worn == nil ? nil : wear.reason(answered: pool.status.answered, bytes: Wear.heldBytes())
            if let reason { worn?(reason) }
            tend(reason == nil ? worn : nil)
        }
    }
}
