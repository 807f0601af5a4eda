"""Consent is one click of one person on one page: what carries it from hop to hop works once, there, and then."""

import secrets
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import pytest
from requests.adapters import HTTPAdapter

from harness.answers import assert_problem
from harness.database import Database
from harness.flow import CORP, GITHUB, approval, at_once, page_members
from harness.people import NAVIGATION, SAME_ORIGIN, Person, Plugin

UNKNOWN = "A" * 21 + "w"


@pytest.fixture(scope="module")
def rows(instance):
    return Database(instance)


@pytest.fixture(scope="module")
def alice(instance):
    return Person(instance, "Alice of the consents")


@pytest.fixture(scope="module")
def bob(instance):
    return Person(instance, "Bob of the consents")


def assert_consent_page(reply, **expected) -> None:
    """A 303 to the consent page, with these members of the link."""
    assert reply.status_code == 303, f"{reply.status_code} {reply.text}"
    parts = urlsplit(reply.headers["Location"])
    assert parts.path == "/connect" and not any(c.startswith("__Host-tx") for c in reply.cookies.keys())
    assert dict(parse_qsl(parts.query)) == {"owner": "toolshed", "bridge": "github", "scope": "repo"} | expected


# The approval, from the page to login

def test_an_approval_works_once(alice, rows):
    start = approval(alice)
    assert alice.navigate(start, site="same-origin").headers["Location"].startswith(alice.instance.double.url)
    with rows.unchanged("authorization"):
        assert_consent_page(alice.navigate(start, site="same-origin"))


def test_an_approval_that_is_used_twice_at_once_starts_one_flow(alice):
    start = approval(alice)
    cookie = f"__Host-toolshed={alice.http.cookies['__Host-toolshed']}"
    replies = at_once(*[lambda: alice.instance.get(start, headers=NAVIGATION | {"Cookie": cookie})] * 6)
    away = [reply for reply in replies if reply.headers["Location"].startswith(alice.instance.double.url)]
    assert [reply.status_code for reply in replies] == [303] * 6 and len(away) == 1


def test_an_approval_lasts_a_minute(alice, rows):
    start = approval(alice)
    lasting = rows.run("SELECT expires_at_ms FROM once WHERE purpose = 'approval' ORDER BY expires_at_ms DESC LIMIT 1")
    now = rows.run("SELECT unixepoch() * 1000")
    assert 50_000 < lasting[0][0] - now[0][0] <= 61_000
    rows.expire("once", "purpose = 'approval'")
    with rows.unchanged("authorization"):
        assert_consent_page(alice.navigate(start, site="same-origin"))


def test_an_approval_of_one_person_is_nothing_in_anothers_browser(alice, bob, rows):
    start = approval(alice)
    with rows.unchanged("authorization"):
        assert_problem(bob.navigate(start), 403, "owner-mismatch")
        assert_consent_page(bob.navigate(start.replace(f"userId={alice.user_id}&", "")))
        assert_consent_page(Person(alice.instance, signed_in=False).navigate(start))
    assert alice.navigate(start).headers["Location"].startswith(alice.instance.double.url), "and it is not used up"


def test_an_approval_belongs_to_the_session_not_only_to_the_person(instance, rows):
    person = Person(instance)
    code = person.post("/api/vault/recovery", {}).json()["code"]
    elsewhere = Person(instance, signed_in=False)
    assert elsewhere.post("/api/sign-in/recovery", {"code": code}).json()["userId"] == person.user_id
    start = approval(person)
    with rows.unchanged("authorization"):
        assert_consent_page(elsewhere.navigate(start))


@pytest.mark.parametrize("old, new, expected", [
    ("scope=repo", "scope=repo%20admin%3Aorg", {"scope": "admin:org repo"}),
    ("scope=repo", "scope=gist", {"scope": "gist"}),
    ("/github/", "/corp/", {"bridge": "corp"}),
    ("/github/", "/slack/", {"bridge": "slack"}),
])
def test_an_approval_for_one_thing_is_not_one_for_another(alice, rows, old, new, expected):
    start = approval(alice)
    with rows.unchanged("authorization"):
        assert_consent_page(alice.navigate(start.replace(old, new)), **expected)
        assert_consent_page(alice.navigate(start))  # it was used up by the try


@pytest.mark.parametrize("token", ["", "x", "A" * 43, "%00", "A" * 5000, "-_" * 21 + "-"])
def test_an_invented_approval_is_none(alice, rows, token):
    with rows.unchanged("authorization"):
        assert_consent_page(alice.navigate(f"/api/auth/github/login?scope=repo&approval={token}", site="same-origin"))


