"""F52 and F53: no memory left, and minutes of everything at once. SOAK: how many minutes (make faults SOAK=360)."""

import errno
import os
import random
import resource
import threading
import time
from collections import Counter

import pytest
import requests
from harness.aftermath import Aftermath, resident
from harness.flow import at_once
from harness.injection import Injection
from harness.waiting import until

MINUTES = float(os.environ.get("SOAK", "1"))


@pytest.mark.long
@pytest.mark.parametrize("role", ["work", "keep"])
def test_a_process_without_memory_ends_and_is_replaced(fresh, company, role):
    """F52: no new mapping is granted to it, so the next allocation that needs one fails."""
    instance = fresh(environment={"TOOLSHED_WORKERS": "2"}).start()
    instance.double.set("generic", refresh="static")
    us = company(instance)
    after = Aftermath(instance)
    [victim, *_] = instance.children(role)
    limit = resource.prlimit(victim, resource.RLIMIT_AS)
    resource.prlimit(victim, resource.RLIMIT_AS, (1 << 20, limit[1]))
    statuses, begun = Counter(), time.monotonic()
    while victim in instance.children(role) and time.monotonic() - begun < 20:
        # Each is renewed: that is work for the keeper, too.
        instance.sql("UPDATE connection SET expires_at_ms = 1000, obtained_at_ms = 0, not_before_ms = NULL")
        statuses[us.vend().status_code] += 1
        statuses[us.person.get("/api/connections").status_code] += 1
    assert set(statuses) <= {200, 503}, statuses
    if victim in instance.children(role):
        # What it has already is enough for it: it is let go, and must be well.
        resource.prlimit(victim, resource.RLIMIT_AS, limit)
    until(lambda: us.vend().status_code == 200, "a token", 60)
    print(f"{role}: {dict(statuses)}; {'replaced' if victim not in instance.children(role) else 'went on'}")
    after.check(us.secrets)


CALLS = {"sample": [], "faults": range(1, 13), "full": range(1, 80)}


@pytest.mark.long
@pytest.mark.parametrize("role", ["work", "keep"])
def test_memory_that_is_refused_once_costs_a_process_at_most(fresh, company, extent, role):
    """F52, one by one: malloc fails where the kernel gives nothing, so the Nth time that it is asked (by brk, mmap or mprotect,
    which is how an arena grows) it refuses, once. Either nobody notices or the process ends and is replaced; what it was
    doing is told to come again or done, and nothing is half done."""
    instance = fresh(environment={"TOOLSHED_WORKERS": "1"}).start()
    instance.double.set("generic", expires_in=3600, refresh="static")
    us = company(instance)
    [connection] = us.person.connections()
    path, after, seen = f"/api/connections/{connection['id']}", Aftermath(instance), Counter()
    for call in ("brk", "mmap", "mprotect"):
        for number in CALLS[extent]:
            victim = instance.children(role)[0]
            with Injection(victim, call, errno.ENOMEM, str(number)) as injection:
                for turn in range(6):
                    instance.sql("UPDATE connection SET expires_at_ms = 1000, obtained_at_ms = 0, not_before_ms = NULL")
                    label = f"{call} {number} {turn}"
                    changed = us.person.call("PATCH", path, {"label": label}).status_code
                    # Several at once, and what is long: more than what it has.
                    replies = at_once(*[us.vend] * 4, lambda: us.person.get("/api/activity?limit=500"),
                                      lambda: us.person.get("/api/plugins?limit=500"))
                    assert {changed} <= {204, 503} and {r.status_code for r in replies} <= {200, 503}, f"{label}: {changed} {replies}"
            if not injection.struck:
                break
            seen["struck"] += 1
            if victim not in instance.children(role):
                seen["ended"] += 1
                until(lambda: len(instance.children(role)) == 1, "another in its place", 60)
            instance.await_ready()
            made = until(lambda: us.person.call("PATCH", path, {"label": "whole"}).status_code == 204 and us.person.connections(), "well")
            assert [c["label"] for c in made] == ["whole"], f"{call} {number}"
            until(lambda: us.vend().status_code == 200, f"a token after {call} {number}", 60)
    print(f"{role}: {dict(seen)}")
    assert seen["struck"], "it asked for memory"
    after.check(us.secrets, growth=2)


