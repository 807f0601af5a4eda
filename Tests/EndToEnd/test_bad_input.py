"""Bad input, everywhere: a 4xx problem document that says what was expected, nothing changed, every worker alive."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.answers import assert_problem
from harness.database import Database
from harness.flow import GITHUB, page_members
from harness.people import SAME_ORIGIN, Person, Plugin
from harness.raw import raw

UNKNOWN = "A" * 21 + "w"
OUTCOME, CONNECTION, PLUGIN = f"/api/outcomes/o_{UNKNOWN}", f"/api/connections/c_{UNKNOWN}", f"/api/plugins/p_{UNKNOWN}"
# Every route that takes a body: method, path, a body of the right form, members that must be there.
BODIES = [
    ("POST", "/api/tokens/vend", {"provider": "github", "scopes": ["repo"], "account": "octo", "minTTL": 60, "reason": "why",
                                  "tool": "list", "userId": "u_x", "optionalScopes": ["gist"]}, ["provider"]),
    ("POST", "/api/connect", {"digest": "x", "decision": "approve", "owner": "toolshed", "bridge": "github",
                              "scopes": ["repo"], "request": None, "alsoFor": [], "formToken": "x", "key": "x"},
     ["digest", "decision", "bridge", "formToken"]),
    ("POST", OUTCOME, {"decision": "keep", "formToken": "x"}, ["decision", "formToken"]),
    ("POST", "/api/sign-in/invitation", {"code": "x"}, ["code"]),
    ("POST", "/api/sign-in/recovery", {"code": "x"}, ["code"]),
    ("POST", "/api/keys", {"name": "x"}, ["name"]),
    ("POST", "/api/plugins", {"name": "x"}, ["name"]),
    ("PATCH", PLUGIN, {"muted": True}, []), ("POST", f"{PLUGIN}/key", {"key": "x", "oldKeyUntil": "x"}, ["key"]),
    ("POST", "/api/tokens/report", {"connection": "c_x", "tokenHash": "A" * 43, "status": 401}, ["connection", "tokenHash"]),
    ("PATCH", CONNECTION, {"backgroundRefresh": True, "default": True, "paused": True, "label": "x"}, []),
]
NAMES = [f"{method} {path.split('_')[0]}" for method, path, *_ in BODIES]
POSTS = pytest.mark.parametrize("method, path, good, required", BODIES, ids=NAMES)
TYPES = {"provider": str, "scopes": list, "account": str, "minTTL": int, "reason": str, "tool": str, "userId": str,
         "digest": str, "decision": str, "owner": str, "bridge": str, "request": str, "alsoFor": list, "formToken": str,
         "code": str, "name": str, "connection": str, "tokenHash": str, "status": int, "backgroundRefresh": bool, "default": bool,
         "paused": bool, "label": str, "muted": bool, "key": str, "oldKeyUntil": str, "optionalScopes": list}
WRONG = {str: [1, True, ["x"], {"x": 1}, 1.5, ""], list: [1, "repo", {"0": "repo"}, [1], [["repo"]], [None], True],
         int: ["60", 1.5, True, [60], {}, -1, 3601, 10 ** 30], bool: ["true", 1, 0, [True], {}]}


@pytest.fixture(scope="module")
def rows(instance):
    return Database(instance)


@pytest.fixture(scope="module")
def alice(instance):
    return Person(instance, "Alice of the inputs")


@pytest.fixture(scope="module")
def agent(alice):
    """A caller with a key; vends of it must not use up the eight open requests."""
    return alice.api_key("Agent of the inputs")


@pytest.fixture(autouse=True, scope="module")
def every_process_survives(instance):
    """Not one crash in the whole file, and not one failed request in the daemon's log."""
    processes = instance.children("work") + instance.children("keep")
    said, seen = len(instance.log()), len(instance.log("toolshed-access.log"))
    assert processes
    yield
    assert instance.children("work") + instance.children("keep") == processes
    assert "request failed" not in instance.log()[said:]
    assert "upstream=50" not in instance.log("toolshed-access.log")[seen:]


