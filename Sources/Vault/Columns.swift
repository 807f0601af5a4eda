import Encoding
import Foundation
import GRDB
import OAuth

// How our values stand in rows. GRDB's own types stay behind this file and the statements.

extension ID {
    var blob: Data { Data(bytes) }
}

extension Row {
    func id<Kind>(_ column: String) throws(VaultError) -> ID<Kind> {
        guard let id: ID<Kind> = optionalID(column) else { throw .damaged(column) }
        return id
    }

    func optionalID<Kind>(_ column: String) -> ID<Kind>? {
        (self[column] as Data?).flatMap { ID<Kind>(bytes: $0) }
    }

    func bytes(_ column: String) -> [UInt8] { [UInt8](self[column] as Data? ?? Data()) }

    func optionalBytes(_ column: String) -> [UInt8]? { (self[column] as Data?).map { [UInt8]($0) } }

    func text(_ column: String) -> String { self[column] as String? ?? "" }

    func instant(_ column: String) -> Instant { Instant(milliseconds: self[column] as Int64? ?? 0) }

    func optionalInstant(_ column: String) -> Instant? { (self[column] as Int64?).map(Instant.init(milliseconds:)) }

    func scopes(_ column: String) -> ScopeSet { ScopeSet(text(column).split(separator: " ").map(String.init)) }

    func provider(_ column: String) throws(VaultError) -> ProviderID {
        guard let provider = try? ProviderID(parsing: text(column)) else { throw .damaged(column) }
        return provider
    }

    func state<State: RawRepresentable>(_ column: String) throws(VaultError) -> State where State.RawValue == String {
        guard let state = State(rawValue: text(column)) else { throw .damaged(column) }
        return state
    }
}

extension Array where Element == UInt8 {
    var blob: Data { Data(self) }
}
