import Envelope
import GRDB

public enum VaultError: Error, Sendable {
    /// The file is not ours, newer than this program, or holds what the schema cannot.
    case foreignFile(String)
    case newerSchema(found: Int, known: Int)
    case damaged(String)
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