@pytest.mark.parametrize("site", ["none", "cross-site", "same-site", "same-origin"])
def test_login_without_an_approval_goes_to_the_consent_page_wherever_it_comes_from(alice, rows, site):
    """A-SEED-1, A-SEED-3: a link or a forged click authorizes nothing."""
    with rows.unchanged("authorization"):
        for query in ("scope=repo", f"scope=repo&userId={alice.user_id}"):
            assert_consent_page(alice.navigate(f"/api/auth/github/login?{query}", site=site))


def test_login_without_scopes_asks_for_the_defaults(alice):
    assert_consent_page(alice.navigate("/api/auth/github/login"), scope="read:user repo")


def test_login_for_another_user_is_refused(alice, bob, rows):
    """A-SEED-1: the same answer whether that person exists or not."""
    with rows.unchanged("authorization"):
        replies = [alice.navigate(f"/api/auth/github/login?scope=repo&userId={user}")
                   for user in (bob.user_id, f"u_{UNKNOWN}", "u_", "x")]
        for reply in replies:
            assert_problem(reply, 403, "owner-mismatch")
        assert len({reply.text for reply in replies}) == 1


@pytest.mark.parametrize("path, status, error", [
    ("/api/auth/nowhere/login", 404, "unknown-provider"), ("/api/auth/acme~github/login", 404, "unknown-provider"),
    ("/api/auth/GitHub/login", 404, "unknown-provider"), ("/api/auth/github/logout", 404, "not-found"),
    ("/api/auth/github/login?scope=a&scope=b", 400, "invalid-request"),
    ("/api/auth/github/login?scope=%22", 400, "invalid-request"),
])
def test_login_knows_what_it_does_not_know(alice, path, status, error):
    assert_problem(alice.navigate(path), status, error)


# The form token, from the page to the click

def test_a_form_token_works_once(alice):
    shown = alice.asked(GITHUB).json()
    body = page_members(shown, GITHUB)
    assert alice.post("/api/connect", body).status_code == 200
    assert_problem(alice.post("/api/connect", body), 409, "changed")


def test_two_posts_of_one_form_at_once_decide_once(alice):
    body = page_members(alice.asked(GITHUB).json(), GITHUB)
    cookie = f"__Host-toolshed={alice.http.cookies['__Host-toolshed']}"
    post = lambda: alice.instance.post("/api/connect", json=body, headers=SAME_ORIGIN | {"Cookie": cookie})  # noqa: E731
    assert sorted(reply.status_code for reply in at_once(*[post] * 5)) == [200, 409, 409, 409, 409]


@pytest.mark.parametrize("change", ["other page", "other person", "invented", "digest", "digest of other page",
                                    "fewer scopes", "expired", "no digest"])
def test_a_form_that_is_not_this_page_as_shown_now_is_refused(alice, bob, rows, change):
    """409, nothing decided; whatever the reason, in the same words."""
    shown = alice.asked(GITHUB).json()
    body = page_members(shown, GITHUB)
    match change:
        case "other page":
            body["formToken"] = alice.asked(CORP).json()["formToken"]
        case "other person":
            body["formToken"] = bob.asked(GITHUB).json()["formToken"]
        case "invented":
            body["formToken"] = secrets.token_urlsafe(32)
        case "digest":
            body["digest"] = secrets.token_urlsafe(32)
        case "digest of other page":
            body["digest"] = alice.asked(CORP).json()["digest"]
        case "fewer scopes":
            body = page_members(alice.asked(GITHUB | {"scope": "repo gist"}).json(), GITHUB) | {"scopes": ["gist"]}
        case "expired":
            rows.expire("once", "purpose = 'form'")
        case "no digest":
            body["digest"] = "x"
    with rows.unchanged():
        assert_problem(alice.post("/api/connect", body), 409, "changed")


def test_what_changed_since_it_was_shown_is_shown_again(person, double):
    """The page said "new", meanwhile it was granted in another tab."""
    shown = person.asked(GITHUB | {"scope": "repo gist"}).json()
    person.connect(GITHUB)
    stale = page_members(shown, GITHUB | {"scope": "repo gist"})
    assert_problem(person.post("/api/connect", stale), 409, "changed")
    again = person.asked(GITHUB | {"scope": "repo gist"}).json()
    assert again["digest"] != shown["digest"]
    assert {line["scope"]: line["state"] for line in again["scopes"]} == {"repo": "granted", "gist": "new"}


