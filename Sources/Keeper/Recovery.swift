import Encoding
import Vault

extension RefreshEngine {
    /// At the start, before anything is asked: what a keeper before this one left under way is uncertain, and pairs that
    /// it could not place are placed. Running it again changes nothing.
    public func recover() throws {
        let moment = clock()
        try store.write { rows in
            _ = try rows.adoptJournal()
            for orphan in try rows.orphans(except: owner) {
                guard case .armed(let since) = orphan.intent else { continue }
                // A provider that is not configured any more: as if every mistake were final.
                let policy = endpoints[orphan.connection.provider]?.policy ?? RefreshPolicy(rotates: true)
                let retry = policy.retry(
                    inDoubtSince: since, expiresAt: orphan.connection.expiresAt, failures: orphan.failures,
                    random: random01(), at: moment.wall)
                try rows.markAmbiguous(orphan, retry: retry)
            }
        }
    }
}
