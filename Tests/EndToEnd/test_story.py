"""The main job over HTTP: ask, link, click, token."""

from urllib.parse import parse_qs, urlsplit

import pytest

from harness.people import Person, Plugin

PROVIDERS = {"github": "repo", "google": "calendar", "slack": "chat:write", "linear": "write", "corp": "read"}


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_plugin_asks_gets_a_link_and_after_the_click_a_token(provider, person, plugin, double):
    scope = PROVIDERS[provider]
    need = plugin.link(provider, [scope], user=person, reason="list open issues", tool="issues.list")
    assert need["reason"] == "not-connected" and need["missingScopes"] and need["grantedScopes"] == []
    assert plugin.get(f"/api/requests/{need['requestId']}").json()["status"] == "pending"

    shown = person.asked(need["authorizationUrl"]).json()
    assert shown["status"] == "ready" and shown["signedInAs"] == person.name
    assert shown["requester"]["name"] == plugin.name and shown["reason"] == "list open issues"
    assert shown["matchCode"] == need["matchCode"] and shown["tool"] == "issues.list"
    assert all(line["state"] == "new" and line["text"] for line in shown["scopes"])

    arrived = person.connect(need["authorizationUrl"])
    assert arrived.status_code == 303 and arrived.headers["Location"].startswith("/done#o_"), arrived.headers
    outcome = person.get(f"/api/outcomes/{arrived.headers['Location'].split('#')[1]}").json()
    assert outcome["status"] == "connected" and "octo" in outcome["account"].lower(), outcome

    token = plugin.token(provider, [scope], user=person)
    assert token["provider"] == provider and token["accessToken"] and token["tokenType"] == "Bearer"
    assert "refreshToken" not in token and "octo" in token["connection"]["account"].lower()
    assert double.complaints() == []
    live = double.http.get(f"{double.url}/{'generic' if provider == 'corp' else provider}/api/whoami",
                           headers={"Authorization": f"Bearer {token['accessToken']}"})
    assert live.json()["live"] is True


def test_the_same_need_gives_the_same_request_and_another_need_another(person, plugin):
    first = plugin.link("github", ["repo"], user=person)
    again = plugin.link("github", ["repo"], user=person, reason="something else")
    other = plugin.link("github", ["gist"], user=person)
    assert first["requestId"] == again["requestId"] != other["requestId"]
    assert first["authorizationUrl"] == again["authorizationUrl"]
    assert Plugin(person.instance).link("github", ["repo"], user=person)["requestId"] != first["requestId"]


def test_at_most_eight_requests_are_open_for_a_caller_and_a_person(person, plugin):
    for number in range(8):
        plugin.link("github", [f"scope{number}"], user=person)
    ninth = plugin.vend("github", ["scope8"], user=person)
    assert ninth.status_code == 429 and ninth.json()["error"] == "rate-limited" and ninth.headers["Retry-After"]


def test_a_second_scope_later_is_a_small_new_consent(person, plugin, double):
    person.connect(plugin.link("github", ["repo"], user=person)["authorizationUrl"])
    need = plugin.link("github", ["gist"], user=person)
    assert need["reason"] == "insufficient-scope"
    assert need["missingScopes"] == ["gist"] and need["grantedScopes"] == ["repo"]
    shown = person.asked(need["authorizationUrl"]).json()
    assert [line["scope"] for line in shown["scopes"]] == ["gist"]
    assert "repo" in [line["scope"] for line in shown["alsoIncludes"]]
    address = person.login(person.decide(need["authorizationUrl"]).json()["location"])
    # The provider would drop the old scope, so both are asked for.
    assert set(parse_qs(urlsplit(address).query)["scope"][0].split()) == {"repo", "gist"}
    person.navigate(double.decide(address), site="cross-site")
    token = plugin.token("github", ["gist"], user=person)
    assert set(token["scopes"]) >= {"repo", "gist"}
    assert len(person.connections()) == 1


