import GRDB

/// The tables, version by version. Times are milliseconds since 1970, ids 16 random bytes, scopes one space-joined
/// text of canonical names. What is sealed says under what; everything else is visible to whoever has the file.
enum Schema {
    /// "TSHD", so that a foreign file is told apart from ours.
    static let applicationID: Int32 = 0x5453_4844

    static let versions: [String] = [version1 + plugins + clients + links + mismatch + former + activity]

    private static let version1 = """
        CREATE TABLE meta (
            name TEXT PRIMARY KEY,
            value BLOB NOT NULL
        ) STRICT;

        CREATE TABLE person (
            id BLOB PRIMARY KEY,
            name TEXT NOT NULL,
            status TEXT NOT NULL CHECK (status IN ('invited', 'active')),
            -- ever had a passkey, a recovery code or a name at another party; taking those away does not change it
            proven INTEGER NOT NULL DEFAULT 0,
            created_at_ms INTEGER NOT NULL
        ) STRICT;

        CREATE TABLE invitation (
            code_hash BLOB PRIMARY KEY,
            person BLOB NOT NULL REFERENCES person (id) ON DELETE CASCADE,
            expires_at_ms INTEGER NOT NULL,
            used_at_ms INTEGER
        ) STRICT;
        CREATE INDEX invitation_person ON invitation (person);

        -- By whom else a person is known: the issuer of an ID token and its subject, or 'header' and nginx's user.
        CREATE TABLE identity (
            issuer TEXT NOT NULL,
            subject TEXT NOT NULL,
            person BLOB NOT NULL REFERENCES person (id) ON DELETE CASCADE,
            created_at_ms INTEGER NOT NULL,
            PRIMARY KEY (issuer, subject)
        ) STRICT;
        CREATE INDEX identity_person ON identity (person);

        CREATE TABLE vault (
            id BLOB PRIMARY KEY,
            person BLOB NOT NULL REFERENCES person (id) ON DELETE CASCADE,
            key_version INTEGER NOT NULL,
            public_key BLOB NOT NULL,
            public_tag BLOB NOT NULL,
            private_key BLOB NOT NULL,          -- outer ‖ wrapped under the vault key
            rekey_pending INTEGER NOT NULL DEFAULT 0,   -- a holder was lost while the vault was not open
            -- linked: what was in it is in that vault now; the row stays a day for what was on its way here
            merged_into BLOB,
            merged_at_ms INTEGER,
            created_at_ms INTEGER NOT NULL
        ) STRICT;
        CREATE INDEX vault_person ON vault (person);

        -- One row per holder of a secret. A plugin's slots have no vault; every other slot has one.
        CREATE TABLE slot (
            id BLOB PRIMARY KEY,
            kind TEXT NOT NULL,
            name TEXT NOT NULL,
            person BLOB REFERENCES person (id) ON DELETE CASCADE,
            vault BLOB REFERENCES vault (id) ON DELETE CASCADE,
            plugin BLOB REFERENCES plugin (id) ON DELETE CASCADE,
            made_for BLOB,                      -- the vault that it was made for, to which the derived key is bound
            salt BLOB NOT NULL,
            public_key BLOB NOT NULL,
            public_tag BLOB NOT NULL,
            vault_tag BLOB,                     -- of public_key, under a key from the vault key
            private_key BLOB NOT NULL,          -- outer ‖ wrapped under the derived key
            vault_key BLOB,                     -- outer ‖ wrapped under the derived key, or sealed to public_key
            vault_key_form TEXT CHECK (vault_key_form IN ('wrapped', 'sealed')),
            created_at_ms INTEGER NOT NULL,
            signed_in_at_ms INTEGER NOT NULL,
            last_used_at_ms INTEGER NOT NULL,
            idle_limit_ms INTEGER,
            expires_at_ms INTEGER,
            client_grant BLOB REFERENCES client_grant (id) ON DELETE CASCADE,
            -- of the key of one person with a plugin: their pair, and the plugin's key that it derives from and ends with
            plugin_person BLOB REFERENCES plugin_person (id) ON DELETE CASCADE,
            derived_from BLOB REFERENCES slot (id) ON DELETE CASCADE,
            -- of a session that has ended: the one that came in its place and has not been seen yet
            successor BLOB REFERENCES slot (id) ON DELETE CASCADE,
            CHECK ((kind = 'superseded') = (successor IS NOT NULL)),
            CHECK ((kind = 'plugin-person') = (plugin_person IS NOT NULL)),
            CHECK ((plugin_person IS NULL) = (derived_from IS NULL)),
            CHECK ((vault IS NULL) = (vault_key IS NULL)),
            CHECK ((vault IS NULL) = (made_for IS NULL)),
            CHECK ((vault IS NULL) = (vault_tag IS NULL)),
            CHECK ((vault IS NULL) = (plugin IS NOT NULL))
        ) STRICT;
        CREATE INDEX slot_vault ON slot (vault);
        CREATE INDEX slot_person ON slot (person);
        CREATE INDEX slot_plugin ON slot (plugin);
        CREATE INDEX slot_client_grant ON slot (client_grant) WHERE client_grant IS NOT NULL;
        CREATE INDEX slot_plugin_person ON slot (plugin_person) WHERE plugin_person IS NOT NULL;
        CREATE INDEX slot_derived_from ON slot (derived_from) WHERE derived_from IS NOT NULL;
        CREATE INDEX slot_successor ON slot (successor) WHERE successor IS NOT NULL;
        CREATE INDEX slot_expiry ON slot (expires_at_ms) WHERE expires_at_ms IS NOT NULL;

        CREATE TABLE connection (
            id BLOB PRIMARY KEY,
            vault BLOB NOT NULL REFERENCES vault (id) ON DELETE CASCADE,
            person BLOB NOT NULL REFERENCES person (id) ON DELETE CASCADE,
            provider TEXT NOT NULL,
            status TEXT NOT NULL CHECK (status IN ('active', 'unused', 'paused', 'reauthorize')),
            scopes TEXT NOT NULL,
            is_default INTEGER NOT NULL,
            generation INTEGER NOT NULL,
            key_version INTEGER NOT NULL,
            credential BLOB NOT NULL,           -- sealed under the connection key
            vault_key BLOB NOT NULL,            -- connection key: outer ‖ wrapped under the vault key, or sealed to it
            vault_key_form TEXT NOT NULL CHECK (vault_key_form IN ('wrapped', 'sealed')),
            service_key BLOB,                   -- connection key sealed to the service key, while background is on
            account_tag BLOB,                   -- HMAC under a key from the vault key; NULL when it was locked
            obtained_at_ms INTEGER NOT NULL,
            expires_at_ms INTEGER,
            refresh_expires_at_ms INTEGER,
            refreshable INTEGER NOT NULL,
            background INTEGER NOT NULL DEFAULT 0,
            -- what is to be done when the vault is open: a new key; a look whether the account is here already; new
            -- tokens from the provider, because somebody else may have these
            rekey_pending INTEGER NOT NULL DEFAULT 0,
            merge_pending INTEGER NOT NULL DEFAULT 0,
            renew_pending INTEGER NOT NULL DEFAULT 0,
            -- the same account's better connection, since when: this one is kept until that one has vended
            superseded_by BLOB,
            superseded_at_ms INTEGER,
            created_at_ms INTEGER NOT NULL,
            last_used_at_ms INTEGER,
            last_used_by TEXT,
            -- asking the provider about a token that an API refused: when last, and how often since
            checked_at_ms INTEGER,
            checks_since_ms INTEGER,
            checks INTEGER NOT NULL DEFAULT 0,
            -- the refresh engine (keeper only)
            next_refresh_at_ms INTEGER,
            lease_owner TEXT,
            lease_epoch INTEGER NOT NULL DEFAULT 0,
            lease_until_ms INTEGER,
            intent TEXT NOT NULL DEFAULT 'none' CHECK (intent IN ('none', 'armed', 'ambiguous')),
            intent_generation INTEGER,
            intent_at_ms INTEGER,
            failures INTEGER NOT NULL DEFAULT 0,
            not_before_ms INTEGER,
            last_code TEXT
        ) STRICT;
        CREATE INDEX connection_vault ON connection (vault, provider);
        CREATE INDEX connection_person ON connection (person, created_at_ms, id);
        CREATE INDEX connection_account ON connection (vault, account_tag) WHERE account_tag IS NOT NULL;
        CREATE INDEX connection_unnamed ON connection (vault, provider) WHERE account_tag IS NULL;
        CREATE INDEX connection_rekey ON connection (vault) WHERE rekey_pending = 1;
        -- By provider first: what waits for a provider that is down must not hide what is due at another.
        CREATE INDEX connection_due ON connection (provider, next_refresh_at_ms)
            WHERE background = 1 AND status = 'active' AND next_refresh_at_ms IS NOT NULL;
        CREATE INDEX connection_unsettled ON connection (vault)
            WHERE rekey_pending = 1 OR merge_pending = 1 OR renew_pending = 1;
        CREATE INDEX connection_superseded ON connection (superseded_by) WHERE superseded_by IS NOT NULL;
        CREATE INDEX connection_reserve ON connection (vault) WHERE superseded_by IS NOT NULL;
        CREATE INDEX connection_armed ON connection (lease_owner) WHERE intent = 'armed';

        -- What a "revoke as lost" led to, for whoever asks again. A line: connection, what its tokens are good for, and
        -- when they end.
        CREATE TABLE loss (
            person BLOB NOT NULL REFERENCES person (id) ON DELETE CASCADE,
            holder TEXT NOT NULL,               -- the id that the person named
            kind TEXT NOT NULL,
            name TEXT NOT NULL,
            is_done INTEGER NOT NULL,
            left_out INTEGER NOT NULL,
            lines TEXT NOT NULL,
            at_ms INTEGER NOT NULL,
            expires_at_ms INTEGER NOT NULL,
            PRIMARY KEY (person, holder)
        ) STRICT;
        CREATE INDEX loss_expiry ON loss (expires_at_ms);

        -- Which connections a plugin may use, and the key that lets it.
        CREATE TABLE approval (
            id BLOB PRIMARY KEY,
            connection BLOB NOT NULL REFERENCES connection (id) ON DELETE CASCADE,
            plugin BLOB NOT NULL REFERENCES plugin (id) ON DELETE CASCADE,
            person BLOB NOT NULL,
            provider TEXT NOT NULL,
            scopes TEXT NOT NULL,
            -- waiting: approved while nobody had the connection's key at hand; it is given when the vault opens
            status TEXT NOT NULL CHECK (status IN ('live', 'waiting', 'outgrown', 'withdrawn')),
            connection_key BLOB,                -- outer ‖ wrapped under the holder key, or sealed to the pair
            connection_key_form TEXT CHECK (connection_key_form IN ('wrapped', 'sealed')),
            plugin_person BLOB REFERENCES plugin_person (id),   -- whose pair that is; NULL: the plugin's
            held_generation INTEGER,            -- of the token that the plugin may still have, when it was withdrawn
            created_at_ms INTEGER NOT NULL,
            UNIQUE (connection, plugin),
            CHECK ((status = 'live') = (connection_key IS NOT NULL))
        ) STRICT;
        CREATE INDEX approval_plugin ON approval (plugin, person, provider);
        CREATE INDEX approval_plugin_person ON approval (plugin_person) WHERE plugin_person IS NOT NULL;

        -- What a caller asked of a person. The id itself is not stored: the caller's key and the nonce make it again.
        CREATE TABLE request (
            id_hash BLOB PRIMARY KEY,
            nonce BLOB NOT NULL,
            caller BLOB NOT NULL,
            caller_kind TEXT NOT NULL,
            person BLOB NOT NULL REFERENCES person (id) ON DELETE CASCADE,
            vault BLOB,
            provider TEXT NOT NULL,
            scopes TEXT NOT NULL,
            optional_scopes TEXT NOT NULL,      -- those of them that the person may leave out
            need_hash BLOB NOT NULL,            -- account and everything else that makes a need the same need
            claim BLOB NOT NULL,                -- reason, tool, account: outer ‖ sealed under a key from the id
            status TEXT NOT NULL
                CHECK (status IN ('pending', 'approved', 'completed', 'declined', 'expired', 'failed', 'cancelled')),
            status_reason TEXT,
            opened INTEGER NOT NULL DEFAULT 0,
            mismatch INTEGER NOT NULL DEFAULT 0,
            interval_s INTEGER NOT NULL DEFAULT 2,
            polled_at_ms INTEGER,
            created_at_ms INTEGER NOT NULL,
            expires_at_ms INTEGER NOT NULL
        ) STRICT;
        CREATE INDEX request_need ON request (caller, person, need_hash);
        CREATE INDEX request_expiry ON request (expires_at_ms);
        CREATE INDEX request_person ON request (person);

        -- The id of a request, for its person's own page.
        CREATE TABLE request_link (
            request BLOB NOT NULL REFERENCES request (id_hash) ON DELETE CASCADE,
            vault BLOB NOT NULL REFERENCES vault (id) ON DELETE CASCADE,
            id BLOB NOT NULL,                   -- sealed to the vault
            PRIMARY KEY (request, vault)
        ) STRICT;
        CREATE INDEX request_link_vault ON request_link (vault);

        CREATE TABLE decline (
            caller BLOB NOT NULL,
            person BLOB NOT NULL REFERENCES person (id) ON DELETE CASCADE,
            provider TEXT NOT NULL,
            scope TEXT NOT NULL,
            until_ms INTEGER NOT NULL,
            PRIMARY KEY (caller, person, provider, scope)
        ) STRICT;
        CREATE INDEX decline_person ON decline (person);

        -- Credentials of WebAuthn. Where the authenticator can derive a secret, its slot opens a vault.
        CREATE TABLE passkey (
            id BLOB PRIMARY KEY,
            person BLOB NOT NULL REFERENCES person (id) ON DELETE CASCADE,
            name TEXT NOT NULL,
            credential_id BLOB NOT NULL UNIQUE,
            public_key BLOB NOT NULL,           -- SubjectPublicKeyInfo
            algorithm INTEGER NOT NULL,
            counter INTEGER NOT NULL,
            synced INTEGER NOT NULL,
            slot BLOB REFERENCES slot (id) ON DELETE SET NULL,
            created_at_ms INTEGER NOT NULL,
            last_used_at_ms INTEGER,
            suspect_at_ms INTEGER               -- its counter went back then: somebody may have a copy
        ) STRICT;
        CREATE INDEX passkey_person ON passkey (person);
        CREATE INDEX passkey_slot ON passkey (slot);

        -- What an authenticator has to sign, once. Bound to a session, or to the browser that has none.
        CREATE TABLE challenge (
            hash BLOB PRIMARY KEY,
            purpose TEXT NOT NULL CHECK (purpose IN ('register', 'sign-in')),
            slot BLOB REFERENCES slot (id) ON DELETE CASCADE,
            cookie_hash BLOB,
            expires_at_ms INTEGER NOT NULL,
            CHECK ((slot IS NULL) = (cookie_hash IS NOT NULL))
        ) STRICT;
        CREATE INDEX challenge_expiry ON challenge (expires_at_ms);

        -- The minutes between the page of sign-in and a provider's answer.
        CREATE TABLE sign_in (
            state_hash BLOB PRIMARY KEY,
            cookie_hash BLOB NOT NULL,
            provider TEXT NOT NULL,
            redirect_uri TEXT NOT NULL,
            -- the session that is to be confirmed by it; NULL: there is none yet
            slot BLOB REFERENCES slot (id) ON DELETE CASCADE,
            began_at_ms INTEGER NOT NULL,
            expires_at_ms INTEGER NOT NULL
        ) STRICT;
        CREATE INDEX sign_in_slot ON sign_in (slot) WHERE slot IS NOT NULL;
        CREATE INDEX sign_in_expiry ON sign_in (expires_at_ms);

        -- One-time secrets of a flow, stored as hashes: form tokens and approvals of the consent page.
        CREATE TABLE once (
            hash BLOB PRIMARY KEY,
            purpose TEXT NOT NULL,
            slot BLOB NOT NULL REFERENCES slot (id) ON DELETE CASCADE,
            bound BLOB NOT NULL,
            expires_at_ms INTEGER NOT NULL
        ) STRICT;
        CREATE INDEX once_expiry ON once (expires_at_ms);

        -- The minutes between the person's Approve and the provider's answer.
        CREATE TABLE authorization (
            state_hash BLOB PRIMARY KEY,
            cookie_hash BLOB NOT NULL,
            slot BLOB NOT NULL REFERENCES slot (id) ON DELETE CASCADE,
            person BLOB NOT NULL,
            vault BLOB NOT NULL REFERENCES vault (id) ON DELETE CASCADE,
            provider TEXT NOT NULL,
            scopes_asked TEXT NOT NULL,         -- what the person approved
            scopes_shown TEXT NOT NULL,         -- with what else the token was said to carry
            scopes_sent TEXT NOT NULL,
            extends BLOB,                       -- the connection that is reconnected or grows
            separate INTEGER NOT NULL,          -- it is not, and what comes is put beside it
            request BLOB,
            plugins BLOB NOT NULL,              -- ids of the plugins that the person let in, 16 bytes each
            clients BLOB NOT NULL,              -- of the OAuth clients, likewise
            approved_after INTEGER NOT NULL,    -- the last of taken_back when the person approved
            named_account BLOB,                 -- HMAC under a key from the approver's vault key
            verifier BLOB,                      -- sealed under a key from the state
            redirect_uri TEXT NOT NULL,
            outcome BLOB,
            consumed_at_ms INTEGER,
            expires_at_ms INTEGER NOT NULL
        ) STRICT;
        CREATE INDEX authorization_expiry ON authorization (expires_at_ms);

        -- What a person took back, in order: what was approved before does not bring it back when it arrives. AUTOINCREMENT,
        -- so that no number is ever given twice.
        CREATE TABLE taken_back (
            number INTEGER PRIMARY KEY AUTOINCREMENT,
            person BLOB NOT NULL REFERENCES person (id) ON DELETE CASCADE,
            kind TEXT NOT NULL CHECK (kind IN ('everything', 'plugin', 'connection', 'use')),
            what BLOB NOT NULL,                 -- id of the plugin; name of the provider; id of the connection; nothing
            at_ms INTEGER NOT NULL
        ) STRICT;
        CREATE INDEX taken_back_person ON taken_back (person, number);

        CREATE TABLE outcome (
            id BLOB PRIMARY KEY,
            person BLOB NOT NULL REFERENCES person (id) ON DELETE CASCADE,
            status TEXT NOT NULL,
            provider TEXT NOT NULL,
            connection BLOB,
            request BLOB,
            requester TEXT,
            message TEXT,
            scopes TEXT NOT NULL,
            missing_scopes TEXT NOT NULL,
            replaced INTEGER NOT NULL,          -- the connection was there before, and was connected anew or grew
            expires_at_ms INTEGER NOT NULL
        ) STRICT;
        CREATE INDEX outcome_expiry ON outcome (expires_at_ms);

        -- Pairs that a provider issued and that lost the race to be stored: never dropped.
        CREATE TABLE rotation_journal (
            id BLOB PRIMARY KEY,
            connection BLOB NOT NULL REFERENCES connection (id) ON DELETE CASCADE,
            generation INTEGER NOT NULL,
            key_version INTEGER NOT NULL,
            credential BLOB NOT NULL,           -- sealed as the next generation's, or to the vault's public key
            form TEXT NOT NULL CHECK (form IN ('connection', 'vault')),
            scopes TEXT NOT NULL,
            expires_at_ms INTEGER,
            refresh_expires_at_ms INTEGER,
            next_refresh_at_ms INTEGER,
            received_at_ms INTEGER NOT NULL,
            adopted INTEGER NOT NULL DEFAULT 0
        ) STRICT;
        CREATE INDEX rotation_journal_connection ON rotation_journal (connection);
        """
}
