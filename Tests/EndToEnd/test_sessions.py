"""Cookies, sessions, freshness, return targets: standards.md 5.4 and 5.5, row by row."""

import base64
import secrets
import sqlite3
from urllib.parse import quote, urlsplit

import pytest
from playwright.sync_api import expect

from harness.answers import assert_problem
from harness.authenticator import Authenticator
from harness.browsing import lend_session
from harness.database import Database
from harness.people import NAVIGATION, Person
from harness.waiting import until

DAY = 86_400_000
NAME = "__Host-toolshed"


def slots(person: Person) -> list[dict]:
    return person.get("/api/sessions").json()["sessions"]


def age(person: Person, column: str, milliseconds: int) -> None:
    """As if that had been so long ago, for every session of the person."""
    identifier = base64.urlsafe_b64decode(person.user_id[2:] + "==")
    person.instance.sql(f"UPDATE slot SET {column} = {column} - ? WHERE kind = 'session' AND person = ?", milliseconds, identifier)


def stale(person: Person) -> None:
    age(person, "signed_in_at_ms", 601_000)


def rows(person: Person) -> int:
    identifier = base64.urlsafe_b64decode(person.user_id[2:] + "==")
    with sqlite3.connect(f"file:{person.instance.dir}/state/toolshed.sqlite?mode=ro", uri=True) as database:
        return database.execute("SELECT count(*) FROM slot WHERE kind = 'session' AND person = ?", (identifier,)).fetchone()[0]


# W-COOK-1 to W-COOK-4 (W-COOK-3, the bounce: test_callback.py and test_openid.py)


def test_the_session_cookie_is_host_only_secure_and_lax(instance):
    """W-COOK-1, W-COOK-4: every attribute is said, none is left to a default."""
    person = Person(instance, signed_in=False)
    cookie = person.post("/api/sign-in/invitation", {"code": person.invitation["code"]}).headers["Set-Cookie"]
    name, *attributes = cookie.split("; ")
    assert name.startswith(f"{NAME}=tss_")
    assert attributes == ["Path=/", "Secure", "HttpOnly", "SameSite=Lax", "Max-Age=2592000"]


def test_every_transaction_has_a_cookie_of_its_own_that_ends(person, instance):
    """W-COOK-2"""
    browser = Person(instance, signed_in=False)
    for path, site in (("/api/sign-in/passkey/options", "Strict"), ("/api/sign-in/corp/start", "Lax")):
        made = [browser.post(path).headers["Set-Cookie"] for _ in range(2)]
        names = {cookie.split("=")[0] for cookie in made}
        assert len(names) == 2 and all(name.startswith("__Host-tx-") for name in names)
        for cookie in made:
            _, *attributes = cookie.split("; ")
            assert attributes[:4] == ["Path=/", "Secure", "HttpOnly", f"SameSite={site}"]
            assert 0 < int(attributes[4].removeprefix("Max-Age=")) <= 600


# W-SESS-1


def test_a_session_that_was_put_there_is_never_taken_up(instance):
    """W-SESS-1, fixation: an unknown cookie is ignored, and signing in gives another one."""
    planted = "tss_" + base64.urlsafe_b64encode(secrets.token_bytes(48)).decode() + "000000"
    for value in (planted, "tss_", "x", ""):
        person = Person(instance, signed_in=False)
        person.http.cookies.set(NAME, value, domain="localhost.local", path="/")
        headers = {"Cookie": f"{NAME}={value}", "Sec-Fetch-Site": "same-origin"}
        assert instance.get("/api/me", headers=headers).status_code == 401
        reply = instance.post("/api/sign-in/invitation", json={"code": person.invitation["code"]}, headers=headers)
        assert reply.status_code == 200 and f"{NAME}={value};" not in reply.headers["Set-Cookie"]


def test_two_cookies_of_the_name_are_none(person):
    mine = person.http.cookies[NAME]
    headers = {"Cookie": f"{NAME}={mine}; {NAME}={mine}"}
    assert person.instance.get("/api/me", headers=headers).status_code == 401


