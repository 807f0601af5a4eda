"""Whoever does not say who they are, or shows what is no good: refused before anything they sent is looked at, counted
against their address alone, and noted where nobody can fill a disk."""

import re
import time

import pytest

from harness.answers import assert_problem
from harness.contract import DOCUMENT, METHODS
from harness.people import SAME_ORIGIN, Person, Plugin
from harness.waiting import until

WRONG = "tsk_" + "A" * 70
LETTERS = {"sessions": "s", "keys": "s", "passkeys": "w", "clients": "g"}
OPERATIONS = [(method, path) for path, item in DOCUMENT["paths"].items() for method in item if method in METHODS]
CLOSED = [(method, path) for method, path in OPERATIONS
          if (security := DOCUMENT["paths"][path][method].get("security")) and {} not in security]
MALFORMED = [
    {"data": "{"}, {"data": "[]"}, {"data": "{}", "headers": {"Content-Type": "text/plain"}}, {"json": {"unknown": 1}},
    {"data": b"\xff" * 100}, {"params": [("scope", "a"), ("scope", "b")]}, {"params": {"limit": "many"}}, {"data": b" " * 16_000},
]


def concrete(path: str, letters: str = "A" * 22) -> str:
    path = path.replace("{provider}", "github")
    for name in re.findall(r"/([\w-]+)/\{id\}", path):
        path = path.replace("{id}", LETTERS.get(name, name[0]) + "_" + letters)
    return path


# Who calls comes first


@pytest.mark.parametrize("method, path", CLOSED, ids=[f"{method} {path}" for method, path in CLOSED])
def test_a_stranger_learns_nothing_about_the_form_of_a_request(instance, method, path):
    """On every route of the document that wants a caller: 401, whatever else is wrong with the request."""
    cookie = {"Cookie": "__Host-toolshed=tss_" + "A" * 70}
    takes_bearer = any(name in ("plugin", "holder") for each in DOCUMENT["paths"][path][method]["security"] for name in each)
    for address in {concrete(path), concrete(path, "no-id"), concrete(path, "%20")}:
        for wrong in MALFORMED:
            more = {name: value for name, value in wrong.items() if name != "headers"}
            said = wrong.get("headers", {"Content-Type": "application/json"})
            for shown in ({}, cookie):
                reply = instance.request(method.upper(), address, headers=SAME_ORIGIN | said | shown, **more)
                assert_problem(reply, 401, "invalid-token")
            reply = instance.request(method.upper(), address, headers=said | {"Authorization": f"Bearer {WRONG}"}, **more)
            if takes_bearer or address != concrete(path):
                assert reply.status_code == 401 or not takes_bearer and reply.status_code == 403, f"{address} {reply.text}"
            else:
                # No Bearer is ever good here, and that is all that is said of this one.
                assert_problem(reply, 403, "not-permitted")


def test_what_is_open_to_strangers_is_said_to_be(instance):
    """No route outside of these answers anybody but a caller."""
    rest = {path for method, path in OPERATIONS if (method, path) not in CLOSED}
    assert all(re.match(r"/(api/sign-in/|api/auth/|[a-z_]+$)", path) for path in rest), rest
    assert rest >= {"/token", "/register", "/healthz", "/api/auth/{provider}/callback", "/api/sign-in/invitation"}


def test_a_path_that_is_none_and_a_method_are_no_secrets(instance):
    assert_problem(instance.get("/api/nowhere"), 404, "not-found")
    assert_problem(instance.get("/api/plugins/p_AAAAAAAAAAAAAAAAAAAAAA/nowhere"), 404, "not-found")
    assert_problem(instance.get("/api/tokens/vend"), 405, "method-not-allowed")


# HEAD


@pytest.mark.parametrize("path", [path for method, path in OPERATIONS if method == "get" and "/auth/" not in path
                                  and not path.endswith("callback")])
def test_head_is_get_without_a_body(instance, person, plugin, double, path):
    caller = person.http
    if path == "/api/requests/{id}":
        # Polled by who caused it, and not twice within its interval.
        caller = plugin.http
        made = [plugin.link("github", [scope], user=person)["requestId"] for scope in ("repo", "gist")]
        addresses = [f"/api/requests/{each}" for each in made]
        headers = {"Authorization": f"Bearer {plugin.key}"}
    else:
        addresses, headers = [concrete(path)] * 2, SAME_ORIGIN
    get, head = (caller.request(method, instance.origin + address, headers=headers, timeout=30)
                 for method, address in zip(("GET", "HEAD"), addresses))
    assert head.status_code == get.status_code and head.content == b""
    same = set(get.headers) - {"Date", "Connection", "Content-Length", "Transfer-Encoding", "ETag", "Keep-Alive"}
    assert {name: head.headers.get(name) for name in same} == {name: get.headers[name] for name in same}


