"""Providers that give out API keys: the same link leads to a form, and the key is sealed, vended, replaced and removed
like any other credential."""

import base64
import hashlib

import pytest

from harness.answers import assert_problem
from harness.database import Database
from harness.flow import GITHUB, page_members, result
from harness.people import Person, Plugin

KEYED = {"owner": "toolshed", "bridge": "keyed", "scope": "mail.send"}


@pytest.fixture(scope="module")
def rows(instance):
    return Database(instance)


def give(person: Person, link, key: str, **decision):
    """The form, filled in and approved."""
    return person.decide(link, key=key, **decision)


def stored(person: Person, link, key: str, **decision) -> dict:
    reply = give(person, link, key, **decision)
    assert reply.status_code == 200, reply.text
    outcome = person.get(f"/api/outcomes/{reply.json()['location'].split('#')[1]}")
    assert outcome.status_code == 200, outcome.text
    return outcome.json()


def test_the_same_link_leads_to_a_form_and_the_key_is_vended(person, plugin, double):
    need = plugin.link("keyed", ["mail.send"], user=person, reason="Send your newsletter")
    shown = person.asked(need["authorizationUrl"]).json()
    assert shown["keyForm"] == {"name": "Secret key", "page": "https://keys.example/settings"} and shown["needsProvider"]
    key = double.key()
    outcome = stored(person, need["authorizationUrl"], key)
    assert outcome["status"] == "connected" and outcome["account"] == "octo"
    assert [line["scope"] for line in outcome["scopes"]] == ["mail.send"]
    assert plugin.get(f"/api/requests/{need['requestId']}").json()["status"] == "completed"
    vended = plugin.token("keyed", ["mail.send"], user=person)
    assert vended["accessToken"] == key and vended["tokenType"] == "ApiKey"
    assert "expiresIn" not in vended and "validUntil" not in vended and vended["connection"]["account"] == "octo"
    assert double.count("keyed", "me") == 1 and double.complaints() == []
    assert key not in str(double.requests("keyed")[0]["path"]) + str(double.requests("keyed")[0]["query"])


def test_nobody_has_to_set_up_a_provider_of_keys(person):
    listed = {entry["provider"]: entry["configured"] for entry in person.get("/api/providers").json()["providers"]}
    assert listed["keyed"] is True


def test_a_second_plugin_asks_for_the_key_that_is_there(instance, person, plugin, double):
    key = double.key()
    stored(person, plugin.link("keyed", ["mail.send"], user=person)["authorizationUrl"], key)
    second = Plugin(instance)
    link = second.link("keyed", ["mail.send"], user=person)["authorizationUrl"]
    shown = person.asked(link).json()
    assert shown["keyForm"] is None and not shown["needsProvider"]
    person.connect(link)
    assert second.token("keyed", ["mail.send"], user=person)["accessToken"] == key
    assert plugin.token("keyed", ["mail.send"], user=person)["accessToken"] == key


def test_more_scopes_ask_for_a_key_that_can_do_them(person, plugin, double):
    first, second = double.key(), double.key()
    stored(person, plugin.link("keyed", ["mail.send"], user=person)["authorizationUrl"], first)
    need = plugin.link("keyed", ["mail.read"], user=person)
    assert need["reason"] == "insufficient-scope" and need["missingScopes"] == ["mail.read"]
    assert stored(person, need["authorizationUrl"], second)["status"] == "connected"
    vended = plugin.token("keyed", ["mail.send", "mail.read"], user=person)
    assert vended["accessToken"] == second and len(person.connections()) == 1, "the same account keeps its connection"


def test_a_key_of_another_account_waits_for_keep(person, plugin, double):
    stored(person, KEYED, double.key())
    outcome = stored(person, plugin.link("keyed", ["mail.read"], user=person)["authorizationUrl"], double.key("mallory"))
    assert outcome["status"] == "connected-unused" and outcome["account"] == "mallory"
    assert plugin.link("keyed", ["mail.read"], user=person)


@pytest.mark.parametrize("key", ["", " ", "x", "key_live_ with spaces", "key_live_\u00e9", "key_live_\u0000", "key_live_" + "x" * 4100,
                                 "sk-other-provider", 7, None, ["key_live_x"]])
def test_a_key_of_another_form_is_refused_before_anything_is_sent(person, plugin, double, rows, key):
    link = plugin.link("keyed", ["mail.send"], user=person)["authorizationUrl"]
    with rows.unchanged():
        refused = assert_problem(give(person, link, key), 400, "invalid-request")
        assert [error["member"] for error in refused["errors"]] == ["key"]
        assert len(str(key)) < 4 or str(key) not in str(refused)
    assert double.count("keyed", "me") == 0


