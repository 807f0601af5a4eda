import Envelope
import GRDB

public enum VaultError: Error, Sendable {
    /// The file is not ours, newer than this program, or holds what the schema cannot.
    case foreignFile(String)
    case newerSchema(found: Int, known: Int)
    case damaged(String)
    /// There is no file, but records of what happened while there was one.
    case lost(path: String, audit: String)
    /// `ENCRYPTION_KEY` is not the one the file was made with.
    case wrongEncryptionKey
    /// SQLite said no: the result code only, never the statement's arguments.
    case storage(code: Int32)
    case envelope(EnvelopeError)
    /// A row that was there is gone or moved on; look again.
    case conflict
    /// The name is taken.
    case nameTaken
}

extension Store {
    /// The extended result code of an error that came out of `read` or `write`; nil when it is not SQLite's.
    public static func storageCode(of error: any Error) -> Int32? {
        (error as? DatabaseError).map { $0.extendedResultCode.rawValue }
    }
}

/// The one sentence that an operator reads when the service does not start.
extension VaultError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .foreignFile(let why): "The database is not one of Toolshed's (\(why)); it was not touched."
        case .newerSchema(let found, let known):
            "The database was made by a newer version (schema \(found), this one knows \(known)); it was not touched."
        case .damaged(let what): "The database holds something that cannot be (\(what)); nothing was changed."
        case .lost(let path, let audit):
            """
            There is no \(path), but \(audit) says that there was: put a copy back (toolshedd restore), or, to start anew \
            without what people had, move \(audit) away. Nothing was changed.
            """
        case .wrongEncryptionKey:
            "ENCRYPTION_KEY is not the one this database was made with; nothing was changed."
        case .storage(let code) where code & 0xFF == 11 || code & 0xFF == 26:
            "The database file is damaged (SQLite's code \(code)); nothing was changed. Put a copy back as docs/OPERATIONS.md says."
        case .storage(let code): "SQLite refused with result code \(code); nothing was changed."
        case .envelope(let error): "A sealed value did not open (\(error))."
        case .conflict: "The row moved on while it was worked on; try again."
        case .nameTaken: "The name is taken."
        }
    }
}