def send(alice: Person, method: str, path: str, body: bytes | str, **headers):
    """Bytes as they are, from a signed-in page."""
    data = body.encode() if isinstance(body, str) else body
    headers = SAME_ORIGIN | {"Content-Type": "application/json"} | headers
    return alice.http.request(method, alice.instance.origin + path, data=data, headers=headers, timeout=30,
                              allow_redirects=False)


def assert_refused(reply, member: str | None = None) -> dict:
    """400, with what was wrong and what was expected, never what was sent."""
    problem = assert_problem(reply, 400, "invalid-request")
    assert problem["title"] and problem["detail"]
    assert all(error["member"] and error["expected"] for error in problem["errors"])
    if member:
        assert member in [error["member"] for error in problem["errors"]], problem
    return problem


# Bodies

MALFORMED = [b"", b" ", b"{", b"}", b"null", b"true", b"1", b'"x"', b"[]", b"{}{}", b'{"a":1,}', b"{'a':1}", b"{a:1}", b'{"a":NaN}',
             b'{"a":01}', b'{"a":"\n"}', b'{"a":"\xff"}', b'{"a":"\xed\xa0\x80"}', b'{"a":"\\ud800"}', b"\xef\xbb\xbf{}",
             b'{"a":' + b"[" * 5000 + b"]" * 5000 + b"}", b'{"a":1}\0', b"\xff\xfe{\0}\0", b"<xml/>", b"a=b", b'{"a"', b'{"a":1 "b":2}']


@POSTS
def test_what_is_no_json_object_is_refused(alice, rows, method, path, good, required):
    with rows.unchanged():
        for body in MALFORMED:
            assert_refused(send(alice, method, path, body), None if body.startswith(b'{"a":') else "body")


@POSTS
def test_every_wrong_member_is_named_with_what_was_expected(alice, rows, method, path, good, required):
    """Wrong type, missing, unknown, twice: each by its name."""
    with rows.unchanged():
        for name in good:
            for wrong in WRONG[TYPES[name]]:
                if wrong == "" and name in ("reason", "tool", "label") or name == "status" and wrong in (-1, 3601):
                    continue  # nothing to say is as good as not saying it; and no API's status is too odd to be told
                assert_refused(send(alice, method, path, json.dumps(good | {name: wrong})),
                               {"owner": None, "bridge": None, "request": None}.get(name, name))
            twice = json.dumps(good)[:-1] + f', "{name}": {json.dumps(good[name])}}}'
            assert_refused(send(alice, method, path, twice), name)
        for name in required:
            assert_refused(send(alice, method, path, json.dumps({k: v for k, v in good.items() if k != name})), name)
            assert_refused(send(alice, method, path, json.dumps(good | {name: None})), name)
        for unknown in ("userid", "Scopes", "x", "__proto__", "", "é", "a" * 64):
            assert_refused(send(alice, method, path, json.dumps(good | {unknown: 1})), unknown or "an empty name")
        long = assert_refused(send(alice, method, path, json.dumps(good | {"y" * 5000: 1})))
        assert "yyyyy" not in str(long)


@POSTS
def test_a_body_that_is_too_large_or_of_another_kind_is_refused(alice, rows, method, path, good, required):
    with rows.unchanged():
        padded = json.dumps(good)[:-1].ljust(16_384) + "}"
        assert_problem(send(alice, method, path, padded), 413, "too-large")
        assert_problem(send(alice, method, path, b"x" * 200_000), 413, "too-large")
        for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/jsonp",
                     "application/json-patch+json", "text/json", "application", "", "application/xml;application/json"):
            assert_problem(send(alice, method, path, json.dumps(good), **{"Content-Type": kind}), 415,
                           "unsupported-media-type")


def test_a_content_type_may_have_parameters_and_any_case(agent):
    for kind in ("application/json; charset=utf-8", "Application/JSON", "application/json ;charset=UTF-8"):
        reply = agent.http.post(agent.instance.origin + "/api/tokens/vend", data=b'{"provider": "nowhere"}',
                                headers={"Content-Type": kind}, timeout=30)
        assert_problem(reply, 404, "unknown-provider")


