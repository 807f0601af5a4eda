"""A thief with every copy ever made, who tries every key on every lock until nothing new opens.

Nothing here is shared with the server but the formats of docs/KEYS.md, through `decryptor`. The thief is given more
than a real one would need: associated data is taken from the row, in every version that was ever seen, and where a
plaintext can be told by its form, the key alone is enough.
"""

from __future__ import annotations

import copy
import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import decryptor as d
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from .loot import Loot

TOKEN = re.compile(rb"ts[a-z]_[A-Za-z0-9_-]{64}[0-9A-Za-z]{6}")
REQUEST_ID = re.compile(rb"r_[A-Za-z0-9_-]{22}")
SHORT_SECRET = re.compile(rb"(?<![A-Za-z0-9_-])[A-Za-z0-9_-]{43}(?![A-Za-z0-9_-])")
CREDENTIAL_FIELDS = ("access", "refresh", "type", "account_id", "account", "tenant", "log_key", "label", "account_claim")

# Every column that holds bytes, and what is in it. A new column must be put in one of the two.
OPEN_COLUMNS = {
    "meta.value", "person.id", "invitation.code_hash", "invitation.person", "vault.id", "vault.person", "vault.public_key",
    "vault.public_tag", "plugin.id", "plugin.owner",
    "plugin_person.id", "plugin_person.plugin", "plugin_person.person", "plugin_person.public_key", "plugin_person.public_tag",
    "slot.plugin_person", "slot.derived_from", "slot.successor", "approval.plugin_person",
    "plugin_standing.plugin", "plugin_standing.person", "plugin.public_key", "plugin.public_tag", "slot.id", "slot.person",
    "vault.merged_into", "slot.vault", "slot.made_for", "slot.vault_tag", "slot.plugin", "slot.salt", "slot.public_key", "slot.public_tag", "connection.id", "connection.vault",
    "connection.person", "connection.account_tag", "connection.superseded_by",
    "loss.person", "loss.holder", "link.id", "link.person", "link.from_vault", "link.from_slot", "link.to_vault", "link.to_slot", "link.code_tag", "approval.id", "approval.connection", "approval.plugin",
    "approval.person", "request.id_hash", "request.nonce", "request.caller", "request.person", "request.vault",
    "request.need_hash", "request_link.request", "request_link.vault", "decline.caller", "decline.person", "once.hash", "once.slot", "once.bound",
    "authorization.state_hash", "authorization.cookie_hash", "authorization.slot", "authorization.person",
    "authorization.vault", "authorization.extends", "authorization.request", "authorization.plugins", "authorization.clients",
    "authorization.outcome", "authorization.named_account", "outcome.id", "outcome.person", "outcome.connection",
    "outcome.request", "rotation_journal.id", "rotation_journal.connection", "activity.id", "activity.person", "activity.connection",
    "slot.client_grant", "oauth_client.metadata", "oauth_client.secret_hash", "client_grant.id", "client_grant.person",
    "client_connection.client_grant", "client_connection.connection", "client_token.id", "client_token.client_grant",
    "client_token.secret_hash", "client_token.salt", "device_request.id", "device_request.secret_hash",
    "device_request.user_code_tag", "device_request.salt", "device_request.public_key", "device_request.public_tag",
    "device_request.client_grant", "device_try.slot",
    "former.id", "former.person", "mismatch.request", "mismatch.person", "sign_in.slot",
    "left_with.plugin", "left_with.connection", "left_with.person", "log_key.id", "log_key.connection", "log_key.vault", "log_key.person",
    "identity.person", "passkey.id", "passkey.person", "passkey.credential_id", "passkey.public_key", "passkey.slot",
    "link_given.slot", "link_given.vault", "taken_back.person", "taken_back.what",
    "challenge.hash", "challenge.slot", "challenge.cookie_hash",
    "sign_in.state_hash", "sign_in.cookie_hash",
}
SEALED_COLUMNS = {
    "vault.private_key", "slot.private_key", "slot.vault_key", "connection.credential", "connection.vault_key",
    "connection.service_key", "approval.connection_key", "request.claim", "authorization.verifier",
    "rotation_journal.credential", "activity.claim", "link.vault_key", "client_token.successor",
    "request_link.id", "plugin_person.private_key", "log_key.key", "log_key.account",
    "device_request.private_key",
}


