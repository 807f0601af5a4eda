"""Connecting what is connected already: anew in its place, beside it, or another of several accounts."""

import pytest

from harness.answers import assert_problem
from harness.database import Database
from harness.flow import CORP, GITHUB, result
from harness.oauth import Client, pkce
from harness.people import Person, Plugin

UNKNOWN = "A" * 22
GOOGLE = {"owner": "toolshed", "bridge": "google", "scope": "calendar"}


def again(person: Person, link: dict, **more) -> dict:
    """The link of *Reconnect*, or with `separate="true"` of *Connect separately*."""
    return link | {"connection": person.connections()[0]["id"]} | more


def keep(person: Person, arrived) -> None:
    outcome = f"/api/outcomes/{arrived.headers['Location'].split('#')[1]}"
    form = person.get(outcome).json()["formToken"]
    assert person.post(outcome, {"decision": "keep", "formToken": form}).json()["status"] == "kept"


def test_reconnecting_keeps_the_id_the_label_and_what_others_were_allowed(person, plugin, double):
    person.connect(plugin.link("corp", ["read"], user=person)["authorizationUrl"])
    before, first = person.connections()[0], plugin.token("corp", ["read"], user=person)["accessToken"]
    person.call("PATCH", f"/api/connections/{before['id']}", {"label": "Work", "default": True})
    # The grant is gone at the provider, which has not said so in a way that we know: it still counts as active.
    double.set("generic", forget_refresh=True)
    link = again(person, CORP)
    shown = person.asked(link).json()
    assert shown["reconnects"] and shown["needsProvider"] and shown["account"] == before["account"]
    assert result(person, person.connect(link))["status"] == "connected"
    after, second = person.connections(), plugin.token("corp", ["read"], user=person)["accessToken"]
    assert [(c["id"], c["label"], c["default"], c["createdAt"]) for c in after] == [
        (before["id"], "Work", True, before["createdAt"])]
    assert second != first


def test_reconnecting_as_somebody_else_is_asked_about_and_touches_nothing(person, double):
    person.connect(CORP)
    before = person.connections()[0]
    arrived = person.connect(again(person, CORP), account="mallory")
    assert result(person, arrived)["status"] == "connected-unused"
    kept, unused = person.connections()
    assert kept["id"] == before["id"] and kept["account"] == before["account"] and unused["unused"]


def test_what_waits_for_keep_is_given_to_no_client(person, instance):
    """api.md: until Keep it is not vended, not default, not given to the requester."""
    person.connect(CORP)
    before = person.connections()[0]
    arrived = person.connect(again(person, CORP), account="mallory")
    client = Client(instance)
    shown = client.asked(person, client.query(pkce()[1])).json()
    assert [c["account"] for c in shown["connections"]] == [before["account"]]
    client.log_in(person)

    def used() -> list[str]:
        return [c["id"] for c in person.get("/api/clients").json()["clients"][0]["connections"]]
    assert used() == [before["id"]]
    keep(person, arrived)
    assert used() == [before["id"]], "what is kept later it asks for at its first use"
    assert len(Client(instance).asked(person, client.query(pkce()[1])).json()["connections"]) == 2


def test_a_second_connection_of_the_account_has_only_what_was_asked(person, plugin, double):
    """What a plugin outgrew, it gets again by a connection of its own."""
    person.connect(plugin.link("github", ["gist"], user=person)["authorizationUrl"])
    person.connect(GITHUB | {"scope": "repo"})
    assert set(person.connections()[0]["scopes"]) == {"gist", "repo"}
    need = plugin.link("github", ["gist"], user=person)
    assert need["reason"] == "plugin-not-approved"
    link = dict(pair.split("=") for pair in need["authorizationUrl"].split("?")[1].split("&"))
    assert person.asked(link).json()["separable"] and [s["scope"] for s in person.asked(link).json()["alsoIncludes"]] == ["repo"]
    link = again(person, link, separate="true")
    shown = person.asked(link).json()
    assert shown["separate"] and shown["alsoIncludes"] == [] and [s["state"] for s in shown["scopes"]] == ["new"]
    assert result(person, person.connect(link))["status"] == "connected"
    wide, narrow = person.connections()
    assert set(wide["scopes"]) == {"gist", "repo"} and narrow["scopes"] == ["gist"] and wide["account"] == narrow["account"]
    assert plugin.token("github", ["gist"], user=person)["connection"]["id"] == narrow["id"]
    assert_problem(person.api_key().vend("github", ["gist"]), 409, "account-choice")


