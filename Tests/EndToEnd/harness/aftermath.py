"""What must hold after every fault (docs/FAULTS.md, N6): the database whole, every ciphertext opens, generations only grow,
no lease is forgotten, the pool is full, and no descriptor, thread or memory was left behind."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path

from .instance import Instance
from .loot import DATABASE, Loot, read_tables, standalone
from .thief import Thief
from .waiting import until

# What a person's and their plugins' secrets open without anybody else's.
OPENED = ("connection.credential", "connection.vault_key", "connection.service_key", "approval.connection_key",
          "vault.private_key", "rotation_journal.credential", "log_key.key", "log_key.account")


def resident(pid: int) -> int:
    """Kilobytes in memory; 0 when it has gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("VmRSS")), 0)


def threads(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


def descriptors(pid: int, kept: set[str]) -> int:
    """Those of its own: which connections nginx and libcurl keep for the next time is bounded elsewhere."""
    count = 0
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            count += entry.readlink().name not in kept
        except OSError:
            continue
    return count


def kept_connections(instance: Instance) -> set[str]:
    """The connections that nginx made to the pool's socket, and those to providers, as /proc names them."""
    path = str(instance.dir / "run/toolshedd.sock")
    unix = (line.split() for line in Path("/proc/net/unix").read_text().splitlines()[1:])
    internet = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
    return ({f"socket:[{row[6]}]" for row in unix if len(row) == 8 and row[7] == path and row[5] != "01"}
            | {f"socket:[{row[9]}]" for row in internet})


def footprint(instance: Instance) -> dict[str, tuple[int, int, int]]:
    """By role: the most descriptors, threads and kilobytes that one of its processes has."""
    kept = kept_connections(instance)
    found = {}
    for role in ("supervise", "keep", "work"):
        pids = [instance.pid()] if role == "supervise" else instance.children(role)
        sizes = [(descriptors(pid, kept), threads(pid), resident(pid)) for pid in pids]
        found[role] = tuple(max(column) for column in zip(*sizes))
    return found


def snapshot(instance: Instance) -> bytes:
    """The database as one reader sees it now."""
    with closing(sqlite3.connect(instance.dir / DATABASE, timeout=10)) as source:
        source.execute("PRAGMA wal_autocheckpoint = 0")
        return in_one(source)


def in_one(source: sqlite3.Connection) -> bytes:
    """A database and its WAL as one image."""
    with closing(sqlite3.connect(":memory:")) as copy:
        source.backup(copy)
        return standalone(bytearray(copy.serialize()))


def generations(instance: Instance) -> dict[bytes, int]:
    with closing(sqlite3.connect(instance.dir / DATABASE, timeout=10)) as database:
        database.execute("PRAGMA wal_autocheckpoint = 0")
        return dict(database.execute("SELECT id, generation FROM connection"))


def sealed(instance: Instance, secrets: list[str]) -> list[str]:
    """The columns of boxes that ought to open with these tokens and ENCRYPTION_KEY, and do not."""
    return sealed_in(snapshot(instance), instance, secrets)


def sealed_in(image: bytes, instance: Instance, secrets: list[str]) -> list[str]:
    loot = Loot()
    for table, columns, rows in read_tables(image):
        loot.rows[table] = [dict(zip(columns, row)) for row in rows]
    lines = (instance.dir / "etc/environment").read_text().splitlines()
    key = next(line for line in lines if line.startswith("ENCRYPTION_KEY=")).partition("=")[2]
    thief = Thief(loot, key)
    for secret in secrets:
        thief.give_token(secret)
    thief.work()
    return sorted({box.column for box in thief._all if box.column in OPENED and box not in thief.opened})


class Aftermath:
    """Made before the fault; `check` after it. `secrets` are the cookies and keys of everybody who has anything here;
    without them ciphertexts are not looked at."""

    def __init__(self, instance: Instance):
        self.instance = instance
        self.workers = len(instance.children("work"))
        self.before = footprint(instance)
        self.generations = generations(instance)

    def check(self, secrets: list[str] | None = None, growth: float = 1.5) -> None:
        instance = self.instance
        instance.await_ready()
        until(lambda: len(instance.children("work")) == self.workers and len(instance.children("keep")) == 1, "a full pool")
        whole(instance)
        after = generations(instance)
        shrunk = {row for row, number in self.generations.items() if after.get(row, number) < number}
        assert not shrunk, f"generations went back: {shrunk}"
        try:
            until(lambda: self._settled(growth), "descriptors, threads and memory", 20)
        except AssertionError as late:
            raise AssertionError(f"{late}: {footprint(instance)}, before {self.before}") from late
        if secrets is not None:
            assert sealed(instance, secrets) == []

    def _settled(self, growth: float) -> bool:
        now = footprint(self.instance)
        return all(now[role][0] <= before[0] + 2 and now[role][1] <= before[1] + 2 and now[role][2] <= before[2] * growth + 8192
                   for role, before in self.before.items())


def whole(instance: Instance) -> None:
    """Of the database alone."""
    with closing(sqlite3.connect(instance.dir / DATABASE, timeout=20)) as database:
        database.execute("PRAGMA wal_autocheckpoint = 0")
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert database.execute("PRAGMA foreign_key_check").fetchall() == []
        old = int((time.time() - 60) * 1000)
        assert not database.execute("SELECT id FROM connection WHERE lease_owner IS NOT NULL AND lease_until_ms < ?",
                                    (old,)).fetchall(), "a lease was forgotten"
