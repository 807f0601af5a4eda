"""How far a key reaches: a plugin no further than its approvals, a person no further than their own vault."""

import pytest

from harness.answers import assert_problem
from harness.database import Database
from harness.flow import GITHUB, result
from harness.people import SAME_ORIGIN, Bearer, Person, Plugin

UNKNOWN = "A" * 21 + "w"
CHANGING = ("requestId", "authorizationUrl", "statusUrl", "matchCode", "expiresIn")


@pytest.fixture(scope="module")
def rows(instance):
    return Database(instance)


def shape(reply) -> dict:
    """An answer without what is random in it."""
    return {"status": reply.status_code, "headers": sorted(reply.headers.keys()),
            "members": {name: "…" if name in CHANGING else value for name, value in reply.json().items()}}


def own_plugin(person: Person, name: str) -> Bearer:
    made = person.post("/api/plugins", {"name": name})
    assert made.status_code == 201, made.text
    return Bearer(person.instance, made.json()["key"], made.json()["id"])


# What a plugin can learn

def test_a_plugin_cannot_tell_what_else_a_person_has(instance, person, plugin, double):
    """Same answer for: nothing connected, other scopes, other plugins' connection, a broken one, an unused one."""
    asked = {"provider": "github", "scopes": ["repo"], "reason": "why"}
    nothing = Plugin(instance).post("/api/tokens/vend", asked | {"userId": person.user_id})
    expected = shape(nothing)
    assert expected["members"]["reason"] == "not-connected" and expected["members"]["grantedScopes"] == []
    assert expected["members"]["missingScopes"] == ["repo"]

    def answer() -> dict:
        return shape(Plugin(instance).post("/api/tokens/vend", asked | {"userId": person.user_id}))

    person.connect(plugin.link("github", ["gist"], user=person)["authorizationUrl"])
    assert answer() == expected, "another plugin's, with other scopes"
    person.connect(plugin.link("github", ["repo"], user=person)["authorizationUrl"])
    assert answer() == expected, "another plugin's, with these scopes"
    Database(instance).run("UPDATE connection SET status = 'reauthorize' WHERE id = ("
                           "SELECT connection FROM approval ORDER BY created_at_ms DESC LIMIT 1)")
    assert answer() == expected, "broken"
    by_id = plugin.link("github", ["repo"], user=person)
    assert by_id["reason"] == "reauthorization-required", "the approved one is told"
    person.delete(f"/api/connections/{person.connections()[0]['id']}")
    assert answer() == expected, "removed"


def test_account_names_and_ids_outside_its_approvals_are_as_good_as_invented(instance, person, plugin):
    """`account` is no oracle: not for connections of the person, nor of anybody."""
    person.connect(plugin.link("github", ["repo"], user=person)["authorizationUrl"])
    connection = person.connections()[0]
    second = Plugin(instance)
    answers = [shape(second.vend("github", ["repo"], user=person, account=account))
               for account in (connection["id"], connection["account"], f"c_{UNKNOWN}", "nobody")]
    assert answers[1:] == answers[:-1] and answers[0]["members"]["reason"] == "not-connected"


def test_an_approved_plugin_learns_of_no_second_account(instance, person, plugin):
    """`accounts` lists approved ones only; the person's other account is not there for it."""
    person.connect(plugin.link("github", ["repo"], user=person)["authorizationUrl"])
    own = plugin.token("github", ["repo"], user=person)
    outcome_at = person.connect(GITHUB | {"scope": "repo gist"}, account="mallory").headers["Location"].split("#")[1]
    outcome = person.get(f"/api/outcomes/{outcome_at}").json()
    assert person.post(f"/api/outcomes/{outcome_at}", {"decision": "keep", "formToken": outcome["formToken"]}).ok
    assert len(person.connections()) == 2
    assert plugin.token("github", ["repo"], user=person)["connection"] == own["connection"]
    other = next(c for c in person.connections() if c["id"] != own["connection"]["id"])
    for account in (other["id"], other["account"]):
        refused = plugin.link("github", ["repo"], user=person, account=account)
        assert refused["reason"] == "not-connected" and refused["grantedScopes"] == []


