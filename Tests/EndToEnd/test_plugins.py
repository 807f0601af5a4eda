"""What narrows a plugin: the operator's limits, the person's, a mute; and a change of its key that asks nobody."""

import base64
import hashlib
import json
import subprocess
import time

import pytest

from harness.answers import assert_problem
from harness.database import Database
from harness.flow import GITHUB, at_once
from harness.people import Bearer, Person, Plugin
from harness.waiting import until

UNKNOWN = "A" * 21 + "w"


def connected(person: Person, plugin: Bearer, provider: str = "github", scopes=("repo",)) -> dict:
    """Approved and vended once."""
    person.connect(plugin.link(provider, list(scopes), user=person)["authorizationUrl"])
    return plugin.token(provider, list(scopes), user=person)


def change(person: Person, plugin: Bearer, **members):
    return person.call("PATCH", f"/api/plugins/{plugin.id}", members)


def listed(person: Person, plugin: Bearer) -> dict:
    return next(entry for entry in person.plugins() if entry["id"] == plugin.id)


@pytest.fixture(scope="module")
def rows(instance):
    return Database(instance)


# First use

def test_the_first_use_of_an_existing_connection_asks_once_and_says_what_the_token_can_do(person, plugin, instance, double):
    person.connect(GITHUB | {"scope": "repo gist"})
    need = plugin.link("github", ["repo"], user=person, reason="List your open issues", tool="issues.list")
    assert need["reason"] == "not-connected" and need["grantedScopes"] == []
    shown = person.asked(need["authorizationUrl"]).json()
    assert shown["requester"]["name"] == plugin.name and shown["reason"] == "List your open issues"
    assert [line["scope"] for line in shown["alsoIncludes"]] == ["gist"] and not shown["needsProvider"]
    person.connect(need["authorizationUrl"])
    assert double.count("github", "exchange") == 1, "what is there suffices"
    for _ in range(2):
        assert plugin.token("github", ["repo"], user=person)["scopes"] == ["gist", "repo"]
    assert [reach["scopes"] for reach in listed(person, plugin)["connections"]] == [["gist", "repo"]]


# The operator's limits

def test_a_provider_outside_the_allow_list_does_not_exist_for_the_plugin(instance, person, rows):
    limited = Plugin(instance, None, "--provider", "github", "--provider", "linear")
    with rows.unchanged():
        outside = limited.vend("slack", ["chat:write"], user=person)
        assert_problem(outside, 404, "unknown-provider")
        assert outside.json() == limited.vend("nowhere", [], user=person).json()
        # Its allow-list comes before the person.
        assert_problem(limited.vend("slack", [], user=f"u_{UNKNOWN}"), 404, "unknown-provider")
    assert connected(person, limited)["scopes"] == ["repo"]


def test_a_token_that_carries_more_than_the_ceiling_is_not_handed_over(instance, person, rows):
    limited = Plugin(instance, None, "--scope", "github:repo", "--scope", "slack:chat:write")
    with rows.unchanged():
        for scopes in (["gist"], ["repo", "gist"], ["admin:org"]):
            refused = assert_problem(limited.vend("github", scopes, user=person), 403, "not-permitted")
            assert "limits" in refused["detail"] and "authorizationUrl" not in refused
    assert connected(person, limited)["scopes"] == ["repo"]
    assert connected(person, limited, "slack", ["chat:write"])["scopes"] == ["chat:write"]
    assert limited.token("github", ["public_repo"], user=person), "what the ceiling implies is below it"
    person.connect(GITHUB | {"scope": "repo gist"})
    assert limited.link("github", ["repo"], user=person)["reason"] == "plugin-not-approved"
    link = limited.link("github", ["repo"], user=person)["authorizationUrl"]
    shown = person.asked(link).json()
    assert [line["scope"] for line in shown["beyondLimits"]] == ["gist"]
    assert_problem(person.decide(link), 403, "not-permitted")
    assert person.decide(link, "decline").status_code == 200


