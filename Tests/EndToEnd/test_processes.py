"""Reload, crash and stop, while callers keep asking."""

import json
import os
import signal

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


def recorded(instance, person) -> int:
    """The vends in the person's activity log, all pages of it."""
    count, after = 0, ""
    while after is not None:
        page = person.get(f"/api/activity?limit=500{after}").json()
        count += sum(1 for entry in page["activity"] if "vend" in json.dumps(entry))
        after = f"&after={page['next']}" if page.get("next") else None
    return count
