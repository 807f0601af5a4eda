"""The key of one person with a plugin: it derives from the plugin's, and opens what that person approved for it."""

import base64
import hashlib
import random
import time

import decryptor as d
import pytest

from harness.answers import assert_problem
from harness.database import Database
from harness.flow import GITHUB, at_once, newest_outcome
from harness.oauth import refused
from harness.people import Bearer, Person, Plugin
from harness.waiting import until

UNKNOWN = "u_" + "A" * 21 + "w"


def let_in(person: Person, plugin: Bearer, provider: str = "github", *scopes: str) -> dict:
    """Approved and vended once."""
    scopes = list(scopes) or ["repo"]
    person.connect(plugin.link(provider, scopes, user=person)["authorizationUrl"])
    return plugin.token(provider, scopes, user=person)


def listed(person: Person, plugin: Bearer) -> dict:
    return next(entry for entry in person.plugins() if entry["id"] == plugin.id)


@pytest.fixture(scope="module")
def rows(instance):
    return Database(instance)


def sealed_to_a_person(rows: Database, person: Person, plugin: Bearer) -> list[bool]:
    """Of each live approval: whether its key is that person's pair's."""
    return [bool(own) for own, in rows.run(
        "SELECT plugin_person IS NOT NULL FROM approval WHERE person = ? AND plugin = ? AND status = 'live'",
        d.identifier(person.user_id), d.identifier(plugin.id))]


# What it opens

def test_it_vends_for_its_person_and_for_nobody_else(person, other, plugin, rows):
    mine, theirs = plugin.register(person), plugin.register(other)
    assert let_in(person, mine)["scopes"] == ["repo"]
    let_in(other, theirs)
    assert sealed_to_a_person(rows, person, plugin) == sealed_to_a_person(rows, other, plugin) == [True]
    with rows.unchanged():
        answers = [assert_problem(mine.vend("github", ["repo"], user=user), 403, "owner-mismatch")
                   for user in (other, UNKNOWN, "u_nonsense")]
        assert answers[0] == answers[1] == answers[2]
        assert_problem(mine.vend("github", ["repo"]), 400, "invalid-request")
    assert theirs.token("github", ["repo"], user=other) and mine.token("github", ["repo"], user=person)
    for user in (person, other):
        assert plugin.token("github", ["repo"], user=user), "the general key keeps working"


def test_before_it_is_known_it_is_nobodys(person, plugin, rows):
    own = plugin.person_key(person)
    with rows.unchanged():
        refusal = own.vend("github", ["repo"], user=person)
        assert_problem(refusal, 401, "invalid-token")
        assert refusal.headers["WWW-Authenticate"] == "Bearer"
    assert plugin.post("/api/person-keys", {"userId": person.user_id}).status_code == 204
    with rows.unchanged():
        assert plugin.post("/api/person-keys", {"userId": person.user_id}).status_code == 204, "twice is once"
    assert own.link("github", ["repo"], user=person)["reason"] == "not-connected"


def test_what_was_approved_before_goes_over_to_it(person, plugin, rows):
    let_in(person, plugin)
    let_in(person, plugin, "slack", "chat:write")
    person.connect(plugin.link("linear", ["read"], user=person)["authorizationUrl"])
    assert sealed_to_a_person(rows, person, plugin) == [False] * 3
    own = plugin.register(person)
    assert sealed_to_a_person(rows, person, plugin) == [True] * 3
    for provider, scope in (("github", "repo"), ("slack", "chat:write"), ("linear", "read")):
        assert own.token(provider, [scope], user=person)
        assert plugin.token(provider, [scope], user=person)


def test_two_plugins_of_one_person_have_a_key_each(person, plugin):
    second = Plugin(person.instance)
    first_key, second_key = plugin.register(person), second.register(person)
    let_in(person, first_key)
    assert second_key.link("github", ["repo"], user=person)["reason"] == "not-connected"