def test_a_session_comes_from_the_cookie_alone(person):
    """W-SESS-1"""
    mine = person.http.cookies[NAME]
    for reply in (person.instance.get(f"/api/me?{NAME}={mine}&session={mine}"),
                  person.instance.get("/api/me", headers={"Authorization": f"Bearer {mine}"}),
                  person.instance.get("/api/me", headers={"X-Session": mine})):
        assert reply.status_code == 401


def test_every_sign_in_is_another_session(person):
    code = person.post("/api/vault/recovery", {}).json()["code"]
    values, ids = {person.http.cookies[NAME]}, {slots(person)[0]["id"]}
    for _ in range(3):
        assert person.post("/api/sign-in/recovery", {"code": code}).status_code == 200
        values.add(person.http.cookies[NAME])
        (session,) = slots(person)
        ids.add(session["id"])
    assert len(values) == 4 and len(ids) == 4 and rows(person) == 1, "the one before is destroyed"


# W-SESS-2


@pytest.mark.parametrize("column, limit", [("last_used_at_ms", 7 * DAY), ("expires_at_ms", 30 * DAY)])
def test_a_session_ends_unused_after_a_week_and_in_any_case_after_a_month(person, column, limit):
    age(person, column, limit - 60_000)
    assert person.get("/api/me").status_code == 200
    if column == "last_used_at_ms":
        # That was a use: it counts from now on.
        age(person, column, limit - 60_000)
        assert person.get("/api/me").status_code == 200
    age(person, column, limit)
    assert_problem(person.get("/api/me"), 401, "invalid-token")


def test_the_operator_sets_the_limits(fresh):
    instance = fresh(double=False)
    file = instance.dir / "etc/toolshed.yaml"
    file.write_text(file.read_text() + "  idle_days: 1\n  days: 2\n")
    instance.start()
    person = Person(instance, signed_in=False)
    assert person.post("/api/sign-in/invitation", {"code": person.invitation["code"]}).headers["Set-Cookie"].endswith("Max-Age=172800")
    age(person, "last_used_at_ms", DAY)
    assert person.get("/api/me").status_code == 401


OPENING = [("/api/keys", {"name": "x"}), ("/api/plugins", {"name": "x"}), ("/api/vault/recovery", {}), ("/api/passkeys/options", None)]


@pytest.mark.parametrize("path, body", OPENING)
def test_what_makes_a_holder_wants_a_sign_in_of_the_last_ten_minutes(person, path, body):
    device = Authenticator(person.instance)
    assert device.register(person).status_code == 201
    done = 200 if path == "/api/passkeys/options" else 201
    if path == "/api/plugins":
        body = {"name": f"Of {person.user_id}"}
    age(person, "signed_in_at_ms", 590_000)
    assert person.post(path, body).status_code == done
    age(person, "signed_in_at_ms", 11_000)
    refused = assert_problem(person.post(path, body), 403, "fresh-sign-in-required")
    assert "passkey" in refused["proofs"]
    assert device.show(person).status_code == 200
    if path == "/api/plugins":
        body = {"name": f"Another of {person.user_id}"}
    assert person.post(path, body).status_code == done


def test_background_refresh_wants_it_on_and_not_off(person, double):
    person.connect({"owner": "toolshed", "bridge": "github", "scope": "repo"})
    Authenticator(person.instance).register(person)
    path = f"/api/connections/{person.connections()[0]['id']}"
    assert person.call("PATCH", path, {"backgroundRefresh": True}).status_code == 204
    stale(person)
    assert person.call("PATCH", path, {"backgroundRefresh": False}).status_code == 204
    assert_problem(person.call("PATCH", path, {"backgroundRefresh": True}), 403, "fresh-sign-in-required")


def test_taking_away_never_wants_it(person, double):
    person.connect({"owner": "toolshed", "bridge": "github", "scope": "repo"})
    key = person.api_key()
    Authenticator(person.instance).register(person)
    stale(person)
    (passkey,) = person.get("/api/passkeys").json()["passkeys"]
    assert person.delete(f"/api/keys/{key.id}").status_code == 204
    assert person.delete(f"/api/passkeys/{passkey['id']}").status_code == 204
    assert person.delete(f"/api/connections/{person.connections()[0]['id']}").status_code == 200


