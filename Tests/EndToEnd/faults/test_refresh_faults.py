"""F36 to F38, F42 and F54: a keeper that stops, dies or is doubled around a refresh, and a provider that says nothing."""

import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from harness.aftermath import Aftermath
from harness.answers import assert_problem
from harness.instance import Instance
from harness.middle import Middle
from harness.waiting import until

MODELS = [pytest.param("static", marks=pytest.mark.long), pytest.param("rotate+grace", marks=pytest.mark.long), "rotate+kill"]


def expired(instance, company, refresh: str, **settings):
    """A connection whose token has ended, at a provider whose refresh tokens behave so."""
    instance.double.reset()
    instance.double.set("generic", expires_in=0, refresh=refresh, **settings)
    us = company(instance)
    instance.double.set("generic", expires_in=3600)
    return us


def mended(us, refresh: str, status: int) -> str:
    """N2: in the end a live token (200), or the person is told (403) and connects again; never one that looks alive and is dead."""
    reply = until(lambda: (reply := us.vend()).status_code != 503 and [reply], "an end of the doubt", 90)[0]
    assert reply.status_code == status, reply.text
    if status == 403:
        assert reply.json()["reason"] == "reauthorization-required", reply.text
        assert [c["status"] for c in us.person.connections()] == ["reauthorization-required"]
        us.person.connect(reply.json()["authorizationUrl"])
        reply = us.vend()
    token = reply.json()["accessToken"]
    assert token in {one["token"] for one in us.instance.double.get("tokens")["generic"]["access"] if one["live"]}
    return token


# What was spent and whose successor nobody heard is lost only where showing it again ends everything.
END = {"static": 200, "rotate+grace": 200, "rotate+kill": 403}


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
        assert_problem(asked.result(), 503, "provider-unavailable")
    until(lambda: shared.children("keep") not in ([], [keeper]), "another keeper")
    mended(us, refresh, END[refresh])
    after.check(us.secrets)


@pytest.mark.parametrize("refresh", MODELS)
def test_a_lost_answer_is_doubt_and_ends_as_the_provider_says(shared, company, refresh):
    """F38."""
    us = expired(shared, company, refresh)
    after = Aftermath(shared)
    shared.double.fault("generic", "refresh", "drop", when="after", times=1)
    assert_problem(us.vend(), 503, "provider-unavailable")
    mended(us, refresh, END[refresh])
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
    mended(us, "rotate+kill", 200)
    assert shared.children("keep") == [keeper] and shared.double.count("generic", "refresh") == 1
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


@pytest.fixture
def distant(fresh, company):
    """Two dozen people whose tokens of corp have ended, with something on the way there; and one with another provider."""
    instance = fresh(environment={"TOOLSHED_WORKERS": "2"})
    middle = Middle(instance.double.port)
    instance.double.set("generic", expires_in=0, metadata={"token_endpoint": f"http://127.0.0.1:{middle.port}/generic/token"})
    instance.start()
    people = [company(instance) for _ in range(24)]
    instance.double.set("generic", expires_in=3600)
    yield people, company(instance, "github", "repo"), middle
    middle.stop()


def silence(people, fine, seconds: float) -> None:
    """While everybody asks again and again: 503, and nobody with another provider waits."""
    begun = time.monotonic()
    with ThreadPoolExecutor(len(people)) as many:
        while time.monotonic() - begun < seconds:
            asked = [many.submit(one.vend) for one in people]
            start = time.monotonic()
            assert fine.vend().status_code == 200
            assert time.monotonic() - start < 2, "a dead provider slowed another one"
            replies = [one.result() for one in asked]
            assert {reply.status_code for reply in replies} == {503}
            assert all(1 <= int(reply.headers["Retry-After"]) <= 15 for reply in replies)
    assert {c["status"] for one in people for c in one.person.connections()} == {"active"}


@pytest.mark.long
@pytest.mark.parametrize("how", ["swallow", "drop"])
def test_a_provider_that_swallows_everything_costs_others_nothing_and_is_asked_seldom(distant, how):
    """F42: connections open and nothing is ever said; or not even that. It never got any of it, so that nothing is lost:
    whoever asks has a token again soon after it is back, however often it failed before."""
    people, fine, middle = distant
    instance, since = fine.instance, len(middle.heard)
    after = Aftermath(instance)
    getattr(middle, how)()
    silence(people, fine, 60)
    # Sixteen at once, twice, until twenty have failed; then one at a time, every ten seconds.
    assert middle.requests(since) <= 40, "the breaker did not open"
    middle.let_through()

    def token(us) -> str:
        reply = until(lambda: (reply := us.vend()).status_code == 200 and reply, "a token after the silence", 60)
        return reply.json()["accessToken"]

    with ThreadPoolExecutor(len(people)) as many:
        tokens = set(many.map(token, people))
    live = {one["token"] for one in instance.double.get("tokens")["generic"]["access"] if one["live"]}
    assert len(tokens) == len(people) and tokens <= live
    assert instance.double.count("generic", "refresh") == len(people)
    after.check(fine.secrets)


@pytest.mark.long
def test_a_provider_that_does_late_what_it_was_asked_costs_what_it_took_back(fresh, company):
    """F42: it slept with the requests in its queue, and spends each refresh token when it wakes: nobody hears the answers.
    Each person is told; no token looks alive and is dead."""
    instance = fresh(environment={"TOOLSHED_WORKERS": "2"}).start()
    instance.double.set("generic", expires_in=0)
    people = [company(instance) for _ in range(6)]
    instance.double.set("generic", expires_in=3600)
    fine = company(instance, "github", "repo")
    after = Aftermath(instance)
    asleep = instance.double.process
    asleep.send_signal(signal.SIGSTOP)
    try:
        silence(people, fine, 30)
    finally:
        asleep.send_signal(signal.SIGCONT)
    for us in people:
        mended(us, "rotate+kill", 403)
    after.check(fine.secrets)