@pytest.mark.long
def test_minutes_of_everything_with_a_kill_now_and_then(fresh, company):
    """F53: people connect, remove, make keys and vend, tokens end every few seconds, providers fail now and then, and
    something is killed every twenty seconds."""
    dice = random.Random(int(os.environ.get("SEED", time.time())))
    instance = fresh(environment={"TOOLSHED_WORKERS": "2"}).start()
    instance.double.set("generic", expires_in=10, refresh="rotate+grace")
    people = [company(instance) for _ in range(6)]
    [us.vend() for us in people]
    after, end, odd = Aftermath(instance), threading.Event(), []
    counts, slow, lock = Counter(), [], threading.Lock()
    promised: dict[int, set[str]] = {number: set() for number in range(len(people))}

    def live(number: int) -> None:
        us, turn = people[number], 0
        while not end.is_set():
            turn += 1
            start = time.monotonic()
            try:
                if turn % 11 == 0 and len(promised[number]) < 40:
                    reply = us.person.post("/api/keys", {"name": f"{number}-{turn}"})
                    if reply.status_code == 201:
                        promised[number].add(reply.json()["id"])
                elif turn % 17 == 0 and len(promised[number]) > 10:
                    gone = next(iter(promised[number]))
                    reply = us.person.delete(f"/api/keys/{gone}")
                    if reply.status_code in (200, 204, 404):
                        promised[number].discard(gone)
                    elif reply.status_code == 503:
                        promised[number].discard(gone)  # either
                else:
                    reply = us.vend()
                status, text = reply.status_code, reply.text[:200]
            except requests.RequestException as failure:
                status, text = type(failure).__name__, str(failure)
            with lock:
                counts[status] += 1
                slow.append(time.monotonic() - start)
                if status not in (200, 201, 204, 404, 503):
                    odd.append(f"{status} {text}")

    threads = [threading.Thread(target=live, args=(number,)) for number in range(len(people))]
    for thread in threads:
        thread.start()
    begun, kills = time.monotonic(), Counter()
    sizes = {role: max(map(resident, instance.children(role))) for role in ("work", "keep")}
    while time.monotonic() - begun < MINUTES * 60:
        pause = time.monotonic() + min(20, MINUTES * 20)
        until(lambda: time.monotonic() > pause, "the next kill", 60)
        role = dice.choice(["work", "work", "keep"])
        instance.kill(dice.choice(instance.children(role)))
        kills[role] += 1
        until(lambda: len(instance.children("work")) == 2 and len(instance.children("keep")) == 1, "a full pool", 60)
        if dice.random() < 0.3:
            instance.double.fault("generic", "refresh", dice.choice(["500", "drop", "empty_400", "truncated"]), times=1)
    end.set()
    for thread in threads:
        thread.join(60)
    assert odd == [], odd[:5]
    assert counts[503] < sum(counts.values()) / 10, counts
    instance.double.post("fault", clear=True)
    for number, us in enumerate(people):
        until(lambda: us.vend().status_code == 200, "a token", 60)
        there = {key["id"] for key in us.person.get("/api/keys?limit=500").json()["keys"]}
        assert promised[number] <= there, "a key that was given out is not there"
    slow.sort()
    print(f"{MINUTES} min: {dict(counts)}, kills {dict(kills)}, p99 {slow[int(len(slow) * 0.99)]:.3f} s, kilobytes at first {sizes}")
    after.check(growth=2)
    whole_log = instance.toolshedd("audit", "verify", ok=False)
    assert whole_log.returncode in (0, 2), whole_log.stdout + whole_log.stderr
