"""Secrets that are looked for, in every form that a program may write them in, and the places that are searched."""

from __future__ import annotations

import base64
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from .instance import Instance

SHORTEST = 12  # bytes; shorter needles are found by chance


def forms(secret: bytes) -> set[bytes]:
    """Raw, hexadecimal, base64 in its three alignments in both alphabets, percent-encoded, UTF-16."""
    found = {secret, secret.hex().encode(), secret.hex().upper().encode(), quote(secret, safe="").encode(),
             "".join(f"%{byte:02x}" for byte in secret).encode(), "".join(f"%{byte:02X}" for byte in secret).encode()}
    for shift in range(3):
        # Without the digits that hold bits of what stands before or after.
        cut = base64.b64encode(bytes(shift) + secret)[(0, 2, 3)[shift] : (shift + len(secret)) * 8 // 6]
        found |= {cut, cut.replace(b"+", b"-").replace(b"/", b"_")}
    try:
        text = secret.decode()
        found |= {text.encode("utf-16-le"), text.encode("utf-16-be")}
    except UnicodeDecodeError:
        pass
    return {form for form in found if len(form) >= SHORTEST}


@dataclass
class Canaries:
    """Names and the bytes that must not be found. A token of ours counts as text and as its 32 secret bytes."""

    secrets: dict[str, bytes] = field(default_factory=dict)

    def add(self, name: str, secret: str | bytes) -> None:
        secret = secret.encode() if isinstance(secret, str) else secret
        assert len(secret) >= SHORTEST, name
        self.secrets[name] = secret

    def add_token(self, name: str, text: str) -> None:
        self.add(name, text)
        self.add(f"{name}, its secret", base64.urlsafe_b64decode(text[4:68])[16:])

    def add_short_secret(self, name: str, text: str) -> None:
        """32 bytes as base64url."""
        self.add(name, text)
        self.add(f"{name}, its bytes", base64.urlsafe_b64decode(text + "="))

    def pattern(self, names: Iterable[str] | None = None) -> "Search":
        return Search({form: name for name, secret in self.secrets.items() if names is None or name in names
                       for form in forms(secret)})


class Search:
    """All forms of all canaries at once, in one pass over the aligned words of what is searched.

    Wherever a needle of 15 bytes or more lies, one aligned word lies wholly within its first 15.
    """

    WORD, ENOUGH = 8, 15

    def __init__(self, needles: dict[bytes, str]):
        self._names = needles
        self._short = [needle for needle in needles if len(needle) < self.ENOUGH]
        self._by_word: dict[int, list[bytes]] = {}
        for needle in needles.keys() - set(self._short):
            for start in range(self.WORD):
                word = int.from_bytes(needle[start : start + self.WORD], sys.byteorder)
                self._by_word.setdefault(word, []).append(needle)

    def within(self, content: bytes) -> set[str]:
        whole = memoryview(content)[: len(content) // self.WORD * self.WORD].cast("Q")
        candidates = {needle for word in self._by_word.keys() & set(whole) for needle in self._by_word[word]}
        return {self._names[needle] for needle in (*candidates, *self._short) if needle in content}


def files(folder: Path, except_: Iterable[str] = ()) -> Iterator[tuple[str, bytes]]:
    """Every file of an instance, save the operator's own: names relative to it."""
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_file() and not path.is_symlink() and name not in except_:
            try:
                yield name, path.read_bytes()
            except FileNotFoundError:
                continue


def processes(instance: Instance) -> dict[int, str]:
    """Supervisor, keeper, workers, nginx's master and workers: number and role."""
    found = {instance.pid(): "supervise"}
    for role in ("keep", "work"):
        found |= {pid: role for pid in instance.children(role)}
    master = instance.pid("nginx.pid")
    found[master] = "nginx"
    for pid in Path(f"/proc/{master}/task/{master}/children").read_text().split():
        found[int(pid)] = "nginx"
    return found


@dataclass(frozen=True)
class Region:
    start: int
    end: int
    name: str
    is_locked: bool

    @property
    def kind(self) -> str:
        """What is said of a find: where in the process it lies."""
        if self.is_locked:
            return "locked"
        return self.name if self.name.startswith("[") else "mapped file" if self.name else "heap"


def regions(pid: int) -> list[Region]:
    """Writable memory of a process; what is excluded from dumps is the locked heap for keys (proc(5), smaps)."""
    found, head = [], None
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        parts = line.split()
        if match := re.match(r"([0-9a-f]+)-([0-9a-f]+) (\S+)", line):
            head = (int(match[1], 16), int(match[2], 16), match[3], parts[5] if len(parts) > 5 else "")
        elif parts[0] == "VmFlags:" and head and head[2].startswith("rw") and head[3] not in ("[vvar]", "[vsyscall]"):
            found.append(Region(head[0], head[1], head[3], "dd" in parts))
    return found


def memory(pid: int) -> Iterator[tuple[Region, bytes]]:
    """What was ever written to, region by region. Needs root, as the processes may not be traced."""
    page, empty = 4096, bytes(4096)
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as file, open(f"/proc/{pid}/pagemap", "rb", buffering=0) as map_:
        for region in regions(pid):
            map_.seek(region.start // page * 8)
            entries = memoryview(map_.read((region.end - region.start) // page * 8)).cast("Q")
            pieces = []
            for number, entry in enumerate(entries):
                if entry >> 62:  # in memory, or swapped out (Documentation/admin-guide/mm/pagemap.rst)
                    file.seek(region.start + number * page)
                    pieces.append(file.read(page))
                elif pieces and pieces[-1] is not empty:
                    pieces.append(empty)
            yield region, b"".join(pieces)
