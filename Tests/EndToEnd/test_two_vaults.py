"""One person, two browsers that know nothing of each other: each has a vault of its own, and where a credential goes."""

import re

import pytest

from harness.flow import at_once, callback_address, result
from harness.oauth import Client
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


def test_a_plugin_whose_consent_came_while_the_vault_got_a_new_key_is_let_in_when_it_opens(person, plugin, double):
    key = person.api_key()
    need = plugin.link("github", ["repo"], user=person)
    address = callback_address(person, need["authorizationUrl"])
    double.fault("github", "exchange", "hold")

    def lose() -> None:
        assert double.get("wait", family="github", endpoint="exchange")["reached"]
        twin = Person(person.instance, signed_in=False, invitation=person.invitation)
        twin.http.cookies.update(person.http.cookies)
        assert twin.post("/api/vault/lost", {"holder": key.id}).json()["local"] == "done"
        double.post("release")

    arrived, _ = at_once(lambda: person.navigate(address, site="cross-site"), lose)
    assert result(person, arrived)["status"] == "connected"
    assert plugin.get(f"/api/requests/{need['requestId']}").json()["status"] == "completed"
    assert plugin.token("github", ["repo"], user=person)
    [reach] = next(p for p in person.plugins() if p["id"] == plugin.id)["connections"]
    assert reach["status"] == "live"


@pytest.mark.parametrize("is_withdrawn", [False, True], ids=["let in", "withdrawn before"])
def test_a_plugin_that_is_let_in_by_keep_in_the_other_browser_gets_its_key_when_the_vault_opens(
        person, elsewhere, plugin, double, is_withdrawn):
    person.connect(GITHUB)
    need = plugin.link("github", ["repo", "gist"], user=person)
    arrived = person.connect(need["authorizationUrl"], account="mallory")
    outcome = f"/api/outcomes/{arrived.headers['Location'].split('#')[1]}"
    shown = elsewhere.get(outcome).json()
    assert elsewhere.post(outcome, {"decision": "keep", "formToken": shown["formToken"]}).json()["status"] == "kept"
    assert plugin.link("github", ["gist"], user=person)["reason"] == "plugin-not-approved"
    [reach] = next(p for p in elsewhere.plugins() if p["id"] == plugin.id)["connections"]
    assert reach["status"] == "waiting" and reach["tokens"] is None
    if is_withdrawn:
        assert elsewhere.delete(f"/api/plugins/{plugin.id}").status_code == 200
    assert person.get("/api/me").status_code == 200
    if is_withdrawn:
        assert plugin.link("github", ["gist"], user=person)["reason"] == "plugin-not-approved"
    else:
        assert plugin.token("github", ["gist"], user=person)["connection"]["account"] == "mallory"


def test_another_person_sees_and_reaches_neither_vault(person, elsewhere, other):
    person.connect(GITHUB)
    elsewhere.connect({"owner": "toolshed", "bridge": "slack", "scope": "chat:write"})
    assert other.connections() == [] and other.get("/api/vault").json()["others"] == []
    for connection in person.connections():
        assert other.delete(f"/api/connections/{connection['id']}").status_code == 404


# Approving in the other browser what needs no provider

def test_of_two_requests_of_a_key_the_smaller_is_approved_in_the_other_browser_once_the_larger_is_there(person, elsewhere, double):
    key = person.api_key()
    small, big = key.link("github", ["gist"]), key.link("github", ["gist", "repo"])
    person.connect(big["authorizationUrl"])
    shown = elsewhere.asked(small["authorizationUrl"]).json()
    assert not shown["needsProvider"] and shown["account"] is None, "what it is called is not to be read here"
    approved = elsewhere.decide(small["authorizationUrl"])
    assert approved.status_code == 200 and approved.json()["location"].startswith("/done#"), approved.text
    assert key.get(f"/api/requests/{small['requestId']}").json()["status"] == "completed"
    assert key.token("github", ["gist"]) and double.count("github", "exchange") == 1


