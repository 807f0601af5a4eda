import Broker
import FastCGI
import Glibc
import Settings
import Vault

extension Gateway {
    func healthy() -> Step<Reply> { .done(Self.text("ok\n")) }

    /// The database answers and there is a keeper.
    func ready() throws -> Step<Reply> {
        _ = try broker.store.read { try $0.allPlugins() }
        guard broker.keeper.isAttached() else { throw Refusal.unavailable }
        return .done(Self.text("ready\n"))
    }

    /// Prometheus text exposition format. Counts of this worker; nginx answers loopback only.
    func metrics() -> Step<Reply> {
        let status = pool.status
        let lines: [(String, Int)] = [
            ("toolshed_worker_connections_accepted_total", Int(status.accepted)),
            ("toolshed_worker_requests_answered_total", Int(status.answered)),
            ("toolshed_worker_records_malformed_total", Int(status.malformed)),
            ("toolshed_worker_peers_refused_total", Int(status.foreign)),
            ("toolshed_worker_connections_open", status.open),
            ("toolshed_worker_threads", status.threads),
            ("toolshed_worker_threads_busy", status.busyThreads),
            ("toolshed_worker_requests_set_aside", status.setAside),
            ("toolshed_worker_memory_bytes", Wear.heldBytes()),
        ]
        // Of the box, whoever answers.
        let shared = [
            ("toolshed_wal_bytes", Int(Store.walBytes(path: settings.databasePath))),
            ("toolshed_wal_alarm_bytes", Int(settings.process.walAlarmMegabytes) << 20),
        ]
        return .done(
            Self.text(
                lines.map { "\($0.0){pid=\"\(getpid())\"} \($0.1)\n" }.joined()
                    + shared.map { "\($0.0) \($0.1)\n" }.joined()))
    }

    private static func text(_ text: String) -> Reply {
        Reply(
            status: 200, headers: [("Content-Type", "text/plain; charset=utf-8"), ("Cache-Control", "no-store")],
            body: Array(text.utf8))
    }
}
