"""How long a vended token lasts, what is said of it, and that both are the same."""

import time
from base64 import urlsafe_b64decode
from datetime import datetime, timezone

import pytest

from harness.people import Person

LIFE = 28_800


def connected(person, plugin, double, bridge="github", scope="repo", **settings):
    double.set({"corp": "generic"}.get(bridge, bridge), expires_in=LIFE, **({"expiring": True} if bridge == "github" else {}), **settings)
    person.connect(plugin.link(bridge, [scope], user=person)["authorizationUrl"])
    token = plugin.token(bridge, [scope], user=person)
    # The keeper lets go of the key, or it would do in time what the vend is to do late.
    assert person.post("/api/vault/lock").status_code == 200
    return token


def at(person: Person, ends_in: int, planned_in: int | None = None) -> None:
    """Now is so many seconds before the end of the token, and before its planned refresh."""
    now = int(time.time() * 1000)
    planned = "next_refresh_at_ms" if planned_in is None else str(now + planned_in * 1000)
    person.instance.sql(f"UPDATE connection SET obtained_at_ms = ?, expires_at_ms = ?, next_refresh_at_ms = {planned} WHERE person = ?",
                        now + (ends_in - LIFE) * 1000, now + ends_in * 1000, urlsafe_b64decode(person.user_id[2:] + "=="))


def says(token: dict) -> int:
    """`expiresIn`, which must be what is left until `validUntil`."""
    until = datetime.strptime(token["validUntil"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc).timestamp()
    assert abs(until - time.time() - token["expiresIn"]) < 5, token
    return token["expiresIn"]


@pytest.mark.parametrize("ends_in, planned_in, least", [(240, -60, 60), (310, 10, 120), (310, 10, 60), (3000, 0, 0), (240, -60, 0)])
def test_a_token_is_renewed_for_the_refresh_that_would_end_it_as_for_its_expiry(person, plugin, double, ends_in, planned_in, least):
    """GitHub ends the older token with each refresh: what is planned within `minTTL`, or should have happened, comes first."""
    first = connected(person, plugin, double)
    at(person, ends_in, planned_in)
    second = plugin.token("github", ["repo"], user=person, minTTL=least)
    assert second["refreshed"] and second["accessToken"] != first["accessToken"]
    assert says(second) >= max(least, 3600) and double.count("github", "refresh") == 1
    assert plugin.token("github", ["repo"], user=person, minTTL=least)["accessToken"] == second["accessToken"]


def test_until_a_planned_refresh_that_is_far_enough_away_the_token_is_said_to_last(person, plugin, double):
    first = connected(person, plugin, double)
    at(person, 1000, 700)
    second = plugin.token("github", ["repo"], user=person, minTTL=600)
    assert second["accessToken"] == first["accessToken"] and not second["refreshed"] and 690 <= says(second) <= 700


def test_where_a_refresh_ends_nothing_the_plan_is_not_the_tokens_end(person, plugin, double):
    first = connected(person, plugin, double, "corp", "read", refresh="rotate+grace")
    at(person, 1000, 10)
    second = plugin.token("corp", ["read"], user=person, minTTL=600)
    assert second["accessToken"] == first["accessToken"] and 990 <= says(second) <= 1000


@pytest.mark.parametrize("fault", ["500", "429"])
def test_a_refresh_that_brings_nothing_leaves_the_token_its_own_end_and_is_not_called_one(person, plugin, double, fault):
    first = connected(person, plugin, double)
    at(person, 240, -60)
    double.fault("github", "refresh", fault)
    second = plugin.token("github", ["repo"], user=person)
    assert double.count("github", "refresh") >= 1
    assert second["accessToken"] == first["accessToken"] and second["refreshed"] is False and 200 < says(second) <= 240


def test_only_a_token_that_was_renewed_is_called_refreshed(person, plugin, double):
    first = connected(person, plugin, double, "corp", "read", refresh="rotate")
    at(person, 600)
    double.fault("generic", "refresh", "500")
    second = plugin.token("corp", ["read"], user=person, minTTL=3000)
    assert second["accessToken"] == first["accessToken"] and second["refreshed"] is False and says(second) <= 600
    double.post("fault", clear=True)
    person.instance.sql("UPDATE connection SET not_before_ms = NULL, intent = 'none' WHERE person = ?", urlsafe_b64decode(person.user_id[2:] + "=="))
    third = plugin.token("corp", ["read"], user=person, minTTL=3000)
    assert third["accessToken"] != first["accessToken"] and third["refreshed"] is True and says(third) > 3000