@dataclass(frozen=True)
class Box:
    """A stored box: of which column and row, what it is bound to, and under which outer layer."""

    column: str
    row: bytes
    raw: bytes
    bindings: tuple[bytes, ...]
    outer: tuple[str, bytes, str] | None = None

    @property
    def holds_a_key(self) -> bool:
        return self.column.endswith(("private_key", "vault_key", "service_key", "connection_key", "log_key.key"))


@dataclass(frozen=True)
class Credential:
    connection: bytes
    access: str
    refresh: str
    account: str
    log_key: bytes


class Thief:
    """`encryption_key`: the variable's value, or None for a thief who has only the database."""

    def __init__(self, loot: Loot, encryption_key: str | None):
        self.loot = loot
        self.configured = d.encryption_keys(encryption_key) if encryption_key else {}
        self.keys: dict[bytes, str] = {}
        self.opened: dict[Box, bytes] = {}
        self._fresh: list[bytes] = []
        self._all = {box for box in stored_boxes(loot)}
        self.locked_outside = 0
        self._boxes = [(box, inner) for box in self._all if (inner := self._without_outer(box)) is not None]
        self._public = self._public_keys()
        for number, subkeys in self.configured.items():
            for use in ("outer", "tags", "service"):
                self.add(getattr(subkeys, use), f"ENCRYPTION_KEY {number} {use}")
        self._rummage()

    def another(self) -> "Thief":
        """One who begins where this one has come to."""
        made = copy.copy(self)
        made.keys, made.opened, made._fresh = dict(self.keys), dict(self.opened), list(self._fresh)
        return made

    def _without_outer(self, box: Box) -> bytes | None:
        if box.outer is None:
            return box.raw
        try:
            return d.open_outer(box.raw, self.configured, *box.outer)
        except d.DoesNotOpen:
            self.locked_outside += 1
            return None

    def _public_keys(self) -> set[bytes]:
        """Whose boxes there are: nothing is sealed to a public key that is not stored or the service's."""
        stored = {row["public_key"] for table in ("slot", "vault", "plugin", "plugin_person")
                  for row in self.loot.rows.get(table, [])}
        return stored | {subkeys.service_public for subkeys in self.configured.values()}

    # Where keys come from

    def add(self, key: bytes, origin: str) -> None:
        if len(key) == 32 and key not in self.keys:
            self.keys[key] = origin
            self._fresh.append(key)

    def _rummage(self) -> None:
        """Whatever could be a key in what was copied: 32 bytes of any column, tokens and identifiers in any file."""
        for table, rows in self.loot.rows.items():
            for row in rows:
                for column, value in row.items():
                    if isinstance(value, bytes):
                        self.add(value, f"{table}.{column}")
                        if len(value) == 16:
                            self._add_request(value, f"{table}.{column}")
        seen: set[bytes] = set()
        for (_, name), content in self.loot.files.items():
            if name.startswith("log/double") or content in seen:
                continue
            seen.add(content)
            for text in set(TOKEN.findall(content)):
                self.give_token(text.decode(), name)
            for text in set(REQUEST_ID.findall(content)):
                try:
                    self._add_request(d.identifier(text.decode()), name)
                except d.Malformed:
                    continue  # it only looked like one
            for text in set(SHORT_SECRET.findall(content)):
                try:
                    self.give_secret(text.decode(), name)
                except d.Malformed:
                    continue

    def give_token(self, text: str, origin: str = "given") -> "Thief":
        """A cookie, key or code: its secret, and what every slot would derive from it."""
        try:
            token = d.parse_token(text)
        except d.Malformed:
            return self
        self.add(token.secret, origin)
        if token.kind == "tsp_":
            self._give_person_keys(token, origin)
        for row in self.loot.rows["slot"]:
            self.add(token.derived_key(row["salt"], row["made_for"]), f"{origin}, derived")
        for row in self.loot.rows.get("client_token", []):
            if row["salt"] is not None:
                self.add(d.derive(token.derived_key(row["salt"], None), "toolshed/v1/client-token.successor"), f"{origin}, successor")
        return self

    def _give_person_keys(self, plugin: d.Token, origin: str) -> None:
        """What a plugin's key gives for each person; slots that are none of these would only take time."""
        for person in {row["id"] for row in self.loot.rows["person"]}:
            own = d.person_key(plugin, "u_" + d.base64url_text(person))
            self.add(own.secret, f"{origin}, of one person")
            for row in self.loot.rows["slot"]:
                if row["id"] == own.slot:
                    self.add(own.derived_key(row["salt"], None), f"{origin}, of one person, derived")

    def give_output(self, text: str, origin: str = "given") -> "Thief":
        """What a passkey derived, as base64url."""
        output = d.base64url(text)
        self.add(output, origin)
        for row in self.loot.rows["slot"]:
            self.add(d.Token("tsw_", row["id"], output).derived_key(row["salt"], row["made_for"]), f"{origin}, derived")
        return self

    def give_secret(self, text: str, origin: str = "given") -> "Thief":
        """32 bytes as base64url: a state, a form token, an approval, a verifier."""
        self.add(d.base64url(text), origin)
        return self

    def _add_request(self, identifier: bytes, origin: str) -> None:
        self.add(hashlib.sha256(b"toolshed/v1/request-claim" + identifier).digest(), f"request id in {origin}")

    def _derive_from(self, key: bytes) -> None:
        origin = self.keys[key]
        self.add(d.holder_key(key), f"holder of {origin}")
        self.add(d.derive(key, "toolshed/v1/authorization"), f"state of {origin}")
        for row in self.loot.rows.get("client_grant", []):
            self.add(d.derive(key, "toolshed/v1/client-grant", row["id"]), f"client of {origin}")
        for row in self.loot.rows.get("request", []):
            identifier = d.derive(key, "toolshed/v1/request-id", row["nonce"])[:16]
            if hashlib.sha256(b"toolshed/v1/request" + identifier).digest() == row["id_hash"]:
                self._add_request(identifier, f"request of {origin}")

    # The work

    def work(self) -> "Thief":
        """Every key on every box, until nothing new opens."""
        while self._fresh:
            batch, self._fresh = self._fresh, []
            for key in batch:
                if not self.keys[key].startswith(("holder of", "state of", "client of client")):
                    self._derive_from(key)
            private = {key for key in batch if d.public_key(key) in self._public}
            for box, inner in self._boxes:
                if box not in self.opened:
                    self._try(box, inner, batch, private)
        return self

    def _try(self, box: Box, inner: bytes, keys: list[bytes], private: set[bytes]) -> None:
        sealed_to_pair = d.header(inner).algorithm == d.HPKE
        for key in private if sealed_to_pair else keys:
            plaintext = open_sealed(inner, key, box.bindings) if sealed_to_pair else open_symmetric(inner, key, box)
            if plaintext is None:
                continue
            self.opened[box] = plaintext
            if box.column == "client_token.successor":
                for text in TOKEN.findall(plaintext):
                    self.give_token(text.decode(), f"successor by {self.keys[key]}")
            if box.holds_a_key:
                self.add(plaintext, f"{box.column} by {self.keys[key]}")
            elif box.column == "request_link.id":
                self._add_request(plaintext, "request_link.id")
            elif box.column.endswith("credential"):
                self.add(parse_credential(box, plaintext).log_key, f"log key by {self.keys[key]}")
            return

    # What came of it

    def found(self, column: str) -> set[bytes]:
        """Rows of which this column opened in some copy."""
        return {box.row for box in self.opened if box.column == column}

    def credentials(self) -> list[Credential]:
        return [parse_credential(box, text) for box, text in self.opened.items() if box.column.endswith("credential")]

    def access_tokens(self) -> set[str]:
        return {credential.access for credential in self.credentials()}

    def claims(self) -> set[str]:
        """Reasons and tools that callers gave, of requests and of activity, and account names that they named. Beside them a
        request has the address it came from, which is the same for all callers here; for a record see `accounts`."""
        texts = [text.decode().split("\0") for box, text in self.opened.items() if box.column == "request.claim"]
        texts += [text.decode().split("\0")[:2] for box, text in self.opened.items() if box.column == "activity.claim"]
        return {part for text in texts for part in text if part} - {"127.0.0.1"}

    def accounts(self) -> set[str]:
        """Whose accounts the records of the past are about."""
        columns = ("activity.claim", "log_key.account")
        return {text.decode().split("\0")[2] for box, text in self.opened.items() if box.column in columns}

    def key_columns(self) -> set[str]:
        return {box.column for box in self.opened if box.holds_a_key}

    def tried(self) -> dict[str, int]:
        """How many boxes of each column there were."""
        counts: dict[str, int] = {}
        for box in self._all:
            counts[box.column] = counts.get(box.column, 0) + 1
        return counts


