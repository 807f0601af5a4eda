"""A no is remembered for a day, for what was refused and for who asked; and taken back by the person alone."""

import json
import re

import decryptor
import pytest

from harness.answers import assert_problem
from harness.database import Database
from harness.flow import GITHUB, newest_outcome, page_members, result
from harness.people import Person, Plugin


@pytest.fixture(scope="module")
def rows(instance):
    return Database(instance)


def asked_with_choice(plugin: Plugin, person: Person) -> dict:
    return plugin.link("github", ["repo"], user=person, optionalScopes=["gist", "notifications"])


def approve(person: Person, need: dict, *kept: str):
    return person.connect(need["authorizationUrl"], scopes=list(kept))


def declined(reply) -> list[str]:
    return assert_problem(reply, 403, "scope-declined")["declinedScopes"]


# What a caller can do without

def test_what_the_caller_can_do_without_is_asked_and_may_be_left_out(person, plugin, double):
    need = asked_with_choice(plugin, person)
    assert need["missingScopes"] == ["repo"]
    shown = person.asked(need["authorizationUrl"]).json()["scopes"]
    assert {line["scope"]: line["optional"] for line in shown} == {"repo": False, "gist": True, "notifications": True}
    approve(person, need, "repo", "notifications")
    assert plugin.token("github", ["repo"], user=person, optionalScopes=["gist"])["scopes"] == ["notifications", "repo"]
    assert declined(plugin.vend("github", ["gist"], user=person)) == ["gist"]
    assert declined(plugin.vend("github", ["repo", "gist"], user=person)) == ["gist"]
    assert plugin.token("github", ["notifications"], user=person)
    assert double.count("github", "exchange") == 1


def test_what_was_left_out_is_not_asked_again_with_the_next_need(person, plugin):
    approve(person, asked_with_choice(plugin, person), "repo", "notifications")
    need = plugin.link("github", ["read:org"], user=person, optionalScopes=["gist", "user"])
    shown = person.asked(need["authorizationUrl"]).json()["scopes"]
    assert {line["scope"]: line["optional"] for line in shown} == {"read:org": False, "user": True}


def test_a_need_with_a_choice_is_another_need(person, plugin):
    plain = plugin.link("github", ["repo", "gist"], user=person)
    choice = plugin.link("github", ["repo"], user=person, optionalScopes=["gist"])
    again = plugin.link("github", ["repo"], user=person, optionalScopes=["gist"])
    assert plain["requestId"] != choice["requestId"] == again["requestId"]


@pytest.mark.parametrize("kept, status", [(["gist"], 409), (["notifications"], 409), ([], 409), (["repo", "user"], 409),
                                          (["repo", "admin:org"], 409)])
def test_only_what_was_shown_as_optional_can_be_left_out_and_nothing_added(person, plugin, rows, kept, status):
    need = asked_with_choice(plugin, person)
    shown = person.asked(need["authorizationUrl"]).json()
    with rows.unchanged():
        refused = person.post("/api/connect", page_members(shown, need["authorizationUrl"]) | {"scopes": kept})
        assert_problem(refused, status, "changed")


def test_not_everything_can_be_left_out(person, plugin, rows):
    person.connect(plugin.link("github", ["repo"], user=person)["authorizationUrl"])
    need = plugin.link("github", ["gist"], user=person)
    rows.run("UPDATE request SET optional_scopes = scopes WHERE scopes = 'gist' AND status = 'pending'")
    with rows.unchanged():
        refused = assert_problem(person.decide(need["authorizationUrl"], scopes=[]), 400, "invalid-request")
    assert refused["errors"][0]["member"] == "scopes"


def test_leaving_out_what_is_new_needs_no_provider(person, plugin, double):
    person.connect(GITHUB)
    need = asked_with_choice(plugin, person)
    assert person.asked(need["authorizationUrl"]).json()["needsProvider"]
    approve(person, need, "repo")
    assert double.count("github", "exchange") == 1
    assert plugin.token("github", ["repo"], user=person)["scopes"] == ["repo"]
    assert plugin.get(f"/api/requests/{need['requestId']}").json()["status"] == "completed"