def test_who_only_ever_had_an_invitation_adds_the_first_passkey(person):
    stale(person)
    assert assert_problem(person.post("/api/keys", {"name": "x"}), 403, "fresh-sign-in-required")["proofs"] == ["first"]
    assert Authenticator(person.instance).register(person).status_code == 201
    assert person.post("/api/keys", {"name": "x"}).status_code == 201, "an authenticator has just verified them"
    stale(person)
    assert_problem(person.post("/api/passkeys/options"), 403, "fresh-sign-in-required")
    assert_problem(person.post("/api/vault/recovery"), 403, "fresh-sign-in-required")


def test_taking_away_what_one_has_does_not_lead_back_to_the_first_passkey(person):
    """A stolen cookie of yesterday removes the passkey of its person and would put one of its own there."""
    assert Authenticator(person.instance).register(person).status_code == 201
    stale(person)
    (passkey,) = person.get("/api/passkeys").json()["passkeys"]
    assert person.delete(f"/api/passkeys/{passkey['id']}").status_code == 204
    for attempt in ("/api/passkeys/options", "/api/vault/recovery"):
        assert assert_problem(person.post(attempt), 403, "fresh-sign-in-required")["proofs"] == [], attempt
    assert_problem(person.post("/api/keys", {"name": "x"}), 403, "fresh-sign-in-required")


def test_nor_does_losing_the_recovery_code(person):
    code = person.post("/api/vault/recovery", {}).json()["code"]
    back = Person(person.instance, signed_in=False)
    assert back.post("/api/sign-in/recovery", {"code": code}).status_code == 200
    stale(person)
    rows = Database(person.instance)
    [(slot,)] = rows.run("SELECT id FROM slot WHERE kind = 'recovery' AND person = (SELECT id FROM person WHERE name = ?)",
                         person.name)
    lost = person.post("/api/vault/lost", {"holder": "s_" + base64.urlsafe_b64encode(slot).decode().rstrip("=")})
    assert lost.status_code == 200, lost.text
    for attempt in ("/api/passkeys/options", "/api/vault/recovery"):
        assert assert_problem(person.post(attempt), 403, "fresh-sign-in-required")["proofs"] == [], attempt


def test_nor_does_a_name_at_another_party_that_is_taken_away(person):
    for verb in ("add", "remove"):
        arguments = [person.user_id] if verb == "add" else []
        person.instance.toolshedd("identity", verb, *arguments, "--header", f"user of {person.user_id}")
    stale(person)
    assert assert_problem(person.post("/api/passkeys/options"), 403, "fresh-sign-in-required")["proofs"] == []


def test_who_just_signed_in_replaces_what_they_took_away(person):
    assert Authenticator(person.instance).register(person).status_code == 201
    (passkey,) = person.get("/api/passkeys").json()["passkeys"]
    assert person.delete(f"/api/passkeys/{passkey['id']}").status_code == 204
    assert Authenticator(person.instance).register(person).status_code == 201


def test_or_makes_the_first_recovery_code_and_enters_it(person):
    stale(person)
    code = person.post("/api/vault/recovery", {}).json()["code"]
    refused = assert_problem(person.post("/api/keys", {"name": "x"}), 403, "fresh-sign-in-required")
    assert refused["proofs"] == ["recovery"], "having made it shows nothing yet"
    assert_problem(person.post("/api/vault/recovery"), 403, "fresh-sign-in-required")
    assert_problem(person.post("/api/passkeys/options"), 403, "fresh-sign-in-required")
    assert person.post("/api/sign-in/recovery", {"code": code}).status_code == 200
    assert person.post("/api/keys", {"name": "x"}).status_code == 201


def test_a_first_proof_in_one_vault_is_not_first_in_another(person):
    """A stolen cookie of an independent session makes no passkey for somebody who has one."""
    twin = person.elsewhere()
    assert Authenticator(person.instance).register(person).status_code == 201
    stale(twin)
    assert_problem(twin.post("/api/passkeys/options"), 403, "fresh-sign-in-required")
    assert_problem(twin.post("/api/vault/recovery"), 403, "fresh-sign-in-required")


def test_confirming_keeps_the_vault_of_the_session(person, double):
    """Whatever the proof opens by itself."""
    code = person.post("/api/vault/recovery", {}).json()["code"]
    twin = person.elsewhere()
    twin.connect({"owner": "toolshed", "bridge": "github", "scope": "repo"})
    assert twin.post("/api/sign-in/recovery", {"code": code}).status_code == 200
    assert [c["status"] for c in twin.connections()] == ["active"]