def stored_boxes(loot: Loot) -> Iterator[Box]:
    """Every box of every row that ever was, with all that it can be bound to (docs/KEYS.md "What is bound to what")."""
    rows = loot.rows
    vault_versions = versions(rows["vault"], "id", "key_version")
    key_versions = versions(rows.get("connection", []), "id", "key_version")
    generations = versions(rows.get("connection", []), "id", "generation")

    def outer(table: str, column: str, row: dict, bindings: Iterable[bytes]) -> Iterator[Box]:
        if row[column] is not None:
            yield Box(f"{table}.{column}", row["id"], row[column], tuple(bindings), (table, row["id"], column))

    for row in rows["slot"]:
        # The key of the minute is nowhere; if it were, it would open what it must not.
        yield from outer("slot", "private_key", row, [d.fields("toolshed/v1/slot.private-key", row["id"], row["kind"].replace("superseded", "session")),
                                                      d.fields("toolshed/v1/minute", "slot", row["id"], "private_key")])
        yield from outer("slot", "vault_key", row, [
            d.fields("toolshed/v1/slot.vault-key", row["id"], row["vault"], version)
            for version in vault_versions.get(row["vault"], ())])
    for row in rows.get("plugin_person", []):
        yield from outer("plugin_person", "private_key", row, [
            d.fields("toolshed/v1/plugin-person.private-key", row["id"], row["plugin"], row["person"])])
    for row in rows["vault"]:
        yield from outer("vault", "private_key", row, [
            d.fields("toolshed/v1/vault.private-key", row["id"], version) for version in vault_versions[row["id"]]])
    for row in rows.get("link", []):
        if row["vault_key"] is not None:
            yield from outer("link", "vault_key", row, [d.fields(
                "toolshed/v1/link.vault-key", row["id"], row["from_vault"], row["to_vault"], row["from_slot"],
                row["to_slot"], row["key_version"])])
    connections = {}
    for row in rows.get("connection", []):
        connections[row["id"]] = row
        yield from outer("connection", "vault_key", row, [
            d.fields("toolshed/v1/connection.key", row["id"], row["vault"], version) for version in key_versions[row["id"]]])
        yield Box("connection.credential", row["id"], row["credential"], credential_bindings(row, generations))
        if row["service_key"] is not None:
            yield Box("connection.service_key", row["id"], row["service_key"], tuple(
                d.fields("toolshed/v1/connection.service-key", row["id"], version) for version in key_versions[row["id"]]))
    for row in rows.get("approval", []):
        yield from outer("approval", "connection_key", row, [
            d.fields("toolshed/v1/approval.connection-key", row["connection"], row["plugin"], version)
            for version in key_versions[row["connection"]]])
    for row in rows.get("log_key", []):
        yield from outer("log_key", "key", row, [
            d.fields("toolshed/v1/log.key", row["id"], row["connection"], row["vault"], row["person"])])
        yield Box("log_key.account", row["id"], row["account"], (d.fields("toolshed/v1/activity.claim", row["connection"]),))
    for row in rows.get("rotation_journal", []):
        journal = (d.fields("toolshed/v1/rotation-journal", row["connection"], row["generation"]),)
        yield Box("rotation_journal.credential", row["connection"], row["credential"],
                  credential_bindings(connections[row["connection"]], generations) + journal)
    for row in rows.get("request", []):
        yield Box("request.claim", row["id_hash"], row["claim"], (d.fields("toolshed/v1/request.claim", row["id_hash"]),),
                  ("request", row["id_hash"], "claim"))
    for row in rows.get("client_token", []):
        yield from outer("client_token", "successor", row, [
            d.fields("toolshed/v1/client-token.successor", row["id"]), d.fields("toolshed/v1/minute", "client_token", row["id"], "successor")])
    for row in rows.get("device_request", []):
        yield from outer("device_request", "private_key", row, [
            d.fields("toolshed/v1/slot.private-key", row["id"], "device-code"),
            d.fields("toolshed/v1/minute", "slot", row["id"], "private_key")])
    for row in rows.get("request_link", []):
        yield Box("request_link.id", row["request"], row["id"], (
            d.fields("toolshed/v1/request.link", row["request"], row["vault"]),))
    for row in rows.get("authorization", []):
        if row["verifier"] is not None:
            yield Box("authorization.verifier", row["state_hash"], row["verifier"],
                      (d.fields("toolshed/v1/authorization.verifier", row["state_hash"]),))
    yield from activity_boxes(loot)