def test_a_key_that_the_provider_refuses_is_not_stored_and_the_link_stays_good(person, plugin, double, rows):
    link = plugin.link("keyed", ["mail.send"], user=person)["authorizationUrl"]
    with rows.unchanged():
        refused = assert_problem(give(person, link, "key_live_wrong"), 400, "invalid-request")
        assert "Key provider accepts" in refused["errors"][0]["expected"] and "key_live_wrong" not in str(refused)
    assert stored(person, link, double.key())["status"] == "connected"


@pytest.mark.parametrize("fault", [{"kind": "500"}, {"kind": "drop"}, {"kind": "redirect"}, {"kind": "429"}])
def test_a_provider_that_does_not_answer_costs_nothing(person, plugin, double, rows, fault):
    link = plugin.link("keyed", ["mail.send"], user=person)["authorizationUrl"]
    key = double.key()
    double.fault("keyed", "me", **fault)
    with rows.unchanged():
        assert_problem(give(person, link, key), 503, "provider-unavailable")
    double.post("fault", clear=True)
    assert stored(person, link, key)["status"] == "connected"


def test_what_was_pasted_around_a_key_is_no_part_of_it(person, double):
    key = double.key()
    stored(person, KEYED, f"  {key}\n")
    assert person.api_key().token("keyed")["accessToken"] == key


def test_a_key_is_given_a_name_with_it(person, plugin, double):
    stored(person, plugin.link("keyed", ["mail.send"], user=person)["authorizationUrl"], double.key(), label="Newsletter")
    assert [connection["label"] for connection in person.connections()] == ["Newsletter"]
    assert plugin.token("keyed", ["mail.send"], user=person, account="Newsletter")
    reconnect = KEYED | {"connection": person.connections()[0]["id"]}
    for said, label in (({}, "Newsletter"), ({"label": None}, "Newsletter"), ({"label": ""}, "Newsletter"), ({"label": "Post"}, "Post")):
        stored(person, reconnect, double.key(), **said)
        assert [connection["label"] for connection in person.connections()] == [label], said
    hostile = "</script><b>\u202ex\u0000"
    stored(person, reconnect, double.key(), label=hostile)
    assert person.connections()[0]["label"] == "</script><b>x"


@pytest.mark.parametrize("label", ["x" * 81, "x" * 10_240, " ", "\u200d", "a" + "\u0301" * 1000, 7, ["x"], {"x": 1}, True])
def test_a_name_that_nobody_could_read_is_refused_and_the_key_is_not_stored(person, plugin, double, rows, label):
    link = plugin.link("keyed", ["mail.send"], user=person)["authorizationUrl"]
    with rows.unchanged():
        refused = assert_problem(give(person, link, double.key(), label=label), 400, "invalid-request")
        assert [error["member"] for error in refused["errors"]] == ["label"]
    assert double.count("keyed", "me") == 0


def test_a_name_comes_with_a_key_or_not_at_all(person, rows):
    shown = person.asked(GITHUB).json()
    with rows.unchanged():
        refused = assert_problem(person.post("/api/connect", page_members(shown, GITHUB) | {"label": "Work"}), 400, "invalid-request")
    assert [error["member"] for error in refused["errors"]] == ["label"]


def test_a_key_is_given_by_its_person_on_the_page_as_shown(person, other, plugin, double, rows):
    """Not with a Bearer, not for somebody else, not from elsewhere, not for another provider."""
    link = plugin.link("keyed", ["mail.send"], user=person)["authorizationUrl"]
    shown = person.asked(link).json()
    body = {"digest": shown["digest"], "decision": "approve", "owner": "toolshed", "bridge": "keyed",
            "scopes": ["mail.send"], "request": link.split("request=")[1], "alsoFor": [], "formToken": shown["formToken"],
            "key": double.key()}
    with rows.unchanged():
        assert_problem(plugin.post("/api/connect", body), 403, "not-permitted")
        assert_problem(other.post("/api/connect", body), 403, "owner-mismatch")
        assert_problem(person.post("/api/connect", body, headers={"Sec-Fetch-Site": "cross-site"}), 403, "cross-site")
        assert_problem(person.post("/api/connect", body | {"bridge": "corp"}), 400, "invalid-request")
    assert double.count("keyed", "me") == 0