def test_without_scopes_the_defaults_are_asked_as_far_as_the_ceiling_permits(instance, person):
    limited = Plugin(instance, None, "--scope", "github:read:user")
    assert limited.link("github", user=person)["missingScopes"] == ["read:user"]
    none = Plugin(instance, None, "--scope", "github:gist")
    assert_problem(none.vend("github", user=person), 403, "not-permitted")


def test_a_ceiling_that_is_lowered_holds_for_what_was_approved_before(instance, person, plugin):
    connected(person, plugin, scopes=("repo", "gist"))
    instance.toolshedd("plugin", "set", plugin.name, "--scope", "github:repo")
    for scopes in (["repo"], []):
        assert_problem(plugin.vend("github", scopes, user=person), 403, "not-permitted")
    instance.toolshedd("plugin", "set", plugin.id, "--unlimited")
    assert plugin.token("github", ["repo"], user=person)


def test_a_rate_is_counted_over_all_workers(instance, person):
    limited = Plugin(instance, None, "--rate", "6")
    assert len(instance.children("work")) > 1
    person.connect(GITHUB)
    began = time.monotonic()
    vends = [lambda: limited.vend("github", ["repo"], user=person)] * 16
    replies = at_once(*vends)
    refilled = int((time.monotonic() - began) / 10) + 1
    passed = [reply for reply in replies if reply.status_code == 403]
    assert 6 <= len(passed) <= 6 + refilled, [reply.status_code for reply in replies]
    refused = next(reply for reply in replies if reply.status_code == 429)
    assert_problem(refused, 429, "rate-limited")
    assert 1 <= int(refused.headers["Retry-After"]) <= 11
    assert Plugin(instance).link("github", ["repo"], user=person), "nobody else is counted with it"
    instance.toolshedd("plugin", "set", limited.id, "--rate", "60000")
    assert limited.link("github", ["repo"], user=person)


def test_an_operator_sees_and_changes_limits(instance):
    limited = Plugin(instance, None, "--provider", "github", "--rate", "60", "--call", "github GET,HEAD /repos")
    entry = next(entry for entry in instance.json("plugin", "list") if entry["pluginId"] == limited.id)
    assert entry["limits"] == ["providers github", "rate 60", "call github GET,HEAD /repos"]
    changed = instance.json("plugin", "set", limited.name, "--rate", "30")
    assert changed["limits"] == ["providers github", "rate 30", "call github GET,HEAD /repos"]
    assert instance.json("plugin", "set", limited.name, "--unlimited")["limits"] == []


@pytest.mark.parametrize("options", [
    ["--rate", "0"], ["--rate", "60001"], ["--rate", "x"], ["--provider", "GitHub"], ["--scope", "github"],
    ["--scope", "github:a b"], ["--call", "github GET"], ["--call", "github get /x"], ["--call", "github GET x"],
    ["--call", "github GET /a/../b"], ["--call", "github GET /a%2Fb"], ["--call", "github GET /a?b"]])
def test_a_limit_that_means_nothing_is_refused_with_what_was_expected(instance, rows, options):
    with rows.unchanged():
        refused = instance.toolshedd("plugin", "add", "Never added", *options, ok=False)
    assert refused.returncode != 0 and refused.stderr


# The person's limits

def test_a_person_narrows_a_plugin_for_themselves_only(instance, person, other, plugin):
    connected(person, plugin)
    connected(other, plugin)
    limits = {"providers": ["linear"], "scopes": {"linear": ["read"]}, "ratePerMinute": 100,
              "calls": [{"provider": "slack", "methods": ["POST"], "path": "/chat.postMessage"}]}
    assert change(person, plugin, limits=limits).status_code == 204
    assert listed(person, plugin)["limits"] == limits and listed(other, plugin)["limits"] is None
    assert_problem(plugin.vend("github", ["repo"], user=person), 404, "unknown-provider")
    assert_problem(plugin.vend("linear", ["write"], user=person), 403, "not-permitted")
    assert plugin.link("linear", ["read"], user=person)["missingScopes"] == ["read"]
    assert plugin.token("github", ["repo"], user=other)
    assert change(person, plugin, limits=None).status_code == 204
    assert plugin.token("github", ["repo"], user=person) and listed(person, plugin)["limits"] is None


