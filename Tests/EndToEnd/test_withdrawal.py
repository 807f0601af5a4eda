"""What a plugin that was let in may still hold when it is shut out, and what can be done about it."""

import base64

import pytest
import requests

from harness.answers import assert_problem
from harness.database import Database
from harness.flow import GITHUB
from harness.people import Person, Plugin

UNKNOWN = "A" * 21 + "w"


@pytest.fixture(scope="module")
def rows(instance):
    return Database(instance)


def let_in(person: Person, plugin: Plugin, provider: str, *scopes: str) -> dict:
    person.connect(plugin.link(provider, list(scopes), user=person)["authorizationUrl"])
    return plugin.token(provider, list(scopes), user=person)


def lives(double, family: str, token: str) -> bool:
    return requests.get(f"{double.url}/{family}/api/whoami", headers={"Authorization": f"Bearer {token}"}, timeout=10).ok


def grow_old(person: Person) -> None:
    """What was obtained just now is not renewed again."""
    person.instance.sql("UPDATE connection SET obtained_at_ms = obtained_at_ms - 600000 WHERE person = ?",
                        base64.urlsafe_b64decode(person.user_id[2:] + "=="))


def withdraw(person: Person, plugin: Plugin) -> dict:
    reply = person.delete(f"/api/plugins/{plugin.id}")
    assert reply.status_code == 200, reply.text
    entry, = reply.json()["connections"]
    return entry


def replace(person: Person, connection: str):
    return person.post(f"/api/connections/{connection}/replace")


def test_a_token_with_an_end_lives_until_then(person, plugin, double):
    vended = let_in(person, plugin, "google", "calendar")
    entry = withdraw(person, plugin)
    assert entry["local"] == "withdrawn" and entry["tokens"] == f"expire-at {vended['validUntil']}"
    assert plugin.link("google", ["calendar"], user=person)["reason"] == "plugin-not-approved"


def test_a_token_without_an_end_is_said_to_live(person, plugin, double):
    let_in(person, plugin, "github", "repo")
    assert withdraw(person, plugin)["tokens"] == "live"


def held(person: Person, plugin: Plugin) -> list[str | None]:
    plugins = person.plugins()
    return [entry["tokens"] for entry in next(p for p in plugins if p["id"] == plugin.id)["connections"]]


def test_what_a_withdrawn_plugin_may_still_hold_is_listed_until_it_is_replaced(person, plugin, double):
    let_in(person, plugin, "github", "repo")
    assert held(person, plugin) == [None]
    entry = withdraw(person, plugin)
    assert held(person, plugin) == [entry["tokens"]] == ["live"]
    assert replace(person, entry["id"]).json()["tokens"] == "live", "GitHub's is ended there"
    assert held(person, plugin) == ["live"]
    person.connect(GITHUB | {"connection": entry["id"]})
    assert held(person, plugin) == [None]


def left(person: Person) -> list[tuple]:
    reply = person.get("/api/plugins/ended")
    assert reply.status_code == 200, reply.text
    return [(token["name"], token["connection"]["provider"], token["connection"]["account"], token["connection"]["tokens"])
            for token in reply.json()["tokens"]]


@pytest.mark.parametrize("whose", ["own", "operator's"])
def test_what_a_plugin_that_is_gone_may_still_hold_is_listed_until_it_is_replaced(person, other, plugin, double, whose):
    """One's own that was ended, and one that the operator removed: their approvals went with them."""
    gone = person.own_plugin() if whose == "own" else plugin
    name = person.get("/api/plugins?limit=500").json()["plugins"]
    name = next(entry["name"] for entry in name if entry["id"] == gone.id)
    let_in(person, gone, "github", "repo")
    assert left(person) == []
    if whose == "own":
        assert withdraw(person, gone)["tokens"] == "live"
    else:
        person.instance.toolshedd("plugin", "remove", gone.id)
    assert gone.id not in [entry["id"] for entry in person.get("/api/plugins?limit=500").json()["plugins"]]
    assert left(person) == [(name, "github", "octo", "live")] and left(other) == []
    assert left(person.elsewhere()) == [(name, "github", None, "live")], "a browser that does not open the vault tells no account"
    (connection,) = [c["id"] for c in person.connections()]
    assert replace(person, connection).json()["tokens"] == "live" and left(person), "GitHub's is ended there"
    person.connect(GITHUB | {"connection": connection})
    assert left(person) == []


def test_a_plugin_of_ones_own_whose_token_a_renewal_ended_is_left_with_nothing(person, double):
    own = person.own_plugin()
    let_in(person, own, "linear", "read")
    double.set("linear", revoke=True)
    fate = withdraw(person, own)["tokens"]
    assert (left(person) == []) == (fate == "replaced"), (fate, left(person))