def test_login_and_callback_of_such_a_provider_lead_nowhere_else(person):
    reply = person.navigate("/api/auth/keyed/login?scope=mail.send")
    assert reply.status_code == 303 and reply.headers["Location"].endswith("/connect?owner=toolshed&bridge=keyed&scope=mail.send")
    back = person.navigate("/api/auth/keyed/callback?code=x&state=" + "A" * 43)
    assert back.status_code == 303 and back.headers["Location"] == "/error#invalid-link"


def test_a_key_that_ended_is_found_out_by_a_report_and_replaced_in_place(person, plugin, double):
    key = double.key()
    stored(person, plugin.link("keyed", ["mail.send"], user=person)["authorizationUrl"], key)
    vended = plugin.token("keyed", ["mail.send"], user=person)
    double.set("keyed", expire_access=True)
    digest = base64.urlsafe_b64encode(hashlib.sha256(key.encode()).digest()).decode().rstrip("=")
    report = {"connection": vended["connection"]["id"], "tokenHash": digest, "status": 401}
    assert plugin.post("/api/tokens/report", report).json()["next"] == "reauthorize"
    need = plugin.link("keyed", ["mail.send"], user=person)
    assert need["reason"] == "reauthorization-required"
    newer = double.key()
    stored(person, need["authorizationUrl"], newer)
    again = plugin.token("keyed", ["mail.send"], user=person)
    assert again["accessToken"] == newer and again["connection"]["id"] == vended["connection"]["id"]


def test_a_key_that_is_good_is_said_to_be_good(person, plugin, double):
    key = double.key()
    stored(person, plugin.link("keyed", ["mail.send"], user=person)["authorizationUrl"], key)
    vended = plugin.token("keyed", ["mail.send"], user=person)
    digest = base64.urlsafe_b64encode(hashlib.sha256(key.encode()).digest()).decode().rstrip("=")
    assert plugin.post("/api/tokens/report", {"connection": vended["connection"]["id"], "tokenHash": digest, "status": 401}).json()["next"] == "retry"


def test_a_removed_key_is_gone_here_and_the_person_is_told_where_to_end_it(person, plugin, double):
    stored(person, plugin.link("keyed", ["mail.send"], user=person)["authorizationUrl"], double.key())
    removed = person.delete(f"/api/connections/{person.connections()[0]['id']}").json()
    assert removed["provider"] == "unsupported" and removed["manageUrl"] == "https://keys.example/settings"
    assert plugin.link("keyed", ["mail.send"], user=person)["reason"] == "not-connected"


def test_a_key_may_be_given_for_the_vault_of_an_api_key_from_another_browser(instance, person, double):
    """The destination is the caller's vault, whichever browser of the person approves."""
    key = person.api_key()
    stored(person, key.link("keyed", ["mail.send"])["authorizationUrl"], double.key())
    assert key.token("keyed", ["mail.send"])["tokenType"] == "ApiKey"


def test_an_operators_entry_without_a_check_stores_what_is_typed(fresh):
    instance = fresh()
    instance.provide("plain", (
        "version: 1\nproviders:\n  plain:\n    name: Plain\n    kind: api_key\n"
        "    api_key: { name: Access key }\n"))
    instance.start()
    warned = instance.toolshedd("check").stderr + instance.toolshedd("check").stdout
    assert "plain: keys are stored as they are typed" in warned
    person, plugin = Person(instance), Plugin(instance)
    stored(person, plugin.link("plain", [], user=person)["authorizationUrl"], "anything-at-all")
    vended = plugin.token("plain", [], user=person)
    assert vended["accessToken"] == "anything-at-all" and vended["tokenType"] == "Bearer" and vended["scopes"] == []


@pytest.mark.parametrize("entry, field", [
    ("kind: api_key\n    client: { id: x, secret: y }", "client"),
    ("kind: api_key\n    issuer: https://id.example", "kind"),
    ("kind: api_key\n    endpoints: { token: https://id.example/token }", "kind"),
    ("kind: api_key\n    api_key: { header: 'X Key' }", "header"),
    ("kind: api_key\n    api_key: { page: 'http://x.example' }", "page"),
    ("kind: api_key\n    api_key: { secret: x }", "secret"),
    ("kind: api_key\n    api_key: { token_type: 'a b' }", "token_type"),
    ("issuer: https://id.example\n    client: { id: x, secret: y }\n    api_key: { name: x }", "api_key"),
])
def test_a_wrong_entry_is_refused_with_its_field(fresh, entry, field):
    instance = fresh(double=False)
    instance.provide("wrong", f"version: 1\nproviders:\n  wrong:\n    {entry}\n")
    refused = instance.toolshedd("check", ok=False)
    assert refused.returncode != 0 and field in refused.stderr + refused.stdout, refused.stdout
