extension Schema {
    /// What happened, as people read it, and what they read it with.
    static let activity = """

        -- What the keeper read out of the audit files, for pages.
        -- Kept as it is read, by person and time: a record is one insertion into one tree.
        CREATE TABLE activity (
            person BLOB NOT NULL,
            at_ms INTEGER NOT NULL,
            id BLOB NOT NULL,
            event TEXT NOT NULL,
            provider TEXT,
            connection BLOB,
            caller TEXT,
            caller_kind TEXT,
            scopes TEXT,
            claim BLOB,                         -- reason, tool, account, sealed under the log key of the connection
            PRIMARY KEY (person, at_ms, id)
        ) STRICT, WITHOUT ROWID;

        -- What the claims of a connection are sealed under, for its person: also when the connection is gone.
        CREATE TABLE log_key (
            id BLOB PRIMARY KEY,
            connection BLOB NOT NULL,
            vault BLOB NOT NULL REFERENCES vault (id) ON DELETE CASCADE,
            person BLOB NOT NULL REFERENCES person (id) ON DELETE CASCADE,
            key BLOB NOT NULL,                  -- outer ‖ wrapped under the vault key, or sealed to it
            key_form TEXT NOT NULL CHECK (key_form IN ('wrapped', 'sealed')),
            account BLOB NOT NULL,              -- as a claim of it: whose connection it was at that time
            created_at_ms INTEGER NOT NULL,
            ended_at_ms INTEGER                 -- nothing is sealed under it since then
        ) STRICT;
        CREATE INDEX log_key_connection ON log_key (connection, created_at_ms);
        CREATE INDEX log_key_vault ON log_key (vault);
        CREATE INDEX log_key_person ON log_key (person);
        CREATE INDEX log_key_ended ON log_key (ended_at_ms) WHERE ended_at_ms IS NOT NULL;

        CREATE TABLE audit_file (
            name TEXT PRIMARY KEY,
            folded_bytes INTEGER NOT NULL
        ) STRICT;
        """
}
