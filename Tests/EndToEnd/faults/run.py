"""make faults: runs what docs/FAULTS.md names, and says a line for each scenario. Arguments: ids, or none for all."""

import os
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as tree
from pathlib import Path

from table import ROOT, Scenario, scenarios

HERE = ROOT / "Tests/EndToEnd"


def outcomes(report: Path) -> list[tuple[str, str]]:
    """(class and name, passed, skipped or failed) of each test case of a JUnit report."""
    if not report.exists():
        return []
    found = []
    for case in tree.parse(report).iter("testcase"):
        kinds = {child.tag for child in case}
        outcome = "failed" if kinds & {"failure", "error"} else "skipped" if "skipped" in kinds else "passed"
        found.append((f"{case.get('classname')}::{case.get('name')}", outcome))
    return found


def run_pytest(nodes: list[str], folder: Path) -> list[tuple[str, str]]:
    report = folder / "pytest.xml"
    extent = "full" if os.environ.get("FULL") else "faults"
    subprocess.run([ROOT / ".venv/bin/python", "-m", "pytest", "-q", "--junit-xml", report, *sorted(set(nodes))], cwd=HERE,
                   env=os.environ | {"FAULTS": extent}, stdout=sys.stderr)
    return outcomes(report)


def run_swift(names: list[str], folder: Path) -> list[tuple[str, str]]:
    """Suites or suite/function, each run at the end of a module's name and before the function's parentheses."""
    report = folder / "swift.xml"
    filters = [argument for name in sorted(set(names)) for argument in ("--filter", rf"\.{name}(\(|/|$)" if "/" in name else rf"\.{name}/")]
    subprocess.run(["swift", "test", "--skip-build", "--xunit-output", report, *filters], cwd=ROOT, stdout=sys.stderr)
    return outcomes(folder / "swift-swift-testing.xml")


def of_pytest(node: str, found: list[tuple[str, str]]) -> list[str]:
    file, _, function = node.partition("::")
    module = file.removesuffix(".py").replace("/", ".")
    return [outcome for name, outcome in found
            if (where := name.split("::"))[0].endswith(module) and (not function or where[1].split("[")[0] == function)]


def of_swift(wanted: str, found: list[tuple[str, str]]) -> list[str]:
    suite, _, function = wanted.partition("/")
    return [outcome for name, outcome in found
            if (where := name.split("::"))[0].split(".")[-1] == suite and (not function or where[1].split("(")[0] == function)]


def verdict(scenario: Scenario, pytest: list, swift: list) -> tuple[str, str]:
    results = {node: of_pytest(node, pytest) for node in scenario.pytest} | {
        f"swift {name}": of_swift(name, swift) for name in scenario.swift}
    if not scenario.pytest and not scenario.swift:
        return "does not apply", scenario.remark
    missing = [name for name, outcome in results.items() if not outcome]
    failed = [name for name, outcome in results.items() if "failed" in outcome]
    skipped = [name for name, outcome in results.items() if outcome and set(outcome) == {"skipped"}]
    if failed or missing:
        return "FAIL", ", ".join(failed + [f"{name} did not run" for name in missing])
    if len(skipped) == len(results):
        return "skipped", ", ".join(skipped)
    return "pass", scenario.remark


def main() -> int:
    wanted = set(re.findall(r"F\d\d", " ".join(sys.argv[1:]).upper()))
    chosen = [scenario for scenario in scenarios() if not wanted or scenario.id in wanted]
    with tempfile.TemporaryDirectory() as name:
        nodes = [node for scenario in chosen for node in scenario.pytest]
        names = [name for scenario in chosen for name in scenario.swift]
        swift = run_swift(names, Path(name)) if names else []
        pytest = run_pytest(nodes, Path(name)) if nodes else []
    bad = 0
    for scenario in chosen:
        outcome, why = verdict(scenario, pytest, swift)
        bad += outcome == "FAIL"
        print(f"{scenario.id}  {outcome:<15} {scenario.name}" + (f": {why}" if why else ""))
    print(f"{len(chosen) - bad} of {len(chosen)} scenarios as docs/FAULTS.md says")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
