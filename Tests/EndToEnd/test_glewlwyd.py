"""The whole flow with a provider that others wrote."""

import pytest

from harness.answers import assert_problem
from harness.glewlwyd import Glewlwyd
from harness.instance import free_port
from harness.people import Person, Plugin
from harness.waiting import until


def consent(provider: Glewlwyd, person: Person, link) -> None:
    authorization = person.login(person.decide(link).json()["location"])
    back = person.navigate(provider.decide(authorization), site="cross-site")
    assert back.status_code == 303 and "?" not in back.headers["Location"]


@pytest.fixture
def connected(fresh):
    """A function: an instance, its glewlwyd, a person who connected it, and the plugin that asked."""
    started: list[Glewlwyd] = []

    def connect(access_seconds: int):
        instance = fresh(double=False)
        provider = Glewlwyd(instance.dir / "glewlwyd", free_port(), instance.origin + "/api/auth/glewlwyd/callback",
                            access_seconds)
        started.append(provider)
        instance.provide("glewlwyd", provider.yaml())
        instance.start()
        person, plugin = Person(instance), Plugin(instance)
        link = plugin.link("glewlwyd", ["repo"], user=person)["authorizationUrl"]
        consent(provider, person, link)
        return provider, person, plugin

    yield connect
    for provider in started:
        provider.stop()


def test_connect_and_revoke(connected):
    provider, person, plugin = connected(3600)
    token = plugin.token("glewlwyd", ["repo"], user=person)
    assert token["tokenType"] == "Bearer" and token["scopes"] == ["repo"]
    assert provider.active(token["accessToken"])
    missing = plugin.link("glewlwyd", ["repo", "mail"], user=person)
    assert missing["missingScopes"] == ["mail"]

    removed = person.delete(f"/api/connections/{token['connection']['id']}")
    assert removed.status_code == 200 and removed.json()["local"] == "removed"
    assert removed.json()["provider"] == "revoked"
    assert not provider.active(token["accessToken"]), "glewlwyd itself no longer takes it"
    assert plugin.link("glewlwyd", ["repo"], user=person)["reason"] == "not-connected"


def test_one_time_refresh_tokens_rotate(connected):
    provider, person, plugin = connected(2)
    seen = {plugin.token("glewlwyd", ["repo"], user=person)["accessToken"]}
    for wanted in (2, 3, 4):
        until(lambda: seen.add(plugin.token("glewlwyd", ["repo"], user=person)["accessToken"]) or len(seen) >= wanted,
              f"token number {wanted}")
    assert provider.active(plugin.token("glewlwyd", ["repo"], user=person)["accessToken"])


def test_an_empty_refusal_kills_no_grant_and_connecting_anew_mends_it(connected):
    """glewlwyd answers a dead refresh token, like a wrong client secret, with 400 and no body: which of the two it is,
    nobody can know."""
    provider, person, plugin = connected(2)
    provider.forget()

    def refused():
        reply = plugin.vend("glewlwyd", ["repo"], user=person)
        return [reply] if reply.status_code != 200 else None

    [reply] = until(refused, "the refresh to be refused")
    problem = assert_problem(reply, 503, "provider-unavailable")
    assert problem["detail"]
    [connection] = person.connections()
    assert person.delete(f"/api/connections/{connection['id']}").json()["local"] == "removed"
    consent(provider, person, plugin.link("glewlwyd", ["repo"], user=person)["authorizationUrl"])
    assert provider.active(plugin.token("glewlwyd", ["repo"], user=person)["accessToken"])