def test_the_operators_limits_and_the_persons_both_hold(instance, person):
    limited = Plugin(instance, None, "--provider", "github", "--scope", "github:repo")
    assert change(person, limited, limits={"providers": ["github", "slack"], "ratePerMinute": 2}).status_code == 204
    assert listed(person, limited)["operatorLimits"] == {"providers": ["github"], "scopes": {"github": ["repo"]}}
    assert_problem(limited.vend("slack", [], user=person), 404, "unknown-provider")
    assert_problem(limited.vend("github", ["gist"], user=person), 403, "not-permitted")
    assert limited.link("github", ["repo"], user=person)
    assert_problem(limited.vend("github", ["repo"], user=person), 429, "rate-limited")


def test_a_muted_plugin_gets_the_answer_of_a_person_who_is_not_there(instance, person, other, plugin, rows):
    connected(person, plugin)
    open_need = plugin.link("slack", ["chat:write"], user=person)
    assert change(person, plugin, muted=True).status_code == 204
    assert listed(person, plugin)["muted"] is True
    nobody = plugin.vend("github", ["repo"], user=f"u_{UNKNOWN}")
    with rows.unchanged():
        for provider, scopes in (("github", ["repo"]), ("github", ["gist"]), ("slack", ["chat:write"]), ("nowhere", ["x"]),
                                 ("notion", []), ("github", ["x" * 250 + str(n) for n in range(8)])):
            muted = plugin.vend(provider, scopes, user=person)
            assert_problem(muted, 403, "not-permitted")
            assert muted.json() == nobody.json()
            assert plugin.vend(provider, scopes, user=f"u_{UNKNOWN}").json() == nobody.json()
    assert plugin.get(f"/api/requests/{open_need['requestId']}").json()["status"] == "declined"
    assert plugin.link("github", ["repo"], user=other)["reason"] == "not-connected", "for this person alone"
    assert change(person, plugin, muted=False).status_code == 204
    assert plugin.token("github", ["repo"], user=person), "what was approved is still there"
    events = [event["event"] for event in wait_for_events(person, "plugin-unmuted")]
    assert {"plugin-muted", "plugin-unmuted"} <= set(events)


def wait_for_events(person: Person, wanted: str) -> list[dict]:
    found: list[dict] = []

    def there() -> bool:
        found[:] = person.get("/api/activity").json()["activity"]
        return any(event["event"] == wanted for event in found)
    until(there, f"{wanted} to be listed")
    return found


def test_a_muted_plugin_learns_nothing_from_a_report(person, plugin):
    vended = connected(person, plugin)
    digest = base64.urlsafe_b64encode(hashlib.sha256(vended["accessToken"].encode()).digest()).decode().rstrip("=")
    report = {"connection": vended["connection"]["id"], "tokenHash": digest, "status": 401}
    assert change(person, plugin, muted=True).status_code == 204
    assert [plugin.post("/api/tokens/report", report).json()["next"] for _ in range(2)] == ["retry", "retry"]


@pytest.mark.parametrize("body, member", [
    ({}, "body"), ({"muted": "yes"}, "muted"), ({"muted": None}, "muted"), ({"limits": []}, "limits"),
    ({"name": "x"}, "name"), ({"limits": {"providers": "github"}}, "providers"),
    ({"limits": {"providers": ["GitHub"]}}, "providers"), ({"limits": {"providers": ["x"] * 201}}, "providers"),
    ({"limits": {"scopes": ["repo"]}}, "scopes"), ({"limits": {"scopes": {"github": "repo"}}}, "scopes"),
    ({"limits": {"scopes": {"github": ["a b"]}}}, "scopes"), ({"limits": {"ratePerMinute": 0}}, "ratePerMinute"),
    ({"limits": {"ratePerMinute": 1.5}}, "ratePerMinute"), ({"limits": {"ratePerMinute": "60"}}, "ratePerMinute"),
    ({"limits": {"calls": {}}}, "calls"), ({"limits": {"calls": [{"provider": "github"}]}}, "calls"),
    ({"limits": {"calls": [{"provider": "github", "methods": ["get"], "path": "/"}]}}, "calls"),
    ({"limits": {"calls": [{"provider": "github", "methods": ["GET"], "path": "/../x"}]}}, "calls"),
    ({"limits": {"calls": [{"provider": "github", "methods": ["GET"], "path": "/x", "query": "?"}]}}, "calls"),
    ({"limits": {"everything": True}}, "everything"),
])
def test_a_change_that_means_nothing_names_the_member(person, plugin, rows, body, member):
    with rows.unchanged():
        refused = assert_problem(change(person, plugin, **body), 400, "invalid-request")
    assert member in [error["member"] for error in refused["errors"]]


