import Encoding
import Envelope
import OAuth
import Providers
import Secrets
import Settings
import Vault

/// What every flow needs. One per request thread, because it holds that thread's read connection; it keeps no key and
/// no state of its own.
public final class Broker {
    public let store: Store
    public let settings: Settings
    public let audit: AuditLog
    public let random: Randomness
    public let keeper: KeeperPort
    let discovered: Discovered
    let rates: RateTable
    /// A line for the operator about a provider; bounded, because anybody's consent can cause one.
    let tell: @Sendable (String) -> Void
    let vendStatement: VendStatement
    private let recordIDs: RecordIDs

    public init(
        store: Store, settings: Settings, audit: AuditLog, keeper: KeeperPort, discovered: Discovered,
        rates: RateTable, random: Randomness, tell: @escaping @Sendable (String) -> Void = { _ in }
    ) throws {
        self.store = store
        self.settings = settings
        self.audit = audit
        self.keeper = keeper
        self.random = random
        self.discovered = discovered
        self.rates = rates
        self.tell = tell
        vendStatement = try VendStatement(store: store)
        recordIDs = RecordIDs(random)
    }

    var catalogue: Catalogue { settings.catalogue }

    func entry(_ id: ProviderID) throws(Refusal) -> Catalogue.Entry {
        guard let entry = catalogue.entry(id) else { throw .unknownProvider }
        return entry
    }

    func provider(_ id: ProviderID) throws(Refusal) -> Provider {
        guard let provider = catalogue[id] else { throw .unknownProvider }
        return provider
    }

    func configured(_ id: ProviderID) throws(Refusal) -> Provider {
        let provider = try provider(id)
        guard provider.isConfigured else { throw .providerNotConfigured(provider.name) }
        return provider
    }

    /// Written before the act is answered. A record that cannot be written stops the act.
    func record(_ record: AuditRecord, at now: Instant) throws(Refusal) {
        do {
            try audit.record(record, id: recordIDs.next(), at: now)
        } catch {
            throw .auditUnavailable
        }
    }

    /// The consent page's address for this need; the request's id only says which need, it permits nothing.
    public func connectURL(provider: ProviderID, scopes: ScopeSet, request: RequestID?) -> String {
        var url =
            "\(settings.origin)/connect?owner=\(Percent.encode(provider.owner))&bridge=\(Percent.encode(provider.bridge))"
            + "&scope=\(Percent.encode(scopes.text))"
        if let request { url += "&request=\(request.text)" }
        return url
    }

    /// Where a holder that no longer opens its vault can be given the key again.
    func unlockURL(_ request: RequestID) -> String { "\(settings.origin)/link?request=\(request.text)" }
}

/// Names for records, sixteen at a time out of the kernel. They are no secrets: people read them.
private final class RecordIDs {
    private static let size = 16
    private let random: Randomness
    private var ready: [UInt8] = []

    init(_ random: Randomness) { self.random = random }

    func next() -> [UInt8] {
        if ready.isEmpty { ready = random.bytes(Self.size * 16) }
        defer { ready.removeLast(Self.size) }
        return Array(ready.suffix(Self.size))
    }
}

/// The worker's way to the keeper, as far as flows need it: fire and forget. Asking for a refresh is a `Step`.
public struct KeeperPort: Sendable {
    /// `isNeeded`: a refresh is asked for next. Otherwise it is enough to say it now and then.
    public typealias Hold = @Sendable (ConnectionID, _ generation: Int64, ConnectionKey, _ isNeeded: Bool) -> Void
    public typealias Forget = @Sendable (KeeperForgetting) -> Void

    /// Whether there is a keeper at the other end.
    public let isAttached: @Sendable () -> Bool
    public let hold: Hold
    public let forget: Forget

    public init(
        isAttached: @escaping @Sendable () -> Bool, hold: @escaping Hold, forget: @escaping Forget
    ) {
        (self.isAttached, self.hold, self.forget) = (isAttached, hold, forget)
    }
}
