import Encoding
import OAuth
import Vault

extension Broker {
    /// `GET /api/requests/{id}`: for the caller that caused it; for everybody else it does not exist.
    public func requestStatus(
        _ id: RequestID, for caller: OpenCaller, at now: Instant
    ) throws -> (request: Request, interval: Int64) {
        let request = try request(id, of: caller)
        let poll = try store.write { try $0.poll(request, at: now) }
        guard poll.inTime else { throw Refusal.slowDown(interval: poll.interval) }
        return (request, poll.interval)
    }

    public func cancel(_ id: RequestID, for caller: OpenCaller) throws {
        let request = try request(id, of: caller)
        _ = try store.write { try $0.end(request.idHash, as: .cancelled) }
    }

    /// The key of one person is no key to what was asked of another.
    private func request(_ id: RequestID, of caller: OpenCaller) throws -> Request {
        guard let request = try store.read({ try $0.request(id) }), request.caller == caller.id else {
            throw Refusal.notFound
        }
        if case .plugin(let plugin) = caller, let only = plugin.person, only != request.person {
            throw Refusal.notFound
        }
        return request
    }
}
