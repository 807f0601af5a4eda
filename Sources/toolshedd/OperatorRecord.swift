import ArgumentParser
import Broker
import Encoding
import Envelope
import Secrets
import Settings
import Synchronization
import Vault

extension Administration {
    /// What a command does to a plugin, on record: a line of the operator's, and one for each person who let the plugin in,
    /// who reads it among their activity. Done and recorded, or neither.
    ///
    /// What else it did to persons is named by `and`, from what `body` answered.
    ///
    /// The lines are in an audit file of this command's own. Its last checkpoint goes to standard error, as the service's do.
    func onRecord<T>(
        _ act: OperatorAct, of plugin: PluginID, at now: Instant, and others: (T) -> [AuditRecord] = { _ in [] },
        _ body: (Rows) throws -> T
    ) throws -> T {
        var log: AuditLog?
        let reached = Mutex("")
        defer {
            log?.finish(at: now)
            let checkpoint = reached.withLock { $0 }
            if !checkpoint.isEmpty { say(checkpoint) }
        }
        return try store.write { rows in
            let concerned = try rows.persons(concernedBy: plugin)
            let result = try body(rows)
            // Last, so that nothing is on record that did not happen; a record that fails undoes the rest.
            do {
                var options = settings.audit.options
                options.reserveBytes = 0
                let file = try AuditLog(folder: settings.auditFolder, options: options, at: now) { said in
                    reached.withLock { $0 = said }
                }
                log = file
                try file.record(act, of: plugin, id: store.random.bytes(16), at: now)
                let told = act.event.map { event in
                    concerned.map {
                        AuditRecord(event, person: $0, caller: plugin.text, callerKind: OperatorAct.callerKind)
                    }
                }
                for record in (told ?? []) + others(result) {
                    try file.record(record, id: store.random.bytes(16), at: now)
                }
            } catch {
                throw ValidationError("\(settings.auditFolder) cannot be written to, so nothing was changed.")
            }
            return result
        }
    }
}