def test_a_token_with_an_end_is_listed_until_then(person, plugin, double):
    let_in(person, plugin, "google", "calendar")
    entry = withdraw(person, plugin)
    assert held(person, plugin) == [entry["tokens"]]
    person.instance.sql("UPDATE connection SET expires_at_ms = 1000 WHERE person = ?", base64.urlsafe_b64decode(person.user_id[2:] + "=="))
    assert held(person, plugin) == [None]


def test_where_a_refresh_ends_the_old_token_withdrawing_ends_it(person, plugin, double):
    """GitHub's expiring tokens: the new pair kills the old one."""
    double.set("github", expiring=True)
    kept = Plugin(person.instance)
    before = let_in(person, plugin, "github", "repo")["accessToken"]
    person.connect(kept.link("github", ["repo"], user=person)["authorizationUrl"])
    grow_old(person)
    entry = withdraw(person, plugin)
    assert entry["local"] == "withdrawn" and entry["tokens"] == "replaced"
    assert not lives(double, "github", before)
    after = kept.token("github", ["repo"], user=person)["accessToken"]
    assert after != before and lives(double, "github", after)


def test_a_provider_that_is_down_does_not_keep_a_plugin_in(person, plugin, double):
    double.set("github", expiring=True)
    let_in(person, plugin, "github", "repo")
    grow_old(person)
    double.fault("github", "refresh", "drop", times=5)
    entry = withdraw(person, plugin)
    assert entry["local"] == "withdrawn" and entry["tokens"].startswith("expire-at ")
    assert plugin.vend("github", ["repo"], user=person).status_code == 403


# Replace the token

def test_replace_renews_where_the_provider_renews(person, plugin, double):
    kept = Plugin(person.instance)
    vended = let_in(person, plugin, "google", "calendar")
    person.connect(kept.link("google", ["calendar"], user=person)["authorizationUrl"])
    withdraw(person, plugin)
    assert_problem(replace(person, vended["connection"]["id"]), 503, "provider-unavailable")
    grow_old(person)
    done = replace(person, vended["connection"]["id"])
    assert done.status_code == 200, done.text
    assert done.json()["tokens"] == f"expire-at {vended['validUntil']}" and done.json()["reconnectUrl"] is None
    assert double.count("google", "refresh") == 1 and double.count("google", "revoke") == 0, "the grant is not touched"
    assert kept.token("google", ["calendar"], user=person)["accessToken"] != vended["accessToken"]


def test_replace_sends_the_person_to_the_provider_where_nothing_renews(person, plugin, double):
    vended = let_in(person, plugin, "github", "repo")
    withdraw(person, plugin)
    done = replace(person, vended["connection"]["id"]).json()
    assert done["tokens"] == "live", "GitHub's token deletion is off, so it lives, and that is said"
    assert done["reconnectUrl"].startswith(person.instance.origin + "/connect?") and done["manageUrl"]
    assert double.count("github", "revoke") == 0 and double.complaints() == []


def test_replace_ends_a_single_token_where_the_provider_can(fresh):
    instance = fresh()
    yaml = (instance.dir / "etc/providers.d/doubles.yaml").read_text()
    instance.provide("doubles", yaml.replace("  github:\n", "  github:\n    revoke: { default: on }\n"))
    instance.start()
    instance.double.set("github", revoke=True)
    person, plugin = Person(instance), Plugin(instance)
    key = person.api_key()
    vended = let_in(person, plugin, "github", "repo")
    assert withdraw(person, plugin)["tokens"] == "live"
    done = replace(person, vended["connection"]["id"]).json()
    assert done["tokens"] == "replaced" and not lives(instance.double, "github", vended["accessToken"])
    need = key.link("github", ["repo"])
    assert need["reason"] == "reauthorization-required"
    person.connect(done["reconnectUrl"])
    again = key.token("github", ["repo"])
    assert again["connection"]["id"] == vended["connection"]["id"] and again["accessToken"] != vended["accessToken"]
    assert plugin.link("github", ["repo"], user=person)["reason"] == "plugin-not-approved"


def test_replace_is_a_decision_about_ones_own_connection(person, other, plugin, rows):
    person.connect(GITHUB)
    identifier, key = person.connections()[0]["id"], person.api_key()
    with rows.unchanged():
        assert_problem(replace(other, identifier), 404, "not-found")
        assert_problem(replace(person, f"c_{UNKNOWN}"), 404, "not-found")
        assert_problem(key.post(f"/api/connections/{identifier}/replace"), 403, "not-permitted")
        assert_problem(plugin.post(f"/api/connections/{identifier}/replace"), 403, "not-permitted")
        cross = person.post(f"/api/connections/{identifier}/replace", headers={"Sec-Fetch-Site": "cross-site"})
        assert_problem(cross, 403, "cross-site")
