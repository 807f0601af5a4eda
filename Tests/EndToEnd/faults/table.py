"""docs/FAULTS.md as data: what each scenario is proved by."""

import ast
import re
from dataclasses import dataclass
from functools import cache
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


@cache
def functions(file: Path) -> frozenset[str]:
    """The tests of a file, empty when there is no such file."""
    return frozenset(node.name for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.FunctionDef)
                     and node.name.startswith("test_")) if file.is_file() else frozenset()


@cache
def suites() -> dict[str, set[str]]:
    """Of each suite of the Swift tests: its functions, those of its extensions included."""
    found: dict[str, set[str]] = {}
    for file in (ROOT / "Tests").rglob("*.swift"):
        suite = None
        for line in file.read_text().splitlines():
            if opened := re.match(r"(?:@\w+(?:\(.*\))? )*(?:final )?(?:struct|class|extension) (\w+)", line):
                suite = opened[1]
            elif (function := re.match(r"    (?:@Test.*? )?func (\w+)\(", line)) and suite:
                found.setdefault(suite, set()).add(function[1])
    return found


def missing(scenario: Scenario) -> list[str]:
    """What is wrong with a row: that it names no test, or one that does not exist."""
    found = [] if scenario.pytest or scenario.swift else [f"{scenario.id}: nothing proves it"]
    for node in scenario.pytest:
        file, _, function = node.partition("::")
        known = functions(ROOT / "Tests/EndToEnd" / file)
        if not known or function and function not in known:
            found.append(f"{scenario.id}: there is no {node}")
    for name in scenario.swift:
        suite, _, function = name.partition("/")
        known = suites().get(suite, set())
        if not known or function and function not in known:
            found.append(f"{scenario.id}: there is no swift {name}")
    return found