def test_limits_are_a_decision_in_the_persons_own_browser(instance, person, other, rows):
    own, key = person.own_plugin(), person.api_key()
    with rows.unchanged():
        assert_problem(change(other, own, muted=True), 404, "not-found")
        assert_problem(key.call("PATCH", f"/api/plugins/{own.id}", {"muted": True}), 403, "not-permitted")
        assert_problem(own.call("PATCH", f"/api/plugins/{own.id}", {"muted": True}), 403, "not-permitted")
        cross = person.call("PATCH", f"/api/plugins/{own.id}", {"muted": True}, headers={"Sec-Fetch-Site": "cross-site"})
        assert_problem(cross, 403, "cross-site")


WIDER = [{"limits": None}, {"limits": {"providers": ["github", "slack"], "ratePerMinute": 10}}, {"muted": False},
         {"limits": {"providers": ["github"], "ratePerMinute": 11}}, {"limits": {"ratePerMinute": 10}},
         {"muted": True, "limits": {"providers": ["github"]}}]


@pytest.mark.parametrize("body", WIDER, ids=str)
def test_what_opens_more_to_a_plugin_wants_a_fresh_sign_in(instance, person, plugin, rows, body):
    assert change(person, plugin, muted=True, limits={"providers": ["github"], "ratePerMinute": 10}).status_code == 204
    instance.sql("UPDATE slot SET signed_in_at_ms = signed_in_at_ms - 601000 WHERE kind = 'session'")
    with rows.unchanged():
        assert_problem(change(person, plugin, **body), 403, "fresh-sign-in-required")
    narrower = {"providers": [], "ratePerMinute": 9, "scopes": {"github": ["repo"]}}
    assert change(person, plugin, muted=True, limits=narrower).status_code == 204, "taking away is always possible"


def test_a_rule_for_calls_that_permits_more_wants_a_fresh_sign_in(instance, person, plugin):
    def rule(*methods: str, path: str = "/repos") -> dict:
        return {"calls": [{"provider": "github", "methods": list(methods), "path": path}]}
    assert change(person, plugin, limits=rule("GET", "POST")).status_code == 204
    instance.sql("UPDATE slot SET signed_in_at_ms = signed_in_at_ms - 601000 WHERE kind = 'session'")
    for limits in (rule("GET", "DELETE"), rule("GET", path="/"), None, {"scopes": {"github": ["repo"]}}):
        assert_problem(change(person, plugin, limits=limits), 403, "fresh-sign-in-required")
    assert change(person, plugin, limits=rule("GET")).status_code == 204


# A person's own plugin

def test_an_own_plugin_is_limited_and_ended_by_its_owner(instance, person):
    own = person.own_plugin()
    connected(person, own)
    assert change(person, own, limits={"providers": ["slack"]}).status_code == 204
    assert_problem(own.vend("github", ["repo"], user=person), 404, "unknown-provider")
    withdrawn = person.delete(f"/api/plugins/{own.id}").json()["connections"]
    assert [entry["local"] for entry in withdrawn] == ["withdrawn"]
    assert_problem(own.vend("slack", [], user=person), 401, "invalid-token")
    assert own.id not in str(person.get("/api/plugins").json())


