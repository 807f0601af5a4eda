"""make faults: runs what docs/FAULTS.md names, and says a line for each scenario. Arguments: ids, or none for all.

Ends with 0 when every scenario that was asked for passed, with 1 when one failed or was skipped, and with 2, before
anything is run, when the page names a test that does not exist, has a row without one, or is asked for a row that it
does not have."""

import os
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as tree
from pathlib import Path

from table import ROOT, Scenario, missing, scenarios

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
            if f".{(where := name.split('::'))[0]}".endswith(f".{module}") and (not function or where[1].split("[")[0] == function)]


def of_swift(wanted: str, found: list[tuple[str, str]]) -> list[str]:
    suite, _, function = wanted.partition("/")
    return [outcome for name, outcome in found
            if (where := name.split("::"))[0].split(".")[-1] == suite and (not function or where[1].split("(")[0] == function)]


def verdict(scenario: Scenario, pytest: list[tuple[str, str]], swift: list[tuple[str, str]]) -> tuple[str, str]:
    """What did not run proves nothing: that a process ended early must not look like a pass."""
    results = {node: of_pytest(node, pytest) for node in scenario.pytest} | {
        f"swift {name}": of_swift(name, swift) for name in scenario.swift}
    failed = [name for name, outcome in results.items() if "failed" in outcome]
    failed += [f"{name} did not run" for name, outcome in results.items() if not outcome]
    skipped = [name for name, outcome in results.items() if "skipped" in outcome]
    if failed:
        return "FAIL", ", ".join(failed)
    if skipped:
        return "skipped", ", ".join(skipped)
    return "pass", scenario.remark


def chosen(ids: list[str]) -> list[Scenario]:
    """The rows with these ids, all when there are none. ValueError names what is not there."""
    known = {scenario.id: scenario for scenario in scenarios()}
    wanted = re.split(r"[\s,]+", " ".join(ids).upper().strip()) if ids else []
    if unknown := [one for one in wanted if one not in known]:
        raise ValueError(f"docs/FAULTS.md has no {', '.join(unknown)}")
    return [scenario for scenario in known.values() if not wanted or scenario.id in wanted]


def main() -> int:
    try:
        rows = chosen([argument for argument in sys.argv[1:] if argument.strip()])
    except ValueError as unknown:
        print(unknown, file=sys.stderr)
        return 2
    if wrong := [sentence for scenario in rows for sentence in missing(scenario)]:
        print("\n".join(wrong), file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as name:
        nodes = [node for scenario in rows for node in scenario.pytest]
        names = [name for scenario in rows for name in scenario.swift]
        swift = run_swift(names, Path(name)) if names else []
        pytest = run_pytest(nodes, Path(name)) if nodes else []
    passed = 0
    for scenario in rows:
        outcome, why = verdict(scenario, pytest, swift)
        passed += outcome == "pass"
        print(f"{scenario.id}  {outcome:<8} {scenario.name}" + (f": {why}" if why else ""))
    print(f"{passed} of {len(rows)} scenarios as docs/FAULTS.md says")
    return 0 if passed == len(rows) else 1


if __name__ == "__main__":
    sys.exit(main())
