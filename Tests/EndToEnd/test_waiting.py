"""What waits for a person on their own page, what they said no to, and stopping everything at once."""

import pytest

from harness.answers import assert_problem
from harness.database import Database
from harness.flow import CORP, GITHUB, depart
from harness.oauth import Client
from harness.people import Person, Plugin
from harness.waiting import until
from test_mcp import Agent


def waiting(person) -> list[dict]:
    reply = person.get("/api/requests")
    assert reply.status_code == 200, reply.text
    return reply.json()["requests"]


def declines(person) -> list[dict]:
    reply = person.get("/api/declines")
    assert reply.status_code == 200, reply.text
    return reply.json()["declines"]


def test_an_open_request_is_listed_with_its_link_reason_and_match_code(person, other, plugin, double):
    assert waiting(person) == []
    need = plugin.link("github", ["repo"], user=person, account="octo", reason="list open issues", tool="issues.list")
    [request] = waiting(person)
    assert (request["id"], request["link"], request["matchCode"]) == (
        need["requestId"], need["authorizationUrl"], need["matchCode"])
    assert (request["reason"], request["tool"], request["account"]) == ("list open issues", "issues.list", "octo")
    assert request["requester"] == {"name": plugin.name, "kind": "plugin", "addedBy": "the operator of localhost"}
    assert [line["scope"] for line in request["scopes"]] == ["repo"] and request["scopes"][0]["text"]
    shown = person.asked(need["authorizationUrl"]).json()
    assert (request["address"], request["ownAddress"]) == (shown["address"], shown["ownAddress"]) == ("127.0.0.1", True)
    assert waiting(other) == [] and waiting(person.api_key()) == [request], "a key may read"
    plugin.call("DELETE", f"/api/requests/{need['requestId']}")
    assert waiting(person) == []


def test_what_is_decided_over_or_of_somebody_gone_waits_no_longer(person, instance, double):
    decided, over, gone = Plugin(instance), Plugin(instance), Plugin(instance)
    need = decided.link("github", ["repo"], user=person)
    over.link("github", ["gist"], user=person)
    gone.link("github", ["repo"], user=person)
    assert len(waiting(person)) == 3
    person.connect(need["authorizationUrl"])
    assert [r["requester"]["name"] for r in waiting(person)] == [gone.name, over.name]
    instance.toolshedd("plugin", "remove", gone.id)
    assert [r["requester"]["name"] for r in waiting(person)] == [over.name]
    Database(instance).expire("request", "person = (SELECT id FROM person WHERE name = ?) AND status = 'pending'", person.name)
    assert waiting(person) == []


def test_a_vault_that_came_later_sees_the_request_without_its_link(instance, plugin, double):
    """Who is only invited has no vault yet: nothing is sealed to it."""
    person = Person(instance, signed_in=False)
    plugin.link("github", ["repo"], user=person)
    person.sign_in()
    [request] = waiting(person)
    assert request["address"] is None and request["ownAddress"] is False
    assert request["id"] is None and request["link"] is None and request["reason"] == "" and request["matchCode"] is None
    assert request["requester"]["name"] == plugin.name


def test_a_no_is_listed_and_taken_back_for_that_caller_alone(person, other, instance, double):
    one, two = Plugin(instance), Plugin(instance)
    for plugin in (one, two):
        person.decide(plugin.link("github", ["repo", "gist"], user=person)["authorizationUrl"], "decline")
    listed = declines(person)
    assert {d["name"] for d in listed} == {one.name, two.name}
    assert all(d["provider"] == "github" and {s["scope"] for s in d["scopes"]} == {"repo", "gist"} for d in listed)
    query = {"caller": one.id, "provider": "github"}
    assert_problem(other.delete("/api/declines", params=query), 404, "not-found")
    assert_problem(person.delete("/api/declines", params=query | {"provider": "slack"}), 404, "not-found")
    assert_problem(person.api_key().call("DELETE", "/api/declines", params=query), 403, "not-permitted")
    assert_problem(person.delete("/api/declines", params=query, headers={"Sec-Fetch-Site": "cross-site"}), 403, "cross-site")
    assert person.delete("/api/declines", params=query).status_code == 204
    assert one.link("github", ["repo"], user=person)["reason"] == "not-connected"
    assert_problem(two.vend("github", ["repo"], user=person), 403, "scope-declined")
    assert [d["name"] for d in declines(person)] == [two.name]
    assert_problem(person.delete("/api/declines", params=query), 404, "not-found")


