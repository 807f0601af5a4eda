import Encoding
import GRDB

extension Schema {
    static let mismatch = """

        -- Who else opened the link of a request.
        CREATE TABLE mismatch (
            request BLOB NOT NULL REFERENCES request (id_hash) ON DELETE CASCADE,
            person BLOB NOT NULL REFERENCES person (id) ON DELETE CASCADE,
            PRIMARY KEY (request, person)
        ) STRICT, WITHOUT ROWID;
        CREATE INDEX mismatch_person ON mismatch (person);
        """
}

extension Rows {
    /// Whether the person it is for was told already that this other person opened it.
    public func isNoted(_ stranger: PersonID, at hash: [UInt8]) throws -> Bool {
        try row("SELECT 1 FROM mismatch WHERE request = ? AND person = ?", [hash.blob, stranger.blob]) != nil
    }

    /// false: it was noted before, or the request is gone.
    public func note(stranger: PersonID, at hash: [UInt8]) throws -> Bool {
        try changed(
            "INSERT INTO mismatch (request, person) SELECT id_hash, ?2 FROM request WHERE id_hash = ?1 ON CONFLICT DO NOTHING",
            [hash.blob, stranger.blob]) == 1
    }
}
