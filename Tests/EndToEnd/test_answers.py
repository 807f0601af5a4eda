"""What workers answer, through nginx: one problem document per mistake, and the same headers on everything."""

import socket
import ssl

import pytest
import requests

from harness.answers import assert_headers, assert_problem
from harness.people import NAVIGATION, Person

ROUTES = [
    ("GET", "/api/me", 401, "invalid-token"), ("POST", "/api/me", 405, "method-not-allowed"),
    ("GET", "/api/tokens/vend", 405, "method-not-allowed"), ("POST", "/api/tokens/vend", 401, "invalid-token"),
    ("GET", "/api/connections", 401, "invalid-token"), ("GET", "/api/nowhere", 404, "not-found"),
    ("GET", "/api/connect?owner=toolshed&bridge=corp&scope=repo", 401, "invalid-token"),
    ("GET", "/api/requests/r_AAAAAAAAAAAAAAAAAAAAAA", 401, "invalid-token"),
    ("GET", "/api/sign-in/invitation", 405, "method-not-allowed"), ("PUT", "/healthz", 405, "method-not-allowed"),
]


@pytest.mark.parametrize("method, path, status, error", ROUTES)
def test_refusals(instance, method, path, status, error):
    assert_problem(instance.request(method, path, json=None if method == "GET" else {}), status, error)


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
def test_health(instance, path):
    reply = instance.get(path)
    assert reply.status_code == 200
    assert_headers(reply)


SPOOFED = {"X-Forwarded-For": "127.0.0.1", "Forwarded": "for=127.0.0.1", "X-Real-IP": "127.0.0.1"}


def test_metrics_are_for_this_machine(fresh):
    """Who comes by a unix socket has no address of this machine, and no field of the request gives one."""
    instance = fresh(double=False)
    [host] = [file for file in (instance.dir / "etc/nginx").rglob("*.conf") if "listen 127.0.0.1:" in file.read_text()]
    door = instance.dir / "run/door.sock"
    host.write_text(f"{host.read_text()}\nlisten unix:{door} ssl;\n")
    instance.start()
    assert instance.get("/metrics").status_code == 200
    context = ssl.create_default_context(cafile=instance.ca)
    for path, status in (("/healthz", 200), ("/metrics", 403)):
        with socket.socket(socket.AF_UNIX) as plain:
            plain.connect(str(door))
            with context.wrap_socket(plain, server_hostname="localhost") as secured:
                fields = "".join(f"{name}: {value}\r\n" for name, value in SPOOFED.items())
                secured.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost:{instance.port}\r\n{fields}Connection: close\r\n\r\n".encode())
                assert int(secured.recv(65536).split()[1]) == status


@pytest.mark.parametrize("body, names", [
    (b"", "JSON"), (b"{", ""), (b"[]", ""), (b'"x"', ""), (b"{}", "provider"), (b'{"provider": 7}', "provider"),
    (b'{"provider": "corp", "provider": "corp"}', "provider"), (b'{"provider": "corp", "colour": "red"}', "colour"),
    (b'{"provider": "corp", "scopes": "repo"}', "scopes"), (b'{"provider": "corp", "scopes": [1]}', "scopes"),
    (b'{"provider": "corp", "minTTL": -1}', "minTTL"), (b'{"provider": "corp", "minTTL": 3601}', "minTTL"),
    (b'{"provider": "corp", "minTTL": 1.5}', "minTTL"), (b'{"provider": "corp", "userId": 1}', "userId"),
    (b'{"provider": "corp"}', "userId"), (b'{"provider": "..", "userId": "u_AAAAAAAAAAAAAAAAAAAAAA"}', "provider"),
    (b'{"provider": "corp", "reason": "' + b"x" * 257 + b'"}', "reason"),
    (b'{"provider": "corp", "tool": "' + b"x" * 65 + b'"}', "tool"), (b"\xff\xfe", ""),
    (b'{"a":' * 2500, ""), (b'{"provider": "\xed\xa0\x80"}', ""),
])
def test_a_malformed_vend_names_the_member(instance, plugin, body, names):
    reply = plugin.http.post(instance.origin + "/api/tokens/vend", data=body,
                             headers={"Content-Type": "application/json"}, timeout=10)
    problem = assert_problem(reply, 400, "invalid-request")
    assert names in reply.text and problem["detail"]


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "", "application/jsonx"])
def test_only_json_is_read(instance, plugin, content_type):
    reply = plugin.http.post(instance.origin + "/api/tokens/vend", data=b"{}", headers={"Content-Type": content_type},
                             timeout=10)
    assert_problem(reply, 415, "unsupported-media-type")


