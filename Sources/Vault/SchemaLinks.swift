extension Schema {
    /// Two vaults of one person on their way to being one: docs/LINKING.md.
    static let links = """

        CREATE TABLE link (
            id BLOB PRIMARY KEY,
            person BLOB NOT NULL REFERENCES person (id) ON DELETE CASCADE,
            status TEXT NOT NULL CHECK (status IN ('offered', 'claimed', 'sealed', 'accepted')),
            from_vault BLOB NOT NULL REFERENCES vault (id) ON DELETE CASCADE,
            from_slot BLOB NOT NULL,
            from_name TEXT NOT NULL,
            key_version INTEGER NOT NULL,       -- of the key of from_vault
            to_vault BLOB,
            to_slot BLOB REFERENCES slot (id) ON DELETE CASCADE,
            code_tag BLOB,                      -- keyed: eight characters could be guessed
            tries INTEGER NOT NULL DEFAULT 0,
            vault_key BLOB,                     -- of from_vault: outer ‖ sealed to to_slot
            created_at_ms INTEGER NOT NULL,
            expires_at_ms INTEGER NOT NULL,
            CHECK ((status = 'sealed') = (vault_key IS NOT NULL))
        ) STRICT;
        CREATE INDEX link_person ON link (person);
        CREATE INDEX link_from ON link (from_vault);
        CREATE INDEX link_to ON link (to_slot);
        CREATE INDEX link_expiry ON link (expires_at_ms);

        -- To which slots the keys of other vaults were ever sealed: with a copy of before, whoever has such a slot opens
        -- that vault, accepted or not.
        CREATE TABLE link_given (
            slot BLOB NOT NULL REFERENCES slot (id) ON DELETE CASCADE,
            vault BLOB NOT NULL REFERENCES vault (id) ON DELETE CASCADE,
            PRIMARY KEY (slot, vault)
        ) STRICT;
        CREATE INDEX link_given_vault ON link_given (vault);
        """
}
