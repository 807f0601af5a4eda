"""/proxy: nginx puts the token in, and neither a caller nor a provider can make it do anything else."""

import base64
import hashlib
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import threading
from pathlib import Path

import pytest
import requests

from harness.answers import assert_problem
from harness.flow import at_once
from harness.instance import ROOT, Instance, free_port
from harness.people import NAVIGATION, Bearer, Person, Plugin
from harness.upstream import Upstream, raw
from harness.waiting import until

SANDBOX = "sandbox; default-src 'none'"


class Place:
    """An instance whose provider `upstream` has its API at our own; a person with a connection, and an API key."""

    def __init__(self):
        self.instance, self.upstream = Instance(), Upstream()
        self.instance.provide("upstream", self.upstream.provider(self.instance.double.port))
        self.instance.provide("upkeyed", self.upstream.keyed())
        self.instance.start()
        self.person = Person(self.instance)
        arrived = self.person.connect({"owner": "toolshed", "bridge": "upstream", "scope": "read"})
        assert arrived.status_code == 303, arrived.text
        self.key = self.person.api_key()
        self.tokens = [self.key.token("upstream")["accessToken"]]

    def call(self, method: str, path: str, key: Bearer | None = None, **more):
        headers = {"Authorization": f"Bearer {(key or self.key).key}"} | more.pop("headers", {})
        return self.instance.request(method, f"/proxy/upstream{path}", headers=headers, **more)

    def raw(self, target: str, *fields: str, method: str = "GET") -> tuple[int, bytes]:
        """A request line as it is, without a client that tidies it."""
        context = ssl.create_default_context(cafile=self.instance.ca)
        with socket.create_connection(("127.0.0.1", self.instance.port), timeout=20) as plain, \
                context.wrap_socket(plain, server_hostname="localhost") as channel:
            lines = [f"{method} {target} HTTP/1.1", "Host: localhost", f"Authorization: Bearer {self.key.key}", *fields,
                     "Connection: close", "", ""]
            channel.sendall("\r\n".join(lines).encode("latin-1"))
            answer = b""
            while block := channel.recv(65536):
                answer += block
        return int(answer[9:12] or 0), answer

    def last(self):
        return self.upstream.calls[-1]

    def memory(self) -> int:
        """Resident bytes of nginx and the daemon, the most of each since its start or the last reset."""
        return sum(int(next(line.split()[1] for line in Path(f"/proc/{pid}/status").read_text().splitlines()
                            if line.startswith("VmHWM"))) * 1024 for pid in self.processes())

    def processes(self) -> list[int]:
        parents = [self.instance.pid(), self.instance.pid("nginx.pid")]
        found = list(parents)
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                if int(stat.read_text().rpartition(")")[2].split()[1]) in parents:
                    found.append(int(stat.parent.name))
            except OSError:
                pass
        return found

    def temporary_files(self) -> list[str]:
        """What nginx holds open below its own folder, named or not (it unlinks such a file when it makes it)."""
        open_files = [link.readlink() for pid in self.processes() for link in Path(f"/proc/{pid}/fd").glob("*") if link.is_symlink()]
        return [str(file) for file in open_files if str(file).startswith(str(self.instance.dir / "run/nginx"))]

    def forget_peaks(self) -> None:
        for pid in self.processes():
            Path(f"/proc/{pid}/clear_refs").write_text("5")


@pytest.fixture(scope="module")
def place():
    made = Place()
    try:
        yield made
    finally:
        made.upstream.close()
        made.instance.end()


def test_the_provider_gets_the_token_and_not_the_callers_credential(place):
    reply = place.call("GET", "/items?state=open&q=a%2Fb")
    assert reply.status_code == 200 and reply.json() == {}
    call = place.last()
    assert call.target == "/base/items?state=open&q=a%2Fb" and call.method == "GET"
    assert call.header("authorization") == f"Bearer {place.tokens[0]}"
    assert place.key.key.encode() not in call.head