@pytest.mark.parametrize("name", ["\u202egit", "\n\t\0", "\u200b\u2060\ufeff", "\u2028", " ", "\u200d", "\U000e0041"])
def test_a_name_of_nothing_visible_is_none(alice, rows, name):
    for path in ("/api/keys", "/api/plugins"):
        if name.startswith("\u202e"):
            made = alice.post(path, {"name": name + "\u2066hub\x07" + path[5:]})
            assert made.status_code == 201
            continue
        with rows.unchanged():
            assert_refused(alice.post(path, {"name": name}), "name")
    listed = str(alice.get("/api/keys").json()) + str(alice.get("/api/plugins").json())
    assert not set(listed) & set("\u202e\u2066\x07\u200b")


def test_reasons_and_tools_are_text_without_tricks(alice, agent):
    need = agent.link("github", ["repo"], reason="pay\u202e \u2066<b>me</b>\x1b[31m\u2029 now\0", tool="\ufeffx\n\r\ty")
    shown = alice.asked(need["authorizationUrl"]).json()
    assert (shown["reason"], shown["tool"]) == ("pay <b>me</b>[31m now", "xy")
    alice.decide(need["authorizationUrl"], "decline")
    alice.asked(GITHUB)


def test_an_account_with_control_characters_is_refused_and_breaks_no_page(alice, agent, rows):
    """The claim is one sealed text: a separator within it must not make the link unreadable."""
    with rows.unchanged():
        for account in ("a\0b", "\0\0\0", "x\u202e", "\n"):
            assert_refused(agent.vend("github", ["repo"], account=account), "account")


@pytest.mark.parametrize("scopes", [["a b"], ["a,b", "\""], [""], ["é"], ["a\0"], ["\\"], ["x" * 257], ["s%d" % n for n in range(201)]])
def test_what_is_no_scope_token_is_refused(agent, rows, scopes):
    """RFC 6749 section 3.3. A comma is one of its characters: nothing is split."""
    with rows.unchanged():
        if scopes[0] == "a,b":
            scopes = ["\""]
        assert_refused(agent.vend("github", scopes), "scopes")


def test_scopes_that_no_link_can_carry_are_refused_before_there_is_a_link(agent, rows):
    with rows.unchanged():
        assert_refused(agent.vend("github", [f"{n:02}" + "x" * 100 for n in range(12)]), "scopes")


# Addresses

@pytest.mark.parametrize("query", [
    "owner=toolshed&bridge=github&scope=repo&bridge=slack", "owner=a&owner=b&bridge=github", "bridge=github&scope=%22",
    "bridge=github&scope=" + "x" * 257, "bridge=", "", "owner=toolshed&scope=repo", "bridge=github&scope=%ff%fe", "bridge=%00",
    "owner=..%2f&bridge=github", "bridge=github&scope=" + "+".join(f"scope{n:04}" for n in range(120)),
    "bridge=git%20hub", "bridge=GITHUB"])
def test_a_link_that_is_no_link_is_refused(alice, rows, query):
    with rows.unchanged():
        assert_refused(alice.get(f"/api/connect?{query}"))


@pytest.mark.parametrize("identifier", ["", "r_", UNKNOWN, f"R_{UNKNOWN}", f"r_{UNKNOWN[:-1]}", f"r_{UNKNOWN}A", "r_" + "A" * 21 + "x",
                                        f"r_{UNKNOWN}=", f"c_{UNKNOWN}", "r_%00", "r_%ff", "..", "r_" + "é" * 11, "r_" + "A" * 4000, "%2e%2e"])
def test_what_is_no_id_is_nothing(alice, agent, rows, identifier):
    # A NUL is refused by nginx, whatever it stands in.
    wrong = (400, "invalid-request") if "%00" in identifier else (404, "not-found")
    with rows.unchanged():
        for path in ("requests", "outcomes"):
            for caller in (alice, agent):
                refused = caller.get(f"/api/{path}/{identifier}")
                assert_problem(refused, *wrong)
        assert_problem(alice.delete(f"/api/connections/{identifier}"), *wrong)
        assert alice.asked(GITHUB | {"request": identifier or "r_"}).status_code == 404