def ways(person: Person) -> list[tuple]:
    """By what they signed in, newest first, and at which service."""
    lines = person.get("/api/activity", params={"event": "signed-in"}).json()["activity"]
    return [(line["callerKind"], line["provider"]) for line in lines]


def test_a_recovery_code_that_signed_somebody_in_was_tried(person):
    code = person.post("/api/vault/recovery", {}).json()["code"]
    assert person.get("/api/vault").json()["recovery"]["checkedAt"] is None
    browser = Person(person.instance, signed_in=False)
    assert browser.post("/api/sign-in/recovery", {"code": code}).status_code == 200
    assert person.get("/api/vault").json()["recovery"]["checkedAt"]
    until(lambda: ways(person) == [("recovery", None), ("invitation", None)], "the record to say that the code was used")


def test_the_record_says_by_what_somebody_signed_in(person):
    passkey = Authenticator(person.instance)
    assert passkey.register(person).status_code == 201
    assert passkey.show(Person(person.instance, signed_in=False)).status_code == 200
    person.elsewhere()
    until(lambda: ways(person) == [("header", None), ("passkey", None), ("passkey", None), ("invitation", None)],
          "every way to be on record")


# W-SESS-3


def test_signing_out_deletes_the_slot_and_the_cookie(person):
    """W-SESS-3"""
    cookie = person.http.cookies[NAME]
    reply = person.post("/api/sign-out")
    assert reply.status_code == 204 and f"{NAME}=;" in reply.headers["Set-Cookie"] and "Max-Age=0" in reply.headers["Set-Cookie"]
    assert rows(person) == 0
    assert person.instance.get("/api/me", headers={"Cookie": f"{NAME}={cookie}"}).status_code == 401


# /api/sessions


def test_sessions_are_listed_and_ended_at_once(person, other):
    twin = person.elsewhere()
    listed = {session["id"]: session["current"] for session in slots(person)}
    assert sorted(listed.values()) == [False, True]
    theirs = twin.get("/api/me").json()["sessionId"]
    assert_problem(other.delete(f"/api/sessions/{theirs}"), 404, "not-found")
    assert person.delete(f"/api/sessions/{theirs}").status_code == 204
    assert twin.get("/api/me").status_code == 401 and len(slots(person)) == 1
    assert_problem(person.delete(f"/api/sessions/{theirs}"), 404, "not-found")


# W-REDIR-1, W-CSRF-3


@pytest.mark.parametrize("target, arrives", [
    ("/connect?owner=toolshed&bridge=github&scope=repo", "/connect"), ("https://evil.example/", "/"), ("//evil.example", "/"),
    ("/\\evil.example", "/"), ("\\evil.example", "/"), ("javascript:alert(1)", "/"), ("/%09/evil.example", "/%09/evil.example"),
    ("/\tevil", "/"), ("data:text/html,x", "/"), ("vault", "/")])
def test_the_page_of_sign_in_goes_on_to_a_page_of_ours_only(browser, person, target, arrives):
    """W-REDIR-1"""
    lend_session(browser, person)
    page = browser.new_page()
    page.goto(f"/sign-in?return={quote(target, safe='')}")
    link = page.get_by_role("link", name="Continue").filter(visible=True)
    expect(link).to_have_count(1)
    address = urlsplit(link.evaluate("link => link.href"))
    assert f"{address.scheme}://{address.netloc}" == person.instance.origin and address.path == arrives
    assert "return" not in page.url


def test_a_page_in_a_frame_gets_nothing(instance):
    """W-CSRF-3, W-CLICK-1"""
    for headers in ({"Sec-Fetch-Dest": "iframe"}, {"Sec-Purpose": "prefetch"}):
        assert instance.get("/connect?owner=toolshed&bridge=github&scope=repo", headers=NAVIGATION | headers).status_code == 403
    for path in ("/sign-in", "/vault"):
        reply = instance.get(path)
        assert reply.headers["X-Frame-Options"] == "DENY" and "frame-ancestors 'none'" in reply.headers["Content-Security-Policy"]