# What the person leaves out at the provider's own page

def left_at_provider(person: Person, link: str, *ticked: str) -> dict:
    return result(person, person.connect(link, ticked=list(ticked)))


def test_what_is_left_out_at_the_providers_page_is_a_no_to_who_asked(instance, person, plugin, double):
    second = Plugin(instance)
    need = plugin.link("github", ["repo", "gist", "read:org"], user=person)
    outcome = left_at_provider(person, need["authorizationUrl"], "repo")
    assert outcome["status"] == "connected" and outcome["requester"]["name"] == plugin.name
    assert [line["scope"] for line in outcome["missingScopes"]] == ["gist", "read:org"]
    assert plugin.get(f"/api/requests/{need['requestId']}").json()["status"] == "completed"
    assert plugin.token("github", ["repo"], user=person)["scopes"] == ["repo"]
    for _ in range(2):
        assert declined(plugin.vend("github", ["repo", "gist"], user=person)) == ["gist"]
    assert declined(plugin.vend("github", ["read:org"], user=person)) == ["read:org"]
    assert plugin.link("github", ["notifications"], user=person)["missingScopes"] == ["notifications"]
    assert second.link("github", ["gist"], user=person)["reason"] == "not-connected", "said to nobody else"
    assert person.api_key().link("github", ["gist"])["missingScopes"] == ["gist"]
    [listed] = person.get("/api/declines").json()["declines"]
    assert (listed["caller"], [line["scope"] for line in listed["scopes"]]) == (plugin.id, ["gist", "read:org"])
    assert double.complaints() == []


def test_that_no_ends_after_a_day_by_allowing_it_and_by_a_visit(person, plugin, rows):
    for again in (
        lambda: rows.run("UPDATE decline SET until_ms = 1 WHERE caller = ?", decryptor.identifier(plugin.id)),
        lambda: person.delete(f"/api/declines?caller={plugin.id}&provider=github"),
        lambda: person.asked(GITHUB | {"scope": "gist"}),
    ):
        left_at_provider(person, plugin.link("github", ["repo", "gist"], user=person)["authorizationUrl"], "repo")
        assert declined(plugin.vend("github", ["gist"], user=person)) == ["gist"]
        again()
        assert plugin.link("github", ["gist"], user=person)["reason"] == "insufficient-scope"


def test_a_later_yes_at_the_provider_takes_it_back(person, plugin):
    left_at_provider(person, plugin.link("github", ["repo", "gist"], user=person)["authorizationUrl"], "repo")
    person.asked(GITHUB | {"scope": "gist"})
    person.connect(plugin.link("github", ["gist"], user=person)["authorizationUrl"])
    assert plugin.token("github", ["repo", "gist"], user=person)["scopes"] == ["gist", "repo"]
    assert person.get("/api/declines").json()["declines"] == []


@pytest.mark.parametrize("asked, ticked", [(["public_repo"], ["repo"]), (["repo", "public_repo"], ["repo"]),
                                           (["read:user", "user:email"], ["user"])])
def test_a_wider_scope_that_comes_instead_leaves_nothing_out(person, plugin, asked, ticked):
    outcome = left_at_provider(person, plugin.link("github", asked, user=person)["authorizationUrl"], *ticked)
    assert outcome["missingScopes"] == [] and person.get("/api/declines").json()["declines"] == []


def test_a_provider_that_names_no_scopes_granted_all(person, plugin, double):
    double.set("generic", scope_form="missing")
    outcome = left_at_provider(person, plugin.link("corp", ["repo", "read"], user=person)["authorizationUrl"], "read")
    assert outcome["missingScopes"] == [] and plugin.token("corp", ["repo", "read"], user=person)