def test_a_person_who_is_not_there_is_refused_without_a_link(instance, plugin, rows):
    with rows.unchanged():
        for user in (f"u_{UNKNOWN}", "u_", "x", "u_" + "!" * 22):
            refused = plugin.vend("github", ["repo"], user=user)
            assert_problem(refused, 403, "not-permitted")
            assert "authorizationUrl" not in refused.json()


def test_a_plugin_of_one_person_asks_that_person_only(instance, person, other, rows):
    """Somebody else and nobody get the same answer, and no request is made for either."""
    own = own_plugin(person, f"Own of {person.name}")
    other.connect(GITHUB)
    with rows.unchanged():
        replies = [own.vend(provider, ["repo"], user=user) for user in (other, f"u_{UNKNOWN}", "u_", "x")
                   for provider in ("github", "slack")]
        for reply in replies:
            assert_problem(reply, 403, "owner-mismatch")
        assert len({reply.text for reply in replies}) == 1
    assert own.link("github", ["repo"], user=person)["reason"] == "not-connected"
    assert own.id not in str(other.get("/api/plugins").json())


# A plugin never gets more than it was approved for

def test_a_withdrawn_plugin_learns_nothing_of_what_came_later(person, plugin):
    person.connect(plugin.link("github", ["repo"], user=person)["authorizationUrl"])
    person.delete(f"/api/plugins/{plugin.id}")
    before = shape(plugin.vend("github", ["repo"], user=person))
    assert before["members"]["reason"] == "plugin-not-approved" and before["members"]["missingScopes"] == ["repo"]
    person.connect(GITHUB | {"scope": "repo admin:org gist"})
    assert shape(plugin.vend("github", ["repo"], user=person)) == before


def test_a_plugin_that_the_token_outgrew_gets_nothing_by_any_route(person, plugin, rows):
    """Its old approval, its request, the connection's id, asking for less or for nothing: no token, and no key."""
    need = plugin.link("github", ["repo"], user=person)
    person.connect(need["authorizationUrl"])
    connection = plugin.token("github", ["repo"], user=person)["connection"]["id"]
    person.connect(GITHUB | {"scope": "repo admin:org"})
    for more in ({}, {"account": connection}, {"account": "octo"}, {"minTTL": 3600}, {"minTTL": 0}):
        for scopes in (["repo"], [], ["public_repo"], ["repo", "admin:org"]):
            refused = plugin.vend("github", scopes, user=person, **more)
            # An account's name makes it another need, and there are enough of those that wait for an answer.
            assert refused.status_code == (429 if more.get("account") == "octo" else 403), refused.text
            assert "accessToken" not in refused.text
    assert plugin.get(f"/api/requests/{need['requestId']}").json().keys() <= {
        "status", "opened", "mismatch", "reason", "interval"}
    keys = rows.run("SELECT status, connection_key FROM approval WHERE plugin = (SELECT id FROM plugin WHERE name = ?)",
                    plugin.name)
    assert keys == [("outgrown", None)]


def test_a_no_to_an_outgrown_plugin_is_remembered(person, plugin):
    """It asks for what it has been given before; without this it could ask again at once, for ever."""
    person.connect(plugin.link("github", ["repo"], user=person)["authorizationUrl"])
    person.connect(GITHUB | {"scope": "repo admin:org"})
    need = plugin.link("github", ["repo"], user=person)
    assert need["reason"] == "plugin-not-approved"
    assert person.decide(need["authorizationUrl"], "decline").status_code == 200
    assert_problem(plugin.vend("github", ["repo"], user=person), 403, "scope-declined")


def test_a_visit_without_a_request_lets_a_declined_caller_ask_again(person, plugin):
    need = plugin.link("github", ["repo"], user=person)
    person.decide(need["authorizationUrl"], "decline")
    assert_problem(plugin.vend("github", ["repo"], user=person), 403, "scope-declined")
    assert person.asked(GITHUB | {"bridge": "slack", "scope": "chat:write"}).status_code == 200
    assert_problem(plugin.vend("github", ["repo"], user=person), 403, "scope-declined")
    assert person.asked(GITHUB).status_code == 200
    assert plugin.link("github", ["repo"], user=person)["reason"] == "not-connected"


