extension Schema {
    /// Plugins, and what lies between each of them and each person. What they may use is in `approval`.
    static let plugins = """

        -- A plugin's key pair outlives its API keys: every key of the plugin wraps the same private half.
        CREATE TABLE plugin (
            id BLOB PRIMARY KEY,
            name TEXT NOT NULL,
            folded TEXT NOT NULL,               -- what people would take the name for
            owner BLOB REFERENCES person (id) ON DELETE CASCADE,
            public_key BLOB NOT NULL,
            public_tag BLOB NOT NULL,
            limits TEXT,                        -- the operator's, for everybody; NULL: none
            created_at_ms INTEGER NOT NULL
        ) STRICT;
        -- Nobody sees another person's own.
        CREATE UNIQUE INDEX plugin_folded ON plugin (folded, coalesce(owner, x''));
        CREATE INDEX plugin_owner ON plugin (owner) WHERE owner IS NOT NULL;

        -- What a plugin that is gone may still have: the connection's token of this generation.
        CREATE TABLE left_with (
            plugin BLOB NOT NULL,
            connection BLOB NOT NULL REFERENCES connection (id) ON DELETE CASCADE,
            person BLOB NOT NULL,
            scopes TEXT NOT NULL,
            generation INTEGER NOT NULL,
            PRIMARY KEY (connection, plugin)
        ) STRICT, WITHOUT ROWID;
        CREATE INDEX left_with_person ON left_with (person);

        -- The key pair of one person with one plugin: what the plugin may use of theirs is sealed to it.
        CREATE TABLE plugin_person (
            id BLOB PRIMARY KEY,
            plugin BLOB NOT NULL REFERENCES plugin (id) ON DELETE CASCADE,
            person BLOB NOT NULL REFERENCES person (id) ON DELETE CASCADE,
            public_key BLOB NOT NULL,
            public_tag BLOB NOT NULL,
            private_key BLOB NOT NULL,          -- outer ‖ wrapped under the holder key of the plugin's pair
            created_at_ms INTEGER NOT NULL,
            -- by which key the plugin last vended of this person's
            used_at_ms INTEGER,
            used_key TEXT CHECK (used_key IN ('plugin', 'plugin-person')),
            UNIQUE (plugin, person)
        ) STRICT;
        CREATE INDEX plugin_person_person ON plugin_person (person);

        -- What a person decided about a plugin as a whole.
        CREATE TABLE plugin_standing (
            plugin BLOB NOT NULL REFERENCES plugin (id) ON DELETE CASCADE,
            person BLOB NOT NULL REFERENCES person (id) ON DELETE CASCADE,
            muted INTEGER NOT NULL DEFAULT 0,
            limits TEXT,
            PRIMARY KEY (plugin, person)
        ) STRICT;
        """
}
