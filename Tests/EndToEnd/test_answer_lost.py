"""The answer with a new session's cookie is lost on its way: a browser that alone opens its vault has it back."""

import secrets

import decryptor as d
import pytest

from harness.answers import assert_problem
from harness.authenticator import Authenticator
from harness.database import Database
from harness.flow import GITHUB
from harness.people import Person
from test_confirm import CONFIRM, START, came

COOKIE = "__Host-toolshed"


class Alone:
    """A person with two browsers; the second one alone opens its vault, in which there is a connection."""

    def __init__(self, instance, double):
        self.subject, self.user = f"subject-{secrets.token_hex(6)}", f"user-{secrets.token_hex(6)}"
        double.set("generic", id_token={"sub": self.subject})
        self.first = Person(instance, signed_in=False)
        came(self.first, START)
        self.first.user_id = self.first.get("/api/me").json()["userId"]
        instance.toolshedd("identity", "add", self.first.user_id, "--header", self.user)
        # It derives nothing, so that it opens nothing.
        self.device = Authenticator(instance, prf=False)
        assert self.device.register(self.first).status_code == 201
        self.code = self.first.post("/api/vault/recovery", {}).json()["code"]
        self.browser = Person(instance, signed_in=False)
        self.browser.sign_in_as(self.user)
        self.browser.connect(GITHUB)

    def show(self, browser: Person, way: str) -> str:
        """That it is them, in a browser with or without a session; which vault the answer speaks of."""
        if way == "provider":
            signed_in = browser.get("/api/me").status_code == 200
            reply = came(browser, CONFIRM if signed_in else START)
            assert reply.status_code == 303, reply.text
            return {"/sign-in#confirmed": "existing", "/sign-in#own": "new"}[reply.headers["Location"]]
        if way == "header":
            return browser.sign_in_as(self.user)["vault"]
        reply = self.device.show(browser) if way == "passkey" else browser.post("/api/sign-in/recovery", {"code": self.code})
        assert reply.status_code == 200, reply.text
        return reply.json()["vault"]

    def lose(self, way: str) -> None:
        """Shows it, and the browser never hears the answer."""
        before = self.browser.http.cookies.copy()
        assert self.show(self.browser, way) == "existing"
        self.browser.http.cookies = before


def opens(browser: Person) -> list[str]:
    return [connection["status"] for connection in browser.connections()]


@pytest.fixture
def alone(instance, double):
    return Alone(instance, double)


@pytest.mark.parametrize("confirmed, then", [("passkey", "passkey"), ("passkey", "header"), ("recovery", "recovery"),
                                             ("recovery", "provider"), ("provider", "provider"), ("provider", "passkey")])
def test_who_signs_in_anew_has_the_vault_back(alone, confirmed, then):
    alone.lose(confirmed)
    assert_problem(alone.browser.get("/api/connections"), 401, "invalid-token")
    assert_problem(alone.browser.post("/api/tokens/vend", {"provider": "github", "scopes": ["repo"]}), 401, "invalid-token")
    assert alone.show(alone.browser, then) == "existing"
    assert opens(alone.browser) == ["active"] and len(alone.browser.get("/api/sessions").json()["sessions"]) == 2
    assert alone.browser.post("/api/tokens/vend", {"provider": "github", "scopes": ["repo"]}).status_code == 200


def test_it_may_be_lost_twice(alone):
    for _ in range(2):
        alone.lose("passkey")
        assert alone.browser.get("/api/me").status_code == 401
        before = alone.browser.http.cookies.copy()
        assert alone.show(alone.browser, "header") == "existing"
        alone.browser.http.cookies = before
    assert alone.show(alone.browser, "recovery") == "existing" and opens(alone.browser) == ["active"]


def test_a_passkey_just_added_is_no_different(alone):
    before = alone.browser.http.cookies.copy()
    assert Authenticator(alone.browser.instance, prf=False).register(alone.browser).status_code == 201
    alone.browser.http.cookies = before
    assert alone.show(alone.browser, "header") == "existing" and opens(alone.browser) == ["active"]


def test_once_the_new_cookie_was_seen_the_old_one_leads_nowhere(alone):
    """W-SESS-1"""
    old = alone.browser.http.cookies.copy()
    alone.show(alone.browser, "passkey")
    opened = alone.browser.get("/api/me")
    assert opened.status_code == 200
    assert Database(alone.browser.instance).run(
        "SELECT count(*) FROM slot WHERE kind = 'superseded' AND person = ?", d.identifier(alone.first.user_id)) == [(0,)]
    thief = Person(alone.browser.instance, signed_in=False)
    thief.http.cookies = old
    assert alone.show(thief, "header") == "new" and opens(thief) == ["locked"]


def test_the_old_cookie_gives_nothing_to_somebody_else(alone, instance):
    alone.lose("passkey")
    stranger = Person(instance, signed_in=False)
    stranger.http.cookies = alone.browser.http.cookies.copy()
    stranger.sign_in_as(f"user-{secrets.token_hex(6)}")
    assert stranger.connections() == []
    assert alone.show(alone.browser, "header") == "existing" and opens(alone.browser) == ["active"]


def test_revoking_the_session_whose_cookie_was_lost_ends_the_one_before_too(alone):
    alone.lose("passkey")
    mine = alone.first.get("/api/me").json()["sessionId"]
    [unseen] = [s["id"] for s in alone.first.get("/api/sessions").json()["sessions"] if s["id"] != mine]
    asked = alone.first.delete(f"/api/sessions/{unseen}")
    assert asked.status_code == 409, "nobody else opens that vault"
    assert alone.first.delete(f"/api/sessions/{unseen}?confirm={asked.json()['confirm']}").status_code == 204
    assert alone.show(alone.browser, "header") == "new"
