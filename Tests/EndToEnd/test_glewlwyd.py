"""The whole flow with a provider that others wrote."""

import pytest

from harness.answers import assert_problem
from harness.glewlwyd import Glewlwyd
from harness.instance import free_port
from harness.middle import Middle
from harness.people import Person, Plugin
from harness.waiting import until


def consent(provider: Glewlwyd, person: Person, link) -> None:
    authorization = person.login(person.decide(link).json()["location"])
    back = person.navigate(provider.decide(authorization), site="cross-site")
    assert back.status_code == 303 and "?" not in back.headers["Location"]


@pytest.fixture
def connected(fresh):
    """A function: an instance, its glewlwyd, a person who connected it, and the plugin that asked."""
    started: list[Glewlwyd | Middle] = []

    def connect(access_seconds: int, ends: bool = False):
        instance = fresh(double=False)
        provider = Glewlwyd(instance.dir / "glewlwyd", free_port(), instance.origin + "/api/auth/glewlwyd/callback",
                            access_seconds)
        provider.middle = Middle(provider.port)
        started.extend((provider, provider.middle))
        instance.provide("glewlwyd", provider.yaml(provider.middle.port, ends))
        instance.start()
        person, plugin = Person(instance), Plugin(instance)
        link = plugin.link("glewlwyd", ["repo"], user=person)["authorizationUrl"]
        consent(provider, person, link)
        return provider, person, plugin

    yield connect
    for one in started:
        one.stop()


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


def renewed(person: Person, plugin: Plugin, count: int) -> list[str]:
    """Access tokens as they follow each other, the first included."""
    seen: list[str] = []

    def next_one() -> bool:
        token = plugin.token("glewlwyd", ["repo"], user=person)["accessToken"]
        if token not in seen:
            seen.append(token)
        return len(seen) >= count

    until(next_one, f"{count} tokens")
    return seen


def told_to_connect_anew(provider: Glewlwyd, person: Person, plugin: Plugin) -> None:
    """The provider ended the chain: whoever asks is told so, the person sees it, and their consent mends it in its place."""
    [before] = person.connections()
    [reply] = until(lambda: (reply := plugin.vend("glewlwyd", ["repo"], user=person)).status_code == 403 and [reply],
                    "the end to be told")
    problem = assert_problem(reply, 403, "authorization-required")
    assert problem["reason"] == "reauthorization-required"
    assert [(c["id"], c["status"]) for c in person.connections()] == [(before["id"], "reauthorization-required")]
    consent(provider, person, problem["authorizationUrl"])
    assert [(c["id"], c["status"]) for c in person.connections()] == [(before["id"], "active")]
    assert provider.active(plugin.token("glewlwyd", ["repo"], user=person)["accessToken"])


def test_a_spent_refresh_token_shown_by_a_thief_ends_the_chain_and_the_person_is_told(connected):
    """RFC 9700 section 4.14.2. The thief has the first refresh token, which our keeper has spent."""
    provider, person, plugin = connected(2, ends=True)
    stolen = provider.middle.answers("refresh_token")[0]
    renewed(person, plugin, 2)
    latest = provider.middle.answers("refresh_token")[-1]
    assert latest != stolen and provider.active(latest) and not provider.active(stolen)
    assert provider.refreshed(stolen).status_code == 400
    assert not provider.active(latest), "glewlwyd took the reuse for a theft"
    told_to_connect_anew(provider, person, plugin)


def test_a_restored_backup_shows_a_spent_refresh_token_and_the_person_is_told(connected):
    """What was renewed after the backup was made is spent in it: our own keeper is the one who shows it twice."""
    provider, person, plugin = connected(2, ends=True)
    instance = person.instance
    instance.toolshedd("backup", str(instance.dir / "backup"))
    kept = provider.middle.answers("refresh_token")[-1]
    renewed(person, plugin, 2)
    latest = provider.middle.answers("refresh_token")[-1]
    assert latest != kept and provider.active(latest)
    instance.stop()
    instance.toolshedd("restore", str(instance.dir / "backup"), "--replace")
    instance.start()
    told_to_connect_anew(provider, person, plugin)
    assert not provider.active(latest), "and what was issued after the backup is of no use to anybody"
