"""docs/FAULTS.md as data: what each scenario is proved by."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs/FAULTS.md"


@dataclass(frozen=True)
class Scenario:
    id: str
    name: str
    pytest: tuple[str, ...]
    swift: tuple[str, ...]
    remark: str


def scenarios() -> list[Scenario]:
    found = []
    for line in PAGE.read_text().splitlines():
        if re.match(r"\| F\d\d \|", line):
            identifier, name, proofs, remark = re.split(r"\s*\|\s*", line.strip("| "))
            named = re.findall(r"`([^`]+)`", proofs)
            found.append(Scenario(identifier, name, tuple(one for one in named if not one.startswith("swift ")),
                                  tuple(one.removeprefix("swift ") for one in named if one.startswith("swift ")), remark))
    return found
