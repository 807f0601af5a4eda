"""What a power cut would leave of a database: every write and sync of a real run is recorded with its data, and at each
moment what was not synced is dropped, kept, reordered or torn to sectors of 512 bytes."""

from __future__ import annotations

import bisect
import contextlib
import hashlib
import random
import re
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .instance import Instance
from .loot import DATABASE
from .waiting import until

SECTOR = 512
# Without the index of the WAL, which is mapped, never synced, and made anew from the WAL by whoever opens it first.
FILES = ("toolshed.sqlite", "toolshed.sqlite-wal")
CALLS = "pwrite64,write,writev,pwritev,pwritev2,ftruncate,fallocate,fdatasync,fsync"
LINE = re.compile(r"(\d+) +(?:(\w+)\((.*)|<\.\.\. (\w+) resumed>(.*))$", re.DOTALL)


@dataclass(frozen=True)
class Event:
    """A call on one of the files: in which lines it began and ended. `data` None: the file was cut to `offset`."""

    begun: int
    ended: int
    file: str
    kind: str
    offset: int = 0
    data: bytes | None = None


class Recording:
    """From here to the end of the block: what these processes write to the database and its WAL, and when they sync."""

    def __init__(self, instance: Instance, pids: list[int]):
        self.instance, self.pids = instance, pids
        self._folder = Path(tempfile.mkdtemp(prefix="power-cut-"))
        self._log = self._folder / "calls"
        self._marks: list[int] = []
        self.base: dict[str, bytes] = {}
        self.events: list[Event] = []
        self.marks: list[int] = []

    def __enter__(self) -> Recording:
        self._log.touch()
        watched = [argument for pid in self.pids for argument in ("-p", str(pid))]
        with open(self._folder / "said", "w") as said:
            self._strace = subprocess.Popen(["strace", "-f", "-y", "-xx", "-s", "1000000", "-e", f"trace={CALLS}", "-o", self._log,
                                             *watched], stderr=said, stdin=subprocess.DEVNULL)
        until(lambda: all(f"Process {pid} attached" in (self._folder / "said").read_text() for pid in self.pids), "strace to hold them")
        until(self._copied, "a moment without a write")
        return self

    def _copied(self) -> bool:
        """The files as they are when nobody writes; that much is taken to be on the disk."""
        before = self._of_files(self._log.stat().st_size)
        self.base = {name: (self.instance.dir / DATABASE).with_name(name).read_bytes() for name in FILES}
        self._from = self._log.stat().st_size
        return self._of_files(self._from) == before

    def _of_files(self, end: int) -> int:
        with self._log.open("rb") as log:
            return log.read(end).count(b"toolshed.sqlite")

    def mark(self) -> None:
        """What was said until now was said to be done: its calls were written down before they went on."""
        self._marks.append(self._log.stat().st_size)

    def __exit__(self, *_) -> None:
        self._strace.terminate()
        self._strace.wait(30)
        content = self._log.read_bytes()
        ends = [found.end() for found in re.finditer(rb"\n", content)]
        first = bisect.bisect_right(ends, self._from)
        self.marks = [bisect.bisect_right(ends, mark) for mark in self._marks]
        self.events = [event for event in parsed(content.decode("ascii").splitlines()) if event.begun >= first]
        shutil.rmtree(self._folder)

    # What the disk may hold

    def syncs(self) -> list[Event]:
        return [event for event in self.events if event.kind == "sync"]

    def moments(self) -> list[int]:
        """Just before and just after each sync: in between less is open."""
        return sorted({line for sync in self.syncs() for line in (sync.begun, sync.ended + 1)})

    def image(self, moment: int, choose) -> dict[str, bytes]:
        """The files after a cut at this line. `choose` gets how many writes of a file are open, and says of each what becomes
        of it: True, False, or a function of the number of its sectors that says which are there."""
        left = {}
        for name in FILES:
            content = bytearray(self.base[name])
            writes = [event for event in self.events if event.file == name and event.kind != "sync" and event.ended < moment]
            synced = max((sync.begun for sync in self.syncs() if sync.file == name and sync.ended < moment), default=-1)
            fate = iter(choose(sum(event.ended > synced for event in writes)))
            for event in writes:
                apply(content, event, True if event.ended < synced else next(fate))
            left[name] = bytes(content)
        return left

    def whole(self, moment: int) -> dict[str, bytes]:
        """What another process would read at this line."""
        return self.image(moment, lambda count: [True] * count)


