"""Tokens that expire: renewed once, by the keeper, for everybody who waits."""

import base64
import concurrent.futures
import hashlib
import math
import time

import pytest

from harness.answers import assert_problem
from harness.many import Many, set_aside
from harness.people import Person, Plugin
from harness.waiting import until


def connected(person, plugin, provider="corp", scope="read"):
    person.connect(plugin.link(provider, [scope], user=person)["authorizationUrl"])
    token = plugin.token(provider, [scope], user=person)
    # "Lock now": the keeper lets go of the key, or it would renew the token before anybody sees it expire.
    assert person.post("/api/vault/lock").status_code == 200
    return token


def end_token(person) -> None:
    """As if the token's time were over: by hand, so that nothing depends on how long a test takes."""
    [identifier] = {connection["id"] for connection in person.connections()}
    person.instance.sql("UPDATE connection SET expires_at_ms = 1000, obtained_at_ms = 0 WHERE id = ?",
                        base64.urlsafe_b64decode(identifier[2:] + "=="))


def test_an_expired_token_is_renewed_before_it_is_vended(person, plugin, double):
    double.set("generic", expires_in=3600, refresh="rotate")
    first = connected(person, plugin)
    end_token(person)
    double.set("generic", expires_in=3600)
    second = plugin.token("corp", ["read"], user=person)
    assert second["refreshed"] is True and second["accessToken"] != first["accessToken"]
    assert second["expiresIn"] > 3000 and double.count("generic", "refresh") == 1
    third = plugin.token("corp", ["read"], user=person)
    assert third["accessToken"] == second["accessToken"] and third["refreshed"] is False


def test_500_vends_of_one_expired_connection_make_one_refresh_and_all_get_the_new_token(instance, person, plugin, double):
    double.set("generic", expires_in=3600, refresh="rotate+kill")
    first = connected(person, plugin)
    end_token(person)
    double.set("generic", expires_in=3600)
    before = double.count("generic", "refresh")
    # All 500 are asked before the provider answers any: none of them finds a token that is fresh already.
    double.fault("generic", "refresh", "hold", times=1)
    body = {"provider": "corp", "scopes": ["read"], "userId": person.user_id}
    with Many(instance, 500) as many:
        many.send("POST", "/api/tokens/vend", plugin.key, body)
        # They wait 8 s at most: on a machine that has other things to do the last ones may come later.
        waiting, end = {}, time.monotonic() + 5
        while sum(waiting.values()) < 500 and time.monotonic() < end:
            waiting = set_aside(instance)
        double.post("release")
        answers = many.answers()
    assert min(waiting.values()) > 10 and sum(waiting.values()) > 100, f"many wait at each worker: {waiting}"
    assert [status for status, _ in answers] == [200] * 500, {str(a) for a in answers if a[0] != 200}
    assert double.count("generic", "refresh") == before + 1
    assert len({a["accessToken"] for _, a in answers}) == 1 and answers[0][1]["accessToken"] != first["accessToken"]


def test_a_dead_provider_does_not_slow_another(person, other, plugin, double):
    double.set("generic", expires_in=3600, refresh="rotate")
    connected(person, plugin)
    connected(other, plugin, "github", "repo")
    end_token(person)
    double.fault("generic", "refresh", "hold")
    with concurrent.futures.ThreadPoolExecutor(24) as threads:
        stuck = [threads.submit(plugin.vend, "corp", ["read"], user=person) for _ in range(16)]
        # Who waits is let go after eight seconds.
        slowest, begun = 0.0, time.monotonic()
        while time.monotonic() - begun < 3:
            start = time.monotonic()
            plugin.token("github", ["repo"], user=other)
            slowest = max(slowest, time.monotonic() - start)
        assert not any(one.done() for one in stuck)
        double.post("release")
        answers = {one.result().status_code for one in stuck}
    assert slowest < 3 and answers == {200}


def test_a_refused_refresh_asks_the_person_again(person, plugin, double):
    double.set("generic", expires_in=3600)
    connected(person, plugin)
    end_token(person)
    double.fault("generic", "refresh", "invalid_grant", times=1)
    need = plugin.link("corp", ["read"], user=person)
    assert need["reason"] == "reauthorization-required"
    double.set("generic", expires_in=3600)
    connection = person.connections()[0]["id"]
    person.connect(need["authorizationUrl"])
    assert plugin.token("corp", ["read"], user=person)["connection"]["id"] == connection, "reconnected in place"