def test_nobody_is_let_in_who_was_not_on_the_page(person, plugin):
    stranger = Plugin(person.instance)
    link = plugin.link("github", ["repo"], user=person)["authorizationUrl"]
    refused = person.decide(link, also_for=[stranger.id])
    assert assert_problem(refused, 400, "invalid-request")["errors"][0]["member"] == "alsoFor"
    assert person.decide(link, also_for=["x", "", "c_"]).status_code == 400


# Who decides: a browser, from our own page

DECISIONS = [
    ("POST", "/api/connect", {}), ("POST", "/api/keys", {"name": "x"}), ("POST", "/api/plugins", {"name": "x"}),
    ("POST", "/api/vault/recovery", {}), ("POST", "/api/vault/lock", {}), ("POST", "/api/sign-out", {}),
    ("POST", f"/api/outcomes/o_{UNKNOWN}", {"decision": "keep", "formToken": "x"}),
    ("PATCH", f"/api/connections/c_{UNKNOWN}", {"backgroundRefresh": True}),
    ("PATCH", f"/api/plugins/p_{UNKNOWN}", {"muted": True}), ("POST", f"/api/plugins/p_{UNKNOWN}/key", {"key": "x"}),
    ("DELETE", f"/api/plugins/p_{UNKNOWN}/key", None), ("DELETE", "/api/declines", None),
    ("POST", f"/api/connections/c_{UNKNOWN}/replace", None),
]
TAKING_AWAY = [("DELETE", f"/api/{kind}_{UNKNOWN}", None)
               for kind in ("connections/c", "keys/s", "sessions/s", "plugins/p", "requests/r")]