def parsed(lines: list[str]) -> Iterator[Event]:
    """strace(1): a call that another thread's line came into is in two halves."""
    begun: dict[str, tuple[int, str, str]] = {}
    for number, line in enumerate(lines):
        if not (found := LINE.match(line)):
            continue
        thread, call, rest, resumed, after = found.groups()
        if call and rest.endswith("<unfinished ...>"):
            begun[thread] = (number, call, rest.removesuffix("<unfinished ...>").rstrip())
            continue
        first = number
        if resumed:
            first, call, before = begun.pop(thread)
            rest = before + after
        if event := understood(call, rest, first, number):
            yield event


def understood(call: str, rest: str, begun: int, ended: int) -> Event | None:
    named = re.match(r"\d+<([^>]*)>", rest)
    # With -xx the path is in hexadecimal as well.
    path = re.sub(r"\\x(..)", lambda byte: chr(int(byte[1], 16)), named[1]) if named else ""
    name, result = path.rpartition("/")[2], re.search(r"\) += (-?\d+)", rest)
    if name not in FILES or not result or int(result[1]) < 0:
        return None
    if call in ("fdatasync", "fsync"):
        return Event(begun, ended, name, "sync")
    if call == "ftruncate":
        return Event(begun, ended, name, "cut", int(re.search(r", (\d+)\)", rest)[1]))
    assert call == "pwrite64", f"the database is written by {call}: what that leaves is not known here"
    text, length, offset = re.search(r', "([^"]*)", (\d+), (\d+)\) ', rest).groups()
    data = bytes.fromhex(text.replace("\\x", ""))
    assert len(data) == int(length) == int(result[1])
    return Event(begun, ended, name, "write", int(offset), data)


def apply(content: bytearray, event: Event, fate) -> None:
    if fate is False:
        return
    if event.data is None:
        del content[event.offset :]
        content.extend(bytes(event.offset - len(content)))
        return
    end = event.offset + len(event.data)
    content.extend(bytes(max(0, end - len(content))))
    if fate is True:
        content[event.offset : end] = event.data
        return
    # Sectors of the disk, not of the write.
    first, last = event.offset // SECTOR, (end - 1) // SECTOR
    for sector, kept in zip(range(first, last + 1), fate(last - first + 1)):
        if kept:
            low, high = max(event.offset, sector * SECTOR), min(end, (sector + 1) * SECTOR)
            content[low:high] = event.data[low - event.offset : high - event.offset]


def fates(dice: random.Random, count: int) -> Iterator:
    """Ways for a disk to lose what was not synced: all, nothing, all but the latest and only that, and `count` by chance."""
    yield lambda open_: [False] * open_
    yield lambda open_: [True] * open_
    yield lambda open_: [number < open_ - 1 for number in range(open_)]
    yield lambda open_: [number == open_ - 1 for number in range(open_)]
    for _ in range(count):
        yield lambda open_: [dice.choice((True, False, lambda sectors: [dice.random() < 0.5 for _ in range(sectors)]))
                             for _ in range(open_)]


@contextlib.contextmanager
def opened(image: dict[str, bytes]) -> Iterator[sqlite3.Connection]:
    """As the next start would: SQLite takes from the WAL what is whole."""
    with tempfile.TemporaryDirectory(dir="/dev/shm", prefix="power-cut-") as folder:
        for name, content in image.items():
            (Path(folder) / name).write_bytes(content)
        with contextlib.closing(sqlite3.connect(Path(folder) / FILES[0])) as database:
            yield database


def state(database: sqlite3.Connection) -> bytes:
    """Everything that is in it."""
    digest = hashlib.sha256()
    for (name,) in database.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name").fetchall():
        digest.update(name.encode())
        # In the order of the table's own tree.
        for row in database.execute(f'SELECT * FROM "{name}" NOT INDEXED'):
            digest.update(repr(row).encode())
    return digest.digest()