@pytest.mark.parametrize("query, member", [
    ({}, "caller"), ({"caller": "x", "provider": "github"}, "caller"), ({"caller": "u_" + "A" * 22, "provider": "github"}, "caller"),
    ({"caller": "p_" + "A" * 22}, "provider"), ({"caller": "p_" + "A" * 22, "provider": "../x"}, "provider")])
def test_a_bad_decline_is_refused_by_name(person, query, member):
    refused = person.delete("/api/declines", params=query)
    assert assert_problem(refused, 400, "invalid-request")["errors"][0]["member"] == member


def test_stopping_everything_leaves_nothing_that_is_vended_and_nobody_who_opens(instance, double):
    person, bystander, plugin = Person(instance), Person(instance), Plugin(instance)
    person.connect(plugin.link("github", ["repo"], user=person)["authorizationUrl"])
    person.connect(CORP)
    bystander.connect(GITHUB)
    code, key, others_key = person.post("/api/vault/recovery", {}).json()["code"], person.api_key(), bystander.api_key()
    elsewhere = Person(instance, signed_in=False)
    elsewhere.post("/api/sign-in/recovery", {"code": code})
    corp = next(c for c in person.connections() if c["provider"] == "corp")
    assert person.call("PATCH", f"/api/connections/{corp['id']}", {"backgroundRefresh": True}).status_code == 204
    assert plugin.token("github", ["repo"], user=person) and key.token("corp", ["read"])
    request = plugin.link("slack", ["chat:write"], user=person)
    agent = Client(instance).log_in(person).renew()
    half = depart(person, {"owner": "toolshed", "bridge": "linear", "scope": "read"})

    assert_problem(key.post("/api/vault/stop"), 403, "not-permitted")
    assert person.post("/api/vault/stop").json() == {"connections": 2, "plugins": 1, "holders": 3, "requests": 1}
    assert {c["status"] for c in person.connections()} == {"paused"}
    assert not any(c["backgroundRefresh"] for c in person.connections())
    assert plugin.link("github", ["repo"], user=person)["reason"] == "not-connected"
    assert agent.refresh().json()["error"] == "invalid_grant"
    assert key.vend("corp", ["read"]).status_code == 401 and elsewhere.get("/api/me").status_code == 401
    assert plugin.get(f"/api/requests/{request['requestId']}").json()["status"] == "declined"
    arrived = person.navigate(double.decide(half), site="cross-site")
    assert arrived.headers["Location"] == "/error#invalid-link" and len(person.connections()) == 2
    assert Database(instance).run("SELECT count(*) FROM connection WHERE service_key IS NOT NULL AND person = "
                                  "(SELECT id FROM person WHERE name = ?)", person.name) == [(0,)]
    assert others_key.token("github", ["repo"]), "somebody else goes on"

    # Again is the same, and then each is taken back.
    assert person.post("/api/vault/stop").json()["holders"] == 0
    results = {c["provider"]: person.delete(f"/api/connections/{c['id']}").json()["provider"] for c in person.connections()}
    assert results["github"] == "unsupported" and results["corp"] == "revoked"
    back = Person(instance, signed_in=False)
    assert back.post("/api/sign-in/recovery", {"code": code}).status_code == 200, "the way back in still works"
    until(lambda: "everything-stopped" in [line["event"] for line in back.get("/api/activity").json()["activity"]],
          "it to be on record")


