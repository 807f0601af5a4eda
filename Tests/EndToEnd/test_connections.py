"""What a person can do with a connection: name it, make it the default, pause it; and lists of ten thousand."""

from base64 import urlsafe_b64decode

import pytest

from harness.answers import assert_problem
from harness.database import Database
from harness.flow import CORP, GITHUB, at_once
from harness.people import Person
from harness.waiting import until


def path(connection: dict) -> str:
    return f"/api/connections/{connection['id']}"


def change(person: Person, connection: dict, **members):
    return person.call("PATCH", path(connection), members)


@pytest.fixture
def connected(person, double):
    person.connect(GITHUB)
    return person.connections()[0]


def test_a_label_is_kept_and_names_the_connection_to_a_caller(person, connected, double):
    key = person.api_key()
    assert change(person, connected, label="Work \u202e\u0007account").status_code == 204
    assert person.connections()[0]["label"] == "Work account", "what would turn the line around is gone"
    assert key.token("github", ["repo"], account="Work account")["connection"]["id"] == connected["id"]
    # A consent, a renewed key: the label stays with the connection.
    person.connect(GITHUB | {"scope": "repo gist"})
    assert person.connections()[0]["label"] == "Work account" and person.connections()[0]["id"] == connected["id"]
    for on in (True, False):
        assert change(person, connected, backgroundRefresh=on).status_code == 204
    assert person.connections()[0]["label"] == "Work account"
    for nothing in (None, ""):
        assert change(person, connected, label="x").status_code == 204
        assert change(person, connected, label=nothing).status_code == 204
        assert person.connections()[0]["label"] is None
    assert key.link("github", ["repo"], account="Work account")["reason"] == "not-connected"


def is_due(connection: dict, person: Person) -> None:
    """Its token has expired, as far as we know."""
    Database(person.instance).run(
        "UPDATE connection SET expires_at_ms = 1000, next_refresh_at_ms = 1000, obtained_at_ms = 0 WHERE id = ?",
        urlsafe_b64decode(connection["id"][2:] + "=="))


def test_a_label_outlives_a_refresh_that_was_under_way(person, double):
    person.connect(CORP)
    connection, key = person.connections()[0], person.api_key()
    is_due(connection, person)
    double.fault("generic", "refresh", "hold")

    def rename():
        assert double.get("wait", family="generic", endpoint="refresh")["reached"]
        assert change(person, connection, label="Renamed meanwhile").status_code == 204
        double.post("release", family="generic", endpoint="refresh")

    vended, _ = at_once(lambda: key.vend("corp", ["read"]), rename)
    assert vended.status_code == 200 and vended.json()["refreshed"]
    assert person.connections()[0]["label"] == "Renamed meanwhile"


@pytest.mark.parametrize("body, member", [
    ({"label": "x" * 81}, "label"), ({"label": "x" * 10_240}, "label"), ({"label": "a" + "\u0301" * 2000}, "label"),
    ({"label": "\u202e\u0007 "}, "label"), ({"label": 7}, "label"), ({"label": ["x"]}, "label"), ({"paused": "yes"}, "paused"),
    ({"paused": None}, "paused"), ({"default": 1}, "default"), ({"backgroundRefresh": "on"}, "backgroundRefresh"),
    ({"colour": "red"}, "colour"), ({}, "body")])
def test_bad_changes_name_the_member_and_change_nothing(person, connected, body, member):
    with Database(person.instance).unchanged():
        refused = person.call("PATCH", path(connected), body)
    assert assert_problem(refused, 400, "invalid-request")["errors"][0]["member"] == member
    assert person.connections()[0]["label"] is None


def test_paused_is_vended_to_nobody_and_resumes_as_it_was(person, plugin, double):
    person.connect(plugin.link("github", ["repo"], user=person)["authorizationUrl"])
    connection, key = person.connections()[0], person.api_key()
    assert plugin.token("github", ["repo"], user=person) and key.token("github", ["repo"])
    assert change(person, connection, paused=True).status_code == 204
    assert person.connections()[0]["status"] == "paused"
    assert plugin.link("github", ["repo"], user=person)["reason"] == "not-connected"
    assert key.link("github", ["repo"], account=connection["id"])["reason"] == "not-connected"
    assert change(person, connection, paused=True).status_code == 204, "once more is the same"
    assert change(person, connection, paused=False).status_code == 204
    assert plugin.token("github", ["repo"], user=person) and key.token("github", ["repo"])
    events = lambda: [line["event"] for line in person.get("/api/activity").json()["activity"]]  # noqa: E731
    until(lambda: events().count("resumed") == 1, "it to be on record")
    assert events().count("paused") == 1


def test_paused_is_not_renewed_in_the_background(person, other, double):
    """Both are due; the keeper has been through what is due when the other one was renewed."""
    for one in (person, other):
        one.connect(CORP)
    paused, awake = person.connections()[0], other.connections()[0]
    assert change(person, paused, paused=True).status_code == 204
    for one, connection in ((person, paused), (other, awake)):
        is_due(connection, one)
        assert change(one, connection, backgroundRefresh=True).status_code == 204
    assert double.get("wait", family="generic", endpoint="refresh", timeout=90)["reached"]
    assert double.count("generic", "refresh") == 1
    until(lambda: other.connections()[0]["expiresAt"] > "2000", "the other one to be renewed")
    assert person.connections()[0]["status"] == "paused" and person.connections()[0]["expiresAt"] < "2000"


def test_what_waits_for_the_person_is_not_paused_on_top(person, connected):
    Database(person.instance).run("UPDATE connection SET status = 'reauthorize' WHERE person = (SELECT id FROM person WHERE name = ?)",
                                  person.name)
    assert_problem(change(person, connected, paused=True), 409, "changed")
    assert person.connections()[0]["status"] == "reauthorization-required"


