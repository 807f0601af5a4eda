import Encoding
import GRDB

/// What an operator's command does to a plugin.
public enum OperatorAct: String, CaseIterable, Sendable {
    case pluginAdded = "plugin-added"
    case pluginChanged = "plugin-changed"
    case pluginKeyChanged = "plugin-key-changed"
    case pluginKeyEnded = "plugin-key-ended"
    case pluginRemoved = "plugin-removed"

    /// As those read it whom it concerns. nil: nobody has anything to do yet with a plugin that was just added.
    public var event: AuditEvent? { AuditEvent(rawValue: rawValue) }

    public static let callerKind = "operator"
}

extension Rows {
    /// Everybody who let this plugin in to something and has not withdrawn it, and whose own it is.
    public func persons(concernedBy plugin: PluginID) throws -> [PersonID] {
        try rows(
            """
            SELECT person FROM approval WHERE plugin = ?1 AND status != 'withdrawn'
            UNION SELECT owner FROM plugin WHERE id = ?1 AND owner IS NOT NULL
            """, [plugin.blob]
        ).map { try $0.id("person") }
    }
}
