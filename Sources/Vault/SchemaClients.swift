extension Schema {
    /// OAuth clients of our own authorization server, what persons allowed them, and what they were given for it.
    static let clients = """

        -- Who registered by itself (RFC 7591), or is described by a document at its own address.
        CREATE TABLE oauth_client (
            id TEXT PRIMARY KEY,
            kind TEXT NOT NULL CHECK (kind IN ('registered', 'document')),
            metadata BLOB NOT NULL,             -- JSON, as it was accepted
            secret_hash BLOB,
            address TEXT NOT NULL,              -- who registered it: the limits count by it
            created_at_ms INTEGER NOT NULL,
            used_at_ms INTEGER,                 -- when it last got a token; NULL: nobody ever authorized it
            fresh_until_ms INTEGER              -- of a document: when it is asked for again
        ) STRICT;
        CREATE INDEX oauth_client_unused ON oauth_client (created_at_ms) WHERE used_at_ms IS NULL;

        -- One person's yes to one client: the family of everything that was issued for it.
        CREATE TABLE client_grant (
            id BLOB PRIMARY KEY,
            client TEXT NOT NULL,
            kind TEXT NOT NULL CHECK (kind IN ('mcp', 'cli')),
            name TEXT NOT NULL,
            destination TEXT NOT NULL,          -- where the code was sent: a host, or a device
            person BLOB NOT NULL REFERENCES person (id) ON DELETE CASCADE,
            scope TEXT NOT NULL,
            resource TEXT NOT NULL,
            created_at_ms INTEGER NOT NULL,
            last_used_at_ms INTEGER NOT NULL,
            expires_at_ms INTEGER NOT NULL
        ) STRICT;
        CREATE INDEX client_grant_person ON client_grant (person);
        CREATE INDEX client_grant_client ON client_grant (client);

        -- The connections that the person has let a client use. It holds the vault's key, so this is a rule and no lock.
        CREATE TABLE client_connection (
            client_grant BLOB NOT NULL REFERENCES client_grant (id) ON DELETE CASCADE,
            connection BLOB NOT NULL REFERENCES connection (id) ON DELETE CASCADE,
            PRIMARY KEY (client_grant, connection)
        ) STRICT;
        CREATE INDEX client_connection_connection ON client_connection (connection);

        -- Codes and tokens. Those of our own resource have a slot of the same id while they are good for something.
        CREATE TABLE client_token (
            id BLOB PRIMARY KEY,
            kind TEXT NOT NULL CHECK (kind IN ('code', 'access', 'refresh')),
            client_grant BLOB NOT NULL REFERENCES client_grant (id) ON DELETE CASCADE,
            secret_hash BLOB NOT NULL,
            scope TEXT NOT NULL,
            issued_at_ms INTEGER NOT NULL,
            expires_at_ms INTEGER NOT NULL,
            ended_at_ms INTEGER,                -- a code's exchange, a refresh token's successor
            redirect_uri TEXT,                  -- of a code
            challenge TEXT,                     -- of a code
            salt BLOB,                          -- of a superseded refresh token
            successor BLOB                      -- what replaced it: outer ‖ sealed under a key from it; for a minute
        ) STRICT;
        CREATE INDEX client_token_grant ON client_token (client_grant);
        CREATE INDEX client_token_expiry ON client_token (expires_at_ms);

        -- A program without a browser that waits for somebody to type its code (RFC 8628). Its pair is made when it asks,
        -- so that whoever approves can give it the vault's key without ever seeing the device code.
        CREATE TABLE device_request (
            id BLOB PRIMARY KEY,                -- of the device code; of its slot, once it is approved
            secret_hash BLOB NOT NULL,
            user_code_tag BLOB NOT NULL UNIQUE, -- under a key from ENCRYPTION_KEY: eight letters could be guessed
            client TEXT NOT NULL,
            address TEXT NOT NULL,
            salt BLOB NOT NULL,
            public_key BLOB NOT NULL,
            public_tag BLOB NOT NULL,
            private_key BLOB NOT NULL,          -- outer ‖ minute ‖ wrapped under the derived key
            status TEXT NOT NULL CHECK (status IN ('pending', 'approved', 'denied')),
            client_grant BLOB REFERENCES client_grant (id) ON DELETE SET NULL,
            interval_s INTEGER NOT NULL DEFAULT 5,
            polled_at_ms INTEGER,
            created_at_ms INTEGER NOT NULL,
            expires_at_ms INTEGER NOT NULL
        ) STRICT;
        CREATE INDEX device_request_expiry ON device_request (expires_at_ms);

        -- User codes that nobody had: by whom, from where, when.
        CREATE TABLE device_try (
            slot BLOB NOT NULL REFERENCES slot (id) ON DELETE CASCADE,
            address TEXT NOT NULL,
            at_ms INTEGER NOT NULL
        ) STRICT;
        CREATE INDEX device_try_at ON device_try (at_ms);
        """
}
