"""What nginx says when no worker can be reached, and what it says by itself."""

import pytest
import requests

from harness.answers import assert_headers, assert_problem
from harness.instance import Instance

PAGES = ["/", "/connect?owner=toolshed&bridge=demo&scope=repo", "/sign-in", "/vault", "/done", "/error"]
API = ["/api/me", "/api/tokens/vend", "/api/tokens/report", "/api/connect", "/api/connections/c_1", "/api/requests/r_1",
       "/api/sign-in/invitation", "/api/auth/demo/callback", "/healthz", "/readyz", "/metrics"]
CANARY = "canary-8d1f2c77"


@pytest.fixture(scope="module")
def alone():
    made = Instance(double=False)
    try:
        yield made.serve()
    finally:
        made.end()


@pytest.mark.parametrize("path", PAGES)
def test_pages_need_no_worker(alone, path):
    reply = alone.get(path)
    assert reply.status_code == 200
    assert reply.headers["Content-Type"] == "text/html; charset=utf-8"
    assert reply.headers["Cache-Control"] == "no-store"
    assert_headers(reply)


@pytest.mark.parametrize("path", API)
def test_without_a_worker_the_answer_is_a_problem_document(alone, path):
    reply = alone.post(path, json={})
    assert_problem(reply, 503, "unavailable")
    assert int(reply.headers["Retry-After"]) > 0


def test_a_browser_in_a_flow_gets_a_page(alone):
    reply = alone.get("/api/auth/demo/callback?code=x&state=y", headers={"Accept": "text/html,*/*"})
    assert reply.status_code == 503 and reply.headers["Content-Type"].startswith("text/html")
    assert reply.headers["Referrer-Policy"] == "no-referrer"
    assert_headers(reply)


def test_own_refusals(alone):
    assert_problem(alone.post("/api/tokens/vend", data=b" " * 16_385), 413, "too-large")
    for method, path, status in (("GET", "/nowhere", 404), ("GET", "/style.map", 404), ("POST", "/connect", 405),
                                 ("PUT", "/", 405), ("GET", "/errors/problem/404.json", 404),
                                 ("GET", "/../etc/passwd", 404)):
        reply = alone.request(method, path)
        assert reply.status_code == status, path
        assert reply.headers["Content-Type"].startswith("text/html"), path
        assert ("Allow" in reply.headers) == (status == 405), path
        assert_headers(reply)
    long = alone.get("/api/me?" + "a" * 9000)
    assert_problem(long, 414, "invalid-request")


def test_a_body_of_sixteen_kilobytes_goes_to_a_worker_and_to_no_file(alone):
    reply = alone.post("/api/tokens/vend", data=b" " * 16_384)
    assert_problem(reply, 503, "unavailable")
    assert not [file for file in (alone.dir / "run/nginx").rglob("*") if file.is_file()]


def test_plain_http_is_refused(alone):
    reply = requests.get(f"http://localhost:{alone.port}/api/me", timeout=5)
    assert_problem(reply, 400, "invalid-request")


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "localhost.evil.example"])
@pytest.mark.parametrize("path", ["/", "/connect", "/api/me"])
def test_another_name_is_misdirected(alone, host, path):
    reply = alone.get(path, headers={"Host": host})
    if path.startswith("/api/"):
        assert_problem(reply, 421, "invalid-request")
    assert reply.status_code == 421
    assert_headers(reply)


@pytest.mark.parametrize("headers, status", [
    ({}, 200),
    ({"Sec-Fetch-Dest": "document", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "cross-site"}, 200),
    ({"Sec-Fetch-Dest": "iframe"}, 403),
    ({"Sec-Fetch-Dest": "empty"}, 403),
    ({"Sec-Fetch-Dest": "image"}, 403),
    ({"Sec-Fetch-Dest": "document", "Sec-Purpose": "prefetch"}, 403),
    ({"Purpose": "prefetch"}, 403),
])
def test_only_a_person_opens_the_consent_page(alone, headers, status):
    reply = alone.get("/connect?owner=toolshed&bridge=demo&scope=repo", headers=headers)
    assert reply.status_code == status
    assert_headers(reply)


def test_a_flow_is_never_prefetched(alone):
    assert alone.get("/api/auth/demo/login?userId=u", headers={"Sec-Purpose": "prefetch"}).status_code == 403


def test_no_log_holds_a_query(alone):
    for path in [*PAGES, *API, "/nowhere", "/api/auth/demo/login", "/authorize", "/device"]:
        separator = "&" if "?" in path else "?"
        for method in ("GET", "POST"):
            alone.request(method, f"{path}{separator}code={CANARY}&state={CANARY}", headers={"Referer": f"https://x/?{CANARY}"})
    alone.get(f"/api/me?{CANARY}" + "a" * 9000)
    logs = {file.name: file.read_text() for file in (alone.dir / "log").iterdir()}
    assert "/api/auth/demo/callback" in logs["toolshed-access.log"]
    assert [name for name, text in logs.items() if CANARY in text] == []


def test_limits_are_problem_documents(fresh):
    limited = fresh(limits=True, double=False).serve()
    with limited.session() as session:
        replies = [session.post(limited.origin + "/api/sign-in/invitation", json={}, timeout=5) for _ in range(30)]
    refused = [reply for reply in replies if reply.status_code == 429]
    assert refused and len(replies) - len(refused) >= 10, "the burst passes"
    assert_problem(refused[0], 429, "rate-limited")
    assert int(refused[0].headers["Retry-After"]) > 0
