"""The headers of api.md "Pages" and standards.md §5.1 on every route and every status, nginx's own error pages included.

What is walked comes from where it is defined: the operations of docs/openapi.yaml, the locations of nginx's route table,
the files of nginx/site. A new route, page or file is walked without a line here.
"""

import re
import socket
import ssl
import threading
from contextlib import closing
from http.client import HTTPResponse
from urllib.parse import urlsplit

import pytest
import requests
from requests.structures import CaseInsensitiveDict

from harness.answers import POLICY, assert_headers
from harness.contract import DOCUMENT, METHODS
from harness.flow import GITHUB
from harness.instance import ROOT
from harness.people import NAVIGATION, SAME_ORIGIN, Person, Plugin

SITE = ROOT / "nginx/site"
PAGES = {"index": "/"} | {file.stem: f"/{file.stem}" for file in SITE.glob("*.html") if not re.fullmatch(r"\dxx|\d{3}|index", file.stem)}
FILES = sorted(f"/{file.name}" for file in SITE.iterdir() if file.suffix in (".css", ".js", ".svg", ".png", ".ico", ".woff2"))
LOCATIONS = re.findall(r"(?m)^\s*location (?:(=|\^~|~) )?(\S+)\s*\{", (ROOT / "nginx/toolshed.conf").read_text())
WALKED = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")

seen: set[int] = set()


def addresses() -> list[str]:
    """One address for each location of the route table; those that are patterns are the files below."""
    return sorted({path if sign == "=" else path.rstrip("/") + "/nowhere" for sign, path in LOCATIONS if sign != "~"})


def concrete(path: str) -> str:
    path = path.replace("{provider}", "github")
    for name in re.findall(r"/([\w-]+)/\{id\}", path):
        path = path.replace("{id}", {"sessions": "s", "keys": "s", "passkeys": "w", "clients": "g"}.get(name, name[0]) + "_" + "A" * 22)
    return re.sub(r"\{\w+\}", "nowhere", path)


def walk(reply: requests.Response) -> requests.Response:
    """One answer of whatever kind, held to the rules."""
    path = urlsplit(reply.url).path
    where = f"{reply.request.method} {path}: {reply.status_code}"
    headers = reply.headers
    if path.startswith("/proxy/"):
        assert headers["Content-Security-Policy"] == "sandbox; default-src 'none'", where
        assert headers["X-Content-Type-Options"] == "nosniff" and headers["Cross-Origin-Resource-Policy"] == "same-origin", where
    else:
        assert_headers(reply)
        assert headers["Content-Security-Policy"] == POLICY, where
    assert headers.get("Cross-Origin-Opener-Policy") == ("same-origin" if path == "/vault" else None), where
    assert headers["Referrer-Policy"] == ("no-referrer" if re.match(r"/(done|error|api/auth/|api/sign-in/[^/]+/callback)", path) else "same-origin"), where
    if path in FILES and reply.ok:
        assert headers["Cache-Control"] == "no-cache", where
    elif not path.startswith("/.well-known/"):
        assert headers["Cache-Control"] in ("no-store", "no-cache" if path in FILES else "no-store"), where
    if reply.headers.get("Content-Type", "").startswith("text/html"):
        assert "charset=utf-8" in headers["Content-Type"].lower() or reply.status_code == 421, where
    for cookie in reply.raw.headers.getlist("Set-Cookie"):
        assert all(word in cookie for word in ("__Host-", "Path=/", "Secure", "HttpOnly", "SameSite=Lax")), where
    assert ("Allow" in headers) == (reply.status_code == 405), where
    assert reply.status_code not in (429, 503) or int(headers["Retry-After"]) > 0, where
    for name in ("X-Powered-By", "Via", "X-Accel-Redirect", "Status"):
        assert name not in headers, where
    seen.add(reply.status_code)
    return reply


@pytest.fixture(scope="module")
def callers(instance):
    """Nobody, a signed-in browser, a key, a plugin: what they say of themselves."""
    instance.double.reset()
    person, plugin = Person(instance), Plugin(instance)
    person.connect(GITHUB)
    cookie = f"__Host-toolshed={person.http.cookies['__Host-toolshed']}"
    return {"nobody": {}, "browser": {"Cookie": cookie} | SAME_ORIGIN,
            "key": {"Authorization": f"Bearer {person.api_key().key}"}, "plugin": {"Authorization": f"Bearer {plugin.key}"}}


@pytest.mark.parametrize("path", [*PAGES.values(), *FILES])
def test_pages_and_files(instance, path):
    for method in WALKED:
        reply = walk(instance.request(method, path))
        assert reply.status_code == (200 if method in ("GET", "HEAD") else 405), method
    assert walk(instance.get(path, headers={"If-None-Match": instance.get(path).headers.get("ETag", "x")})).status_code == 304


@pytest.mark.parametrize("path", addresses())
def test_every_location_of_the_route_table(instance, path):
    for method in WALKED:
        for headers in ({}, NAVIGATION, {"Sec-Fetch-Dest": "iframe"}):
            walk(instance.request(method, path, headers=headers))


@pytest.mark.parametrize("path", DOCUMENT["paths"])
def test_every_operation_for_every_caller(instance, callers, path):
    for method in DOCUMENT["paths"][path]:
        if method in METHODS and path not in ("/api/sign-out", "/api/vault/stop"):
            for headers in callers.values():
                extra = NAVIGATION if "/auth/" in path else {}
                for body in ({}, {"json": {}}, {"json": {"unknown": 1}}, {"data": "{"}):
                    walk(instance.request(method.upper(), concrete(path), headers=headers | extra, **body))