@pytest.mark.parametrize("name", [
    "Тооlshеd", "𝐓𝐨𝐨𝐥𝐬𝐡𝐞𝐝", "T\u200dool\u200dshed", "G\u0456tHub", "Ġithub", "SIack", "5lack", "Ꮪlack", "ΗΟST".replace("ΗΟST", "operator"),
    "Оperator", "ꓳperator", "localhost", "Ⅼocalhost", "LINEAR", "Goog1e", "Ꮐoogle",
    "GitHub\u3164", "\u3164Slack", "Git\u115fHub", "Toolshed\u3164", "GitHub\uffa0", "Git\u17b5Hub", "GitHub\u2800", "GitHub\ufffc",
    "“GitHub”", "(GitHub)", "[Slack]", "«GitHub»", "GitHub`", "GitHub®", "GitHub™", "GitHub ✓", "✅ Slack", "GitHubⓇ", "GitHub|", "GitHub\u0903"])
def test_a_name_that_passes_for_another_is_taken(person, name):
    assert_problem(person.post("/api/plugins", {"name": name}), 409, "name-taken")


@pytest.mark.parametrize("name", ["机器人", "می\u200cخواهم", "Ёлка №2", "👩\u200d🔧 bot", "❤\ufe0f bot", "葛\U000e0100城さん", "그림 도우미", "सहायक", "C++ (nightly)"])
def test_a_name_in_any_script_with_or_without_emoji_is_kept_as_it_was_typed(person, name):
    assert listed(person, person.own_plugin(name))["name"] == name


def test_what_others_call_their_own_plugins_is_nobodys_business_and_gives_way_to_the_operators(instance, person, other):
    name = f"Payroll agent {person.user_id[2:8]}"
    mine, theirs = person.own_plugin(name), other.own_plugin(name)
    assert_problem(other.post("/api/plugins", {"name": f"({name})"}), 409, "name-taken")
    added = subprocess.run([instance.dir / "bin/toolshedd", "plugin", "add", name, "--json"], capture_output=True, text=True, timeout=60)
    assert json.loads(added.stdout)["pluginId"] and "2 persons’ own plugins of that name gave way" in added.stderr
    assert listed(person, mine)["name"] == listed(other, theirs)["name"] == f"{name} (yours)"
    assert_problem(Person(instance).post("/api/plugins", {"name": name}), 409, "name-taken")


@pytest.mark.parametrize("path", ["/api/plugins", "/api/keys"])
def test_a_person_has_at_most_a_hundred_of_a_kind(person, rows, path):
    for number in range(100):
        made = person.post(path, {"name": f"Number {number} of many"})
        assert made.status_code == 201, (number, made.text)
    with rows.unchanged():
        assert "100" in assert_problem(person.post(path, {"name": "one too many"}), 409, "too-many")["detail"]
    assert person.delete(f"{path}/{made.json()['id']}").status_code == (200 if path == "/api/plugins" else 204)
    assert person.post(path, {"name": "in its place"}).status_code == 201


@pytest.mark.parametrize("name", ["…", "---", "\u200d\u200c", "\u3164", "\u2800\u2800", "🔧", "x" * 81, "\u202e\u2066", "\ue000", "é" * 20 + "\u0301" * 700])
def test_a_name_that_says_nothing_is_refused(person, rows, name):
    with rows.unchanged():
        refused = assert_problem(person.post("/api/plugins", {"name": name}), 400, "invalid-request")
    assert refused["errors"][0]["member"] == "name"


def test_a_name_cannot_turn_the_page_around(person):
    name = f"Good \u202eevil\u202c \u2066bot\u2069 {person.user_id[2:8]}"
    made = person.own_plugin(name)
    assert listed(person, made)["name"] == f"Good evil bot {person.user_id[2:8]}"


@pytest.mark.parametrize("name", ["\u202eevil", "a\u0007b", "", "x" * 81, "\ue000"])
def test_an_operator_cannot_make_a_name_with_tricks_either(instance, name):
    assert instance.toolshedd("plugin", "add", name, ok=False).returncode != 0


# Another key

def new_key(instance, plugin: Bearer, key: str, *options: str):
    return subprocess.run([instance.dir / "bin/toolshedd", "plugin", "key", plugin.id, "--json", *options], input=key + "\n",
                          capture_output=True, text=True, timeout=60)


