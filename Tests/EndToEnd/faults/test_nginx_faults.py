"""F18 and F51: nginx that is restarted, reloaded, killed or flooded."""

import re
import signal
import statistics
import subprocess
import threading
import time

import pytest
from harness.aftermath import Aftermath
from harness.load import Load
from harness.people import Bearer
from harness.waiting import until


def nginx(instance, *arguments: str) -> None:
    etc = instance.dir / "etc/nginx"
    subprocess.run(["nginx", "-e", instance.dir / "log/nginx.log", "-p", f"{etc}/", "-c", etc / "nginx.conf", *arguments],
                   check=True, capture_output=True)


def busy(instance) -> set[str]:
    """Of every worker that was met: the one thread that answers this."""
    return {found for _ in range(20) for found in re.findall(r"threads_busy\{[^}]*\} (\d+)", instance.get("/metrics").text)}


@pytest.mark.long
def test_nginx_may_reload_restart_and_be_killed(fresh, company):
    instance = fresh().start()
    us = company(instance)
    after, workers = Aftermath(instance), instance.children("work")
    callers = [Bearer(instance, us.plugin.key, us.plugin.id) for _ in range(6)]

    def vend(number: int):
        return callers[number].vend("corp", ["read"], user=us.person)

    with Load(vend, threads=6) as load:
        until(lambda: load.total > 100, "answers")
        nginx(instance, "-s", "reload")
        seen = load.total
        until(lambda: load.total > seen + 200, "answers after the reload")
    # nginx closes idle connections when it reloads; a client that sends at that moment sees that and nothing else.
    assert set(load.statuses) <= {200, "ConnectionError"} and load.statuses["ConnectionError"] <= 6, load.odd[:3]
    for kill in (signal.SIGTERM, signal.SIGKILL):
        master = instance.pid("nginx.pid")
        children = subprocess.run(["ps", "-o", "pid=", "--ppid", str(master)], capture_output=True, text=True).stdout.split()
        with Load(vend, threads=6) as load:
            until(lambda: load.total > 50, "answers")
            for pid in [master, *map(int, children)] if kill == signal.SIGKILL else [master]:
                instance.kill(pid, kill)
            until(lambda: load.statuses["ConnectionError"] > 10, "that nobody listens")
        instance.start()
        assert vend(0).status_code == 200
    until(lambda: busy(instance) == {"1"}, "no thread to be stuck")
    assert instance.children("work") == workers
    after.check(us.secrets)


@pytest.mark.long
def test_who_floods_is_slowed_down_and_nobody_else(fresh, company):
    """F51: 200 a second for each bearer, with a burst of 1000."""
    instance = fresh(limits=True).start()
    us, them = company(instance), company(instance)

    def quiet(seconds: float) -> list[float]:
        times, end = [], time.monotonic() + seconds
        while time.monotonic() < end:
            start = time.monotonic()
            assert them.vend().status_code == 200
            times.append(time.monotonic() - start)
        return times

    alone = quiet(3)
    end, refused = threading.Event(), []

    def flood() -> None:
        caller = Bearer(instance, us.plugin.key, us.plugin.id)
        while not end.is_set():
            reply = caller.vend("corp", ["read"], user=us.person)
            if reply.status_code == 429:
                refused.append(int(reply.headers["Retry-After"]))

    # A client of Python's makes a few hundred a second; wrk, where it is there, makes the flood.
    threads = [threading.Thread(target=flood) for _ in range(4)]
    lua = instance.dir / "flood.lua"
    lua.write_text(f'wrk.method = "POST"\nwrk.headers["Authorization"] = "Bearer {us.plugin.key}"\n'
                   'wrk.headers["Content-Type"] = "application/json"\n'
                   f"wrk.body = '{{\"provider\": \"corp\", \"scopes\": [\"read\"], \"userId\": \"{us.person.user_id}\"}}'\n")
    wrk = subprocess.Popen(["wrk", "-t1", "-c16", "-d10s", "-s", lua, instance.origin + "/api/tokens/vend"],
                           stdout=subprocess.PIPE, text=True)
    for thread in threads:
        thread.start()
    beside = quiet(8)
    end.set()
    for thread in threads:
        thread.join()
    said = wrk.communicate(timeout=30)[0]
    asked = int(re.search(r"(\d+) requests in", said)[1])
    failed = int((re.search(r"Non-2xx or 3xx responses: (\d+)", said) or [0, 0])[1])
    assert refused and asked - failed < 1000 + 200 * 14, said
    assert them.person.get("/api/connections").status_code == 200 and us.person.get("/api/connections").status_code == 200
    print(f"flood: {asked} asked, {failed} refused; others: median {statistics.median(alone) * 1000:.1f} ms alone, "
          f"{statistics.median(beside) * 1000:.1f} ms beside it")
    assert max(beside) < 2