def test_a_granted_scope_covers_what_it_implies(person, plugin):
    person.connect(plugin.link("github", ["repo"], user=person)["authorizationUrl"])
    assert plugin.token("github", ["public_repo"], user=person)["scopes"] == ["repo"]


def test_a_decline_is_remembered_for_what_was_declined(person, plugin):
    need = plugin.link("github", ["repo", "gist"], user=person)
    declined = person.decide(need["authorizationUrl"], "decline")
    assert declined.json()["location"].startswith("/done#")
    assert plugin.get(f"/api/requests/{need['requestId']}").json()["status"] == "declined"
    refused = plugin.vend("github", ["repo"], user=person)
    assert refused.status_code == 403 and refused.json()["error"] == "scope-declined"
    assert refused.json()["declinedScopes"] == ["repo"] and refused.json()["until"]
    assert plugin.vend("github", ["notifications"], user=person).json()["error"] == "authorization-required"
    assert Plugin(person.instance).vend("github", ["repo"], user=person).json()["error"] == "authorization-required"


def test_two_services_of_one_task_are_authorized_one_by_one(person, plugin):
    for provider, scope in (("github", "repo"), ("slack", "chat:write")):
        person.connect(plugin.link(provider, [scope], user=person)["authorizationUrl"])
    assert plugin.token("github", ["repo"], user=person)["accessToken"] != plugin.token(
        "slack", ["chat:write"], user=person)["accessToken"]


def test_a_person_connects_without_a_request_and_vends_with_browser_and_key(person):
    arrived = person.connect({"owner": "toolshed", "bridge": "github", "scope": "repo"})
    assert arrived.status_code == 303
    key = person.api_key()
    by_key = key.token("github", ["repo"])
    by_browser = person.post("/api/tokens/vend", {"provider": "github", "scopes": ["repo"]})
    assert by_browser.status_code == 200
    assert by_browser.json()["accessToken"] == by_key["accessToken"]


def test_a_key_asks_and_its_person_approves(person):
    key = person.api_key("laptop")
    need = key.link("linear", ["read"])
    assert person.asked(need["authorizationUrl"]).json()["requester"]["name"] == "laptop"
    person.connect(need["authorizationUrl"])
    assert key.token("linear", ["read"])["scopes"]


def test_another_plugin_asks_for_the_existing_connection_and_needs_no_provider(person, plugin, double):
    person.connect(plugin.link("github", ["repo"], user=person)["authorizationUrl"])
    second = Plugin(person.instance)
    need = second.link("github", ["repo"], user=person)
    assert need["reason"] == "not-connected" and need["grantedScopes"] == []
    assert person.asked(need["authorizationUrl"]).json()["needsProvider"] is False
    before = double.count("github", "exchange")
    approved = person.connect(need["authorizationUrl"])
    assert approved.json()["location"].startswith("/done#") and double.count("github", "exchange") == before
    assert second.get(f"/api/requests/{need['requestId']}").json()["status"] == "completed"
    assert second.token("github", ["repo"], user=person)["accessToken"]


def test_a_plugin_approved_for_less_never_gets_a_token_that_carries_more(person, plugin):
    narrow, wide = plugin, Plugin(person.instance)
    person.connect(narrow.link("github", ["repo"], user=person)["authorizationUrl"])
    person.connect(wide.link("github", ["repo", "admin:org"], user=person)["authorizationUrl"])
    assert wide.token("github", ["admin:org"], user=person)["accessToken"]
    refused = narrow.link("github", ["repo"], user=person)
    assert refused["reason"] == "plugin-not-approved" and "admin:org" in refused["missingScopes"]
    person.connect(refused["authorizationUrl"])
    assert narrow.token("github", ["repo"], user=person)["accessToken"]


def test_a_withdrawn_plugin_gets_nothing_and_may_ask_again(person, plugin):
    person.connect(plugin.link("github", ["repo"], user=person)["authorizationUrl"])
    withdrawn = person.delete(f"/api/plugins/{plugin.id}")
    assert withdrawn.status_code == 200 and withdrawn.json()["connections"][0]["local"] == "withdrawn"
    assert plugin.link("github", ["repo"], user=person)["reason"] == "plugin-not-approved"