def test_connecting_separately_as_somebody_else_is_asked_about(person, double):
    person.connect(GITHUB | {"scope": "repo gist"})
    arrived = person.connect(again(person, GITHUB | {"scope": "gist"}, separate="true"), account="mallory")
    assert result(person, arrived)["status"] == "connected-unused"


def test_removing_one_of_two_that_share_a_consent_asks_the_provider_for_nothing(person, double):
    """Google ends all that the account ever allowed: with another connection of it here, it must not be told."""
    google = {"owner": "toolshed", "bridge": "google", "scope": "calendar"}
    person.connect(google)
    assert result(person, person.connect(again(person, google, separate="true")))["status"] == "connected"
    one, two = person.connections()
    assert one["revocation"] == "grant" and one["sharesGrant"] and two["sharesGrant"]
    removed = person.delete(f"/api/connections/{one['id']}").json()
    assert removed["provider"] == "not-applicable" and removed["shared"] is True and removed["manageUrl"]
    assert double.count("google", "revoke") == 0 and person.api_key().token("google", ["calendar"])
    assert person.connections()[0]["sharesGrant"] is False
    assert person.delete(f"/api/connections/{two['id']}").json()["provider"] == "revoked"
    assert double.count("google", "revoke") == 1


def outcome_of(arrived) -> str:
    return f"/api/outcomes/{arrived.headers['Location'].split('#')[1]}"


def test_removing_an_account_that_the_provider_did_not_name_ends_no_other_connection(person, double):
    """Google ends all of an account's grant, and this may be the account that is connected already."""
    person.connect(GOOGLE)
    double.fault("google", "userinfo", "500")
    arrived = person.connect(GOOGLE | {"scope": "calendar drive.readonly"})
    double.post("fault", clear=True)
    shown = person.get(outcome_of(arrived)).json()
    assert (shown["status"], shown["account"]) == ("connected-unused", "") and shown["removable"]["sharesGrant"]
    removed = person.post(outcome_of(arrived), {"decision": "remove", "formToken": shown["formToken"]}).json()
    assert removed["status"] == "removed" and removed["message"] is None
    assert removed["removal"] | {"manageUrl": None} == {"local": "removed", "provider": "not-applicable", "shared": True, "manageUrl": None}
    assert removed["removal"]["manageUrl"] and double.count("google", "revoke") == 0
    assert person.get(outcome_of(arrived)).json()["removal"] == removed["removal"], "said again"
    assert person.connections()[0]["status"] == "active" and person.connections()[0]["sharesGrant"] is False


def test_removing_in_one_of_two_vaults_ends_nothing_in_the_other(person, double):
    person.connect(GOOGLE)
    elsewhere = person.elsewhere()
    elsewhere.connect(GOOGLE)
    locked, own = sorted(elsewhere.connections(), key=lambda c: c["status"] != "locked")
    assert locked["sharesGrant"] and own["sharesGrant"]
    removed = elsewhere.delete(f"/api/connections/{own['id']}").json()
    assert (removed["provider"], removed["shared"]) == ("not-applicable", True) and double.count("google", "revoke") == 0
    assert person.api_key().token("google", ["calendar"]) and person.connections()[0]["sharesGrant"] is False
    assert person.delete(f"/api/connections/{locked['id']}").json()["provider"] == "revoked"


def test_what_a_first_connection_ends_when_it_is_removed_is_said_before_and_after(person, double):
    arrived = person.connect(GOOGLE)
    shown = person.get(outcome_of(arrived)).json()
    assert shown["removable"] == {"revocation": "grant", "sharesGrant": False} and not shown["replaced"]
    assert shown["removal"] is None
    removed = person.post(outcome_of(arrived), {"decision": "remove", "formToken": shown["formToken"]}).json()
    assert (removed["status"], removed["removable"]) == ("removed", None)
    assert removed["removal"]["provider"] == "revoked" and double.count("google", "revoke") == 1


