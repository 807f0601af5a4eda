"""Fills a vault with more connections than anybody would click together: rows as the server makes them, by the formats of
docs/KEYS.md."""

import os
import sqlite3
from contextlib import closing

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

import decryptor as d

from .people import Person

PLAIN = bytes([d.FORMAT, d.GCM, 0, 0])


def seal(plaintext: bytes, key: bytes, data: bytes, key_id: int = 0) -> bytes:
    header, nonce = PLAIN[:2] + key_id.to_bytes(2, "big"), os.urandom(d.NONCE)
    return header + nonce + AESGCM(key).encrypt(nonce, plaintext, header + data)


class Filler:
    """`person` has at least one connection; the others are made after it."""

    def __init__(self, person: Person):
        self.person = person
        self.path = person.instance.dir / "state/toolshed.sqlite"
        environment = (person.instance.dir / "etc/environment").read_text()
        text = next(line for line in environment.splitlines() if line.startswith("ENCRYPTION_KEY=")).partition("=")[2]
        self.keys = d.encryption_keys(text.strip("\"'"))
        self.key_id = next(iter(self.keys))

    def fill(self, count: int, providers: list[str], plugin: str | None = None) -> list[str]:
        """The ids of those that were added, oldest first; a `plugin` was once allowed all of them."""
        with closing(sqlite3.connect(self.path, timeout=60)) as database:
            database.row_factory = sqlite3.Row
            database.execute("PRAGMA wal_autocheckpoint = 0")
            template = dict(database.execute("SELECT * FROM connection WHERE person = ? LIMIT 1",
                                             [d.identifier(self.person.user_id)]).fetchone())
            vault_key = self._vault_key(database)
            fields = self._opened(template, vault_key)
            made = []
            with database:
                for number in range(count):
                    row = self._row(template, vault_key, fields, providers[number % len(providers)], number)
                    columns = ", ".join(row)
                    database.execute(f"INSERT INTO connection ({columns}) VALUES ({', '.join('?' * len(row))})", list(row.values()))
                    if plugin:
                        database.execute(
                            "INSERT INTO approval (id, connection, plugin, person, provider, scopes, status, created_at_ms) "
                            "VALUES (?, ?, ?, ?, ?, ?, 'outgrown', 0)",
                            [os.urandom(16), row["id"], d.identifier(plugin), row["person"], row["provider"], row["scopes"]])
                    made.append(row["id"])
            return made

    def _vault_key(self, database) -> bytes:
        token = d.parse_token(self.person.http.cookies["__Host-toolshed"])
        slot = database.execute("SELECT slot.*, vault.key_version AS version FROM slot JOIN vault ON vault.id = slot.vault "
                                "WHERE slot.id = ?", [token.slot]).fetchone()
        inner = d.open_outer(slot["vault_key"], self.keys, "slot", slot["id"], "vault_key")
        return d.open_box(inner, token.derived_key(slot["salt"], slot["vault"]),
                          d.fields("toolshed/v1/slot.vault-key", slot["id"], slot["vault"], slot["version"]))

    def _opened(self, row: dict, vault_key: bytes) -> list[bytes]:
        inner = d.open_outer(row["vault_key"], self.keys, "connection", row["id"], "vault_key")
        key = d.open_box(inner, vault_key, d.fields("toolshed/v1/connection.key", row["id"], row["vault"], row["key_version"]))
        rest, fields = d.open_box(row["credential"], key, self._credential(row, row["provider"]))[1:], []
        while rest:
            length = int.from_bytes(rest[:4], "big")
            fields.append(rest[4:4 + length])
            rest = rest[4 + length:]
        return fields

    @staticmethod
    def _credential(row: dict, provider: str) -> bytes:
        return d.fields("toolshed/v1/connection.credential", row["id"], row["vault"], row["person"], provider, row["generation"])

    def _row(self, template: dict, vault_key: bytes, fields: list[bytes], provider: str, number: int) -> dict:
        row = template | {"id": os.urandom(16), "provider": provider, "created_at_ms": template["created_at_ms"] + 1 + number,
                          "is_default": 0, "account_tag": os.urandom(32)}
        key = os.urandom(32)
        values = list(fields)
        values[4] = f"account-{number}".encode()
        text = b"\1" + b"".join(len(value).to_bytes(4, "big") + value for value in values)
        wrapped = seal(key, vault_key, d.fields("toolshed/v1/connection.key", row["id"], row["vault"], row["key_version"]))
        row_key = d.expand(self.keys[self.key_id].outer, d.fields("toolshed/v1/outer/row", "connection", row["id"]))
        return row | {
            "credential": seal(text, key, self._credential(row, provider)), "vault_key_form": "wrapped",
            "vault_key": seal(wrapped, row_key, d.fields("toolshed/v1/outer", "connection", row["id"], "vault_key"), self.key_id)}