def test_every_new_key_of_a_connection_is_sealed_to_the_person(person, plugin, rows, double):
    """Another consent, a withdrawal of another plugin, background refresh on and off, a loss: all of them seal anew."""
    own, gone = plugin.register(person), Plugin(person.instance)
    connection = let_in(person, own, "linear", "read")["connection"]["id"]
    let_in(person, gone, "linear", "read")

    def still(what: str) -> None:
        for key in (own, plugin, own):
            assert key.token("linear", ["read"], user=person), what
        assert sealed_to_a_person(rows, person, plugin) == [True], what

    person.connect({"owner": "toolshed", "bridge": "linear", "scope": "read"})
    still("consented again")
    assert person.delete(f"/api/plugins/{gone.id}").status_code == 200
    still("another plugin withdrawn")
    for on in (True, False):
        assert person.call("PATCH", f"/api/connections/{connection}", {"backgroundRefresh": on}).status_code == 204
        still(f"background {on}")
    assert person.post("/api/vault/lost", {"holder": person.api_key().id}).status_code == 200
    still("a key was lost")


def test_linking_two_vaults_keeps_it(person, plugin, rows):
    own, elsewhere = plugin.register(person), person.elsewhere()
    let_in(elsewhere, own)
    offer = person.post("/api/vault/link", {"step": "offer"}).json()
    assert elsewhere.post("/api/vault/link", {"step": "claim", "code": offer["code"]}).status_code == 200
    assert person.post("/api/vault/link", {"step": "seal", "id": offer["id"]}).status_code == 200
    digest = elsewhere.get("/api/vault/link").json()["offers"][0]["digest"]
    assert elsewhere.post("/api/vault/link", {"step": "accept", "id": offer["id"], "digest": digest}).status_code == 200
    assert own.token("github", ["repo"], user=person)
    assert sealed_to_a_person(rows, person, plugin) == [True]


def test_withdrawing_takes_it_all_from_the_key_too_and_another_approval_gives_it_back(person, other, plugin):
    own = plugin.register(person)
    let_in(person, own)
    let_in(other, plugin.register(other))
    assert person.delete(f"/api/plugins/{plugin.id}").status_code == 200
    for key in (own, plugin):
        assert key.link("github", ["repo"], user=person)["reason"] == "plugin-not-approved"
    assert plugin.token("github", ["repo"], user=other)
    let_in(person, own)


def test_an_outgrown_approval_is_outgrown_for_it(person, plugin):
    own = plugin.register(person)
    let_in(person, own)
    person.connect(GITHUB | {"scope": "repo gist"})
    need = own.link("github", ["repo"], user=person)
    assert need["reason"] == "plugin-not-approved" and need["missingScopes"] == ["gist"]
    person.connect(need["authorizationUrl"])
    assert own.token("github", ["repo"], user=person)["scopes"] == ["gist", "repo"]


def test_another_encryption_key_loses_none(fresh):
    instance = fresh()
    instance.start()
    person, plugin = Person(instance), Plugin(instance)
    own = plugin.register(person)
    let_in(person, own)
    file = instance.dir / "etc/environment"
    old = next(line.partition("=")[2] for line in file.read_text().splitlines() if line.startswith("ENCRYPTION_KEY="))
    new = base64.b64encode(random.randbytes(32)).decode()
    file.write_text(file.read_text().replace(old, f"2:{new},1:{old}"))
    instance.stop()
    instance.start()
    assert instance.json("rotate-key")["failed"] == 0
    file.write_text(file.read_text().replace(f"2:{new},1:{old}", f"2:{new}"))
    instance.stop()
    instance.start()
    for key in (own, plugin):
        assert key.token("github", ["repo"], user=person)
    let_in(person, own, "slack", "chat:write")


# All that a plugin's key can do besides