def test_what_was_connected_before_is_not_removed_by_a_click_after_a_further_consent(person, plugin, double):
    person.connect(plugin.link("github", ["repo"], user=person)["authorizationUrl"])
    arrived = person.connect(GITHUB | {"scope": "repo gist"})
    shown = person.get(outcome_of(arrived)).json()
    assert (shown["status"], shown["replaced"], shown["removable"]) == ("connected", True, None)
    with Database(person.instance).unchanged("connection"):
        refused = person.post(outcome_of(arrived), {"decision": "remove", "formToken": shown["formToken"]})
        assert_problem(refused, 409, "changed")
    assert [c["status"] for c in person.connections()] == ["active"]


def test_where_a_provider_merges_what_was_granted_nothing_is_separate(person, double):
    slack = {"owner": "toolshed", "bridge": "slack", "scope": "chat:write"}
    person.connect(slack)
    assert person.connections()[0]["separable"] is False and not person.asked(slack).json()["separable"]
    refused = person.asked(again(person, slack, separate="true"))
    assert assert_problem(refused, 400, "invalid-request")["errors"][0]["member"] == "separate"
    for wrong in ("false", "1"):
        assert_problem(person.asked(again(person, GITHUB, separate=wrong)), 400, "invalid-request")


def test_a_connection_of_nobody_and_of_somebody_else_are_the_same(person, other, double):
    other.connect(GITHUB)
    theirs = other.connections()[0]["id"]
    with Database(person.instance).unchanged():
        replies = [person.asked(GITHUB | {"connection": identifier} | more)
                   for identifier in (theirs, f"c_{UNKNOWN}", "c_", "x") for more in ({}, {"separate": "true"})]
        for reply in replies:
            assert_problem(reply, 404, "not-found")
    # Nor one of another provider.
    person.connect(CORP)
    assert_problem(person.asked(again(person, GITHUB)), 404, "not-found")


def test_of_several_accounts_the_person_says_which_one_a_plugin_gets(person, plugin, double):
    person.connect(GITHUB)
    keep(person, person.connect(GITHUB | {"connection": "new"}, account="mallory"))
    octo, mallory = person.connections()
    person.call("PATCH", f"/api/connections/{mallory['id']}", {"label": "Bot"})
    need = plugin.link("github", ["repo"], user=person)["authorizationUrl"]
    accounts = person.asked(need).json()["accounts"]
    assert [(a["account"], a["label"]) for a in accounts] == [("octo", None), ("mallory", "Bot")]
    link = dict(pair.split("=") for pair in need.split("?")[1].split("&")) | {"connection": mallory["id"]}
    shown = person.asked(link).json()
    assert shown["account"] == "mallory" and not shown["needsProvider"] and [a["chosen"] for a in shown["accounts"]] == [False, True]
    assert person.connect(link).status_code == 200
    assert plugin.token("github", ["repo"], user=person)["connection"] == {"id": mallory["id"], "account": "mallory"}
    # The page showed one, the click says another: nothing happens.
    second = Plugin(person.instance).link("github", ["repo"], user=person)["authorizationUrl"]
    assert_problem(person.decide(second, connection=mallory["id"]), 409, "changed")


def test_a_request_that_names_an_account_is_about_that_account(person, plugin, double):
    person.connect(GITHUB)
    octo = person.connections()[0]["id"]
    need = plugin.link("github", ["repo"], user=person, account="mallory")["authorizationUrl"]
    shown = person.asked(need).json()
    assert shown["namedAccount"] == "mallory" and shown["account"] is None and shown["accounts"] == []
    link = dict(pair.split("=") for pair in need.split("?")[1].split("&")) | {"connection": octo}
    refused = assert_problem(person.asked(link), 400, "invalid-request")
    assert refused["errors"][0]["member"] == "connection"


def test_approving_for_a_paused_connection_says_that_it_resumes(person, plugin, double):
    person.connect(GITHUB)
    connection = person.connections()[0]
    person.call("PATCH", f"/api/connections/{connection['id']}", {"paused": True})
    need = plugin.link("github", ["repo"], user=person)["authorizationUrl"]
    shown = person.asked(need).json()
    assert shown["resumes"] and not shown["needsProvider"]
    assert person.decide(need, "decline").status_code == 200 and person.connections()[0]["status"] == "paused"
    need = Plugin(person.instance).link("github", ["repo"], user=person)["authorizationUrl"]
    assert "done" in person.decide(need).json()["location"] and person.connections()[0]["status"] == "active"