def test_of_another_account_it_is_a_no_only_once_that_is_kept(person, plugin, double):
    person.connect(GITHUB)
    link = plugin.link("github", ["gist", "notifications"], user=person)["authorizationUrl"]
    person.connect(link, account="mallory", ticked=["gist"])
    assert person.get("/api/declines").json()["declines"] == []
    path = newest_outcome(person, "connected-unused")
    kept = person.post(path, {"decision": "keep", "formToken": person.get(path).json()["formToken"]})
    assert kept.json()["status"] == "kept"
    assert declined(plugin.vend("github", ["notifications"], user=person)) == ["notifications"]
    assert plugin.token("github", ["gist"], user=person)["connection"]["account"] == "mallory"


def test_an_api_key_that_asked_is_told_and_named(person, double):
    key = person.api_key("nightly report")
    outcome = left_at_provider(person, key.link("github", ["repo", "gist"])["authorizationUrl"], "repo")
    assert outcome["requester"]["name"] == "nightly report"
    assert declined(key.vend("github", ["gist"])) == ["gist"] and key.token("github", ["repo"])


def test_who_asked_nobody_for_anything_says_no_to_nobody(person, double):
    outcome = left_at_provider(person, GITHUB | {"scope": "repo gist"}, "repo")
    assert [line["scope"] for line in outcome["missingScopes"]] == ["gist"]
    assert person.get("/api/declines").json()["declines"] == []
    assert person.api_key().link("github", ["gist"])["reason"] == "insufficient-scope"


# How long, for whom, and until when

def test_a_no_to_one_of_several_blocks_that_one_for_that_caller(instance, person, plugin):
    second = Plugin(instance)
    approve(person, asked_with_choice(plugin, person), "repo")
    assert declined(plugin.vend("github", ["gist"], user=person)) == ["gist"]
    assert plugin.link("github", ["user"], user=person)["missingScopes"] == ["user"]
    assert second.link("github", ["gist"], user=person)["missingScopes"] == ["gist"]
    assert person.api_key().link("github", ["gist"])["missingScopes"] == ["gist"]


def test_a_yes_to_one_caller_takes_back_no_no_to_another(instance, person, plugin):
    second = Plugin(instance)
    person.decide(plugin.link("github", ["gist"], user=person)["authorizationUrl"], "decline")
    person.connect(second.link("github", ["gist"], user=person)["authorizationUrl"])
    assert declined(plugin.vend("github", ["gist"], user=person)) == ["gist"]


def test_a_later_yes_to_the_same_caller_takes_its_no_back(person, plugin, rows):
    first = plugin.link("github", ["repo", "gist"], user=person)
    other_link = plugin.link("github", ["gist"], user=person)["authorizationUrl"]
    person.decide(first["authorizationUrl"], "decline")
    assert declined(plugin.vend("github", ["gist"], user=person)) == ["gist"]
    person.connect(other_link)
    assert plugin.token("github", ["gist"], user=person)
    assert declined(plugin.vend("github", ["repo"], user=person)) == ["repo"]


def test_a_no_ends_after_a_day(person, plugin, rows):
    person.decide(plugin.link("github", ["gist"], user=person)["authorizationUrl"], "decline")
    until = assert_problem(plugin.vend("github", ["gist"], user=person), 403, "scope-declined")["until"]
    listed = person.get("/api/declines").json()["declines"]
    assert [(line["caller"], line["provider"], [scope["scope"] for scope in line["scopes"]], line["until"]) for line in listed] == [
        (plugin.id, "github", ["gist"], until)]
    rows.run("UPDATE decline SET until_ms = 1 WHERE scope = 'gist'")
    assert plugin.link("github", ["gist"], user=person)
    assert person.get("/api/declines").json()["declines"] == []


def test_allow_asking_again_takes_back_what_was_left_out(person, plugin):
    approve(person, asked_with_choice(plugin, person), "repo")
    assert declined(plugin.vend("github", ["gist"], user=person)) == ["gist"]
    assert person.delete(f"/api/declines?caller={plugin.id}&provider=github").status_code == 204
    assert plugin.link("github", ["gist"], user=person)["missingScopes"] == ["gist"]