def test_a_request_is_followed_and_withdrawn_by_it(person, other, plugin):
    mine, theirs = plugin.register(person), plugin.register(other)
    need = mine.link("github", ["repo"], user=person, reason="List your open issues")
    path = f"/api/requests/{need['requestId']}"
    assert person.asked(need["authorizationUrl"]).json()["requester"]["name"] == plugin.name
    assert mine.get(path).json()["status"] == "pending"
    assert_problem(theirs.get(path), 404, "not-found")
    assert_problem(theirs.call("DELETE", path), 404, "not-found")
    assert mine.link("github", ["repo"], user=person)["requestId"] == need["requestId"]
    assert mine.call("DELETE", path).status_code == 204
    assert_problem(mine.vend("nowhere", user=person), 404, "unknown-provider")


def test_a_no_said_to_the_plugin_is_said_to_both_keys(person, plugin):
    own = plugin.register(person)
    person.decide(own.link("github", ["repo"], user=person)["authorizationUrl"], "decline")
    for key in (own, plugin):
        assert_problem(key.vend("github", ["repo"], user=person), 403, "scope-declined")


def status(key: Bearer, need: dict) -> str:
    return key.get(f"/api/requests/{need['requestId']}").json()["status"]


@pytest.mark.parametrize("first_is_own", [True, False], ids=["the person's", "the general one"])
@pytest.mark.parametrize("how", ["approve", "share", "keep", "decline"])
def test_the_answer_to_a_need_is_the_answer_to_the_same_need_asked_by_the_other_key(person, plugin, first_is_own, how):
    own = plugin.register(person)
    first, second = (own, plugin) if first_is_own else (plugin, own)
    if how in ("share", "keep"):
        person.connect(GITHUB)
    ask = {"scopes": ["gist"] if how == "keep" else ["repo"], "user": person}
    need, same = first.link("github", **ask), second.link("github", **ask)
    others = [second.link("github", ["repo", "read:org"], user=person), second.link("github", **ask, account="octo"),
              second.link("github", **ask, optionalScopes=["notifications"]), second.link("slack", ["chat:write"], user=person)]
    assert need["requestId"] != same["requestId"]
    if how == "decline":
        person.decide(need["authorizationUrl"], "decline")
    else:
        person.connect(need["authorizationUrl"], account="mallory" if how == "keep" else "octo")
    if how == "keep":
        waiting = {entry["id"] for entry in person.get("/api/requests").json()["requests"]}
        assert {need["requestId"], same["requestId"]} < waiting, "nothing is granted until Keep"
        path = newest_outcome(person, "connected-unused")
        person.post(path, {"decision": "keep", "formToken": person.get(path).json()["formToken"]})
    ended = "declined" if how == "decline" else "completed"
    assert [status(first, need), status(second, same)] == [ended, ended]
    assert {status(second, other) for other in others} == {"pending"}
    assert {entry["id"] for entry in person.get("/api/requests").json()["requests"]} == {other["requestId"] for other in others}
    if how != "decline":
        assert first.token("github", **ask) and second.token("github", **ask)


def test_the_same_need_for_another_person_stays_open(person, other, plugin):
    mine = plugin.register(person)
    need = mine.link("github", ["repo"], user=person)
    theirs = plugin.link("github", ["repo"], user=other)
    person.connect(need["authorizationUrl"])
    assert status(plugin, theirs) == "pending"


def test_limits_and_a_mute_hold_for_it(person, plugin):
    own = plugin.register(person)
    let_in(person, own)
    assert person.call("PATCH", f"/api/plugins/{plugin.id}", {"limits": {"providers": ["slack"]}}).status_code == 204
    assert_problem(own.vend("github", ["repo"], user=person), 404, "unknown-provider")
    assert person.call("PATCH", f"/api/plugins/{plugin.id}", {"limits": None, "muted": True}).status_code == 204
    assert_problem(own.vend("github", ["repo"], user=person), 403, "not-permitted")