@pytest.mark.parametrize("key", [None, "tsp_" + "A" * 70])
def test_who_calls_comes_before_what_is_sent(instance, key):
    for kind, body in (("text/plain", b"{}"), ("application/json", b"{"), ("", b"x")):
        headers = {"Content-Type": kind} | ({"Authorization": f"Bearer {key}"} if key else {})
        reply = requests.post(instance.origin + "/api/tokens/vend", data=body, headers=headers, verify=instance.ca,
                              timeout=10)
        assert_problem(reply, 401, "invalid-token")


@pytest.mark.parametrize("authorization", [
    "Bearer", "Bearer ", "Bearer x", "Basic dXNlcjpwYXNz", "Bearer tsp_" + "A" * 70, "bearer tsk_%00", "Bearer " + "é" * 20,
    "Bearer tsp_" + "A" * 4000,
])
def test_a_broken_key_is_just_wrong(instance, authorization):
    reply = instance.post("/api/tokens/vend", json={"provider": "corp"}, headers={"Authorization": authorization.encode()})
    assert_problem(reply, 401, "invalid-token")
    assert reply.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize("cookie", ["", "x", "tss_", "a" * 3000, "tss_" + "A" * 70, '"', "é"])
def test_a_broken_cookie_is_nobody(instance, cookie):
    reply = instance.get("/api/me", headers={"Cookie": f"__Host-toolshed={cookie}".encode()})
    assert_problem(reply, 401, "invalid-token")


def test_no_log_holds_a_secret_of_the_flow(instance, double, person, plugin):
    """Codes, states, tokens, keys and cookies of a whole flow, looked for in everything the instance wrote down."""
    asked = plugin.link("corp", ["repo"], user=person)
    approved = person.decide(asked["authorizationUrl"]).json()["location"]
    authorization = person.login(approved)
    callback = double.decide(authorization)
    person.navigate(callback, site="cross-site")
    token = plugin.token("corp", ["repo"], user=person)
    secrets = [value for part in (approved, authorization, callback)
               for name, _, value in (pair.partition("=") for pair in part.partition("?")[2].split("&"))
               if name in ("approval", "state", "code", "code_challenge")]
    secrets += [token["accessToken"], plugin.key, person.invitation["code"], *person.http.cookies.values()]
    assert len(secrets) >= 8 and all(len(secret) >= 8 for secret in secrets)
    for file in (instance.dir / "log").iterdir():
        if file.name != "double.log":
            text = file.read_text(errors="replace")
            assert [secret[:12] for secret in secrets if secret in text] == [], file.name


@pytest.mark.parametrize("name", ["NOPE!", "nosuch", "a~b~c", "~", "x" * 80, "owner~bridge"])
def test_a_callback_of_a_provider_that_is_none_leads_to_a_page_too(instance, name):
    """A person is looking at it, with a code in the address bar."""
    person = Person(instance)
    address = f"/api/auth/{name}/callback"
    for query in ("?code=SECRET&state=x", "?error=access_denied&state=x", "?x=1&x=2", ""):
        reply = person.navigate(address + query, site="cross-site")
        assert (reply.status_code, reply.headers.get("Location"), reply.text) == (303, "/error#invalid-link", ""), query
    # Without any cookie a known name is asked for once more; nothing of the query is in what comes after that.
    assert instance.get(f"{address}?code=SECRET&state=x&b=1", headers=NAVIGATION).headers["Location"].startswith("/error#")
    assert_problem(instance.request("POST", address, json={}), 405, "method-not-allowed")