def test_an_approval_of_one_connection_opens_no_other(instance, person, plugin):
    """Rows exchanged in the database do not open: the key is sealed to connection and plugin."""
    second = Plugin(instance)
    person.connect(plugin.link("github", ["repo"], user=person)["authorizationUrl"])
    person.connect(second.link("slack", ["chat:write"], user=person)["authorizationUrl"])
    rows = Database(instance)
    rows.run("UPDATE approval SET connection = (SELECT id FROM connection WHERE provider = 'slack' AND person = approval.person)"
             ", provider = 'slack', scopes = 'chat:write' WHERE plugin = (SELECT id FROM plugin WHERE name = ?)", plugin.name)
    swapped = plugin.vend("slack", ["chat:write"], user=person)
    assert swapped.status_code == 503 and "accessToken" not in swapped.text
    rows.run("DELETE FROM approval WHERE plugin = (SELECT id FROM plugin WHERE name = ?)", plugin.name)


@pytest.mark.parametrize("method, path", [
    ("GET", "/api/me"), ("GET", "/api/connections"), ("GET", "/api/keys"), ("GET", "/api/sessions"),
    ("GET", "/api/plugins"), ("GET", "/api/activity"), ("DELETE", "/api/connections/CONNECTION"),
    ("DELETE", "/api/sessions/SESSION"), ("DELETE", "/api/plugins/PLUGIN"), ("GET", "/api/outcomes/OUTCOME"),
    ("GET", "/api/connect?owner=toolshed&bridge=github&scope=repo")])
def test_a_plugins_key_opens_no_page_of_a_person(connected, rows, method, path):
    person, plugin, ids = connected
    with rows.unchanged():
        reply = plugin.call(method, path.replace("CONNECTION", ids["connection"]).replace("SESSION", ids["session"])
                            .replace("PLUGIN", plugin.id).replace("OUTCOME", ids["outcome"]))
    assert_problem(reply, 403, "not-permitted")
    assert person.name not in reply.text


@pytest.fixture(scope="module")
def connected(instance):
    """A person with everything that has an id."""
    person, plugin = Person(instance), Plugin(instance)
    arrived = person.connect(plugin.link("github", ["repo"], user=person)["authorizationUrl"])
    return person, plugin, {
        "outcome": arrived.headers["Location"].split("#")[1], "connection": person.connections()[0]["id"],
        "session": person.get("/api/me").json()["sessionId"], "key": person.api_key().id,
        "own": own_plugin(person, f"Own {person.name}").id,
        "request": plugin.link("github", ["gist"], user=person)["requestId"],
        "formToken": result(person, arrived)["formToken"]}


# A second person

ROUTES = [
    ("DELETE", "/api/connections/{connection}", "c_", None),
    ("PATCH", "/api/connections/{connection}", "c_", {"backgroundRefresh": True}),
    ("PATCH", "/api/connections/{connection}", "c_", {"default": True}),
    ("DELETE", "/api/sessions/{session}", "s_", None), ("DELETE", "/api/keys/{key}", "s_", None),
    ("DELETE", "/api/keys/{session}", "s_", None), ("DELETE", "/api/plugins/{own}", "p_", None),
    ("GET", "/api/requests/{request}", "r_", None), ("DELETE", "/api/requests/{request}", "r_", None),
    ("GET", "/api/outcomes/{outcome}", "o_", None),
]


@pytest.mark.parametrize("method, path, prefix, body", ROUTES)
def test_a_second_person_gets_the_answer_of_an_unknown_id(connected, instance, other, rows, method, path, prefix, body):
    """By cookie and by key; nothing changes, and nothing is recorded as done."""
    ids = connected[2]
    theirs, unknown = path.format(**ids), path.split("{")[0] + prefix + UNKNOWN
    key = other.api_key()
    with rows.unchanged():
        foreign, invented = other.call(method, theirs, body), other.call(method, unknown, body)
        assert_problem(foreign, 404, "not-found")
        assert shape(foreign) == shape(invented)
        assert shape(key.call(method, theirs, body)) == shape(key.call(method, unknown, body))
    assert "removed" not in str(other.get("/api/activity").json())


