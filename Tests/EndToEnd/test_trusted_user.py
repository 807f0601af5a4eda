"""Signing in as the user whom nginx's trusted header names."""

import sqlite3

import pytest
import requests

from harness.answers import assert_problem
from harness.people import SAME_ORIGIN, Person

LINK = {"owner": "toolshed", "bridge": "github", "scope": "repo"}


def sign_in(instance, user: str | bytes | None, **headers) -> requests.Response:
    more = {"X-Test-User": user} if user is not None else {}
    return instance.post("/api/sign-in/header", headers=SAME_ORIGIN | more | headers)


@pytest.fixture
def nobody(instance):
    return Person(instance, signed_in=False)


def test_the_same_user_is_the_same_person_in_every_browser(instance):
    first, second = Person(instance, signed_in=False), Person(instance, signed_in=False)
    made = first.sign_in_as("Ada Lovelace")
    assert made["name"] == "Ada Lovelace" and made["vault"] == "new"
    assert second.sign_in_as("Ada Lovelace")["userId"] == made["userId"]
    assert first.get("/api/me").json()["sessionId"] != second.get("/api/me").json()["sessionId"]
    assert Person(instance, signed_in=False).sign_in_as("ada lovelace")["userId"] != made["userId"]


def test_an_independent_sign_in_has_a_vault_of_its_own(person):
    person.connect(LINK)
    twin = person.elsewhere()
    (shown,) = twin.connections()
    assert shown["status"] == "locked" and shown["account"] is None
    assert [c["status"] for c in person.connections()] == ["active"]
    # What it connects is its own, and the first browser does not open that.
    twin.connect(LINK, account="hubot")
    assert sorted(c["status"] for c in twin.connections()) == ["active", "locked"]
    assert sorted(c["status"] for c in person.connections()) == ["active", "locked"]
    assert len({c["id"] for c in twin.connections()} | {c["id"] for c in person.connections()}) == 2
    assert len(twin.get("/api/sessions").json()["sessions"]) == 2


def test_it_is_off_unless_the_operator_set_it_up(fresh):
    instance = fresh(trusted_user=False, double=False).start()
    assert_problem(sign_in(instance, "ada"), 404, "not-found")


@pytest.mark.parametrize("change", [
    lambda right: "", lambda right: "0" * 64, lambda right: right[:-1], lambda right: right.upper() + right, None])
def test_nginx_alone_can_vouch(fresh, change):
    """The worker believes the parameter only together with the secret: without it, or with another, the route is not there."""
    instance = fresh(double=False)
    file = instance.dir / "etc/nginx/toolshed/trusted-user.conf"
    text = file.read_text()
    right = text.split('"')[1]
    file.write_text(text.replace(right, change(right)) if change else "fastcgi_param TOOLSHED_USER $http_x_test_user;\n")
    instance.start()
    forged = {"Toolshed-User-Secret": right, "TOOLSHED_USER_SECRET": right, "Toolshed-User": "ada"}
    assert_problem(sign_in(instance, "ada", **forged), 404, "not-found")


@pytest.mark.parametrize("user", [None, "", "x" * 81, b"\xff\xfe", b"a\x01b", "a\u202eb".encode()])
def test_a_user_who_is_not_named_properly_is_nobody(instance, user):
    reply = sign_in(instance, user)
    assert reply.status_code == 403 and "Set-Cookie" not in reply.headers
    if user != b"a\x01b":  # nginx refuses this one itself
        assert_problem(reply, 403, "not-permitted")


def test_a_user_of_80_characters_is_a_person(instance, nobody):
    assert nobody.sign_in_as("y" * 80)["name"] == "y" * 80


def test_a_browser_with_a_session_signs_out_first(person):
    """The header is there on every request: it would make any sign-in fresh."""
    before = person.get("/api/me").json()
    reply = person.post("/api/sign-in/header", headers=SAME_ORIGIN | {"X-Test-User": "ada"})
    assert_problem(reply, 403, "not-permitted")
    assert person.get("/api/me").json() == before