@pytest.mark.parametrize("kind", ["500", "502", "503", "429", "drop", "truncated", "empty", "empty_400", "error_200", "huge"])
def test_what_is_not_the_providers_no_never_ends_a_grant(kind, person, plugin, double):
    double.set("generic", expires_in=3600, refresh="rotate+grace")
    first = connected(person, plugin)
    end_token(person)
    double.fault("generic", "refresh", kind, times=1, **({"retry_after": 1} if kind == "429" else {}))
    assert_problem(plugin.vend("corp", ["read"], user=person), 503, "provider-unavailable")
    assert person.connections()[0]["status"] == "active"
    # Not at once: whoever answered badly is given a moment.
    healed = until(lambda: [r for r in [plugin.vend("corp", ["read"], user=person)] if r.status_code == 200],
                   "a token, once the provider is well again")
    assert healed[0].json()["accessToken"] != first["accessToken"] and healed[0].json()["expiresIn"] > 3000


@pytest.mark.parametrize("life", [0, -5, "0"])
def test_a_provider_whose_tokens_are_over_as_they_come_is_not_asked_at_every_vend(life, person, plugin, double):
    double.set("generic", expires_in=3600, refresh="rotate")
    first = connected(person, plugin)
    end_token(person)
    double.set("generic", expires_in=life)
    begun = time.monotonic()
    for _ in range(30):
        refused = plugin.vend("corp", ["read"], user=person)
        assert_problem(refused, 503, "provider-unavailable")
        assert int(refused.headers["Retry-After"]) >= 1
    # Each pause is twice the one before.
    assert 1 <= double.count("generic", "refresh") <= 2 + math.log2(1 + time.monotonic() - begun)
    assert person.connections()[0]["status"] == "active", "nobody said that the grant is gone"
    double.set("generic", expires_in=3600)
    healed = until(lambda: [r for r in [plugin.vend("corp", ["read"], user=person)] if r.status_code == 200],
                   "a token, once the provider has come to its senses")
    assert healed[0].json()["accessToken"] != first["accessToken"] and healed[0].json()["expiresIn"] > 3000


def test_a_renewal_that_is_another_accounts_is_for_nobody(person, plugin, double):
    """OpenID Connect Core 1.0 section 12.2: the subject is the same as ever. Where it is not, what came is not vended."""
    double.set("generic", expires_in=3600, refresh="rotate")
    first = connected(person, plugin)
    end_token(person)
    double.set("generic", renewed_id_token={"sub": "somebody else"})
    need = plugin.link("corp", ["read"], user=person)
    assert need["reason"] == "reauthorization-required" and double.count("generic", "refresh") == 1
    assert [c["status"] for c in person.connections()] == ["reauthorization-required"]
    assert plugin.vend("corp", ["read"], user=person).status_code == 403 and double.count("generic", "refresh") == 1
    person.connect(need["authorizationUrl"])
    second = plugin.token("corp", ["read"], user=person)
    assert second["connection"]["id"] == first["connection"]["id"], "reconnected in place, as whom it was"
    assert person.post("/api/vault/lock").status_code == 200
    end_token(person)
    double.set("generic", renewed_id_token={"sub": "583231"})  # octo
    assert plugin.token("corp", ["read"], user=person)["refreshed"] is True


def test_a_refused_client_is_told_and_a_reload_after_the_repair_ends_it(fresh):
    instance = fresh().start()
    person, plugin, double = Person(instance), Plugin(instance), instance.double
    double.set("generic", expires_in=3600, refresh="rotate")
    connected(person, plugin)
    end_token(person)
    double.fault("generic", "refresh", "invalid_client", times=1)
    for _ in range(2):
        refused = plugin.vend("corp", ["read"], user=person)
        assert refused.status_code == 424 and refused.json()["error"] == "provider-misconfigured", refused.text
    assert double.count("generic", "refresh") == 1, "nobody hammers a provider that does not know us"
    # The operator is told, once and not at every vend.
    told = "corp does not accept our client (invalid_client)"
    until(lambda: told in instance.log(), "the operator to be told")
    double.fault("generic", "exchange", "invalid_client", times=1)
    Person(instance).connect({"owner": "toolshed", "bridge": "corp", "scope": "read"})
    until(lambda: "corp: no token for a code (invalid_client)" in instance.log(), "the operator to be told of a consent")
    double.set("generic", expires_in=3600)
    assert instance.reload().returncode == 0
    assert plugin.token("corp", ["read"], user=person)["refreshed"] is True
    until(lambda: "corp renews tokens again" in instance.log(), "the end of it to be told")
    assert instance.log().count(told) == 1

    # While a reload asks again for what the provider says about itself, what it said before holds.
    double.fault("generic", "discovery", "500")
    assert instance.reload().returncode == 0
    until(lambda: "corp: its metadata cannot be had, or does not fit (http_500)" in instance.log(), "the operator to be told")
    instance.sql("UPDATE connection SET expires_at_ms = 1000, obtained_at_ms = 0")
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