def test_what_is_paused_is_resumed_from_the_other_browser_by_approving(person, elsewhere, double):
    key = person.api_key()
    person.connect(key.link("github", ["repo"])["authorizationUrl"])
    connection = person.connections()[0]
    assert person.call("PATCH", f"/api/connections/{connection['id']}", {"paused": True}).status_code == 204
    need = key.link("github", ["repo"])
    assert elsewhere.asked(need["authorizationUrl"]).json()["resumes"]
    assert elsewhere.decide(need["authorizationUrl"]).status_code == 200
    assert key.token("github", ["repo"])["connection"]["id"] == connection["id"]
    assert person.connections()[0]["status"] == "active" and double.count("github", "exchange") == 1


def others(browser: Person, link) -> dict:
    return {other["id"]: other for other in browser.asked(link).json()["others"]}


def test_the_page_names_who_can_use_it_from_the_vault_that_it_goes_to(person, elsewhere, instance):
    here, there = person.api_key("Key here"), elsewhere.api_key("Key there")
    agents = [Client(instance).log_in(browser).name for browser in (person, elsewhere)]
    for browser, key, agent in ((person, here, agents[0]), (elsewhere, there, agents[1])):
        shown = others(browser, GITHUB)
        assert {other["name"] for other in shown.values()} == {key_name(key, here), agent}
        assert [(o["ticked"], o["locked"]) for o in shown.values()] == [(True, True), (False, False)]
    # A key's request goes to the key's vault, whichever browser shows it.
    need = here.link("github", ["repo"])["authorizationUrl"]
    for browser in (person, elsewhere):
        shown = others(browser, need)
        assert {other["name"] for other in shown.values()} == {"Key here", agents[0]}
        assert shown[here.id]["asks"] and shown[here.id]["ticked"] and shown[here.id]["locked"]


def key_name(key, here) -> str:
    return "Key here" if key is here else "Key there"


def test_a_plugin_is_offered_only_where_it_could_be_given_the_key(person, elsewhere, instance, double):
    own, met, unmet = person.own_plugin(), Plugin(instance), Plugin(instance)
    person.connect(met.link("slack", ["chat:write"], user=person)["authorizationUrl"])
    shown = others(person, GITHUB)
    assert set(shown) == {own.id, met.id} and unmet.id not in shown
    assert not any(other["ticked"] or other["locked"] or other["asks"] for other in shown.values())
    assert shown[met.id]["addedBy"] == "the operator of localhost"
    assert re.fullmatch(r"you on \d{4}-\d{2}-\d{2}", shown[own.id]["addedBy"])
    need = unmet.link("github", ["repo"], user=person)["authorizationUrl"]
    assert person.asked(need).json()["others"][0] | {"id": unmet.id, "asks": True, "ticked": True, "locked": True} == others(person, need)[unmet.id]
    # Ticked, it has it; muted or held to another provider, it is not offered.
    person.connect(need, also_for=[own.id])
    assert own.token("github", ["repo"], user=person) and unmet.token("github", ["repo"], user=person)
    assert others(person, GITHUB)[own.id]["locked"]
    person.call("PATCH", f"/api/plugins/{own.id}", {"muted": True})
    person.call("PATCH", f"/api/plugins/{met.id}", {"limits": {"providers": ["slack"]}})
    assert set(others(person, GITHUB)) == {unmet.id}
    # In the other browser there is nothing to give: it shows who has it.
    key = person.api_key()
    shown = others(elsewhere, key.link("github", ["gist"])["authorizationUrl"])
    assert set(shown) == {key.id}, "the larger token is not approved for it"
    elsewhere_need = key.link("slack", ["chat:write", "channels:read"])["authorizationUrl"]
    assert met.id in others(person, elsewhere_need) and met.id not in others(elsewhere, elsewhere_need)