def test_only_named_request_headers_pass(place):
    sent = {"Accept": "text/x-own", "Content-Type": "text/x-mine", "Range": "bytes=0-1", "If-None-Match": '"e"',
            "If-Match": '"m"', "If-Modified-Since": "Thu, 01 Jan 1970 00:00:00 GMT", "X-Own-Version": "7",
            "Cookie": "__Host-toolshed=stolen; other=1", "X-Secret": "s", "Forwarded": "for=1", "X-Forwarded-For": "1.2.3.4",
            "Origin": "https://evil.example", "Referer": "https://evil.example/x", "Proxy-Authorization": "Basic eA==",
            "Toolshed-Reason": "list items", "X-Accel-Redirect": "/internal/problem", "TE": "trailers",
            "Accept-Encoding": "gzip", "Expect": "", "X-Original-URL": "/other", "X-Rewrite-URL": "/other"}
    assert place.call("POST", "/items2", headers=sent, data=b"x").status_code == 200
    names = {name for name, _ in place.last().headers}
    assert names == {"host", "authorization", "user-agent", "connection", "content-length", "accept", "content-type", "range",
                     "if-none-match", "if-match", "if-modified-since", "x-own-version"}
    assert place.last().header("x-own-version") == "7"
    assert place.last().header("host") == f"127.0.0.1:{place.upstream.port}"


# Who may, and who may not


def test_only_a_bearer_counts(place):
    before = len(place.upstream.calls)
    nobody = place.instance.get("/proxy/upstream/items")
    assert_problem_at_proxy(nobody, 401, "invalid-token")
    cookie = place.person.http.cookies["__Host-toolshed"]
    for headers in ({"Cookie": f"__Host-toolshed={cookie}"}, {"Authorization": f"Bearer {cookie}"}, {"Authorization": "Basic eA=="},
                    {"Authorization": "Bearer tsk_wrong"}, {"Authorization": f"Token {place.key.key}"},
                    {"Authorization": f"Bearer {place.key.key}x"}):
        assert_problem_at_proxy(place.instance.get("/proxy/upstream/items", headers=headers), 401, "invalid-token")
    status, _ = place.raw("/proxy/upstream/items", f"Authorization: Bearer {place.key.key}")
    assert status == 400, "two credentials are none"
    assert len(place.upstream.calls) == before


def test_a_browser_that_navigates_gets_nothing(place):
    reply = place.call("GET", "/items", headers=NAVIGATION)
    assert_problem_at_proxy(reply, 403, "not-permitted")


def test_a_person_must_act_as_at_vend(place):
    stranger = Person(place.instance)
    key = stranger.api_key()
    problem = assert_problem_at_proxy(place.call("GET", "/notes/7", key=key), 403, "authorization-required")
    vended = key.link("upstream", ["notes"])
    assert problem["requestId"] == vended["requestId"], "the same need, the same link"
    assert set(problem) == set(vended) and problem["missingScopes"] == ["notes"]
    assert problem["matchCode"] == vended["matchCode"] and problem["reason"] == "not-connected"
    stranger.connect(problem["authorizationUrl"])
    assert place.call("GET", "/notes/7", key=key).status_code == 200


def test_scopes_are_those_of_the_operation_unless_the_caller_names_them(place):
    problem = assert_problem_at_proxy(place.call("POST", "/items"), 403, "authorization-required")
    assert problem["missingScopes"] == ["write"] and problem["grantedScopes"] == ["read"]
    problem = assert_problem_at_proxy(place.call("GET", "/items", headers={"Toolshed-Scope": "read repo"}), 403, "authorization-required")
    assert problem["missingScopes"] == ["repo"]
    assert place.call("GET", "/somewhere/else").status_code == 200, "what the catalogue does not know needs what there is"


def test_a_refusal_that_would_not_fit_into_a_field_comes_without_its_lists(place):
    scopes = [f"https://api.example/auth/{number:02}/:::::::" for number in range(28)]
    vended = place.key.link("upstream", scopes)
    assert len(json.dumps(vended)) > 3072 and len(vended["missingScopes"]) == 28
    problem = assert_problem_at_proxy(place.call("GET", "/items", headers={"Toolshed-Scope": " ".join(scopes)}), 403, "authorization-required")
    assert problem["authorizationUrl"] == vended["authorizationUrl"] and problem["matchCode"] == vended["matchCode"]
    assert problem["missingScopes"] == problem["grantedScopes"] == []


def test_another_set_of_scopes_that_does_as_well_is_not_asked_again(place):
    holder = Person(place.instance)
    holder.connect({"owner": "toolshed", "bridge": "upstream", "scope": "admin"})
    assert place.call("POST", "/items", key=holder.api_key()).status_code == 200