def test_only_our_own_pages_sign_anybody_in(instance):
    """W-LOGIN-1"""
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "none"}, {"Origin": "https://evil.example"}, {}):
        reply = instance.post("/api/sign-in/header", headers=headers | {"X-Test-User": "ada"})
        assert "Set-Cookie" not in assert_problem(reply, 403, "cross-site")
    assert "Set-Cookie" not in instance.get("/api/sign-in/header", headers={"X-Test-User": "ada"}).headers


def test_who_becomes_a_person_is_the_operators_list(fresh):
    instance = fresh(double=False)
    file = instance.dir / "etc/toolshed.yaml"
    text = file.read_text()
    file.write_text(text.replace("anyone", "[ada, 'grace hopper']"))
    instance.start()
    assert sign_in(instance, "ada").status_code == 200 and sign_in(instance, "grace hopper").status_code == 200
    assert_problem(sign_in(instance, "mallory"), 403, "not-permitted")
    # By default nobody; whom the operator names stays who they are.
    file.write_text(text.replace(", new_people: anyone", ""))
    assert instance.reload().returncode == 0
    assert_problem(sign_in(instance, "mallory"), 403, "not-permitted")
    assert sign_in(instance, "ada").status_code == 200
    with sqlite3.connect(instance.dir / "state/toolshed.sqlite") as database:
        assert database.execute("SELECT count(*) FROM person").fetchone() == (2,)


def test_the_operator_says_whose_another_name_is(instance, person, other):
    run = lambda *arguments: instance.toolshedd("identity", *arguments, ok=False)  # noqa: E731
    assert run("add", person.user_id, "--header", "operators-choice").returncode == 0
    assert run("add", other.user_id, "--header", "operators-choice").returncode != 0, "a name is one person's"
    assert instance.json("identity", "list", person.user_id) == [{"issuer": "header", "subject": "operators-choice"}]
    assert sign_in(instance, "operators-choice").json()["userId"] == person.user_id
    assert run("remove", "--header", "operators-choice").returncode == 0
    assert sign_in(instance, "operators-choice").json()["userId"] not in (person.user_id, other.user_id)
    for wrong in (["add", "u_x", "--header", "a"], ["add", person.user_id], ["remove", "--header", "never-was"],
                  ["add", person.user_id, "--header", "a", "--provider", "github", "--subject", "1"],
                  ["add", person.user_id, "--provider", "github", "--subject", "1"]):
        assert run(*wrong).returncode != 0


def test_an_invited_person_who_comes_by_name_needs_the_invitation_no_more(instance):
    person = Person(instance, signed_in=False)
    instance.toolshedd("identity", "add", person.user_id, "--header", "came-by-name")
    assert sign_in(instance, "came-by-name").json()["userId"] == person.user_id
    reply = person.post("/api/sign-in/invitation", {"code": person.invitation["code"]})
    assert_problem(reply, 400, "invalid-invitation")


@pytest.mark.parametrize("line, said", [
    ("header: { new_people: anyone }", "secret_sha256"), ("header: { secret_sha256: abc }", "secret_sha256"),
    ("header: { secret_sha256: %s, new_people: 7 }", "new_people"), ("header: { secret_sha256: %s, who: me }", "who"),
    ("password: yes", "password")])
def test_a_wrong_setting_stops_the_start_with_its_name(fresh, line, said):
    instance = fresh(double=False, trusted_user=False)
    (instance.dir / "etc/toolshed.yaml").write_text("version: 1\nsign_in:\n  " + line.replace("%s", "0" * 64) + "\n")
    checked = instance.toolshedd("check", ok=False)
    assert checked.returncode == 78 and "sign_in" in checked.stderr + checked.stdout
    assert said in checked.stderr + checked.stdout