def activity_boxes(loot: Loot) -> Iterator[Box]:
    """Claims of vends: in the audit files, and in the table that they are folded into."""
    def box(connection: bytes, raw: bytes) -> Box:
        return Box("activity.claim", connection, raw, (d.fields("toolshed/v1/activity.claim", connection),))

    for row in loot.rows.get("activity", []):
        if row["claim"] is not None:
            yield box(row["connection"], row["claim"])
    for (_, name), content in loot.files.items():
        if name.startswith("state/audit/"):
            # What follows the last newline was being written when it was copied.
            for line in content.split(b"\n")[:-1]:
                record = json.loads(line)
                if "claim" in record:
                    yield box(d.identifier(record["connection"]), d.base64url(record["claim"]))


def versions(rows: list[dict], key: str, column: str) -> dict[bytes, set[int]]:
    """All values that a counter ever had for a row, and the next."""
    found: dict[bytes, set[int]] = {}
    for row in rows:
        found.setdefault(row[key], set()).update((row[column], row[column] + 1))
    return found


def credential_bindings(row: dict, generations: dict[bytes, set[int]]) -> tuple[bytes, ...]:
    return tuple(d.fields("toolshed/v1/connection.credential", row["id"], row["vault"], row["person"], row["provider"],
                          generation) for generation in generations[row["id"]])


