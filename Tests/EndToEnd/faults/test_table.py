"""docs/FAULTS.md names every scenario once, and what proves it exists; and `make faults` believes nothing that did not run."""

import subprocess
import sys

import pytest
import run
from table import ROOT, Scenario, missing, scenarios


def row(*proofs: str) -> Scenario:
    return Scenario("F99", "a fault", tuple(one for one in proofs if not one.startswith("swift ")),
                    tuple(one.removeprefix("swift ") for one in proofs if one.startswith("swift ")), "it holds")


def test_every_scenario_is_there_once_in_order():
    assert [scenario.id for scenario in scenarios()] == [f"F{number:02}" for number in range(1, 56)]
    assert all(scenario.remark for scenario in scenarios())


def test_what_is_said_to_prove_it_exists():
    assert [sentence for scenario in scenarios() for sentence in missing(scenario)] == []


@pytest.mark.parametrize("proofs", [
    (), ("test_nowhere.py",), ("test_story.py::test_that_nobody_wrote",), ("swift NoTests",), ("swift GateTests/nothing",)])
def test_a_row_that_proves_nothing_is_found(proofs):
    assert len(missing(row(*proofs))) == 1


@pytest.mark.parametrize("outcomes, said", [
    (["passed", "passed"], "pass"), (["passed", "failed"], "FAIL"), (["passed", "skipped"], "skipped"), (["passed", None], "FAIL"),
    ([None, None], "FAIL")])
def test_only_what_ran_and_passed_is_a_pass(outcomes, said):
    of_python = [("faults.test_x::test_a[corp]", outcomes[0])] if outcomes[0] else []
    of_swift = [("KeeperTests.GateTests::pauses()", outcomes[1])] if outcomes[1] else []
    others = [("faults.test_xx::test_a", "passed"), ("other.test_x::test_ab", "passed")]
    assert run.verdict(row("faults/test_x.py::test_a", "swift GateTests/pauses"), of_python + others, of_swift)[0] == said


@pytest.mark.parametrize("asked", ["F99", "refresh", "F01 F77"])
def test_asking_for_a_row_that_is_not_there_is_an_error(asked):
    done = subprocess.run([sys.executable, ROOT / "Tests/EndToEnd/faults/run.py", asked], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and "has no" in done.stderr and not done.stdout
