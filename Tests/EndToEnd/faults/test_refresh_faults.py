"""F36 to F38, F42 and F54: a keeper that stops, dies or is doubled around a refresh, and a provider that says nothing."""

import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from harness.aftermath import Aftermath
from harness.instance import Instance
from harness.waiting import until

MODELS = [pytest.param("static", marks=pytest.mark.long), pytest.param("rotate+grace", marks=pytest.mark.long), "rotate+kill"]


def expired(instance, company, refresh: str, **settings):
    """A connection whose token has ended, at a provider whose refresh tokens behave so."""
    instance.double.reset()
    instance.double.set("generic", expires_in=0, refresh=refresh, **settings)
    us = company(instance)
    instance.double.set("generic", expires_in=3600)
    return us


def mended(us, refresh: str) -> str:
    """N2: a live token again, or the person is told; never one that looks alive and is dead."""
    reply = until(lambda: (reply := us.vend()).status_code in (200, 403) and [reply], "an end of the doubt", 90)[0]
    if reply.status_code == 403:
        assert refresh == "rotate+kill" and reply.json()["reason"] == "reauthorization-required", reply.text
        assert [c["status"] for c in us.person.connections()] == ["reauthorization-required"]
        us.person.connect(reply.json()["authorizationUrl"])
        reply = us.vend()
    token = reply.json()["accessToken"]
    assert token in {one["token"] for one in us.instance.double.get("tokens")["generic"]["access"] if one["live"]}
    return token


@pytest.fixture(scope="module")
def shared():
    made = Instance(environment={"TOOLSHED_WORKERS": "1"})
    try:
        yield made.start()
    finally:
        made.end()


@pytest.mark.parametrize("refresh", MODELS)
def test_a_keeper_killed_after_the_provider_answered_loses_what_must_be_lost_and_says_so(shared, company, refresh):
    """F37."""
    us = expired(shared, company, refresh)
    after = Aftermath(shared)
    shared.double.fault("generic", "refresh", "hold", when="after")
    with ThreadPoolExecutor(1) as one:
        asked = one.submit(us.vend)
        assert shared.double.get("wait", family="generic", endpoint="refresh", count=1)["reached"]
        [keeper] = shared.children("keep")
        shared.kill(keeper)
        shared.double.post("fault", clear=True)
        assert asked.result().status_code in (200, 403, 503)
    until(lambda: shared.children("keep") not in ([], [keeper]), "another keeper")
    mended(us, refresh)
    after.check(us.secrets)


@pytest.mark.parametrize("refresh", MODELS)
def test_a_lost_answer_is_doubt_and_ends_as_the_provider_says(shared, company, refresh):
    """F38."""
    us = expired(shared, company, refresh)
    after = Aftermath(shared)
    shared.double.fault("generic", "refresh", "drop", when="after", times=1)
    assert us.vend().status_code in (200, 403, 503)
    mended(us, refresh)
    after.check(us.secrets)


@pytest.mark.long
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_keeper_that_is_stopped_in_the_middle_goes_on_and_shows_the_token_once(shared, company, when):
    """F36: nobody else can hold the lock of the database meanwhile; who asks is told to wait."""
    us = expired(shared, company, "rotate+kill")
    shared.double.fault("generic", "refresh", "hold", when=when)
    [keeper] = shared.children("keep")
    with ThreadPoolExecutor(1) as one:
        asked = one.submit(us.vend)
        assert shared.double.get("wait", family="generic", endpoint="refresh", count=1)["reached"]
        shared.kill(keeper, signal.SIGSTOP)
        try:
            shared.double.post("release")
            begun = time.monotonic()
            assert asked.result().status_code == 503 and time.monotonic() - begun < 12
            again = us.vend()
            assert again.status_code == 503 and shared.double.count("generic", "refresh") == 1
            until(lambda: time.monotonic() - begun > 60, "a minute", 90)
        finally:
            shared.kill(keeper, signal.SIGCONT)
    mended(us, "rotate+kill")
    assert shared.children("keep") == [keeper] and shared.double.count("generic", "refresh") <= 2
    assert [c["status"] for c in us.person.connections()] == ["active"]


@pytest.mark.long
def test_a_second_service_on_the_same_state_is_refused(fresh, company):
    """F54: one keeper, by a lock of the kernel. A second supervisor, with a socket of its own, never gets to refresh."""
    instance = fresh().start()
    us = company(instance)
    pids = instance.children("keep")
    command = f"""export TOOLSHED_RUNTIME_DIR={instance.dir}/second; mkdir -p "$TOOLSHED_RUNTIME_DIR"
        sed 's|TOOLSHED_RUNTIME_DIR="[^"]*"|TOOLSHED_RUNTIME_DIR="'"$TOOLSHED_RUNTIME_DIR"'"|' {instance.dir}/bin/toolshedd > {instance.dir}/bin/second
        chmod 700 {instance.dir}/bin/second; exec {instance.dir}/bin/second supervise"""
    second = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60)
    assert second.returncode != 0 and "keeper" in second.stderr, second.stderr
    assert instance.children("keep") == pids and us.vend().status_code == 200


@pytest.mark.long
def test_a_provider_that_swallows_everything_costs_others_nothing_and_is_asked_seldom(fresh, company):
    """F42: the double is stopped, so that its connections open and nothing is ever said."""
    instance = fresh(environment={"TOOLSHED_WORKERS": "2"}).start()
    instance.double.set("generic", expires_in=0)
    people = [company(instance) for _ in range(24)]
    instance.double.set("generic", expires_in=3600)
    fine = company(instance, "github", "repo")
    after = Aftermath(instance)
    since = len(instance.double.requests("generic", "refresh"))
    instance.double.process.send_signal(signal.SIGSTOP)
    begun = time.monotonic()
    try:
        with ThreadPoolExecutor(24) as many:
            rounds = 0
            while time.monotonic() - begun < 75:
                asked = [many.submit(one.vend) for one in people]
                start = time.monotonic()
                assert fine.vend().status_code == 200
                assert time.monotonic() - start < 2, "a dead provider slowed another one"
                assert {one.result().status_code for one in asked} == {503}
                rounds += 1
            last = [one.vend() for one in people[:3]]
        assert all(int(reply.headers["Retry-After"]) >= 1 for reply in last)
    finally:
        instance.double.process.send_signal(signal.SIGCONT)
    sent = instance.double.requests("generic", "refresh")[since:]
    print(f"{rounds} rounds of {len(people)} vends, {len(sent)} requests were sent")
    assert len(sent) <= len(people) * 2 + 12, "the breaker did not open"
    for one in people:
        assert [c["status"] for c in one.person.connections()] == ["active"]
    until(lambda: people[0].vend().status_code == 200, "the provider to be asked again", 60)
    after.check()