@pytest.mark.parametrize("query", ["limit=0", "limit=501", "limit=x", "limit=-1", "limit=1e2", "limit=", "limit=1&limit=2", "limit=99999999999999999999", "limit=%31%00", "after=%ff"])
@pytest.mark.parametrize("path", ["connections", "keys", "sessions", "passkeys", "plugins", "activity"])
def test_pages_are_asked_for_properly(alice, path, query):
    reply = alice.get(f"/api/{path}?{query}")
    if query == "limit=":
        assert reply.status_code == 200, "an empty parameter is none (RFC 6749 section 3.1)"
    else:
        assert_refused(reply)


# Methods

ALLOWED = {
    "/api/tokens/vend": "POST", "/api/tokens/report": "POST", "/api/connect": "GET, POST", "/api/sign-in/invitation": "POST",
    "/api/sign-in/recovery": "POST", "/api/sign-in/header": "POST", "/api/sign-in/methods": "GET", "/api/sign-in/passkey": "POST",
    "/api/sign-in/passkey/options": "POST", "/api/passkeys": "GET, POST", "/api/passkeys/options": "POST",
    f"/api/passkeys/w_{UNKNOWN}": "PATCH, DELETE", "/api/sign-out": "POST", "/api/me": "GET", "/api/providers": "GET",
    "/api/connections": "GET", CONNECTION: "PATCH, DELETE", "/api/sessions": "GET", f"/api/sessions/s_{UNKNOWN}": "DELETE",
    "/api/keys": "GET, POST", f"/api/keys/s_{UNKNOWN}": "DELETE", "/api/plugins": "GET, POST",
    PLUGIN: "PATCH, DELETE", f"{PLUGIN}/key": "POST, DELETE", f"{CONNECTION}/replace": "POST", "/api/declines": "GET, DELETE",
    f"/api/requests/r_{UNKNOWN}": "GET, DELETE", OUTCOME: "GET, POST",
    "/api/vault/recovery": "POST", "/api/vault/lock": "POST", "/api/activity": "GET", "/api/auth/github/login": "GET",
    "/api/auth/github/callback": "GET", "/healthz": "GET", "/readyz": "GET",
}


@pytest.mark.parametrize("path", ALLOWED)
def test_another_method_is_refused_with_those_that_are_allowed(alice, rows, path):
    allowed = ALLOWED[path].split(", ")
    with rows.unchanged():
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "X" * 30):
            if method not in allowed:
                as_if = {"Sec-Fetch-Dest": "document"} if "/api/auth/" in path else {}
                refused = assert_problem(reply := send(alice, method, path, b"{}", **as_if), 405, "method-not-allowed")
                assert reply.headers["Allow"] == ALLOWED[path].replace("GET", "GET, HEAD") and refused["detail"]
        assert "Access-Control-Allow-Origin" not in alice.call("OPTIONS", path, headers={"Origin": "https://evil.example"}).headers


@pytest.mark.parametrize("method", ["TRACE", "CONNECT"])
def test_methods_for_proxies_are_refused(alice, method):
    assert raw(alice.instance, f"{method} /api/me HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")[0] == 405


@pytest.mark.parametrize("path", ["/api", "/api/", "/api/nowhere", "/api/me/more", "/api/tokens", "/api/tokens/vend/x", "/api/auth", "/api/sign-in", "/api/auth/github",
                                  "/api/%00", "/api/me%00", "/api/%ff%fe", "/api/../api/nowhere", "/api/connections/x/y/z"])
def test_what_is_nowhere_is_not_found(alice, path):
    for method in ("GET", "POST"):
        reply = send(alice, method, path, b"{}")
        # What begins as a way to a provider is for browsers that navigate.
        assert reply.status_code == (400 if "%00" in path else 403 if path == "/api/auth/github" else 404), path
        assert reply.headers["Content-Type"] in ("application/problem+json", "text/html", "text/html; charset=utf-8")


# Headers, and what is hardly HTTP

@pytest.mark.parametrize("name", ["Cookie", "Authorization", "Origin", "Sec-Fetch-Site", "User-Agent", "Content-Type", "X-Anything"])
def test_a_header_of_ten_kilobytes_is_refused(alice, rows, name):
    with rows.unchanged():
        refused = alice.instance.post("/api/tokens/vend", json={}, headers={name: "x" * 10_240})
        assert_problem(refused, 400, "invalid-request")


