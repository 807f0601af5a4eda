"""Kills a process inside a chosen system call, or has the call fail: what a power cut and a bad disk do to a program.

strace stands between the process and the kernel; a call that is struck is never made.
"""

from __future__ import annotations

import collections
import re
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path

from .waiting import until

KILL = "signal=KILL"


class Strike:
    """While it is entered, every thread of `pids` is watched, and what a thread's `at`-th call of `call` meets is `effect`
    (strace(1), "inject"): death, or such as `error=EIO`. Without `at` nothing happens and the calls are only counted."""

    def __init__(self, pids: Iterable[int], call: str = "pwrite64", at: int | None = None, effect: str = KILL):
        self.pids, self.call, self.at, self._effect = list(pids), call, at, effect
        self._command = ["strace", "-f", "-e", f"trace={call}"]
        if at is not None:
            self._command += ["-e", f"inject={call}:{effect}:when={at}"]

    def __enter__(self) -> "Strike":
        folder = tempfile.TemporaryDirectory(prefix="toolshed-strike-")
        self._folder, self._log = folder, Path(folder.name) / "calls"
        self._log.touch()
        # What it says of itself goes to a file: nobody reads a pipe while the test goes on.
        self._said = open(Path(folder.name) / "said", "w+")
        watched = [argument for pid in self.pids for argument in ("-p", str(pid))]
        self._strace = subprocess.Popen([*self._command, "-o", self._log, *watched], stderr=self._said, stdin=subprocess.DEVNULL)
        until(self._attached, f"strace to hold {self.pids}")
        return self

    def _attached(self) -> bool:
        said = Path(self._said.name).read_text()
        assert self._strace.poll() is None, f"strace: {said}"
        return all(re.search(rf"Process {pid} attached", said) for pid in self.pids)

    def __exit__(self, *_) -> None:
        """Lets go; what is still alive goes on undisturbed."""
        self.lines = self._read()
        if self.at is not None and self._effect == KILL and self.counts.get(self.call, 0) >= self.at:
            # It dies with all its threads, and strace is to have seen it.
            until(lambda: any("killed by" in line for line in self._read()), "who was struck to die", 10)
        self._strace.terminate()
        try:
            self._strace.wait(2)
        except subprocess.TimeoutExpired:
            # Asked to go while a process dies under it, it waits for threads that will never stop.
            self._strace.kill()
            self._strace.wait()
        self.lines = self._read()
        self._said.close()
        self._folder.cleanup()

    def _read(self) -> list[str]:
        return self._log.read_text(errors="replace").splitlines()

    # What came of it, once it is left

    @property
    def killed(self) -> bool:
        return any("killed by SIGKILL" in line for line in self.lines)

    @property
    def injected(self) -> bool:
        return self.killed or any("(INJECTED)" in line for line in self.lines)

    @property
    def counts(self) -> dict[str, int]:
        """How often each call was made by the thread that made it most."""
        counted = collections.Counter()
        for line in self.lines:
            # "<... call resumed>" is the end of one that was counted when it began.
            if found := re.match(r"(\d+) +(\w+)\(", line):
                counted[found[1], found[2]] += 1
        most: dict[str, int] = {}
        for (_, call), number in counted.items():
            most[call] = max(most.get(call, 0), number)
        return most