def test_what_stays_after_stopping_gets_a_new_key(instance, double):
    """A plugin has seen the old one, and so has the service: resuming must not give it back."""
    person, plugin = Person(instance), Plugin(instance)
    person.connect(plugin.link("github", ["repo"], user=person)["authorizationUrl"])
    rows = Database(instance)
    of_person = "WHERE person = (SELECT id FROM person WHERE name = ?)"
    [(before,)] = rows.run(f"SELECT key_version FROM connection {of_person}", person.name)
    assert person.post("/api/vault/stop").status_code == 200
    connection = person.connections()[0]
    assert person.call("PATCH", f"/api/connections/{connection['id']}", {"paused": False}).status_code == 204
    [(after, pending)] = rows.run(f"SELECT key_version, rekey_pending FROM connection {of_person}", person.name)
    assert after > before and pending == 0
    assert person.api_key().token("github", ["repo"]) and plugin.vend("github", ["repo"], user=person).status_code == 403


def test_a_no_to_an_agent_is_listed_and_taken_back_as_any(person, instance, double):
    client = Client(instance).log_in(person)
    agent = Agent(instance, client.tokens["access_token"])
    ask = lambda: agent.refused("request_authorization", provider="github", scopes=["repo"], reason="Read issues")  # noqa: E731
    person.decide(ask()["authorizationUrl"], "decline")
    assert ask()["error"] == "scope-declined"
    [listed] = declines(person)
    assert listed["caller"].startswith("g_") and listed["name"] == client.name and listed["provider"] == "github"
    query = {"caller": listed["caller"], "provider": "github"}
    assert person.delete("/api/declines", params=query).status_code == 204
    assert declines(person) == [] and ask()["error"] == "authorization-required"
    assert_problem(person.delete("/api/declines", params=query), 404, "not-found")


def test_requests_and_declines_come_in_pages(person, instance, double):
    plugins = [Plugin(instance) for _ in range(5)]
    needs = {plugin.name: plugin.link("github", ["repo"], user=person) for plugin in plugins}
    for path, plural in (("/api/requests", "requests"), ("/api/declines", "declines")):
        name_of = (lambda entry: entry["requester"]["name"]) if plural == "requests" else (lambda entry: entry["name"])
        whole = [name_of(entry) for entry in person.get(path).json()[plural]]
        assert set(whole) == set(needs)
        seen, after = [], None
        while True:
            page = person.get(path, params={"limit": 2} | ({"after": after} if after else {})).json()
            seen += [name_of(entry) for entry in page[plural]]
            assert len(page[plural]) <= 2
            if page["next"] is None:
                break
            after = page["next"]
        assert seen == whole and len(seen) == 5
        if plural == "requests":
            for need in needs.values():
                person.decide(need["authorizationUrl"], "decline")


def test_a_page_goes_on_though_what_it_ended_with_was_decided(person, instance, double):
    plugins = [Plugin(instance) for _ in range(4)]
    for plugin in plugins:
        plugin.link("github", ["repo"], user=person)
    whole = waiting(person)
    first = person.get("/api/requests?limit=2").json()
    person.decide(first["requests"][1]["link"], "decline")
    rest = person.get("/api/requests", params={"after": first["next"]}).json()
    assert [r["id"] for r in rest["requests"]] == [r["id"] for r in whole[2:]] and rest["next"] is None
    for plugin in plugins:
        person.decide(plugin.link("slack", ["chat:write"], user=person)["authorizationUrl"], "decline")
    whole = declines(person)
    first = person.get("/api/declines?limit=2").json()
    last = first["declines"][1]
    assert person.delete("/api/declines", params={"caller": last["caller"], "provider": last["provider"]}).status_code == 204
    rest = person.get("/api/declines", params={"after": first["next"]}).json()
    assert [d["caller"] for d in rest["declines"]] == [d["caller"] for d in whole[2:]]