def test_what_succeeds_carries_them_too(instance):
    person, plugin = Person(instance, signed_in=False), Plugin(instance)
    for one in (person, plugin):
        one.http.hooks["response"].append(lambda reply, *_, **__: walk(reply) and None)
    person.sign_in()
    person.connect(plugin.link("github", ["repo"], user=person)["authorizationUrl"])
    plugin.token("github", ["repo"], user=person)
    key = person.api_key()
    connection = person.connections()[0]["id"]
    assert person.call("PATCH", f"/api/connections/{connection}", {"label": "x"}).status_code == 204
    assert person.delete(f"/api/keys/{key.id}").status_code == 204
    assert person.post("/api/vault/stop").status_code == 200
    assert person.sign_out().status_code == 204


def test_nginxs_own_refusals(instance):
    """Each as it is told to people and to programs; on the page of control too, where a further header is due."""
    for path in ("/vault", "/api/me", "/api/auth/github/callback", "/nowhere", "/token"):
        # The name is not ours; the line is too long; a header is; the body is; not HTTP at all; a name twice.
        assert walk(instance.get(path, headers={"Host": "evil.example"})).status_code == 421
        assert walk(instance.get(f"{path}?{'a' * 9000}")).status_code == 414
        assert walk(instance.get(path, headers={"X-Long": "a" * 9000})).status_code == 400
        assert walk(instance.post(path, data=b" " * 17_000)).status_code == 413
        assert walk(requests.get(f"http://localhost:{instance.port}{path}", timeout=10)).status_code == 400
        for request in (f"GET {path} HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n",
                        f"GET {path} HTTP/1.1\r\n\r\n", f"get {path} HTTP/1.1\r\nHost: localhost\r\n\r\n",
                        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n",
                        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: nonsense\r\n\r\n"):
            assert walk(raw(instance, request)).status_code == (501 if "nonsense" in request else 400)
    assert walk(instance.get("/connect?owner=toolshed&bridge=github&scope=repo", headers={"Sec-Purpose": "prefetch"})).status_code == 403


def raw(instance, request: str) -> requests.Response:
    """What no client library would send; the answer as if one had."""
    context = ssl.create_default_context(cafile=instance.ca)
    with closing(socket.create_connection(("localhost", instance.port), timeout=10)) as bare:
        with context.wrap_socket(bare, server_hostname="localhost") as connection:
            connection.sendall(request.encode())
            answer = HTTPResponse(connection)
            answer.begin()
            body = answer.read()
    reply = requests.Response()
    reply.status_code, reply._content, reply.raw = answer.status, body, _Raw(answer)
    reply.headers = CaseInsensitiveDict(answer.headers.items())
    reply.url = f"{instance.origin}{request.split()[1]}"
    reply.request = requests.Request(request.split()[0], reply.url).prepare()
    return reply


class _Raw:
    def __init__(self, answer: HTTPResponse):
        self.headers = self
        self.getlist = lambda name: answer.headers.get_all(name) or []


def test_limits(fresh):
    limited = fresh(limits=True, double=False).serve()
    with limited.session() as session:
        replies = [walk(session.post(limited.origin + "/api/sign-in/invitation", json={}, timeout=5)) for _ in range(30)]
    assert 429 in {reply.status_code for reply in replies}


@pytest.mark.parametrize("breaks", ["nobody listens", "it hangs up", "it speaks another language", "it never answers"])
def test_a_worker_that_fails(fresh, breaks):
    """502 and 504 are 503 to the world: nothing is lost, try again."""
    broken = fresh(double=False)
    settings = broken.dir / "etc/nginx/toolshed/fastcgi.conf"
    settings.write_text(settings.read_text().replace("fastcgi_read_timeout 30s", "fastcgi_read_timeout 1s"))
    with closing(socket.socket(socket.AF_UNIX)) as listener:
        if breaks != "nobody listens":
            (broken.dir / "run").mkdir(exist_ok=True)
            listener.bind(str(broken.dir / "run/toolshedd.sock"))
            listener.listen(16)
            threading.Thread(target=misbehave, args=(listener, breaks), daemon=True).start()
        broken.serve()
        for path in ("/api/me", "/api/connections", "/api/auth/github/login", "/token", "/healthz"):
            assert walk(broken.post(path)).status_code == 503
        assert walk(broken.get("/api/auth/github/login", headers={"Accept": "text/html"})).status_code == 503
        assert walk(broken.get("/vault")).status_code == 200


def misbehave(listener: socket.socket, how: str) -> None:
    kept = []
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        if how == "it hangs up":
            connection.close()
        else:
            kept.append(connection)
            if how == "it speaks another language":
                connection.sendall(b"HTTP/1.1 200 OK\r\n\r\nhello")


def test_the_walk_has_met_every_status(request):
    """Last in this file: what was not met was not walked."""
    walkers = {item.originalname for item in request.session.items if item.module is request.module}
    if not {name for name in vars(request.module) if name.startswith("test_")} <= walkers:
        pytest.skip("only a part of the walk was asked for")
    assert {200, 201, 204, 303, 400, 401, 403, 404, 405, 413, 414, 415, 421, 429, 503} <= seen, sorted(seen)
