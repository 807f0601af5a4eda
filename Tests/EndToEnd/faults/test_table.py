"""docs/FAULTS.md names every scenario once, and what proves it exists."""

import re

from table import ROOT, scenarios


def test_every_scenario_is_there_once_in_order():
    assert [scenario.id for scenario in scenarios()] == [f"F{number:02}" for number in range(1, 56)]
    assert all(scenario.remark for scenario in scenarios())


def test_what_is_said_to_prove_it_exists():
    swift = {file: file.read_text() for file in (ROOT / "Tests").rglob("*.swift")}
    for scenario in scenarios():
        for node in scenario.pytest:
            file, _, function = node.partition("::")
            text = (ROOT / "Tests/EndToEnd" / file).read_text()
            assert not function or f"def {function}(" in text, f"{scenario.id}: {node}"
        for name in scenario.swift:
            suite, _, function = name.partition("/")
            texts = [text for text in swift.values() if re.search(rf"\b(struct|class) {suite}\b", text)]
            assert texts and (not function or any(f"func {function}(" in text for text in texts)), f"{scenario.id}: {name}"
