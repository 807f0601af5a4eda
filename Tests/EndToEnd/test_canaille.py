"""The whole flow with a second provider that others wrote. It answers a genuine 500 now and then (harness/canaille.py)."""

import pytest
from harness.canaille import Canaille
from harness.database import Database
from harness.flow import at_once, error, result
from harness.instance import Instance, free_port
from harness.people import Person, Plugin
from harness.waiting import until

SCOPES = ["openid", "profile"]


@pytest.fixture(scope="module")
def provider():
    instance = Instance(double=False)
    made = Canaille(instance.dir / "canaille", free_port(), instance.origin + "/api/auth/canaille/callback")
    try:
        instance.provide("canaille", made.yaml())
        made.instance = instance.start()
        yield made
    finally:
        made.stop()
        instance.end()


def back(provider, person, link, answer: str = "accept"):
    approved = person.decide(link)
    assert approved.status_code == 200, approved.text
    callback = provider.decide(person.login(approved.json()["location"]), answer)
    return person.navigate(callback, site="cross-site")


def connected(provider, scopes=SCOPES) -> tuple[Person, Plugin]:
    person, plugin = Person(provider.instance), Plugin(provider.instance)
    need = plugin.link("canaille", scopes, user=person)

    def tried():
        arrived = back(provider, person, need["authorizationUrl"])
        return result(person, arrived)["status"] == "connected" if "/done" in arrived.headers["Location"] else False

    # Somebody else's token of this second is a 500, and the link stays good.
    until(tried, "a connection", 60)
    assert plugin.get(f"/api/requests/{need['requestId']}").json()["status"] == "completed"
    return person, plugin


def expire(provider) -> None:
    """As if everybody's token had ended; canaille's refresh tokens end with the access token, so it cannot be waited for."""
    Database(provider.instance).run("UPDATE connection SET expires_at_ms = 1000")


def renewed(person, plugin) -> str:
    return until(lambda: (reply := plugin.vend("canaille", SCOPES, user=person)).status_code == 200 and reply, "a token",
                 60).json()["accessToken"]


def test_consent_vend_rotation_and_revocation(provider):
    person, plugin = connected(provider)
    token = plugin.token("canaille", SCOPES, user=person)
    assert token["tokenType"] == "Bearer" and "profile" in token["scopes"] and token["connection"]["account"] == "Dora"
    assert provider.active(token["accessToken"])
    seen = {token["accessToken"]}
    for wanted in (2, 3):
        expire(provider)
        latest = renewed(person, plugin)
        seen.add(latest)
        assert len(seen) == wanted and provider.active(latest)
    assert [one for one in seen if provider.active(one)] == [latest], "a rotation ends what was before"
    missing = plugin.link("canaille", [*SCOPES, "email"], user=person)
    assert missing["missingScopes"] == ["email"]
    assert result(person, back(provider, person, missing["authorizationUrl"]))["status"] == "connected"
    both = plugin.token("canaille", [*SCOPES, "email"], user=person)
    assert provider.active(both["accessToken"])

    removed = person.delete(f"/api/connections/{both['connection']['id']}")
    assert removed.status_code == 200 and removed.json() | {"local": "removed", "provider": "revoked"} == removed.json()
    assert not provider.active(both["accessToken"])
    assert plugin.link("canaille", SCOPES, user=person)["reason"] == "not-connected"


def test_a_no_at_the_provider_connects_nothing(provider):
    person, plugin = Person(provider.instance), Plugin(provider.instance)
    arrived = back(provider, person, plugin.link("canaille", ["openid", "phone"], user=person)["authorizationUrl"], "deny")
    assert error(arrived) if "/error" in arrived.headers["Location"] else result(person, arrived)["status"] != "connected"
    assert person.connections() == []


def test_two_tokens_in_one_second_are_a_500_that_costs_nobody_a_grant(provider):
    """Two people have the same account there, and their tokens are renewed together."""
    pairs = [connected(provider) for _ in range(2)]
    failures = provider.log().count('" 500 ')

    def renew_together() -> bool:
        expire(provider)
        for token in at_once(*(lambda pair=pair: renewed(*pair) for pair in pairs)):
            assert provider.active(token)
        return provider.log().count('" 500 ') > failures

    until(renew_together, "an answer of 500", 60)
    for person, _ in pairs:
        assert [connection["status"] for connection in person.connections()] == ["active"]