def test_two_accounts_are_a_choice_and_each_can_be_named(person):
    person.connect({"owner": "toolshed", "bridge": "github", "scope": "repo"})
    arrived = person.connect({"owner": "toolshed", "bridge": "github", "scope": "repo gist"}, account="mallory")
    outcome_id = arrived.headers["Location"].split("#")[1]
    outcome = person.get(f"/api/outcomes/{outcome_id}").json()
    assert outcome["status"] == "connected-unused" and "mallory" in outcome["account"]
    key = person.api_key()
    assert "octo" in key.token("github", ["repo"])["connection"]["account"], "unused until Keep"
    kept = person.post(f"/api/outcomes/{outcome_id}", {"decision": "keep", "formToken": outcome["formToken"]})
    assert kept.json()["status"] == "kept", kept.text
    choice = key.vend("github", ["repo"])
    assert choice.status_code == 409 and choice.json()["error"] == "account-choice"
    names = {account["account"]: account["id"] for account in choice.json()["accounts"]}
    assert len(names) == 2
    for name, identifier in names.items():
        assert key.token("github", ["repo"], account=name)["connection"]["id"] == identifier
        assert key.token("github", ["repo"], account=identifier)["connection"]["account"] == name


def test_a_recovery_code_opens_the_vault_in_another_browser(person):
    person.connect({"owner": "toolshed", "bridge": "github", "scope": "repo"})
    made = person.post("/api/vault/recovery", {})
    assert made.status_code == 201
    elsewhere = Person(person.instance, signed_in=False)
    reply = elsewhere.post("/api/sign-in/recovery", {"code": made.json()["code"]})
    assert reply.status_code == 200 and reply.json()["userId"] == person.user_id
    assert elsewhere.connections()[0]["account"] == person.connections()[0]["account"]


def test_removing_a_connection_ends_every_vend_of_it(person, plugin):
    person.connect(plugin.link("github", ["repo"], user=person)["authorizationUrl"])
    connection = person.connections()[0]
    removed = person.delete(f"/api/connections/{connection['id']}")
    assert removed.json() == {"local": "removed", "provider": "unsupported", "manageUrl": removed.json()["manageUrl"]}
    assert plugin.link("github", ["repo"], user=person)["reason"] == "not-connected"
    assert person.connections() == []


def test_polling_faster_than_the_interval_is_slowed_down(person, plugin):
    need = plugin.link("github", ["repo"], user=person)
    path = f"/api/requests/{need['requestId']}"
    assert plugin.get(path).json()["interval"] == need["interval"]
    early = plugin.get(path)
    assert early.status_code == 429 and int(early.headers["Retry-After"]) > need["interval"]
    assert Plugin(person.instance).get(path).status_code == 404


def test_an_approved_request_that_fails_at_the_provider_can_be_tried_again(person, plugin, double):
    need = plugin.link("github", ["repo"], user=person)
    double.fault("github", "exchange", "500", times=1)
    person.connect(need["authorizationUrl"])
    assert plugin.get(f"/api/requests/{need['requestId']}").json()["status"] == "approved"
    assert plugin.link("github", ["repo"], user=person)["requestId"] == need["requestId"]
    person.connect(need["authorizationUrl"])
    assert plugin.token("github", ["repo"], user=person)["accessToken"]


def test_a_provider_that_cannot_be_found_sends_the_person_to_a_page_and_the_link_stays_good(fresh):
    instance = fresh().start()
    person, plugin = Person(instance), Plugin(instance)
    need = plugin.link("corp", ["read"], user=person)
    instance.double.fault("generic", "discovery", "503")
    assert person.login(person.decide(need["authorizationUrl"]).json()["location"]) == "/error#provider-unavailable"
    instance.double.post("fault", clear=True)
    assert person.connect(need["authorizationUrl"]).headers["Location"].startswith("/done#o_")
    assert plugin.token("corp", ["read"], user=person)