@pytest.mark.parametrize("cookie", [
    "=", ";", ";;;=;=", "__Host-toolshed", "__Host-toolshed=", "__Host-toolshed==", "__Host-toolshed=tss_", '__Host-toolshed="x"',
    "__Host-toolshed=\xff\xfe", "a" * 7000, "; ".join(f"c{n}=v" for n in range(700)), "__Host-toolshed=tss_" + "A" * 70,
    "__Host-toolshed=tss_" + "A" * 64 + "000000", "__Host-toolshed=%00", "__host-toolshed=x"])
def test_a_malformed_cookie_is_nobodys(instance, cookie):
    headers = SAME_ORIGIN | {"Cookie": cookie.encode("latin-1")}
    assert_problem(instance.get("/api/me", headers=headers), 401, "invalid-token")
    assert_problem(instance.post("/api/tokens/vend", json={}, headers=headers), 401, "invalid-token")
    assert_problem(instance.post("/api/keys", json={}, headers=headers), 401, "invalid-token")


@pytest.mark.parametrize("token", [
    "tsk_", "tsk_x", "tsk_" + "A" * 70, "tsk_" + "A" * 64 + "000000", "tsp_" + "-" * 70, "tsk_" + "=" * 70, "ts", "tsz_" + "A" * 70, "tsk_" + "é" * 35,
    "tsk_\xff", "tsk_" + "A" * 5000, "null", "undefined", "tsi_" + "A" * 70, "tsa_" + "A" * 70, "tsf_" + "A" * 70, "tsr_" + "A" * 70, " tsk_x", "tsk_x tsk_y"])
def test_a_bearer_that_is_none_of_ours_is_refused(instance, token):
    headers = {"Authorization": f"Bearer {token}".encode("latin-1")}
    for reply in (instance.get("/api/me", headers=headers), instance.post("/api/tokens/vend", json={"provider": "github"}, headers=headers),
                  instance.get(f"/api/requests/r_{UNKNOWN}", headers=headers)):
        assert_problem(reply, 401, "invalid-token")


def test_every_bit_of_a_key_counts(agent):
    """One character changed anywhere, and it is nobody's; the checksum or the secret refuses it."""
    for index in range(0, len(agent.key), 5):
        flipped = agent.key[:index] + ("B" if agent.key[index] == "A" else "A") + agent.key[index + 1:]
        headers = {"Authorization": f"Bearer {flipped}"}
        assert_problem(agent.instance.get("/api/me", headers=headers), 401, "invalid-token")


def test_what_a_stranger_sends_is_answered_by_who_they_are_not(instance):
    """A stranger learns nothing about the form of a request."""
    for body in (b"{", b"[]", b'{"x": 1}', b'{"provider": "github"}'):
        reply = instance.post("/api/tokens/vend", data=body, headers={"Content-Type": "application/json", "Authorization": "Bearer tsk_x"})
        assert_problem(reply, 401, "invalid-token")


@pytest.mark.parametrize("request_text", [
    "GET /api/me HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\nConnection: close\r\n\r\n",
    "GET /api/me HTTP/1.1\r\nConnection: close\r\n\r\n", "GET  HTTP/1.1\r\n\r\n", "\x16\x03\x01\x00\r\n\r\n",
    "POST /api/tokens/vend HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\nConnection: close\r\n\r\n",
    "POST /api/tokens/vend HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nContent-Length: 3\r\nConnection: close\r\n\r\n{}",
    "POST /api/tokens/vend HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n0\r\n\r\n",
    "POST /api/tokens/vend HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\nzz\r\n",
    "GET /api/me HTTP/1.1\r\nHost: localhost\r\nX: a\0b\r\nConnection: close\r\n\r\n",
    "GET /api/me\x01 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", "GET /api/me HTTP/9.9\r\nHost: localhost\r\n\r\n",
])
def test_what_is_hardly_http_never_reaches_a_secret(instance, request_text):
    status, received = raw(instance, request_text)
    assert status == (505 if "HTTP/9.9" in request_text else 400), received[:200]
    assert b"Swift" not in received and b"/work/" not in received


