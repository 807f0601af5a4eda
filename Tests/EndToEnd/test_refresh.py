"""Tokens that expire: renewed once, by the keeper, for everybody who waits."""

import base64
import concurrent.futures
import hashlib
import time

import pytest

from harness.people import Person, Plugin
from harness.waiting import until


def connected(person, plugin, provider="corp", scope="read"):
    person.connect(plugin.link(provider, [scope], user=person)["authorizationUrl"])
    token = plugin.token(provider, [scope], user=person)
    # "Lock now": the keeper lets go of the key, or it would renew the token before anybody sees it expire.
    assert person.post("/api/vault/lock").status_code == 200
    return token


def test_an_expired_token_is_renewed_before_it_is_vended(person, plugin, double):
    double.set("generic", expires_in=2, refresh="rotate")
    first = connected(person, plugin)
    time.sleep(2.1)  # the one thing here that only time can do
    double.set("generic", expires_in=3600)
    second = plugin.token("corp", ["read"], user=person)
    assert second["refreshed"] is True and second["accessToken"] != first["accessToken"]
    assert second["expiresIn"] > 3000 and double.count("generic", "refresh") == 1
    third = plugin.token("corp", ["read"], user=person)
    assert third["accessToken"] == second["accessToken"] and third["refreshed"] is False


def test_500_vends_of_one_expired_connection_make_one_refresh_and_all_get_the_new_token(person, plugin, double):
    double.set("generic", expires_in=2, refresh="rotate+kill")
    first = connected(person, plugin)
    time.sleep(2.1)
    double.set("generic", expires_in=3600)
    before = double.count("generic", "refresh")
    with concurrent.futures.ThreadPoolExecutor(50) as threads:
        tokens = list(threads.map(lambda _: plugin.vend("corp", ["read"], user=person), range(500)))
    assert [t.status_code for t in tokens] == [200] * 500, {t.text for t in tokens if t.status_code != 200}
    assert double.count("generic", "refresh") == before + 1
    assert len({t.json()["accessToken"] for t in tokens}) == 1 and tokens[0].json()["accessToken"] != first["accessToken"]


def test_a_dead_provider_does_not_slow_another(person, other, plugin, double):
    double.set("generic", expires_in=2, refresh="rotate")
    connected(person, plugin)
    connected(other, plugin, "github", "repo")
    time.sleep(2.1)
    double.fault("generic", "refresh", "hold")
    with concurrent.futures.ThreadPoolExecutor(24) as threads:
        stuck = [threads.submit(plugin.vend, "corp", ["read"], user=person) for _ in range(16)]
        slowest = 0.0
        for _ in range(50):
            start = time.monotonic()
            plugin.token("github", ["repo"], user=other)
            slowest = max(slowest, time.monotonic() - start)
        assert not any(one.done() for one in stuck)
        double.post("release")
        answers = {one.result().status_code for one in stuck}
    assert slowest < 1.0 and answers <= {200, 503}


def test_a_refused_refresh_asks_the_person_again(person, plugin, double):
    double.set("generic", expires_in=2)
    connected(person, plugin)
    time.sleep(2.1)
    double.fault("generic", "refresh", "invalid_grant", times=1)
    need = plugin.link("corp", ["read"], user=person)
    assert need["reason"] == "reauthorization-required"
    double.set("generic", expires_in=3600)
    connection = person.connections()[0]["id"]
    person.connect(need["authorizationUrl"])
    assert plugin.token("corp", ["read"], user=person)["connection"]["id"] == connection, "reconnected in place"


@pytest.mark.parametrize("kind", ["500", "502", "429", "drop", "truncated", "empty_400"])
def test_what_is_not_the_providers_no_never_ends_a_grant(kind, person, plugin, double):
    double.set("generic", expires_in=2, refresh="rotate+grace")
    connected(person, plugin)
    time.sleep(2.1)
    double.fault("generic", "refresh", kind, times=1, **({"retry_after": 1} if kind == "429" else {}))
    failed = plugin.vend("corp", ["read"], user=person)
    assert failed.status_code in (200, 424, 503), failed.text
    assert person.connections()[0]["status"] == "active"


def test_a_refused_client_is_told_and_a_reload_after_the_repair_ends_it(fresh):
    instance = fresh().start()
    person, plugin, double = Person(instance), Plugin(instance), instance.double
    double.set("generic", expires_in=2, refresh="rotate")
    connected(person, plugin)
    time.sleep(2.1)
    double.fault("generic", "refresh", "invalid_client", times=1)
    for _ in range(2):
        refused = plugin.vend("corp", ["read"], user=person)
        assert refused.status_code == 424 and refused.json()["error"] == "provider-misconfigured", refused.text
    assert double.count("generic", "refresh") == 1, "nobody hammers a provider that does not know us"
    double.set("generic", expires_in=3600)
    assert instance.reload().returncode == 0
    assert plugin.token("corp", ["read"], user=person)["refreshed"] is True


def test_a_reported_token_that_the_provider_refuses_is_renewed(person, plugin, double):
    double.set("generic", expires_in=3600, refresh="rotate")
    token = connected(person, plugin)
    report = {"connection": token["connection"]["id"], "status": 401,
              "tokenHash": base64.urlsafe_b64encode(hashlib.sha256(token["accessToken"].encode()).digest()).decode().rstrip("=")}
    stale = plugin.post("/api/tokens/report", report | {"tokenHash": "A" * 43})
    assert stale.json() == {"next": "retry"} and double.count("generic", "refresh") == 0
    double.set("generic", expire_access=True)
    # A token of this very minute is not renewed on anybody's word.
    assert plugin.post("/api/tokens/report", report).json() == {"next": "wait"}
    person.instance.sql("UPDATE connection SET obtained_at_ms = obtained_at_ms - 600000, checked_at_ms = NULL WHERE person = ?",
                        base64.urlsafe_b64decode(person.user_id[2:] + "=="))
    assert plugin.post("/api/tokens/report", report).json() == {"next": "retry"}, double.requests("generic")[-3:]
    assert double.count("generic", "refresh") == 1
    assert plugin.token("corp", ["read"], user=person)["accessToken"] != token["accessToken"]


def test_a_warm_connection_is_renewed_ahead_of_time(fresh):
    instance = fresh().start()
    person, plugin, double = Person(instance), Plugin(instance), instance.double
    double.set("generic", expires_in=8, refresh="rotate")
    person.connect(plugin.link("corp", ["read"], user=person)["authorizationUrl"])
    first = plugin.token("corp", ["read"], user=person)
    # Nobody asks; the keeper renews it all the same, before its eight seconds are over.
    double.get("wait", family="generic", endpoint="refresh", count=1, timeout=12)
    until(lambda: plugin.token("corp", ["read"], user=person, minTTL=0)["accessToken"] != first["accessToken"],
          "the renewed token to be vended", 5)
    assert double.count("generic", "refresh") == 1