def test_a_report_by_it_reaches_its_own_persons_connections_only(person, other, plugin):
    mine, theirs = plugin.register(person), plugin.register(other)
    let_in(person, mine)
    vended = let_in(other, theirs)
    digest = hashlib.sha256(vended["accessToken"].encode()).digest()
    body = {"connection": vended["connection"]["id"], "tokenHash": d.base64url_text(digest), "status": 401}
    rows = Database(person.instance)
    checks = lambda: rows.run("SELECT checks FROM connection WHERE id = ?", d.identifier(vended["connection"]["id"]))  # noqa: E731
    before = checks()
    assert mine.post("/api/tokens/report", body).json() == {"next": "retry"} and checks() == before
    assert theirs.post("/api/tokens/report", body).status_code == 200 and checks() != before


def test_a_token_is_exchanged_for_it(person, plugin):
    own = plugin.register(person)
    let_in(person, own)
    basic = base64.b64encode(f"{plugin.id}:{own.key}".encode()).decode()

    def exchange(user: str):
        form = {"grant_type": "urn:ietf:params:oauth:grant-type:token-exchange", "audience": "github", "scope": "repo", "userId": user}
        return person.instance.post("/token", data=form, headers={"Authorization": f"Basic {basic}"})

    assert exchange(person.user_id).json()["access_token"]
    refused(exchange(UNKNOWN), "unauthorized_client")


def test_a_call_is_injected_for_it(person, plugin):
    own = plugin.register(person)
    let_in(person, own)

    def status(key: Bearer, user: str) -> int:
        headers = {"Authorization": f"Bearer {key.key}", "Toolshed-User": user}
        return person.instance.request("GET", "/proxy/github/user", headers=headers).status_code

    assert status(own, person.user_id) == status(plugin, person.user_id) not in (401, 403)
    assert status(own, UNKNOWN) == 403
    assert status(plugin.person_key(UNKNOWN), person.user_id) == 401


def test_it_is_no_key_to_anything_else(person, plugin):
    own = plugin.register(person)
    for method, path in (("GET", "/api/me"), ("GET", "/api/connections"), ("GET", "/api/plugins"), ("POST", "/api/vault/recovery"),
                         ("POST", "/api/plugins")):
        assert_problem(own.call(method, path, {} if method == "POST" else None), 403, "not-permitted")
    initialize = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    assert_problem(own.post("/mcp", initialize, headers={"Accept": "application/json, text/event-stream"}), 403, "not-permitted")


# Who may make one

def test_only_the_plugins_general_key_makes_one(instance, person, plugin, rows):
    body = {"userId": person.user_id}
    own, key = plugin.register(person), person.api_key()
    with rows.unchanged():
        for caller in (own, key):
            assert_problem(caller.post("/api/person-keys", body), 403, "not-permitted")
        assert_problem(person.post("/api/person-keys", body), 403, "not-permitted")
        assert_problem(instance.request("POST", "/api/person-keys", json=body), 401, "invalid-token")
        assert_problem(plugin.person_key(UNKNOWN).post("/api/person-keys", body), 401, "invalid-token")
        assert_problem(Bearer(instance, plugin.key[:-1] + "!", plugin.id).post("/api/person-keys", body), 401, "invalid-token")


def test_a_plugin_learns_of_nobody_by_it(person, other, plugin, rows):
    """The answers are those of a vend: nobody, somebody who muted it, and somebody else's plugin."""
    assert person.call("PATCH", f"/api/plugins/{plugin.id}", {"muted": True}).status_code == 204
    with rows.unchanged():
        answers = [assert_problem(plugin.post("/api/person-keys", {"userId": user}), 403, "not-permitted")
                   for user in (UNKNOWN, person.user_id, "u_nonsense", "x")]
        assert all(answer == answers[0] for answer in answers)
        assert plugin.vend("github", ["repo"], user=UNKNOWN).json() == answers[0]
    theirs = other.own_plugin()
    for user in (person.user_id, UNKNOWN):
        assert_problem(theirs.post("/api/person-keys", {"userId": user}), 403, "owner-mismatch")
    assert let_in(other, theirs.register(other))