def test_an_operator_changes_a_plugins_key_and_nobody_is_asked(instance, person, plugin):
    connected(person, plugin)
    asked = plugin.link("slack", ["chat:write"], user=person)
    made = new_key(instance, plugin, plugin.key)
    assert made.returncode == 0, made.stderr
    newer = Bearer(instance, json.loads(made.stdout)["key"], plugin.id)
    assert newer.key not in made.stderr and newer.key != plugin.key
    for key in (plugin, newer, plugin, newer):
        assert key.token("github", ["repo"], user=person), "both, for the time of the change"
    person.connect(GITHUB | {"scope": "repo"})
    assert newer.token("github", ["repo"], user=person)
    assert newer.get(f"/api/requests/{asked['requestId']}").json()["status"] == "pending"
    refused = new_key(instance, plugin, plugin.key)
    assert refused.returncode != 0 and "newest" in refused.stderr, "a key on its way out makes no other"
    finished = instance.json("plugin", "key", plugin.name, "--finish")
    assert finished == {"ended": 1}
    assert_problem(plugin.vend("github", ["repo"], user=person), 401, "invalid-token")
    assert newer.token("github", ["repo"], user=person)
    again = new_key(instance, plugin, newer.key)
    assert again.returncode == 0


def test_an_old_key_ends_at_its_time(instance, person, plugin, rows):
    connected(person, plugin)
    newer = Bearer(instance, json.loads(new_key(instance, plugin, plugin.key).stdout)["key"], plugin.id)
    rows.expire("slot", "expires_at_ms IS NOT NULL AND plugin = (SELECT id FROM plugin WHERE name = ?)", plugin.name)
    assert_problem(plugin.vend("github", ["repo"], user=person), 401, "invalid-token")
    assert_problem(plugin.get("/api/providers"), 401, "invalid-token")
    assert newer.token("github", ["repo"], user=person)


@pytest.mark.parametrize("key", ["", "tsp_x", "another's", "an API key"])
def test_only_the_plugins_own_key_makes_another(instance, person, plugin, rows, key):
    shown = {"another's": Plugin(instance).key, "an API key": person.api_key().key}.get(key, key)
    with rows.unchanged():
        refused = new_key(instance, plugin, shown)
    assert refused.returncode != 0 and "present key" in refused.stderr
    assert not shown or shown not in refused.stderr + refused.stdout


@pytest.mark.parametrize("until", ["2001-01-01T00:00:00Z", "2099-01-01T00:00:00Z", "soon"])
def test_an_old_key_lives_a_month_at_most(instance, plugin, rows, until):
    with rows.unchanged():
        assert new_key(instance, plugin, plugin.key, "--until", until).returncode != 0


def test_a_person_changes_the_key_of_their_own_plugin(instance, person, other, rows):
    own, operators = person.own_plugin(), Plugin(instance)
    connected(person, own)
    path = f"/api/plugins/{own.id}/key"
    with rows.unchanged():
        assert_problem(other.post(path, {"key": own.key}), 404, "not-found")
        assert_problem(own.post(path, {"key": own.key}), 403, "not-permitted")
        for body, member in (({}, "key"), ({"key": "x"}, "key"), ({"key": operators.key}, "key"),
                             ({"key": own.key, "oldKeyUntil": "x"}, "oldKeyUntil"),
                             ({"key": own.key, "oldKeyUntil": "2099-01-01T00:00:00Z"}, "oldKeyUntil")):
            refused = assert_problem(person.post(path, body), 400, "invalid-request")
            assert refused["errors"][0]["member"] == member
    made = person.post(path, {"key": own.key})
    assert made.status_code == 201, made.text
    newer = Bearer(instance, made.json()["key"], own.id)
    keys = listed(person, own)["keys"]
    assert [key["endsAt"] for key in keys] == [made.json()["oldKeyUntil"], None]
    assert own.token("github", ["repo"], user=person) and newer.token("github", ["repo"], user=person)
    assert_problem(person.post(path, {"key": own.key}), 400, "invalid-request")
    assert_problem(other.delete(path), 404, "not-found")
    assert person.delete(path).status_code == 204
    assert_problem(own.vend("github", ["repo"], user=person), 401, "invalid-token")
    assert newer.token("github", ["repo"], user=person)
    assert_problem(person.post(f"/api/plugins/{operators.id}/key", {"key": operators.key}), 404, "not-found")
