"""F43: some hundreds of connections are due at once after their provider was gone."""

import os
import time

import pytest
from harness.aftermath import Aftermath
from harness.database import Database
from harness.flow import CORP
from harness.loot import DATABASE
from harness.middle import Middle
from harness.people import Person, Plugin
from harness.waiting import until

# Sources/Keeper/ProviderGate.swift
PER_SECOND, BURST, AT_ONCE = 10, 20, 16
SIZE = int(os.environ.get("HERD", "300"))
EACH = 10


def most_in(times: list[float], window: float) -> int:
    """How many fall into the fullest window of so many seconds."""
    first = most = 0
    for number, time_ in enumerate(times):
        while time_ - times[first] > window:
            first += 1
        most = max(most, number - first + 1)
    return most


@pytest.mark.long
def test_a_herd_that_is_due_at_once_is_let_through_at_the_providers_pace_and_all_of_it(fresh):
    """All with background refresh, whose time came while nothing reached the provider. Afterwards they go at the pace of the
    gate, each once; who is waited for goes first; and the WAL stays small."""
    instance = fresh(environment={"TOOLSHED_WORKERS": "1"})
    double, middle = instance.double, Middle(instance.double.port)
    double.set("generic", metadata={"token_endpoint": f"http://127.0.0.1:{middle.port}/generic/token"})
    instance.start()
    database, plugin = Database(instance), Plugin(instance)
    people = [Person(instance) for _ in range(SIZE // EACH)]
    for person in people:
        for number in range(EACH):
            beside = {"connection": person.connections()[0]["id"], "separate": "true"} if number else {}
            arrived = person.connect(CORP | beside, account=f"account{number}")
            if number:  # another account than the first: the person says to keep it
                outcome = f"/api/outcomes/{arrived.headers['Location'].split('#')[1]}"
                form = person.get(outcome).json()["formToken"]
                assert person.post(outcome, {"decision": "keep", "formToken": form}).json()["status"] == "kept"
        for connection in person.connections():
            assert person.call("PATCH", f"/api/connections/{connection['id']}", {"backgroundRefresh": True}).status_code == 204
    waited = Person(instance)
    waited.connect(plugin.link("corp", ["read"], user=waited)["authorizationUrl"])
    after = Aftermath(instance)
    try:
        middle.drop()
        database.run("UPDATE connection SET expires_at_ms = 2000, next_refresh_at_ms = 1000")
        until(lambda: database.run("SELECT sum(failures) FROM connection")[0][0] >= 20, "the breaker to open", 60)
        seen = double.count("generic", "refresh")
        middle.let_through()
        biggest, begun = 0, time.monotonic()
        # Somebody asks for the one without background refresh, while three hundred are due.
        asked = until(lambda: (reply := plugin.vend("corp", ["read"], user=waited)).status_code == 200 and time.monotonic(),
                      "a token for who waits", 60)
        left = "SELECT count(*) FROM connection WHERE generation = 1"
        left_then = database.run(left)[0][0]

        def renewed() -> bool:
            nonlocal biggest
            biggest = max(biggest, (instance.dir / f"{DATABASE}-wal").stat().st_size)
            return database.run(left)[0][0] == 0

        until(renewed, "all to be renewed", 120)
    finally:
        middle.stop()
    sent = double.requests("generic", "refresh")[seen:]
    times = sorted(one["at"] for one in sent)
    assert len(sent) == SIZE + 1 == len({dict(one["form"])["refresh_token"] for one in sent}), "each once"
    for window in (0.5, 1, 2, 5, 10):
        # The double notes when it read a request: what comes from the gate at once it may read a little apart, or together.
        assert most_in(times, window) <= BURST + PER_SECOND * window + AT_ONCE, f"{most_in(times, window)} in {window} s"
    assert left_then > SIZE / 2, "who was waited for came first"
    assert biggest < 16 << 20
    live = {one["token"] for one in double.get("tokens")["generic"]["refresh"] if one["live"]}
    assert len(live) == SIZE + 1
    assert {status for status, in database.run("SELECT DISTINCT status FROM connection")} == {"active"}
    after.check()
    print(f"{len(sent)} in {times[-1] - times[0]:.1f} s, {most_in(times, 1)} in the fullest second, who asked waited "
          f"{asked - begun:.1f} s with {left_then} due, WAL {biggest >> 10} KB")