def test_another_account_that_is_the_same_takes_nothing_away(person, double):
    person.connect(GITHUB | {"scope": "repo gist"})
    link = GITHUB | {"scope": "repo", "connection": "new"}
    shown = person.asked(link).json()
    assert shown["account"] is None and shown["needsProvider"] and not shown["reconnects"]
    assert result(person, person.connect(link))["status"] == "connected-unused"
    assert set(person.connections()[0]["scopes"]) == {"repo", "gist"}
    assert result(person, person.connect(GITHUB | {"scope": "repo gist", "connection": "new"}))["status"] == "connected"


@pytest.mark.parametrize("scope", ["repo", "repo gist"])
def test_a_reconnection_never_asks_for_less_than_there_is(person, double, scope):
    person.connect(GITHUB | {"scope": "repo gist"})
    person.connect(again(person, GITHUB | {"scope": scope}))
    assert set(person.connections()[0]["scopes"]) == {"repo", "gist"} and len(person.connections()) == 1


# The provider does not say whose account it is

SECOND = [("a further scope", lambda person: GITHUB | {"scope": "gist"}), ("another account", lambda person: GITHUB | {"connection": "new"}),
          ("anew in its place", lambda person: again(person, GITHUB)), ("beside it", lambda person: again(person, GITHUB, separate="true"))]


@pytest.mark.parametrize("link", [link for _, link in SECOND], ids=[name for name, _ in SECOND])
@pytest.mark.parametrize("fault", ["500", "empty", "drop"])
def test_an_account_that_the_provider_does_not_name_takes_no_connections_place_and_is_asked_about(person, plugin, double, link, fault):
    person.connect(plugin.link("github", ["repo"], user=person)["authorizationUrl"])
    before, token = person.connections(), plugin.token("github", ["repo"], user=person)
    double.fault("github", "userinfo", fault)
    arrived = person.connect(link(person), account="mallory")
    outcome = result(person, arrived)
    assert outcome["status"] == "connected-unused" and not outcome["account"]
    kept, unused = person.connections()
    assert all(kept[member] == value for member, value in before[0].items() if "lastUsed" not in member)
    assert unused["unused"] and unused["account"] == ""
    assert plugin.token("github", ["repo"], user=person)["accessToken"] == token["accessToken"]
    assert person.api_key().token("github", ["repo"])["connection"]["account"] == "octo"


def test_who_asked_gets_an_unnamed_account_after_keep_and_nothing_after_remove(person, plugin, double):
    person.connect(plugin.link("github", ["repo"], user=person)["authorizationUrl"])
    octo = person.connections()[0]["id"]
    for decision, scope in (("remove", "notifications"), ("keep", "gist")):
        need = plugin.link("github", [scope], user=person)
        double.fault("github", "userinfo", "500")
        arrived = person.connect(need["authorizationUrl"], account="mallory")
        double.post("fault", clear=True)
        assert plugin.get(f"/api/requests/{need['requestId']}").json()["status"] == "approved"
        assert plugin.link("github", [scope], user=person)["reason"] == "insufficient-scope"
        outcome = f"/api/outcomes/{arrived.headers['Location'].split('#')[1]}"
        form = person.get(outcome).json()["formToken"]
        assert person.post(outcome, {"decision": decision, "formToken": form}).status_code == 200
        assert [c["id"] for c in person.connections()][0] == octo
    assert plugin.token("github", ["gist"], user=person)["connection"]["id"] != octo
    assert plugin.token("github", ["repo"], user=person, account=octo)["connection"]["account"] == "octo"


def test_a_provider_that_never_says_whose_account_it_is_is_connected_anew_in_place(fresh):
    instance = fresh()
    at = instance.double.url
    instance.provide("plain", f"""version: 1
providers:
  plain:
    name: Plain
    allow_loopback_http: true
    endpoints: {{ authorize: "{at}/generic/authorize", token: "{at}/generic/token" }}
    client: {{ id: generic-client, secret: generic-secret }}
    default_scopes: [read]
    authorize: {{ pkce: {{ default: S256 }} }}
""")
    instance.start()
    person = Person(instance)
    for scope in ("read", "repo"):
        arrived = person.connect({"owner": "toolshed", "bridge": "plain", "scope": scope})
        assert result(person, arrived)["status"] == "connected"
    [connection] = person.connections()
    assert connection["scopes"] == ["read", "repo"] and not connection["unused"]