@pytest.mark.parametrize("change_to", [{"default": True}, {"backgroundRefresh": True}, {"default": False, "label": "Mine"}],
                         ids=lambda members: "-".join(members))
def test_until_keep_nothing_is_made_the_default_or_opened_to_the_server(person, connected, change_to):
    assert change(person, connected, default=True).status_code == 204
    person.connect(GITHUB | {"connection": "new"}, account="mallory")
    unused = next(c for c in person.connections() if c["unused"])
    with Database(person.instance).unchanged("connection"):
        assert_problem(change(person, unused, **change_to), 409, "changed")
    assert [c["default"] for c in person.connections()] == [True, False]


@pytest.mark.parametrize("more", [{"backgroundRefresh": True}, {"label": "Work"}, {"default": True},
                                  {"backgroundRefresh": True, "label": "Work", "default": True}], ids=lambda more: "-".join(more))
def test_a_change_of_which_one_part_cannot_be_is_no_change_and_not_on_record(person, connected, more):
    rows, of_person = Database(person.instance), "person = (SELECT id FROM person WHERE name = ?)"
    rows.run(f"UPDATE connection SET status = 'reauthorize' WHERE {of_person}", person.name)
    before = person.connections()
    with rows.unchanged("connection"):
        assert_problem(change(person, connected, paused=True, **more), 409, "changed")
    assert person.connections() == before
    # What comes later is on record, and these are not: the log is in the order of what happened.
    assert change(person, connected, label="Mine").status_code == 204
    assert change(person, connected, backgroundRefresh=True).status_code == 204
    events = until(lambda: [e["event"] for e in person.get("/api/activity").json()["activity"] if e["event"] in ("background-on", "paused")],
                   "the record")
    assert events == ["background-on"]


def test_all_of_a_change_happens_at_once_and_each_part_is_on_record(person, connected):
    assert change(person, connected, backgroundRefresh=True, paused=True, label="Work", default=True).status_code == 204
    [now] = person.connections()
    assert (now["backgroundRefresh"], now["status"], now["label"], now["default"]) == (True, "paused", "Work", True)
    assert change(person, connected, backgroundRefresh=False, paused=False, label="Home").status_code == 204
    [now] = person.connections()
    assert (now["backgroundRefresh"], now["status"], now["label"], now["default"]) == (False, "active", "Home", True)
    wanted = {"background-on", "background-off", "paused", "resumed"}
    until(lambda: wanted <= {e["event"] for e in person.get("/api/activity").json()["activity"]}, "all four on record")
    assert person.api_key().token(now["provider"])["connection"]["id"] == now["id"]


def test_pages_of_every_list_go_on_where_the_one_before_ended_though_that_is_gone(person, instance, double):
    keys = [person.api_key(f"Key {letter}").id for letter in "dbca"]
    plugins = [person.own_plugin(f"Own {letter} {person.user_id[2:10]}").id for letter in "dbca"]
    own = lambda entries: [e["id"] for e in entries if e["id"] in plugins]  # noqa: E731
    assert [k["id"] for k in person.get("/api/keys").json()["keys"]] == keys
    assert own(person.plugins()) == plugins
    first = person.get("/api/keys?limit=2").json()
    assert [k["id"] for k in first["keys"]] == keys[:2]
    assert person.delete(f"/api/keys/{keys[1]}").status_code == 204
    assert [k["id"] for k in person.get("/api/keys", params={"limit": 2, "after": first["next"]}).json()["keys"]] == keys[2:]
    page, seen, gone = person.get("/api/plugins?limit=2").json(), [], False
    while True:
        seen += own(page["plugins"])
        if page["next"] is None:
            break
        if seen and not gone and page["plugins"][-1]["id"] == seen[-1]:
            gone = person.delete(f"/api/plugins/{seen[-1]}").status_code == 200
        page = person.get("/api/plugins", params={"limit": 1, "after": page["next"]}).json()
    assert seen == plugins and gone


@pytest.mark.parametrize("path", ["keys", "sessions", "plugins", "passkeys", "clients", "requests", "declines", "connections"])
def test_what_is_no_cursor_of_a_list_is_refused(person, path):
    for wrong in ("x", "1.", "1.x", ".", "s_" + "A" * 22, "1.u_" + "A" * 22, "9" * 30 + ".s_" + "A" * 22, "1.!"):
        refused = assert_problem(person.get(f"/api/{path}", params={"after": wrong}), 400, "invalid-request")
        assert [error["member"] for error in refused["errors"]] == ["after"], wrong
    for wrong in ("0", "501", "-1", "x"):
        refused = assert_problem(person.get(f"/api/{path}", params={"limit": wrong}), 400, "invalid-request")
        assert [error["member"] for error in refused["errors"]] == ["limit"], wrong


def test_pages_of_connections_hold_while_things_go(person, double):
    for bridge in ("github", "google", "linear", "slack"):
        person.connect({"owner": "toolshed", "bridge": bridge, "scope": ""})
    whole = [connection["id"] for connection in person.connections()]
    assert len(whole) == 4
    first = person.get("/api/connections?limit=2").json()
    assert [c["id"] for c in first["connections"]] == whole[:2]
    # The one that the page ended with is taken away in between.
    assert person.delete(f"/api/connections/{whole[1]}").status_code == 200
    rest = person.get("/api/connections", params={"after": first["next"]}).json()
    assert [c["id"] for c in rest["connections"]] == whole[2:] and rest["next"] is None
    for wrong in ("x", "1.", "1.c_x", whole[0]):
        assert_problem(person.get("/api/connections", params={"after": wrong}), 400, "invalid-request")