@pytest.mark.parametrize("body, member", [
    ({}, "userId"), ({"userId": None}, "userId"), ({"userId": 7}, "userId"), ({"userId": ""}, "userId"), ({"userId": "u" * 65}, "userId"),
    ({"userId": UNKNOWN, "more": 1}, "more"), ([], "body"), ("u_x", "body")])
def test_a_malformed_request_is_refused_with_what_was_expected(plugin, rows, body, member):
    with rows.unchanged():
        refusal = assert_problem(plugin.post("/api/person-keys", body), 400, "invalid-request")
    assert [error["member"] for error in refusal["errors"]] == [member]


def test_other_methods_and_media_types_are_refused(plugin, person):
    assert_problem(plugin.get("/api/person-keys"), 405, "method-not-allowed")
    form = plugin.http.post(person.instance.origin + "/api/person-keys", data={"userId": person.user_id}, timeout=10)
    assert_problem(form, 415, "unsupported-media-type")
    large = plugin.http.post(person.instance.origin + "/api/person-keys", data="x" * 70_000, timeout=10,
                             headers={"Content-Type": "application/json"})
    assert_problem(large, 413, "too-large")


# Two at once, and a process that dies

def test_first_calls_at_the_same_time_make_one_pair(person, plugin, rows):
    let_in(person, plugin)
    body = {"userId": person.user_id}
    replies = at_once(*[lambda: plugin.post("/api/person-keys", body)] * 8)
    assert {reply.status_code for reply in replies} == {204}
    assert len(rows.run("SELECT 1 FROM plugin_person WHERE plugin = ?", d.identifier(plugin.id))) == 1
    assert len(rows.run("SELECT 1 FROM slot WHERE plugin = ? AND kind = 'plugin-person'", d.identifier(plugin.id))) == 1
    for key in (plugin.person_key(person), plugin):
        assert key.token("github", ["repo"], user=person)


def test_an_approval_that_is_given_meanwhile_is_not_lost(person, plugin, rows):
    link = plugin.link("github", ["repo"], user=person)["authorizationUrl"]
    _, told = at_once(lambda: person.connect(link), lambda: plugin.post("/api/person-keys", {"userId": person.user_id}))
    assert told.status_code == 204
    for key in (plugin.person_key(person), plugin):
        assert key.token("github", ["repo"], user=person)
    assert sealed_to_a_person(rows, person, plugin) == [True]


def test_a_worker_killed_while_it_makes_one_loses_nothing(fresh):
    instance = fresh()
    instance.start()
    rows = Database(instance)
    dice = random.Random(4)
    for round_ in range(6):
        person, plugin = Person(instance), Plugin(instance)
        let_in(person, plugin)
        let_in(person, plugin, "slack", "chat:write")
        workers = instance.children("work")

        def kill() -> None:
            time.sleep(dice.random() * 0.02)
            for worker in workers:
                instance.kill(worker)

        def tell() -> int:
            try:
                return plugin.post("/api/person-keys", {"userId": person.user_id}).status_code
            except Exception:  # noqa: BLE001 - a connection that broke says nothing of what was done
                return 0

        status, _ = at_once(tell, kill)
        until(lambda: not set(workers) & set(instance.children("work")) and instance.ready(), "other workers")
        sealed = sealed_to_a_person(rows, person, plugin)
        assert sealed in ([True, True], [False, False]) and (status != 204 or sealed[0]), "all of it or nothing"
        for provider, scope in (("github", "repo"), ("slack", "chat:write")):
            assert plugin.token(provider, [scope], user=person)
        own = plugin.register(person)
        for provider, scope in (("github", "repo"), ("slack", "chat:write")):
            assert own.token(provider, [scope], user=person)


# A change of the plugin's key