def test_a_plugin_says_whose(place):
    plugin, person = Plugin(place.instance), Person(place.instance)
    assert_problem_at_proxy(place.call("GET", "/items", key=plugin), 400, "invalid-request")
    who = {"Toolshed-User": person.user_id, "Toolshed-Reason": "List%20them, s%C3%AE", "Toolshed-Tool": "items"}
    problem = assert_problem_at_proxy(place.call("GET", "/items", key=plugin, headers=who), 403, "authorization-required")
    shown = person.asked(problem["authorizationUrl"]).json()
    assert shown["reason"] == "List them, sî" and shown["tool"] == "items"
    person.connect(problem["authorizationUrl"])
    assert place.call("GET", "/items", key=plugin, headers=who).status_code == 200
    assert_problem_at_proxy(place.call("GET", "/items", key=plugin, headers={"Toolshed-User": "u_nobody"}), 403, "not-permitted")


def test_an_agents_own_fields_are_held_to_their_form(place):
    for name, value in (("Toolshed-Scope", 'a"b'), ("Toolshed-Account", "%00"), ("Toolshed-Reason", "x" * 257),
                        ("Toolshed-Reason", "%zz"), ("Toolshed-Tool", "x" * 65), ("Toolshed-Account", "x" * 257)):
        problem = assert_problem_at_proxy(place.call("GET", "/items", headers={name: value}), 400, "invalid-request")
        assert problem["errors"][0]["member"] == name
    assert_problem_at_proxy(place.call("GET", "/items", headers={"Toolshed-User": "u_another"}), 403, "owner-mismatch")


def test_providers_that_are_not_there(place):
    def at(path):
        return place.instance.get(path, headers={"Authorization": f"Bearer {place.key.key}"})
    assert_problem_at_proxy(at("/proxy/nowhere/x"), 404, "unknown-provider")
    assert_problem_at_proxy(at("/proxy/notion/x"), 424, "provider-not-configured")
    assert_problem_at_proxy(at("/proxy/acme~github/x"), 404, "unknown-provider")
    assert_problem_at_proxy(place.instance.get("/proxy/nowhere/x"), 401, "invalid-token")
    for path, status in (("/proxy", 404), ("/proxy/", 400), ("/proxy/upstream", 404)):
        assert at(path).status_code == status, path


def test_a_call_is_on_record_with_what_was_called(place):
    place.call("GET", "/items?page=secret", headers={"Toolshed-Reason": "To%20see"})

    def recorded():
        lines = place.person.get("/api/activity?limit=5").json()["activity"]
        return [line for line in lines if line["event"] == "vended" and line.get("tool") == "GET /items" and line["reason"] == "To see"]
    until(recorded, "the record of the call")


# Methods and what stands for them


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"])
def test_methods_pass(place, method):
    assert place.call(method, "/anything").status_code == 200
    assert place.last().method == method


@pytest.mark.parametrize("method", ["OPTIONS", "PROPFIND", "TRACE", "CONNECT", "FOO"])
def test_other_methods_do_not(place, method):
    before = len(place.upstream.calls)
    assert place.call(method, "/anything").status_code == 405
    assert len(place.upstream.calls) == before