# The limit


@pytest.fixture(scope="module")
def limited():
    from harness.instance import Instance
    made = Instance(limits=True)
    try:
        yield made.start()
    finally:
        made.end()


def attempts(limited) -> list:
    """More failures than an address has, of every kind."""
    with limited.session() as session:
        bad = {"Authorization": f"Bearer {WRONG}"}
        ways = [
            lambda: session.get(limited.origin + "/api/me", headers=bad, timeout=10),
            lambda: session.post(limited.origin + "/api/tokens/vend", headers=bad, json={"provider": "github"}, timeout=10),
            lambda: session.get(limited.origin + "/proxy/github/user", headers=bad, timeout=10),
            lambda: session.post(limited.origin + "/mcp", headers=bad, json={}, timeout=10),
            lambda: session.post(limited.origin + "/introspect", data={"token": "x"}, auth=("nobody", "x"), timeout=10),
        ]
        return [way() for _ in range(30) for way in ways]


def test_failed_authentication_is_limited_and_what_is_right_is_not(limited):
    person, plugin = Person(limited), Plugin(limited)
    key = person.api_key()
    replies = attempts(limited)
    refused = [reply for reply in replies if reply.status_code == 429]
    failed = [reply for reply in replies if reply.status_code == 401]
    assert len(failed) >= 20, "a burst is answered as it is"
    assert refused, "and then no more than ten a second"
    assert len(refused) + len(failed) == len(replies)
    for reply in refused:
        assert reply.headers["Content-Type"] == "application/problem+json" and reply.json()["error"] == "rate-limited"
        assert reply.json()["status"] == 429 and 1 <= int(reply.headers["Retry-After"]) <= 2
        assert "WWW-Authenticate" not in reply.headers
    places = {reply.url.removeprefix(limited.origin) for reply in refused}
    assert places == {"/api/me", "/api/tokens/vend", "/proxy/github/user", "/mcp", "/introspect"}

    # While the address is over its limit, whoever shows the right thing is answered as ever, from the same address.
    over = failures = 0
    for _ in range(40):
        failures += 3
        over += sum(limited.get("/api/me", headers={"Authorization": f"Bearer {WRONG}"}).status_code == 429 for _ in range(3))
        assert limited.get("/api/me", headers={"Authorization": f"Bearer {key.key}"}).status_code == 200
        assert person.get("/api/me").status_code == 200
        assert plugin.vend("github", ["repo"], user=person).status_code == 403
    # And it is over as soon as it may be.
    until(lambda: limited.get("/api/me", headers={"Authorization": f"Bearer {WRONG}"}).status_code == 401, "the limit to end", 10)


def test_a_page_without_a_session_is_no_failure(limited):
    attempts(limited)
    assert {limited.get("/api/me").status_code for _ in range(60)} == {401}
    # A cookie that was made up is one.
    made_up = {"Cookie": "__Host-toolshed=tss_" + "A" * 70}
    assert 429 in {limited.get("/api/me", headers=made_up).status_code for _ in range(60)}


def test_without_a_limit_every_failure_is_answered_as_it_is(instance):
    assert {reply.status_code for reply in attempts(instance)} == {401}


# The second log


def test_strangers_at_every_door_are_in_the_second_log(fresh):
    instance = fresh().start()
    bad = {"Authorization": f"Bearer {WRONG}"}
    exchange = {"grant_type": "urn:ietf:params:oauth:grant-type:token-exchange", "audience": "github",
                "subject_token_type": "urn:ietf:params:oauth:token-type:access_token"}
    assert instance.get("/proxy/github/user", headers=bad).status_code == 401
    assert instance.post("/mcp", headers=bad, json={}).status_code == 401
    assert instance.post("/mcp", json={}).status_code == 401
    assert instance.post("/token", data=exchange | {"subject_token": WRONG}).status_code == 400
    assert instance.post("/token", data=exchange, auth=("p_" + "A" * 22, "tsp_" + "A" * 70)).status_code == 401
    assert instance.post("/introspect", data={"token": "x"}, auth=("nobody", "x")).status_code == 401
    lines = ["refused: invalid-token at /proxy", "refused: invalid-token at /mcp", "refused: invalid-token at /token",
             "refused: invalid_client at /token", "refused: invalid_client at /introspect"]
    for line in lines:
        until(lambda: line in instance.log(), line)
    said = instance.log()
    assert said.count("at /mcp") == 1, "a client's first question, without a token, is no attempt"
    assert WRONG not in said and "A" * 22 not in said
