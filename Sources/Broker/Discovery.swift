import Encoding
import OAuth
import Providers
import Synchronization

/// What providers that are configured by issuer only said about themselves (RFC 8414), for a day, shared by the
/// threads of one process.
public final class Discovered: Sendable {
    private let providers = Mutex<[ProviderID: (provider: Provider, at: Instant)]>([:])

    public init() {}

    func get(_ id: ProviderID, at now: Instant) -> Provider? {
        providers.withLock { $0[id] }.flatMap { now.milliseconds - $0.at.milliseconds < 86_400_000 ? $0.provider : nil }
    }

    func put(_ provider: Provider, at now: Instant) { providers.withLock { $0[provider.id] = (provider, now) } }
}

extension Broker {
    /// The provider with its endpoints known: at once, or after its metadata was fetched.
    func resolved(_ provider: Provider, at now: Instant) throws -> Step<Provider> {
        try reached(provider, at: now).then(self) { _, known in
            guard let known else { throw Refusal.providerUnavailable(retryAfter: 10) }
            return .done(known)
        }
    }

    /// The same for a flow that has an answer without them too; `nil`: the metadata cannot be had now.
    func reached(_ provider: Provider, at now: Instant) -> Step<Provider?> {
        guard provider.needsDiscovery else { return .done(provider) }
        if let known = discovered.get(provider.id, at: now) { return .done(known) }
        return discover(provider, from: provider.discoveryCalls()[...])
    }

    private func discover(_ provider: Provider, from calls: ArraySlice<ProviderCall>) -> Step<Provider?> {
        guard let call = calls.first else { return .done(provider) }
        return .send(call) { broker, result in
            let now = Instant.now()
            if case .success(let reply) = result, reply.status == 200,
                let known = try? provider.applying(metadata: reply)
            {
                broker.discovered.put(known, at: now)
                return .done(known)
            }
            guard calls.count > 1 else {
                broker.tell(
                    "\(provider.id.json): its metadata cannot be had, or does not fit (\(provider.fault(of: result)))")
                return .done(nil)
            }
            return broker.discover(provider, from: calls.dropFirst())
        }
    }
}