@pytest.mark.parametrize("name", ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", "Upgrade"])
def test_what_would_make_it_another_request_is_refused(place, name):
    before = len(place.upstream.calls)
    problem = assert_problem_at_proxy(place.call("POST", "/anything", headers={name: "DELETE"}), 400, "invalid-request")
    assert problem["errors"][0]["member"] == name
    assert len(place.upstream.calls) == before


@pytest.mark.parametrize("query", ["access_token=x", "%61ccess_token=x", "a=1&ACCESS_TOKEN=x", "_method=DELETE", "a;access_token=1"])
def test_a_credential_or_a_method_in_the_query_is_refused(place, query):
    assert_problem_at_proxy(place.call("GET", f"/items?{query}"), 400, "invalid-request")


# Spellings


REFUSED = """/.. /../x /a/../b /a/./b /a/. /a/.. /%2e%2e/x /%2E./x /.%2e/x /a/%2e%2e/b /%252e%252e/x /..;/x /..%3b/x /..%2fx
    /a%2f..%2fb /a%5cb /a%255cb /a\\b /..\\x /a%00b /a%0ab /a%0d%0aX:1 /a%7f //a /a//b /a///  /a%zz /%c0%ae%c0%ae/x
    /%ef%bc%8e%ef%bc%8e/x /a#b /%e2%80%a5/x /a\"b /a<b /a^b /a{b /x?a#b /a%09b /a%c2%80b""".split()


@pytest.mark.parametrize("path", REFUSED)
def test_what_two_parsers_could_read_differently_is_refused(place, path):
    before = len(place.upstream.calls)
    status, answer = place.raw("/proxy/upstream" + path)
    assert status == 400, (path, answer[:300])
    assert len(place.upstream.calls) == before


@pytest.mark.parametrize("target", [
    "/proxy/./upstream/x", "/proxy/other/../upstream/x", "/proxy//upstream/x", "//proxy/upstream/x", "/x/../proxy/upstream/x",
    "/%70roxy/upstream/x", "/proxy/%75pstream/x", "/proxy%2fupstream/x", "/proxy/upstream%2fx", "/proxy/github/..%2fupstream/x",
    "/proxy/github/%2e%2e/upstream/x", "/proxy/upstream;/x", "/Proxy/upstream/x", "/proxy/upstream%00/x", "/proxy/Upstream/x",
    "/proxy/toolshed~upstream/../upstream/x"])
def test_another_spelling_of_our_own_part_is_refused(place, target):
    before = len(place.upstream.calls)
    status, answer = place.raw(target)
    # Paths are told apart by case: that one is no other spelling, it is nowhere.
    assert status == (404 if target.startswith("/Proxy") else 400), answer[:300]
    assert len(place.upstream.calls) == before


@pytest.mark.parametrize("path", [
    "/", "/x/", "/a%2fb", "/a%2Fb/c", "/a%252Fb", "/x?", "/x?q=..%2f..&r=a+b", "/%e2%82%ac", "/a;v=1/b", "/x:batch",
    "/x?a[]=1", "/%7Euser/~user", "/x?q=%5C%0A", "/-._~!$&'()*+,;=:@", "/x?http://y/../z", "/a/..b/c..", "/a%20b", "/x?%26=%3D"])
def test_the_provider_gets_the_same_bytes(place, path):
    status, answer = place.raw("/proxy/upstream" + path)
    assert status == 200, answer[:500]
    assert place.last().target == "/base" + path


def test_an_absolute_target_is_its_path(place):
    status, _ = place.raw("https://localhost/proxy/upstream/abs?x=1")
    assert status == 200 and place.last().target == "/base/abs?x=1"


# A provider that would steer


HOSTILE = {"Set-Cookie": "__Host-toolshed=x; Path=/; Secure", "Clear-Site-Data": '"*"', "Refresh": "0; url=https://evil.example",
           "Link": "</x.css>; rel=preload", "Service-Worker-Allowed": "/", "Access-Control-Allow-Origin": "*",
           "Access-Control-Allow-Credentials": "true", "Access-Control-Allow-Headers": "*", "Access-Control-Allow-Methods": "*",
           "Access-Control-Expose-Headers": "*", "Access-Control-Max-Age": "86400", "Access-Control-Allow-Private-Network": "true",
           "Strict-Transport-Security": "max-age=9; includeSubDomains", "Alt-Svc": 'h3="evil.example:443"', "NEL": '{"report_to":"x"}',
           "Report-To": '{"group":"x"}', "Reporting-Endpoints": 'x="https://evil.example"', "WWW-Authenticate": "Basic realm=x",
           "Content-Security-Policy": "default-src *", "X-Frame-Options": "ALLOWALL", "X-Content-Type-Options": "none",
           "Referrer-Policy": "unsafe-url", "Permissions-Policy": "camera=*", "Cross-Origin-Resource-Policy": "cross-origin",
           "Cross-Origin-Opener-Policy": "unsafe-none", "Cache-Control": "public, max-age=99999", "Expires": "Thu, 01 Jan 2037 00:00:00 GMT",
           "Public-Key-Pins": "x", "SourceMap": "/x", "Origin-Trial": "x", "Speculation-Rules": '"/x"', "Accept-CH": "DPR",
           "Toolshed-Authorization": "Bearer forged", "Toolshed-Problem": "eA", "Proxy-Authenticate": "Basic", "Age": "1", "Vary": "*"}
STEERING = {"X-Accel-Redirect": "/internal/authorize/upstream", "X-Accel-Expires": "3600", "X-Accel-Limit-Rate": "1",
            "X-Accel-Buffering": "yes", "X-Accel-Charset": "utf-16"}


@pytest.mark.parametrize("status", ["200 OK", "206 Partial", "301 Moved", "302 Found", "304 Not Modified", "400 Bad", "401 No", "403 No", "404 No", "405 No",
                                    "413 No", "429 Slow", "500 Broken", "502 Bad", "503 Off", "504 Late", "418 Teapot"])
def test_nothing_a_provider_says_steers_nginx_or_a_browser(place, status):
    fields = "".join(f"{name}: {value}\r\n" for name, value in (HOSTILE | STEERING).items())
    body = b"" if status.startswith("304") else b"<script>alert(1)</script>"
    head = f"HTTP/1.1 {status}\r\nContent-Type: text/html\r\nETag: \"e\"\r\nX-Own: kept\r\nLocation: https://evil.example/\r\n{fields}"
    place.upstream.answers["/hostile"] = raw(head.encode() + f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
    reply = place.call("GET", "/hostile")
    assert reply.status_code == int(status[:3]), "the provider's own status, whatever it is"
    assert reply.content == body
    expected = {"Content-Security-Policy": SANDBOX, "X-Content-Type-Options": "nosniff", "Cross-Origin-Resource-Policy": "same-origin",
                "Cache-Control": "no-store", "X-Frame-Options": "DENY", "X-Own": "kept", "ETag": '"e"', "Location": "https://evil.example/",
                "Referrer-Policy": "same-origin"}
    assert {name: reply.headers.get(name) for name in expected} == expected
    left = (set(HOSTILE) | set(STEERING)) - set(expected) - {"Permissions-Policy"}
    assert [name for name in left if name in reply.headers] == []
    assert "camera=()" in reply.headers["Permissions-Policy"]
    assert place.tokens[0] not in str(reply.headers) + reply.text


def test_no_redirect_of_nginx_reaches_the_authorizing_location(place):
    for location in ("/internal/authorize/upstream", "/internal/authorize", "/internal/problem", "/errors/problem/404", "/api/me"):
        place.upstream.answers["/accel"] = raw(
            f"HTTP/1.1 200 OK\r\nX-Accel-Redirect: {location}\r\nContent-Length: 5\r\n\r\nplain".encode())
        reply = place.call("GET", "/accel")
        assert reply.status_code == 200 and reply.text == "plain"
        assert "Toolshed-Authorization" not in reply.headers and place.tokens[0] not in str(reply.headers)
        outside = place.instance.get(location, headers={"Authorization": f"Bearer {place.key.key}"})
        assert "Toolshed-Authorization" not in outside.headers and place.tokens[0] not in str(outside.headers) + outside.text
        assert outside.status_code == (200 if location == "/api/me" else 404)


# Bodies


class Length:
    """A body of so many bytes that says how many, and is never held as a whole."""

    def __init__(self, size: int):
        self.left = size
        self.size = size

    def __len__(self):
        return self.size

    def read(self, most: int = -1) -> bytes:
        block = b"x" * min(self.left, most if most > 0 else 1 << 16)
        self.left -= len(block)
        return block


@pytest.mark.parametrize("size", [0, 1 << 20, 100 << 20])
def test_bodies_stream_at_constant_memory(place, size):
    def blocks():
        left = size
        while left:
            block = b"x" * min(left, 1 << 16)
            left -= len(block)
            yield block
    digest = hashlib.sha256(b"x" * size).hexdigest()
    place.call("GET", "/items")
    place.forget_peaks()
    before = place.memory()
    during = []

    def watched():
        for number, block in enumerate(blocks()):
            if number % 200 == 0:
                during.extend(place.temporary_files())
            yield block

    chunked = place.call("POST", "/sink", data=watched())
    assert during == [], "nginx keeps the body in no file"
    assert chunked.json() == {"bytes": size, "sha256": digest}
    counted = place.call("PUT", "/sink", data=Length(size))
    assert counted.json() == {"bytes": size, "sha256": digest}
    received = 0
    with place.instance.session() as session, session.get(
            f"{place.instance.origin}/proxy/upstream/source?bytes={size}", stream=True, timeout=60,
            headers={"Authorization": f"Bearer {place.key.key}"}) as reply:
        assert reply.status_code == 200
        for block in reply.iter_content(1 << 16):
            received += len(block)
    assert received == size
    grown = place.memory() - before
    assert grown < 8 << 20, f"nobody holds a body: {grown}"
    assert [file for file in (place.instance.dir / "run/nginx").rglob("*") if file.is_file()] == []


def test_an_answer_passes_while_it_is_made(place):
    more = threading.Event()

    def slowly(connection, call):
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n")
        assert more.wait(20)
        connection.sendall(b"9\r\ndata: 2\n\n\r\n0\r\n\r\n")

    place.upstream.answers["/events"] = slowly
    with place.instance.session() as session, session.get(
            f"{place.instance.origin}/proxy/upstream/events", stream=True, timeout=20,
            headers={"Authorization": f"Bearer {place.key.key}"}) as reply:
        events = reply.iter_content(None)
        assert next(events) == b"data: 1\n\n", "before the provider has finished"
        assert place.temporary_files() == [], "nginx keeps the answer in no file"
        more.set()
        assert next(events) == b"data: 2\n\n"


def test_a_refused_body_is_not_read_to_its_end(place):
    stranger = Person(place.instance).api_key()
    reply = place.call("POST", "/sink", key=stranger, data=b"x" * 200_000)
    assert_problem_at_proxy(reply, 403, "authorization-required")
    assert [file for file in (place.instance.dir / "run/nginx").rglob("*") if file.is_file()] == []


# A provider that fails


def test_a_provider_that_is_gone_is_a_problem_document(place):
    closed = socket.create_server(("127.0.0.1", 0))
    port = closed.getsockname()[1]
    closed.close()
    instance = place.instance
    instance.provide("gone", place.upstream.provider(instance.double.port).replace("  upstream:", "  gone:")
                     .replace(f"127.0.0.1:{place.upstream.port}", f"127.0.0.1:{port}"))
    assert instance.reload().returncode == 0
    person = Person(instance)
    person.connect({"owner": "toolshed", "bridge": "gone", "scope": "read"})
    reply = instance.get("/proxy/gone/x", headers={"Authorization": f"Bearer {person.api_key().key}"})
    assert_problem_at_proxy(reply, 503, "unavailable")


@pytest.mark.parametrize("answer", [
    b"", b"HTTP/1.1 200", b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000 + b"\r\n\r\n"])
def test_a_provider_that_speaks_no_http_is_a_problem_document(place, answer):
    place.upstream.answers["/nonsense"] = raw(answer)
    assert_problem_at_proxy(place.call("GET", "/nonsense"), 503, "unavailable")


@pytest.mark.parametrize("answer", [
    b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nhello"])
def test_an_answer_that_contradicts_itself_ends_with_its_connection(place, answer):
    place.upstream.answers["/nonsense"] = raw(answer)
    _, whole = place.raw("/proxy/upstream/nonsense") if answer[:4] == b"HTTP" else (0, b"")
    assert place.tokens[0].encode() not in whole
    assert place.call("GET", "/items").status_code == 200, "nobody else is affected"


def test_a_provider_that_stops_halfway_ends_the_answer(place):
    place.upstream.answers["/half"] = raw(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf")
    status, answer = place.raw("/proxy/upstream/half")
    assert status == 200 and answer.endswith(b"half")
    assert place.call("GET", "/items").status_code == 200


def test_a_switch_of_protocols_is_not_followed(place):
    place.upstream.answers["/switch"] = raw(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nraw bytes")
    status, answer = place.raw("/proxy/upstream/switch")
    assert b"Toolshed-Authorization" not in answer
    assert place.call("GET", "/items").status_code == 200


def test_without_a_worker_nothing_passes(fresh):
    upstream = Upstream()
    instance = fresh()
    instance.provide("upstream", upstream.provider(instance.double.port))
    instance.start()
    instance._script("stop")
    instance.serve()
    reply = instance.get("/proxy/upstream/x", headers={"Authorization": "Bearer tsk_x"})
    assert_problem_at_proxy(reply, 503, "unavailable")
    assert upstream.calls == []
    upstream.close()


# Freshness


def test_a_token_that_expired_is_refreshed_first(place):
    person = Person(place.instance)
    person.connect({"owner": "toolshed", "bridge": "upstream", "scope": "read"})
    key = person.api_key()
    assert place.call("GET", "/items", key=key).status_code == 200
    first = place.last().header("authorization")
    place.instance.sql("UPDATE connection SET expires_at_ms = 1000, obtained_at_ms = 0 WHERE id = ?",
                       base64.urlsafe_b64decode(person.connections()[0]["id"][2:] + "=="))
    replies = at_once(*[lambda: place.call("GET", "/items", key=key) for _ in range(4)])
    assert {reply.status_code for reply in replies} == {200}
    assert place.last().header("authorization") != first


# Nothing is left anywhere


def test_the_token_is_in_no_answer_log_or_file(place):
    everything = [reply for reply in (
        place.call("GET", "/items"), place.call("GET", "/hostile"), place.call("POST", "/items"))]
    for reply in everything:
        assert all(token not in reply.text + str(reply.headers) for token in place.tokens)
    secrets = [token.encode() for token in place.tokens] + [place.key.key.encode()]
    for folder in ("log", "run", "etc"):
        for file in (place.instance.dir / folder).rglob("*"):
            if file.is_file() and not file.is_socket() and "double" not in file.name:
                content = file.read_bytes()
                assert not any(secret in content for secret in secrets), file
    log = place.instance.log("toolshed-access.log")
    assert "/proxy/upstream/items " in log or '/proxy/upstream/items"' in log
    assert "state=open" not in log and "secret" not in log, "no query in the log"


def test_the_lines_that_the_guide_begins_with_work(place):
    """docs/INJECTION.md and docs/MCP.md, with what make up lays out."""
    folder = place.instance.dir / "demo"
    person, plugin = Person(place.instance), Plugin(place.instance)
    need = plugin.link("demo", ["repo"], user=person)
    person.connect(need["authorizationUrl"])
    (folder / "authorization").write_text(f"Authorization: Bearer {plugin.key}\n")
    (folder / "ask.json").write_text(json.dumps({"userId": person.user_id, "provider": "demo", "scopes": ["repo"]}))
    for name, answer in (("INJECTION.md", '"live"'), ("MCP.md", '"connections"')):
        command = re.search(r"```sh\n(curl .*?)```", (ROOT / f"docs/{name}").read_text(), re.S)[1]
        command = command.replace(".up/", f"{place.instance.dir}/").replace("https://localhost:8443", place.instance.origin)
        environment = os.environ | {"KEY": person.api_key().key}
        done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, env=environment, timeout=30)
        assert answer in done.stdout, (name, done)


def test_toolshedd_nginx_prints_what_is_in_use(place):
    printed = place.instance.toolshedd("nginx").stdout
    files = {file["name"]: file["text"] for file in json.loads(place.instance.toolshedd("nginx", "--json").stdout)["files"]}
    assert "upstream.conf" in files and all(text in printed for text in files.values())
    for name, text in files.items():
        assert (place.instance.dir / "etc/nginx/toolshed/proxy.d" / name).read_text() == text
    assert "secret" not in printed
    refused = place.instance.toolshedd("nginx", "--resolver", "evil; }", ok=False)
    assert refused.returncode != 0 and "IP address" in refused.stderr


def test_injection_may_have_a_host_of_its_own(fresh):
    upstream, instance = Upstream(), fresh()
    instance.provide("upstream", upstream.provider(instance.double.port))
    instance.start()
    folder, port = instance.dir / "etc/nginx", free_port()
    server = instance.toolshedd("nginx", "--host", "api.localhost", "--certificate", str(instance.dir / "etc/tls/cert.pem"),
                                "--certificate-key", str(instance.dir / "etc/tls/key.pem"), "--root", str(ROOT / "nginx/site")).stdout
    server = server.replace("listen 443", f"listen 127.0.0.1:{port}").replace("    listen [::]:443 ssl http2;\n", "")
    (folder / "proxy-host.conf").write_text(server)
    main = folder / "nginx.conf"
    main.write_text(main.read_text().replace("include toolshed.conf;", "include toolshed.conf; include proxy-host.conf;"))
    for file in (folder / "toolshed/proxy.d").iterdir():
        file.unlink()
    nginx = [shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin:/sbin"), "-e", str(instance.dir / "log/nginx.log"), "-p", f"{folder}/", "-c", str(main)]
    subprocess.run([*nginx, "-t"], check=True, capture_output=True)
    subprocess.run([*nginx, "-s", "reload"], check=True, capture_output=True)
    person = Person(instance)
    person.connect({"owner": "toolshed", "bridge": "upstream", "scope": "read"})
    headers = {"Authorization": f"Bearer {person.api_key().key}"}

    def at_own_host(path, name="api.localhost"):
        # The certificate is the other name's.
        try:
            return requests.get(f"https://127.0.0.1:{port}{path}", headers=headers | {"Host": name}, verify=instance.ca, timeout=20)
        except requests.ConnectionError:
            return None

    until(lambda: at_own_host("/proxy/upstream/items"), "nginx to listen there")
    reply = at_own_host("/proxy/upstream/items")
    assert reply.status_code == 200 and reply.headers["Content-Security-Policy"] == SANDBOX
    assert_problem_at_proxy(at_own_host("/proxy/nowhere/x"), 404, "unknown-provider")
    for path in ("/", "/vault", "/api/me", "/mcp", "/internal/authorize/upstream"):
        assert at_own_host(path).status_code == 404, path
    assert at_own_host("/proxy/upstream/items", "localhost").status_code == 421
    assert_problem_at_proxy(instance.get("/proxy/upstream/items", headers=headers), 404, "not-found")
    for wrong in (["--host", "a;b"], ["--host", "a.example"], ["--host", "a.example", "--certificate", "/x y", "--certificate-key", "/k"]):
        assert instance.toolshedd("nginx", *wrong, ok=False).returncode != 0
    upstream.close()


def assert_problem_at_proxy(reply, status: int, error: str) -> dict:
    """As everywhere, under the policy of proxied answers."""
    assert reply.status_code == status, f"{reply.status_code} {reply.text}"
    assert reply.headers["Content-Type"] == "application/problem+json"
    assert reply.json()["error"] == error and reply.json()["status"] == status
    assert reply.headers["Cache-Control"] == "no-store" and reply.headers["Content-Security-Policy"] == SANDBOX
    assert ("WWW-Authenticate" in reply.headers) == (status == 401)
    assert status not in (429, 503) or int(reply.headers["Retry-After"]) > 0
    assert "Toolshed-Problem" not in reply.headers and "Toolshed-Authorization" not in reply.headers
    return reply.json()


# What limits a plugin

def test_a_plugin_with_rules_for_calls_makes_those_calls_and_gets_no_token(place):
    plugin = Plugin(place.instance, None, "--call", "upstream GET,HEAD /repos", "--call", "upstream POST /graphql")
    for_person = {"headers": {"Toolshed-User": place.person.user_id}}
    refused = plugin.vend("upstream", ["read"], user=place.person)
    assert "limits" in assert_problem(refused, 403, "not-permitted")["detail"], "not into its hands"
    asked = place.call("GET", "/repos", plugin, **for_person)
    assert asked.json()["error"] == "authorization-required"
    place.person.connect(asked.json()["authorizationUrl"])
    for method, path in (("GET", "/repos"), ("GET", "/repos/octo?page=2"), ("POST", "/graphql")):
        assert place.call(method, path, plugin, **for_person).status_code == 200, path
    before = len(place.upstream.calls)
    for method, path in (("GET", "/repository"), ("DELETE", "/repos/octo"), ("GET", "/"), ("GET", "/repos%2Focto"),
                         ("POST", "/graphql/more")):
        refused = place.call(method, path, plugin, **for_person)
        assert refused.status_code == 403 and "authorizationUrl" not in refused.text, path
    assert len(place.upstream.calls) == before


def test_a_key_goes_where_its_api_reads_it(place):
    """In the header that the entry names, and in no other; what a client put there does not pass."""
    place.person.connect({"owner": "toolshed", "bridge": "upkeyed", "scope": ""}, key="opaque-key-of-a-person")
    reply = place.instance.get("/proxy/upkeyed/items", headers={"Authorization": f"Bearer {place.key.key}", "X-Api-Key": "mine"})
    assert reply.status_code == 200
    assert [value for name, value in place.last().headers if name == "x-api-key"] == ["opaque-key-of-a-person"]
    assert place.last().header("authorization") is None