def open_symmetric(inner: bytes, key: bytes, box: Box) -> bytes | None:
    if box.column.endswith("credential"):
        # Told by its form, so that no binding, not even an unknown one, stands in the thief's way.
        plaintext = decrypt_unchecked(inner, key)
        return plaintext if credential_texts(plaintext) is not None else None
    for binding in box.bindings:
        try:
            return d.open_box(inner, key, binding)
        except d.DoesNotOpen:
            continue
    return None


def open_sealed(inner: bytes, private: bytes, bindings: tuple[bytes, ...]) -> bytes | None:
    for binding in bindings:
        try:
            return d.open_hpke(inner, private, binding, binding)
        except d.DoesNotOpen:
            continue
    return None


def decrypt_unchecked(box: bytes, key: bytes) -> bytes:
    """AES-GCM without its tag: counter mode from 2 (NIST SP 800-38D §7.1)."""
    start = d.HEADER + d.NONCE
    decryptor = Cipher(algorithms.AES(key), modes.CTR(box[d.HEADER : start] + b"\0\0\0\2")).decryptor()
    return decryptor.update(box[start : -d.TAG])


def credential_texts(plaintext: bytes) -> list[bytes] | None:
    """version 1 ‖ nine fields, each behind its length; None for anything else."""
    if plaintext[:1] != b"\1":
        return None
    parts, rest = [], plaintext[1:]
    for _ in CREDENTIAL_FIELDS:
        length = int.from_bytes(rest[:4], "big")
        if len(rest) < 4 + length:
            return None
        parts.append(rest[4 : 4 + length])
        rest = rest[4 + length :]
    return parts if not rest else None


def parse_credential(box: Box, plaintext: bytes) -> Credential:
    named = dict(zip(CREDENTIAL_FIELDS, credential_texts(plaintext)))
    return Credential(box.row, named["access"].decode(), named["refresh"].decode(), named["account"].decode(), named["log_key"])
