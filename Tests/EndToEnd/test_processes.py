"""Reload, crash and stop, while callers keep asking."""

import json
import os
import re
import signal
import time

import pytest

from harness.load import Load
from harness.people import Bearer, Person, Plugin
from harness.waiting import until


@pytest.fixture
def busy(fresh):
    """A running instance, a plugin that may vend one fresh token, and a call that does."""
    instance = fresh().start()
    person, plugin = Person(instance), Plugin(instance)
    person.connect(plugin.link("corp", ["repo"], user=person)["authorizationUrl"])
    callers = [Bearer(instance, plugin.key, plugin.id) for _ in range(8)]
    return instance, person, lambda number: callers[number].vend("corp", ["repo"], user=person)


def more(load: Load, count: int = 100) -> None:
    """Waits until the load had that many further answers."""
    start = load.total
    until(lambda: load.total >= start + count, f"{count} more answers")


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_reload_loses_no_request(busy):
    instance, _, call = busy
    before = set(instance.children("work"))
    with Load(call) as load:
        for _ in range(3):
            more(load)
            reloaded = instance.reload()
            assert reloaded.returncode == 0, reloaded.stdout
        more(load)
    assert load.statuses == {200: load.total}, load.odd[:5]
    until(lambda: not before & set(instance.children("work")), "the first workers to leave")


def test_workers_that_served_long_enough_are_replaced_one_at_a_time_and_nothing_is_lost(fresh):
    """reliability.md F16: a storm of replacements, since each worker may answer some 200 requests only."""
    instance = fresh(environment={"TOOLSHED_RECYCLE_REQUESTS": "200", "TOOLSHED_WORKERS": "2"}).start()
    person, plugin = Person(instance), Plugin(instance)
    person.connect(plugin.link("corp", ["repo"], user=person)["authorizationUrl"])
    callers = [Bearer(instance, plugin.key, plugin.id) for _ in range(8)]
    seen, most = set(), 0
    with Load(lambda number: callers[number].vend("corp", ["repo"], user=person)) as load:
        def replaced(count: int) -> bool:
            nonlocal most
            now = instance.children("work")
            seen.update(now)
            most = max(most, len(now))
            return len(seen) >= count
        until(lambda: replaced(10), "eight workers to be replaced", 90)
    assert load.statuses == {200: load.total}, load.odd[:5]
    assert most <= 3, "one more than configured at most"
    reasons = re.findall(r"is to be replaced: (\d+) requests answered", instance.log())
    assert len(reasons) >= 8 and all(int(reason) >= 160 for reason in reasons)
    assert "ended with status" not in instance.log() and "took too long" not in instance.log()


def test_a_worker_that_holds_too_much_memory_is_replaced(fresh):
    # Less than any process holds: each is replaced as soon as it has been looked at, and answers all the same.
    instance = fresh(environment={"TOOLSHED_RECYCLE_MEMORY_MB": "1"}, double=False).start()
    first = set(instance.children("work"))
    until(lambda: not first & set(instance.children("work")), "the first workers to leave", 60)
    assert re.search(r"is to be replaced: \d+ MB of memory held", instance.log())
    instance.await_ready()
    assert instance.reload().returncode == 0, "beside all that, a reload works"


def test_a_successor_that_does_not_start_takes_nobodys_place(fresh):
    instance = fresh(environment={"TOOLSHED_RECYCLE_REQUESTS": "50"}, double=False).start()
    # Requests are answered as soon as the first of them is there.
    until(lambda: "answering requests with 2 workers" in instance.log(), "both workers")
    before = set(instance.children("work"))
    # Whoever starts from now on cannot count rates, which it must.
    (instance.dir / "run/rates").unlink()
    (instance.dir / "run/rates").mkdir()
    with Load(lambda _: instance.get("/healthz")) as load:
        until(lambda: instance.log().count("ended with status 78") >= 2, "two successors to fail", 60)
        assert set(instance.children("work")) >= before, "who serves goes on serving"
        (instance.dir / "run/rates").rmdir()
        until(lambda: not before & set(instance.children("work")), "all to be replaced in the end", 120)
    assert load.statuses == {200: load.total}, load.odd[:5]


