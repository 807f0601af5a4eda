"""Faults of the kernel put into a running process: its Nth system call of a kind fails, or is its last."""

import subprocess
import tempfile
from functools import cache
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[1] / "faults/inject.c"


@cache
def program() -> Path:
    """Compiled once a run."""
    built = Path(tempfile.mkdtemp(prefix="inject-")) / "inject"
    subprocess.run(["gcc", "-O1", "-Wall", "-Werror", "-o", built, SOURCE], check=True)
    return built


class Injection:
    """`Injection(pid, "fdatasync", when="3")` kills at the third; `error=errno.EIO` lets it fail instead, `hold=True` keeps its
    thread in it; "3+" means that one and all after it, for as long as the block lasts. `struck` counts how often it came to that, once the block is over."""

    def __init__(self, pid: int, call: str, error: int = 0, when: str = "1+", hold: bool = False):
        self.arguments = [str(pid), call, "hold" if hold else str(error) if error else "kill", when]
        self.struck = 0

    def __enter__(self) -> "Injection":
        self._process = subprocess.Popen([program(), *self.arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout.readline() == "attached\n", f"inject {self.arguments}"
        return self

    def __exit__(self, *_) -> None:
        self._process.terminate()
        self.struck = self._process.communicate(timeout=30)[0].count("struck")