def test_a_body_in_chunks_is_a_body(agent):
    chunks = iter([b'{"provi', b'der": "nowhere"}'])
    reply = agent.http.post(agent.instance.origin + "/api/tokens/vend", data=chunks, headers={"Content-Type": "application/json"}, timeout=30)
    assert_problem(reply, 404, "unknown-provider")


def test_a_member_that_is_wrong_stops_the_right_one_beside_it(person):
    """PATCH is all or nothing."""
    person.connect(GITHUB)
    connection = person.connections()[0]
    path = f"/api/connections/{connection['id']}"
    with Database(person.instance).unchanged():
        assert_refused(person.call("PATCH", path, {"backgroundRefresh": True, "default": "yes"}), "default")
        assert_refused(person.call("PATCH", path, {}), "body")
    assert person.connections()[0]["backgroundRefresh"] is False


# Fuzz: whatever the body, never a 5xx, never a change

texts = st.text(max_size=40) | st.sampled_from([UNKNOWN, "approve", "keep", "github", "acme/github", "tsi_" + "A" * 70, "\0", "x" * 300])
values = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | texts,
                      lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4), max_leaves=8)


@POSTS
def test_no_body_breaks_a_route(alice, instance, rows, method, path, good, required):
    """Known members with any values, in any mixture, and bytes that are hardly JSON."""
    members = st.dictionaries(st.sampled_from(sorted(good)) | texts, values, max_size=len(good))
    bodies = st.one_of(members.map(lambda body: json.dumps(good | body).encode()), members.map(lambda body: json.dumps(body).encode()),
                       values.map(lambda value: json.dumps(value).encode("utf-8", "surrogatepass")), st.binary(max_size=200),
                       st.tuples(st.integers(0, 200), st.binary(min_size=1, max_size=3)).map(
                           lambda edit: json.dumps(good).encode()[:edit[0]] + edit[1] + json.dumps(good).encode()[edit[0]:]))
    seen = set()

    @settings(max_examples=200, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(bodies)
    def probe(body):
        reply = send(alice, method, path, body)
        # 201: a name of its own was found; 403 and 424 are a vend's proper answers.
        assert reply.status_code in (200, 201, 400, 401, 403, 404, 409, 413, 415, 424, 429), f"{reply.status_code} {reply.text}"
        if reply.status_code >= 400:
            problem = reply.json()
            assert reply.headers["Content-Type"] == "application/problem+json"
            assert problem["status"] == reply.status_code and problem["error"] and problem["title"] and problem["detail"]
            assert reply.status_code != 400 or problem.get("errors") or problem["error"] == "invalid-invitation"
        seen.add(reply.status_code)

    with rows.unchanged("connection", "approval", "authorization", "person", "vault"):
        probe()
    assert 400 in seen


def test_no_query_breaks_a_callback_or_a_page(alice, rows):
    pairs = st.lists(st.tuples(st.sampled_from(["code", "state", "iss", "error", "scope", "owner", "bridge", "request", "userId", "approval"]) | texts,
                               texts), max_size=6)
    queries = st.one_of(pairs.map(lambda items: "&".join(f"{name}={value}" for name, value in items)), st.text(max_size=60),
                        st.binary(max_size=40).map(lambda data: "state=" + "".join(f"%{byte:02x}" for byte in data)))

    @settings(max_examples=200, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(queries)
    def probe(query):
        query = query.replace("#", "%23").replace("\n", "").replace("\r", "")
        callback = alice.navigate(f"/api/auth/github/callback?{query}", site="cross-site")
        assert callback.status_code == 303 and callback.headers["Location"] == "/error#invalid-link"
        assert alice.navigate(f"/api/auth/github/login?{query}").status_code in (303, 400, 403)
        assert alice.get(f"/api/connect?{query}").status_code in (200, 400, 403, 404, 424)

    with rows.unchanged("connection", "approval", "authorization", "outcome", "request"):
        probe()


def test_after_all_of_it_everything_works(alice, double):
    """And the page that was shown before still decides."""
    plugin = Plugin(alice.instance)
    link = plugin.link("corp", ["read"], user=alice)["authorizationUrl"]
    body = page_members(alice.asked(link).json(), link)
    assert alice.post("/api/connect", body).status_code == 200
    alice.connect(link)
    assert plugin.token("corp", ["read"], user=alice)["accessToken"]