@pytest.mark.parametrize("role", ["work", "keep"])
def test_a_killed_child_is_replaced(busy, role):
    instance, person, call = busy
    with Load(call) as load:
        more(load)
        victims = instance.children(role)
        instance.kill(victims[0])
        until(lambda: len(instance.children(role)) == len(victims) and victims[0] not in instance.children(role),
              f"another {role}")
        instance.await_ready()
        more(load)
    # What was in flight in the killed process is told to try again; no other answer exists.
    assert set(load.statuses) <= {200, 503}, load.odd[:5]
    assert load.statuses[503] <= 8
    until(lambda: recorded(instance, person) >= load.statuses[200], "every vend to be on record")


def test_a_killed_supervisor_leaves_no_orphan_and_the_next_start_works(busy):
    instance, person, call = busy
    children = instance.children("work") + instance.children("keep")
    with Load(call) as load:
        more(load)
        instance.kill(instance.pid())
        until(lambda: not any(map(alive, children)), "the children to leave")
        instance.start()
        more(load)
    assert set(load.statuses) <= {200, 503}, load.odd[:5]
    until(lambda: recorded(instance, person) >= load.statuses[200], "every vend to be on record")


def test_a_stop_answers_what_is_in_flight(fresh):
    instance = fresh()
    instance.start()
    instance.double.set("generic", expires_in=1)
    person, plugin = Person(instance), Plugin(instance)
    person.connect(plugin.link("corp", ["repo"], user=person)["authorizationUrl"])
    instance.double.fault("generic", "refresh", "hold")
    with Load(lambda _: plugin.vend("corp", ["repo"], user=person), threads=1) as load:
        assert instance.double.get("wait", family="generic", endpoint="refresh")["reached"]
        supervisor, answered = instance.pid(), load.total
        instance.kill(supervisor, signal.SIGTERM)
        instance.double.post("release")
        until(lambda: load.total > answered, "the answer that was waited for")
        until(lambda: not alive(supervisor), "the daemon to leave")
        until(lambda: load.statuses[503], "nginx to say that nobody is there")
    assert load.statuses[200] > answered and set(load.statuses) == {200, 503}, load.odd[:5]


def test_what_takes_long_is_a_line_with_its_route_and_where_the_time_went(fresh):
    instance = fresh(environment={"TOOLSHED_SLOW_MS": "300"}).start()
    instance.double.set("generic", expires_in=1)
    person, plugin = Person(instance), Plugin(instance)
    person.connect(plugin.link("corp", ["repo"], user=person)["authorizationUrl"])
    request = plugin.link("github", ["repo"], user=person)["requestId"]
    assert "slow:" not in instance.log().replace("slow: POST /api/sign-in", "")
    instance.double.fault("generic", "refresh", "hold")
    with Load(lambda _: plugin.vend("corp", ["repo"], user=person), threads=1):
        assert instance.double.get("wait", family="generic", endpoint="refresh")["reached"]
        reached = time.monotonic()
        until(lambda: time.monotonic() - reached > 0.6, "long enough")
        instance.double.post("release")
    line = until(lambda: re.search(r"slow: POST /api/tokens/vend (\d+) in (\d+) ms \(here (\d+), keeper (\d+), provider (\d+)\)",
                                   instance.log()), "the line")
    assert line.group(1) == "200"
    total, here, keeper, provider = map(int, line.groups()[1:])
    assert total >= 300 and keeper >= 200 and provider == 0 and here + keeper == total
    plugin.get(f"/api/requests/{request}")
    assert request not in instance.log() and plugin.key not in instance.log()


def test_metrics_tell_of_the_wal_and_of_memory(busy):
    instance, _, call = busy
    assert call(0).status_code == 200
    said = dict(re.findall(r"(?m)^(\w+)(?:\{[^}]*\})? (\d+)$", instance.get("/metrics").text))
    assert int(said["toolshed_wal_bytes"]) >= 0 and int(said["toolshed_wal_alarm_bytes"]) == 16 << 20
    assert 1 << 20 < int(said["toolshed_worker_memory_bytes"]) < 256 << 20


def recorded(instance, person) -> int:
    """The vends in the person's activity log, all pages of it."""
    count, after = 0, ""
    while after is not None:
        page = person.get(f"/api/activity?limit=500{after}").json()
        count += sum(1 for entry in page["activity"] if "vend" in json.dumps(entry))
        after = f"&after={page['next']}" if page.get("next") else None
    return count
