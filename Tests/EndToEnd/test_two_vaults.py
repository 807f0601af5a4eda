"""One person, two browsers that know nothing of each other: each has a vault of its own, and where a credential goes."""

import pytest

from harness.people import Person, Plugin

GITHUB = {"owner": "toolshed", "bridge": "github", "scope": "repo"}


@pytest.fixture
def elsewhere(person):
    """The same person in another browser, with a vault of its own."""
    return person.elsewhere()


def statuses(browser: Person) -> dict[str, str]:
    return {connection["provider"]: connection["status"] for connection in browser.connections()}


def test_an_independent_sign_in_has_a_vault_of_its_own_and_is_told_of_the_other(person, elsewhere):
    person.connect(GITHUB)
    here, there = person.get("/api/vault").json(), elsewhere.get("/api/vault").json()
    assert here["id"] != there["id"] and (here["connections"], there["connections"]) == (1, 0)
    assert here["others"] == []
    [other] = there["others"]
    assert other["id"] == here["id"] and other["connections"] == 1
    assert [holder["kind"] for holder in other["holders"]] == ["session"]


def test_the_list_has_what_is_in_either_vault_and_says_what_is_locked_here(person, elsewhere):
    person.connect(GITHUB)
    elsewhere.connect({"owner": "toolshed", "bridge": "slack", "scope": "chat:write"})
    assert statuses(person) == {"github": "active", "slack": "locked"}
    assert statuses(elsewhere) == {"github": "locked", "slack": "active"}
    locked = next(c for c in elsewhere.connections() if c["provider"] == "github")
    assert locked["account"] is None


def test_what_is_locked_here_can_be_deleted_here(person, elsewhere):
    person.connect(GITHUB)
    key = person.api_key()
    locked = elsewhere.connections()[0]
    removed = elsewhere.delete(f"/api/connections/{locked['id']}")
    assert removed.json()["local"] == "removed" and removed.json()["provider"] == "not-applicable"
    assert person.connections() == [] and key.link("github", ["repo"])["reason"] == "not-connected"


def test_a_keys_request_goes_to_the_keys_vault_whichever_browser_approves(person, elsewhere):
    key = person.api_key()
    arrived = elsewhere.connect(key.link("github", ["repo"])["authorizationUrl"])
    assert arrived.headers["Location"].startswith("/done#"), arrived.headers
    assert key.token("github", ["repo"])["connection"]["account"] == "octo"
    assert statuses(person) == {"github": "active"} and statuses(elsewhere) == {"github": "locked"}
    assert elsewhere.get("/api/vault").json()["connections"] == 0


def test_a_plugins_request_goes_to_the_vault_of_the_browser_that_approves(person, elsewhere, plugin):
    elsewhere.connect(plugin.link("github", ["repo"], user=person)["authorizationUrl"])
    assert plugin.token("github", ["repo"], user=person)["connection"]["account"] == "octo"
    assert statuses(person) == {"github": "locked"} and statuses(elsewhere) == {"github": "active"}


def test_without_a_request_it_goes_to_the_vault_of_the_browser_that_clicks(person, elsewhere):
    elsewhere.connect(GITHUB)
    assert elsewhere.get("/api/vault").json()["connections"] == 1 and person.get("/api/vault").json()["connections"] == 0


def test_another_plugin_for_a_connection_that_this_browser_cannot_open_goes_through_the_provider(person, elsewhere, double):
    first, second = Plugin(person.instance), Plugin(person.instance)
    person.connect(first.link("github", ["repo"], user=person)["authorizationUrl"])
    need = second.link("github", ["repo"], user=person)
    assert elsewhere.asked(need["authorizationUrl"]).json()["needsProvider"] is True
    before = double.count("github", "exchange")
    elsewhere.connect(need["authorizationUrl"])
    assert double.count("github", "exchange") == before + 1
    assert second.token("github", ["repo"], user=person) and first.token("github", ["repo"], user=person)


def test_a_larger_consent_from_the_other_browser_is_united_with_its_account_when_the_vault_opens(person, elsewhere):
    key = person.api_key()
    person.connect(key.link("github", ["repo"])["authorizationUrl"])
    need = key.link("github", ["gist"])
    assert need["reason"] == "insufficient-scope"
    arrived = elsewhere.connect(need["authorizationUrl"])
    outcome_id = arrived.headers["Location"].split("#")[1]
    outcome = elsewhere.get(f"/api/outcomes/{outcome_id}").json()
    # Whose account it is cannot be told without the vault, so it waits, until a key of the vault comes by.
    assert outcome["status"] == "connected-unused"
    assert key.get("/api/me").status_code == 200
    token = key.token("github", ["gist"])
    assert set(token["scopes"]) == {"gist", "repo"}
    shown = [c for c in person.connections() if not c["unused"]]
    assert [c["id"] for c in shown] == [token["connection"]["id"]]


def test_two_of_one_account_are_no_choice_to_be_made(person, elsewhere):
    """Kept in the other browser before the vault was opened: a vend alone brings them together."""
    key = person.api_key()
    person.connect(key.link("github", ["repo"])["authorizationUrl"])
    arrived = elsewhere.connect(key.link("github", ["gist"])["authorizationUrl"])
    outcome_id = arrived.headers["Location"].split("#")[1]
    token = elsewhere.get(f"/api/outcomes/{outcome_id}").json()["formToken"]
    assert elsewhere.post(f"/api/outcomes/{outcome_id}", {"decision": "keep", "formToken": token}).json()["status"] == "kept"
    assert set(key.token("github", ["repo"])["scopes"]) == {"gist", "repo"}


def test_the_other_browsers_consent_keeps_plugins_in_whose_approval_covers_it(person, elsewhere, plugin):
    person.connect(plugin.link("github", ["repo", "gist"], user=person)["authorizationUrl"])
    key = person.api_key()
    elsewhere.connect(key.link("github", ["repo", "gist", "notifications"])["authorizationUrl"])
    assert person.get("/api/me").status_code == 200
    assert key.token("github", ["notifications"])
    refused = plugin.link("github", ["repo"], user=person)
    assert refused["reason"] == "plugin-not-approved" and "notifications" in refused["missingScopes"]


def test_another_person_sees_and_reaches_neither_vault(person, elsewhere, other):
    person.connect(GITHUB)
    elsewhere.connect({"owner": "toolshed", "bridge": "slack", "scope": "chat:write"})
    assert other.connections() == [] and other.get("/api/vault").json()["others"] == []
    for connection in person.connections():
        assert other.delete(f"/api/connections/{connection['id']}").status_code == 404
