"""The instance's database, seen and changed behind the daemon's back: to make time pass, and to see that nothing changed."""

import hashlib
import sqlite3
import time
from base64 import urlsafe_b64decode
from contextlib import closing, contextmanager
from urllib.parse import parse_qs, urlsplit

from .instance import Instance

# What each table holds of consequence: not when something was last looked at.
LASTING = {
    "person": "id, name, status", "vault": "id, person, key_version", "plugin": "id, name, owner, limits",
    "slot": "id, kind, name, person, vault, expires_at_ms", "connection": "id, vault, status, scopes, is_default, key_version, background",
    "approval": "connection, plugin, scopes, status", "request": "id_hash, status, scopes, expires_at_ms",
    "decline": "caller, person, scope", "plugin_person": "id, plugin, person", "plugin_standing": "plugin, person, muted, limits", "log_key": "id, connection, vault, ended_at_ms",
    "authorization": "state_hash, outcome, consumed_at_ms", "outcome": "id, status",
}


SWEPT = ("authorization", "outcome", "request", "decline")


class Database:
    def __init__(self, instance: Instance):
        self.path = instance.dir / "state/toolshed.sqlite"

    def run(self, statement: str, *arguments) -> list:
        with closing(sqlite3.connect(self.path, timeout=10, isolation_level=None)) as database:
            database.execute("PRAGMA wal_autocheckpoint = 0")  # checkpoints are the keeper's
            return database.execute(statement, arguments).fetchall()

    def expire(self, table: str, condition: str = "1", *arguments) -> None:
        """The rows' time is over since a second ago. At least one must match."""
        past = int(time.time() * 1000) - 1000
        changed = self.run(f"UPDATE {table} SET expires_at_ms = {past} WHERE {condition} RETURNING 1", *arguments)
        assert changed, f"no row of {table} matches {condition}"

    def lasting(self, *tables: str) -> dict:
        return {name: self.run(f"SELECT {LASTING[name]} FROM {name} ORDER BY 1, 2") for name in tables or LASTING}

    @contextmanager
    def unchanged(self, *tables: str):
        """What is done inside changes nothing in these tables, or in none at all."""
        before = self.lasting(*tables)
        yield
        after = self.lasting(*tables)
        changed = [name for name in before if not self._same(name, before[name], after[name])]
        assert not changed, {name: set(before[name]) ^ set(after[name]) for name in changed}

    @staticmethod
    def _same(name: str, before: list, after: list) -> bool:
        """The keeper sweeps away what is over, once a minute, calls requests expired whose time is over, and marks what a
        provider no longer knows; nothing else may change, and nothing may come."""
        if name == "connection":
            before, after = ([row[:2] + row[3:] for row in rows] for rows in (before, after))
        if name == "request":
            now = time.time() * 1000
            before = before + [(row, "expired", scopes, end) for row, _, scopes, end in before if end <= now]
        if name == "slot":
            over = {row for row in set(before) - set(after) if row[-1] is not None and row[-1] <= time.time() * 1000}
            before = [row for row in before if row not in over]
        return set(after) <= set(before) if name in SWEPT else before == after


def state_hash(url: str) -> bytes:
    """As the table has it, from an authorization address or a callback's."""
    state = parse_qs(urlsplit(url).query)["state"][0]
    return hashlib.sha256(urlsafe_b64decode(state + "=")).digest()
