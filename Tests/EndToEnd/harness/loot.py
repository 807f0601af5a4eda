"""Copies of everything an instance has on disk, and every state of the database that can be read out of them."""

from __future__ import annotations

import functools
import sqlite3
import struct
from collections.abc import Iterator
from pathlib import Path

from .instance import Instance

DATABASE = "state/toolshed.sqlite"
# Sockets and the shared-memory index are not worth a theft: the index is made anew from the WAL.
FOLDERS = ("state", "log", "etc", "run")
FRAME_HEADER, WAL_HEADER = 24, 32


class Loot:
    """All copies ever made. `rows` are all rows that ever stood in a table, over all copies and all commits."""

    def __init__(self):
        self.files: dict[tuple[str, str], bytes] = {}
        self.rows: dict[str, list[dict]] = {}
        self.columns: set[tuple[str, str]] = set()
        self.states = 0
        self._seen_states: set[bytes] = set()
        self._seen_rows: set[tuple] = set()

    def copy(self, instance: Instance, step: str) -> None:
        """Copies what there is now. The daemon goes on writing meanwhile, so a torn pair is copied again."""
        for _ in range(20):
            files = dict(read_all(instance.dir))
            if self._take(files[DATABASE], files.get(f"{DATABASE}-wal", b"")):
                break
        else:
            raise AssertionError(f"{step}: no whole copy of the database in 20 attempts")
        self.files |= {(step, name): content for name, content in files.items()}

    def named(self, name: str) -> Iterator[bytes]:
        """All copies of one file."""
        return (content for (_, file), content in self.files.items() if file == name)

    def _take(self, database: bytes, wal: bytes) -> bool:
        """False when the newest state cannot be read. An earlier one may be: where commits were copied back into the
        database since the last copy of ours, its pages are newer than what the WAL is laid over."""
        whole = False
        for mark, image, is_committed in states(database, wal):
            if is_committed:
                whole = mark in self._seen_states
            if mark in self._seen_states:
                continue
            try:
                tables = read_tables(image, doubtful=not is_committed)
            except sqlite3.DatabaseError:
                continue
            whole = whole or is_committed
            self._seen_states.add(mark)
            self.states += 1
            for table, columns, rows in tables:
                self.columns |= {(table, column) for column in columns}
                for row in rows:
                    if (table, row) not in self._seen_rows:
                        self._seen_rows.add((table, row))
                        self.rows.setdefault(table, []).append(dict(zip(columns, row)))
        return whole


def read_all(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Every file of the instance. The database before its WAL: a commit in between is then in the WAL."""
    for part in FOLDERS:
        for path in sorted((folder / part).rglob("*"), key=lambda path: path.name):
            if path.is_file() and not path.name.endswith("-shm"):
                try:
                    yield str(path.relative_to(folder)), path.read_bytes()
                except FileNotFoundError:  # a temporary file that has gone since
                    continue


def states(database: bytes, wal: bytes) -> Iterator[tuple[bytes, bytes, bool]]:
    """The database as it was after each commit in the WAL, and before the first (sqlite.org/fileformat2.html §4). Last, and
    marked as not committed, what a transaction had written when its process died: SQLite does not look at it, a thief does.

    The mark of a state names it: the frame header of its last frame holds the running checksum of all before.
    """
    pages = bytearray(database)
    if pages:
        yield database[:100] + wal[16:24], standalone(pages), True
    if len(wal) < WAL_HEADER:
        return
    size, salts = struct.unpack(">I", wal[8:12])[0], wal[16:24]
    sums, left_over = struct.unpack(">II", wal[24:32]), None
    for start in range(WAL_HEADER, len(wal) - size - FRAME_HEADER + 1, size + FRAME_HEADER):
        head = wal[start : start + FRAME_HEADER]
        number, length = struct.unpack(">II", head[:8])
        if head[8:16] != salts:
            break  # left over from before the WAL was begun anew; copies of that time have it
        sums = checksum(head[:8] + wal[start + FRAME_HEADER : start + FRAME_HEADER + size], sums)
        if sums != struct.unpack(">II", head[16:24]):
            break  # only its head was written when its process died
        end = number * size
        pages.extend(bytes(max(0, end - len(pages))))
        pages[end - size : end] = wal[start + FRAME_HEADER : start + FRAME_HEADER + size]
        left_over = head
        if length:
            del pages[length * size :]
            left_over = None
            yield head, standalone(pages), True
    if left_over:
        yield left_over, standalone(pages), False


@functools.lru_cache(20_000)
def checksum(content: bytes, before: tuple[int, int]) -> tuple[int, int]:
    """Of a frame, on a machine whose words are little-endian (§4.1); the same frames come again in every copy."""
    first, second = before
    words = struct.unpack(f"<{len(content) // 4}I", content)
    for even, odd in zip(words[::2], words[1::2]):
        first = first + even + second & 0xFFFFFFFF
        second = second + odd + first & 0xFFFFFFFF
    return first, second


def standalone(pages: bytearray) -> bytes:
    """An image that SQLite opens without a WAL: read and write version 1."""
    return bytes(pages[:18]) + b"\1\1" + bytes(pages[20:])


def read_tables(image: bytes, doubtful: bool = False) -> list[tuple[str, list[str], list[tuple]]]:
    """`doubtful`: only the tables whose pages fit together."""
    connection = sqlite3.connect(":memory:")
    try:
        connection.deserialize(image)
        names = [row[0] for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        found = []
        for name in names:
            if doubtful and connection.execute(f'PRAGMA quick_check("{name}")').fetchone() != ("ok",):
                continue
            cursor = connection.execute(f'SELECT * FROM "{name}"')
            found.append((name, [column[0] for column in cursor.description], cursor.fetchall()))
        return found
    finally:
        connection.close()