def test_a_second_person_cannot_settle_an_outcome(connected, other, rows):
    ids = connected[2]
    own = other.asked(GITHUB).json()["formToken"]
    with rows.unchanged():
        for token in (ids["formToken"], own, "x"):
            for identifier in (ids["outcome"], f"o_{UNKNOWN}"):
                refused = other.post(f"/api/outcomes/{identifier}", {"decision": "remove", "formToken": token})
                assert_problem(refused, 409, "changed")


def test_a_second_person_vends_nothing_of_the_first(connected, instance, other, rows):
    """userId is a selector: with the first person's id the answer is the same as with an invented one."""
    person, plugin, ids = connected
    key = other.api_key()
    with rows.unchanged():
        for user in (person.user_id, f"u_{UNKNOWN}", "x"):
            body = {"provider": "github", "userId": user}
            assert_problem(other.post("/api/tokens/vend", body), 403, "owner-mismatch")
            assert_problem(key.post("/api/tokens/vend", body), 403, "owner-mismatch")
    named = key.link("github", ["repo"], account=ids["connection"])
    assert named["reason"] == "not-connected"
    assert shape(other.get("/api/connections")) ["members"]["connections"] == []


def test_a_request_is_there_for_the_caller_that_caused_it_only(connected, instance, other):
    person, plugin, ids = connected
    path = f"/api/requests/{ids['request']}"
    for caller in (person, person.api_key(), Plugin(instance), other):
        assert_problem(caller.get(path), 404, "not-found")
        assert_problem(caller.delete(path) if isinstance(caller, Person) else caller.call("DELETE", path), 404, "not-found")
    assert plugin.get(path).status_code == 200


def test_a_key_may_take_away_but_never_add(connected, rows):
    """A Bearer may read and DELETE (api.md)."""
    person = Person(connected[0].instance)
    person.connect(GITHUB)
    key = person.api_key("laptop")
    assert key.get("/api/connections").json()["connections"][0]["account"]
    assert_problem(key.call("PATCH", f"/api/connections/{person.connections()[0]['id']}", {"backgroundRefresh": True}), 403,
                   "not-permitted")
    assert key.call("DELETE", f"/api/connections/{person.connections()[0]['id']}").status_code == 200
    assert key.call("DELETE", f"/api/keys/{key.id}").status_code == 204
    assert_problem(key.get("/api/me"), 401, "invalid-token")


def test_a_key_that_was_removed_is_over_at_once(person):
    person.connect(GITHUB)
    key = person.api_key()
    assert key.token("github", ["repo"])
    assert person.delete(f"/api/keys/{key.id}").status_code == 204
    assert_problem(key.vend("github", ["repo"]), 401, "invalid-token")
    cookie = {"Cookie": f"__Host-toolshed={person.http.cookies['__Host-toolshed']}"} | SAME_ORIGIN
    assert person.sign_out().status_code == 204
    assert_problem(person.instance.get("/api/me", headers=cookie), 401, "invalid-token")


@pytest.mark.parametrize("name", ["toolshed", "Toolshed", "GitHub", "github", "PLUGIN", "plugin", "Ｐｌｕｇｉｎ", "Рlugin", "p l u g i n", "Toolshеd."])
def test_a_plugin_cannot_take_a_name_that_could_be_mistaken(instance, person, name):
    """Names are unique after NFKC, case and confusable folding; providers and the service are taken."""
    operators = Plugin(instance).name
    wanted = operators.replace("Plugin", name) if "lugin" in name or name in ("PLUGIN", "p l u g i n", "Ｐｌｕｇｉｎ") else name
    assert_problem(person.post("/api/plugins", {"name": wanted}), 409, "name-taken")