NOT_OURS = [
    {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Sec-Fetch-Site": "none"}, {},
    {"Origin": "null"}, {"Origin": "https://evil.example"}, {"Origin": "https://localhost"},
    {"Sec-Fetch-Site": "cross-site", "Origin": "OURS"}, {"Referer": "OURS/connect"}, {"Sec-Fetch-Site": "Same-Origin"},
]


@pytest.mark.parametrize("method, path, body", DECISIONS + TAKING_AWAY + [
    ("POST", "/api/tokens/vend", {"provider": "github"}), ("POST", "/api/sign-in/invitation", {"code": "x"}),
    ("POST", "/api/sign-in/recovery", {"code": "x"}), ("POST", "/api/sign-in/header", None)])
def test_a_cookie_counts_only_on_requests_from_our_own_pages(alice, rows, method, path, body):
    """W-CSRF-1, on every route that changes something."""
    with rows.unchanged():
        for headers in NOT_OURS:
            headers = {name: value.replace("OURS", alice.instance.origin) for name, value in headers.items()}
            assert_problem(alice.call(method, path, body, headers=headers), 403, "cross-site")


def test_an_older_browser_is_known_by_its_origin(alice):
    made = alice.post("/api/keys", {"name": "by origin"}, headers={"Origin": alice.instance.origin})
    assert made.status_code == 201


@pytest.mark.parametrize("method, path, body", DECISIONS)
def test_a_bearer_decides_nothing_for_its_person(alice, rows, method, path, body):
    """Not with a key, not with a key beside the cookie, not with a bad key."""
    key = alice.api_key()
    plugin = Plugin(alice.instance)
    with rows.unchanged():
        for bearer in (key.key, plugin.key, "tsk_wrong"):
            headers = SAME_ORIGIN | {"Authorization": f"Bearer {bearer}"}
            assert_problem(alice.instance.request(method, path, json=body, headers=headers), 403, "not-permitted")
            assert_problem(alice.call(method, path, body, headers=headers), 403, "not-permitted")
    assert_problem(key.get("/api/connect?" + urlencode(GITHUB)), 403, "not-permitted")


def test_a_bearer_that_is_no_good_is_never_passed_over_for_the_cookie(alice):
    for value in ("Bearer x", "Bearer", "Basic eDp5", "bearer tsk_" + "A" * 70, "Bearer tss_x", ""):
        reply = alice.get("/api/me", headers={"Authorization": value})
        assert_problem(reply, 401, "invalid-token")


def test_two_cookies_of_one_name_are_none(alice, bob, rows):
    """A neighbouring host cannot put its own session before the person's."""
    own, other = alice.http.cookies["__Host-toolshed"], bob.http.cookies["__Host-toolshed"]
    with rows.unchanged():
        for cookie in (f"__Host-toolshed={own}; __Host-toolshed={other}", f"__Host-toolshed={own}; __Host-toolshed=",
                       f"__Host-toolshed={own};__Host-toolshed={own}"):
            headers = SAME_ORIGIN | {"Cookie": cookie}
            assert_problem(alice.instance.get("/api/me", headers=headers), 401, "invalid-token")
            assert_problem(alice.instance.post("/api/vault/lock", json={}, headers=headers), 401, "invalid-token")
            assert_problem(alice.instance.post("/api/tokens/vend", json={"provider": "github"}, headers=headers), 401,
                           "invalid-token")


@pytest.mark.parametrize("kind", ["an API key", "a plugin", "somebody's id", "cut", "other case"])
def test_a_session_is_nothing_but_a_session(alice, kind):
    own = alice.http.cookies["__Host-toolshed"]
    value = {"an API key": alice.api_key().key, "a plugin": Plugin(alice.instance).key, "somebody's id": alice.user_id,
             "cut": own[:-1], "other case": own.swapcase()}[kind]
    assert alice.instance.get("/api/me", headers={"Cookie": f"__Host-toolshed={value}"}).status_code == 401
    assert alice.instance.get("/api/me", headers={"Authorization": f"Bearer {own}"}).status_code == 401


def test_an_invitation_makes_one_person_in_one_browser(instance, alice, rows):
    """Sign-in: not twice, not where somebody is signed in, not by opening a link."""
    new = Person(instance, signed_in=False)
    code = new.invitation["code"]
    with rows.unchanged():
        assert_problem(alice.post("/api/sign-in/invitation", {"code": code}), 403, "not-permitted")
        assert instance.get(f"/sign-in?code={code}").status_code == 200
    replies = at_once(*[lambda: instance.post("/api/sign-in/invitation", json={"code": code}, headers=SAME_ORIGIN)] * 4)
    assert sorted(reply.status_code for reply in replies) == [200, 400, 400, 400]
    assert_problem(instance.post("/api/sign-in/invitation", json={"code": code}, headers=SAME_ORIGIN), 400,
                   "invalid-invitation")


def test_a_scope_asked_of_the_provider_is_exactly_what_was_approved(alice):
    address = alice.login(approval(alice, GITHUB | {"scope": "gist"}))
    assert parse_qs(urlsplit(address).query)["scope"] == ["gist"]


class From(HTTPAdapter):
    """Calls from another address of this computer."""

    def init_poolmanager(self, *arguments, **more):
        return super().init_poolmanager(*arguments, source_address=("127.0.0.2", 0), **more)


def test_the_page_says_from_where_it_was_asked(person, plugin, instance):
    near = plugin.link("github", ["repo"], user=person)
    assert {"address": "127.0.0.1", "ownAddress": True}.items() <= person.asked(near["authorizationUrl"]).json().items()
    plugin.http.mount("https://", From())
    assert plugin.link("github", ["repo"], user=person)["requestId"] == near["requestId"]
    assert person.asked(near["authorizationUrl"]).json()["address"] == "127.0.0.1", "the first call's"
    far = plugin.link("github", ["gist"], user=person)["authorizationUrl"]
    assert {"address": "127.0.0.2", "ownAddress": False}.items() <= person.asked(far).json().items()
    exchange = {"grant_type": "urn:ietf:params:oauth:grant-type:token-exchange", "audience": "slack", "userId": person.user_id,
                "scope": "chat:write"}
    asked = plugin.http.post(instance.origin + "/token", data=exchange, auth=(plugin.id, plugin.key)).json()["authorizationUrl"]
    key = person.api_key()
    key.http.mount("https://", From())
    proxied = key.get("/proxy/linear/graphql", headers={"Toolshed-Scope": "read"}).json()["authorizationUrl"]
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {
        "name": "request_authorization", "arguments": {"provider": "google", "scopes": ["calendar"], "reason": "Plan"}}}
    answer = key.post("/mcp", message, headers={"MCP-Protocol-Version": "2025-11-25"}).json()["result"]["structuredContent"]
    for link in (asked, proxied, answer["authorizationUrl"]):
        assert person.asked(link).json()["address"] == "127.0.0.2"
    own = person.asked({"owner": "toolshed", "bridge": "demo", "scope": "read"}).json()
    assert own["address"] is None and own["ownAddress"] is False