def test_what_the_catalogue_calls_optional_can_be_left_out_of_any_request(fresh):
    instance = fresh()
    yaml = (instance.dir / "etc/providers.d/doubles.yaml").read_text()
    instance.provide("doubles", yaml.replace("    default_scopes: [repo, read]", (
        "    default_scopes: [repo, read]\n    scopes:\n      repo: { text: Repositories., risk: write }\n"
        "      read: { text: See your account., risk: read, optional: true }")))
    instance.start()
    person, plugin = Person(instance), Plugin(instance)
    need = plugin.link("corp", ["repo", "read"], user=person)
    approve(person, need, "repo")
    assert declined(plugin.vend("corp", ["repo", "read"], user=person)) == ["read"]
    assert plugin.token("corp", ["repo"], user=person)["scopes"] == ["repo"]


# Who comes by themselves

def decline(person, plugin, *scopes) -> None:
    person.decide(plugin.link("github", list(scopes), user=person)["authorizationUrl"], "decline")


@pytest.mark.parametrize("headers", [
    {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}, {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}, {"Sec-Fetch-Site": None}],
    ids=["a link", "a neighbour", "an image", "not said"])
def test_a_no_is_not_taken_back_by_what_another_page_makes_the_browser_fetch(person, plugin, rows, headers):
    decline(person, plugin, "gist")
    with rows.unchanged("decline", "request", "connection"):
        reply = person.http.get(f"{person.instance.origin}/api/connect?bridge=github&scope=gist", headers=headers, timeout=30)
    assert reply.status_code == 200, reply.text
    assert declined(plugin.vend("github", ["gist"], user=person)) == ["gist"]


def test_who_opens_the_page_by_themselves_takes_back_a_no_to_what_it_shows_and_no_other(person, plugin, double):
    for scope in ("gist", "notifications"):
        decline(person, plugin, scope)
    person.decide(plugin.link("slack", ["chat:write"], user=person)["authorizationUrl"], "decline")
    assert person.asked(GITHUB | {"scope": "gist"}).status_code == 200
    assert plugin.link("github", ["gist"], user=person)["missingScopes"] == ["gist"]
    assert declined(plugin.vend("github", ["notifications"], user=person)) == ["notifications"]
    assert declined(plugin.vend("slack", ["chat:write"], user=person)) == ["chat:write"]


# What a caller says

@pytest.mark.parametrize("member, most", [("reason", 256), ("tool", 64), ("account", 256)])
def test_what_a_caller_says_is_as_long_as_it_looks(person, plugin, member, most):
    """Marks upon marks make one character of any length."""
    said = lambda text: plugin.post("/api/tokens/vend", None, data=json.dumps({  # noqa: E731
        "provider": "github", "userId": person.user_id, "scopes": ["repo"], member: text}, ensure_ascii=False).encode(),
        headers={"Content-Type": "application/json"})
    for text in ("a" * most, "e\u0301" * most, "\U0001F469\u200D\U0001F680"):
        assert said(text).json()["error"] == "authorization-required", text
    for text in ("a" * (most + 1), "a" + "\u0301" * 5000, "a" + "\u0301" * (4 * most)):
        refused = assert_problem(said(text), 400, "invalid-request")
        assert [error["member"] for error in refused["errors"]] == [member]


def test_a_plugin_of_ones_own_is_named_with_the_day_it_was_added(person, plugin):
    own = person.own_plugin()
    for link, words in ((own.link("github", ["gist"], user=person), r"you on \d{4}-\d{2}-\d{2}"),
                        (plugin.link("github", ["gist"], user=person), "the operator of localhost")):
        assert re.fullmatch(words, person.asked(link["authorizationUrl"]).json()["requester"]["addedBy"])