def test_a_new_key_of_the_plugin_gives_new_keys_and_nobody_is_asked(person):
    plugin = person.own_plugin()
    own = plugin.register(person)
    let_in(person, own)
    changed = person.post(f"/api/plugins/{plugin.id}/key", {"key": plugin.key}).json()
    newer = Bearer(person.instance, changed["key"], plugin.id)
    assert own.token("github", ["repo"], user=person), "both work until the old one ends"
    newer_own = newer.person_key(person)
    assert_problem(newer_own.vend("github", ["repo"], user=person), 401, "invalid-token")
    newer.register(person)
    assert len(listed(person, plugin)["keys"]) == 2, "a person's key is none of the plugin's"
    for key in (own, newer_own, plugin, newer):
        assert key.token("github", ["repo"], user=person)
    assert person.delete(f"/api/plugins/{plugin.id}/key").status_code == 204
    for key in (own, plugin):
        assert_problem(key.vend("github", ["repo"], user=person), 401, "invalid-token")
    for key in (newer_own, newer):
        assert key.token("github", ["repo"], user=person)
    assert_problem(newer_own.post(f"/api/plugins/{plugin.id}/key", {"key": newer_own.key}), 403, "not-permitted")
    assert_problem(person.post(f"/api/plugins/{plugin.id}/key", {"key": newer_own.key}), 400, "invalid-request")


def test_it_ends_when_the_key_does_from_which_it_derives(instance, person, plugin, rows):
    own = plugin.register(person)
    let_in(person, own)
    file = instance.dir / "state/plugin-key"
    file.write_text(plugin.key)
    made = instance.json("plugin", "key", plugin.id, "--key-file", str(file))
    late = plugin.register(person)  # by the old key, which has an end by now
    ends = dict(rows.run("SELECT kind, expires_at_ms FROM slot WHERE plugin = ? AND expires_at_ms IS NOT NULL", d.identifier(plugin.id)))
    assert set(ends) == {"plugin", "plugin-person"} and len(set(ends.values())) == 1
    newcomer = Person(instance)
    let_in(newcomer, plugin.register(newcomer))
    rows.expire("slot", "plugin = ? AND expires_at_ms IS NOT NULL", d.identifier(plugin.id))
    for key in (own, late, plugin):
        assert_problem(key.vend("github", ["repo"], user=person), 401, "invalid-token")
    assert_problem(plugin.post("/api/person-keys", {"userId": person.user_id}), 401, "invalid-token")
    assert instance.json("plugin", "key", plugin.id, "--finish")["ended"] <= 1, "one key, however many derive from it"
    newer = Bearer(instance, made["key"], plugin.id)
    for user in (person, newcomer):
        assert newer.register(user).token("github", ["repo"], user=user)


def test_it_ends_with_the_plugin(instance, person, plugin, rows):
    own = plugin.register(person)
    let_in(person, own)
    instance.toolshedd("plugin", "remove", plugin.id)
    assert_problem(own.vend("github", ["repo"], user=person), 401, "invalid-token")
    assert rows.run("SELECT 1 FROM plugin_person WHERE plugin = ?", d.identifier(plugin.id)) == []


# What the person sees

def test_it_is_on_record_and_the_page_can_say_which_key_is_used(person, plugin):
    person.connect(plugin.link("github", ["repo"], user=person)["authorizationUrl"])
    entry = listed(person, plugin)
    assert (entry["keyInUse"], entry["keyUsedAt"]) == ("general", None)
    own = plugin.register(person)
    assert listed(person, plugin)["keyInUse"] == "own"
    for key, said in ((own, "own"), (plugin, "general")):
        key.token("github", ["repo"], user=person)
        until(lambda: (found := listed(person, plugin))["keyInUse"] == said and found["keyUsedAt"], f"the {said} key was used")
    lines = person.get(f"/api/activity?caller={plugin.id}").json()["activity"]
    assert [(line["event"], line["callerKind"]) for line in lines if line["event"] in ("vended", "key-made")] == [
        ("vended", "plugin"), ("vended", "plugin-person"), ("key-made", "plugin-person")]
    assert {line["caller"] for line in lines} == {plugin.name}
