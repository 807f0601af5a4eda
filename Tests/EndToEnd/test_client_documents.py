"""Clients that are described by a document at their own address (B-CIMD), and addresses that mean harm."""

import ipaddress
import json
import socket
import ssl
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from harness.database import Database
from harness.flow import timed
from harness.oauth import Client, granted, pkce, refused
from harness.people import Person

REDIRECT = "http://localhost/callback"


class Site(ThreadingHTTPServer):
    """An https site on loopback; each path behaves in its own way. `asked` are the paths, in order."""

    daemon_threads = True

    def __init__(self, instance):
        super().__init__(("127.0.0.1", 0), Answers)
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(instance.dir / "etc/tls/cert.pem", instance.dir / "etc/tls/key.pem")
        self.socket = tls.wrap_socket(self.socket, server_side=True)
        self.origin = f"https://localhost:{self.server_port}"
        self.asked: list[str] = []
        self.headers: list[dict] = []
        self.changes: dict = {}
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, *_):
        pass  # whoever was hung up on

    def document(self, path: str) -> dict:
        return {"client_id": self.origin + path, "client_name": "Documented", "redirect_uris": [REDIRECT],
                "grant_types": ["authorization_code", "refresh_token"], "token_endpoint_auth_method": "none"} | self.changes


class Answers(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        self.server.headers.append(dict(self.headers))
        kind = self.path.split("/")[1].split(".")[0]
        try:
            getattr(self, f"say_{kind}", self.say_good)()
        except OSError:
            pass  # hung up on, as it should be

    def log_message(self, *_):
        pass

    def reply(self, body: bytes, status: int = 200, type: str = "application/json", **headers):
        self.send_response(status)
        for name, value in ({"Content-Type": type, "Content-Length": str(len(body))} | headers).items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def say_good(self):
        self.reply(json.dumps(self.server.document(self.path)).encode())

    def say_redirect(self):
        self.reply(b"", 302, Location=self.server.origin + "/good.json")

    def say_html(self):
        self.reply(json.dumps(self.server.document(self.path)).encode(), type="text/html")

    def say_missing(self):
        self.reply(json.dumps(self.server.document(self.path)).encode(), 404)

    def say_other(self):
        self.reply(json.dumps(self.server.document("/good.json")).encode())

    def say_secret(self):
        self.reply(json.dumps(self.server.document(self.path) | {"client_secret": "x"}).encode())

    def say_nameless(self):
        document = self.server.document(self.path)
        del document["client_name"]
        self.reply(json.dumps(document).encode())

    def say_big(self):
        self.reply(json.dumps(self.server.document(self.path) | {"padding": "x" * 11_000}).encode())

    def say_endless(self):
        """Ten gigabytes, if somebody took them."""
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(10 << 30))
        self.end_headers()
        for _ in range(10 << 14):
            self.wfile.write(b"x" * (64 << 10))

    def say_slow(self):
        body = json.dumps(self.server.document(self.path)).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        for byte in body:
            self.wfile.write(bytes([byte]))
            self.wfile.flush()
            time.sleep(0.2)


@pytest.fixture(scope="module")
def instance(module_instance_with_ca):
    return module_instance_with_ca


@pytest.fixture(scope="module")
def module_instance_with_ca():
    from harness.instance import Instance
    made = Instance()
    with (made.dir / "etc/environment").open("a") as file:
        file.write(f"TOOLSHED_CA_FILE={made.ca}\n")
    try:
        yield made.start()
    finally:
        made.end()


@pytest.fixture
def site(instance):
    made = Site(instance)
    yield made
    made.shutdown()
    made.server_close()


def client_at(instance, site: Site, path: str) -> Client:
    client = Client(instance, redirect="http://localhost:3118/callback", client_id=site.origin + path)
    client.name = "Documented"
    return client


def test_b_cimd_1_to_5_a_document_stands_for_a_registration(instance, site):
    person, client = Person(instance), client_at(instance, site, "/good.json")
    shown = client.asked(person, client.query(pkce()[1])).json()
    assert shown["client"] == {"id": client.id, "name": "Documented", "kind": "document", "host": "localhost", "unverified": False,
                               "loopbackOnly": True}
    assert shown["redirect"]["destination"] == "localhost" and shown["warning"] is False
    client.log_in(person)
    assert client.renew().tokens["access_token"].startswith("tsa_")
    headers = site.headers[0]
    assert headers["Accept"] == "application/json" and "Cookie" not in headers and "Authorization" not in headers
    seen = len(site.asked)
    assert client.asked(person, client.query(pkce()[1])).status_code == 200
    assert len(site.asked) == seen, "B-CIMD-4: kept while it is fresh, once somebody approved"
    instance.sql("UPDATE oauth_client SET fresh_until_ms = 1 WHERE kind = 'document'")
    assert client.renew().tokens, "the token endpoint asks nobody"
    assert len(site.asked) == seen
    client.asked(person, client.query(pkce()[1]))
    assert len(site.asked) == seen + 1 and set(site.asked) == {"/good.json"}


def test_b_cimd_4_what_changed_is_shown_before_it_counts(instance, site):
    person, client = Person(instance), client_at(instance, site, "/good2.json")
    query = client.query(pkce()[1])
    shown = client.asked(person, query).json()
    site.changes = {"client_name": "Another name"}
    body = {"decision": "approve", "digest": shown["digest"], "formToken": shown["formToken"], "query": query}
    assert person.post("/api/authorize", body).status_code == 409
    site.changes = {"redirect_uris": ["http://localhost/other"]}
    assert client.asked(person, query).json()["error"] == "redirect-mismatch"


@pytest.mark.parametrize("path", ["/redirect", "/html", "/missing", "/other", "/secret", "/nameless", "/big", "/endless", "/slow"])
def test_b_cimd_2_and_3_a_hostile_or_wrong_document_is_no_client_and_holds_nobody_up(path, instance, site):
    person, client = Person(instance), client_at(instance, site, path)
    known = Client(instance)
    query = client.query(pkce()[1])
    answer, seconds = timed(lambda: client.asked(person, query))
    assert answer.status_code == 400 and answer.json()["error"] == "unknown-client", answer.text
    assert seconds < 12, "five seconds, on a machine that is busy"
    assert site.asked == [path], "not followed, not tried again"
    refused(client.refresh("tsf_x"), "invalid_client", 401)
    assert known.asked(person, known.query(pkce()[1])).status_code == 200, "others go on"
    client.asked(person, query)
    assert site.asked == [path] * 2, "errors are not remembered"


def test_slow_documents_take_no_thread_from_others(instance, site):
    person, client = Person(instance), client_at(instance, site, "/slow")
    waiting = [threading.Thread(target=lambda: client.asked(person, client.query(pkce()[1]))) for _ in range(16)]
    for thread in waiting:
        thread.start()
    _, seconds = timed(lambda: [Person(instance).get("/api/me") for _ in range(3)])
    for thread in waiting:
        thread.join(30)
    assert seconds < 5


@pytest.mark.parametrize("client_id", [
    "https://10.0.0.1/client", "https://169.254.169.254/latest/meta-data", "https://[fd00::1]/client", "https://0.0.0.0/client",
    "https://192.168.1.1:8443/client", "https://[::ffff:10.0.0.1]/client", "http://localhost/client", "https://localhost",
    "https://localhost/", "https://localhost/../client", "https://localhost/%2e%2e/client", "https://user@localhost/client",
    "https://localhost/client#x", "https://nowhere.invalid/client", "file:///etc/passwd", "https://localhost:1/client",
])
def test_b_cimd_1_and_2_addresses_that_are_not_asked(client_id, instance):
    person = Person(instance)
    client = Client(instance, redirect=REDIRECT, client_id=client_id)
    answer, seconds = timed(lambda: client.asked(person, client.query(pkce()[1])))
    assert answer.status_code == 400 and answer.json()["error"] == "unknown-client"
    assert seconds < 6


def private_addresses() -> list[str]:
    """Of this machine, in networks that are nobody else's business; loopback is let through where the service is on it."""
    told = subprocess.run(["hostname", "-I"], check=True, capture_output=True, text=True).stdout.split()
    return [each for each in told if ipaddress.ip_address(each).is_private]


def test_b_cimd_2_a_listener_at_an_address_of_this_network_is_never_connected_to(instance):
    addresses = private_addresses()
    if not addresses:
        pytest.skip("this machine has no address in a private network")
    for address in addresses:
        version = ipaddress.ip_address(address).version
        with socket.create_server((address, 0), family=socket.AF_INET6 if version == 6 else socket.AF_INET) as listener:
            host, port = f"[{address}]" if version == 6 else address, listener.getsockname()[1]
            socket.create_connection((address, port), timeout=5).close()
            listener.settimeout(5)
            listener.accept()[0].close()  # somebody who may can reach it
            client = Client(instance, redirect=REDIRECT, client_id=f"https://{host}:{port}/client")
            answer = client.asked(Person(instance), client.query(pkce()[1]))
            assert answer.status_code == 400 and answer.json()["error"] == "unknown-client"
            listener.setblocking(False)
            with pytest.raises(BlockingIOError):
                listener.accept()


def test_nobody_makes_the_server_ask_without_signing_in(instance, site):
    client = client_at(instance, site, "/good.json?unseen")
    assert client.asked(Person(instance, signed_in=False), client.query(pkce()[1])).status_code == 401
    refused(client.exchange("tsg_x", "x" * 43), "invalid_client", 401)
    assert site.asked == []


def test_addresses_that_anybody_makes_up_leave_nothing_and_are_not_asked_without_end(instance, site):
    person, other = Person(instance), Person(instance)
    before = documents(instance)
    answers = []
    for turn in range(40):
        client = client_at(instance, site, f"/good.json?{turn}")
        answers.append(client.asked(person, client.query(pkce()[1])))
        if answers[-1].status_code == 429:
            break
    assert len(site.asked) == len(answers) - 1 <= 24, "twenty at once, one more every three seconds"
    assert answers[-1].json()["error"] == "rate-limited" and int(answers[-1].headers["Retry-After"]) > 0
    assert documents(instance) == before, "nothing is kept of what nobody approved"
    theirs = client_at(instance, site, "/good.json?theirs")
    assert theirs.asked(other, theirs.query(pkce()[1])).status_code == 200, "others go on"
    theirs.log_in(other)
    assert documents(instance) == before + 1
    assert theirs.asked(person, theirs.query(pkce()[1])).status_code == 200, "what is kept needs no asking"


def documents(instance) -> int:
    return Database(instance).run("SELECT count(*) FROM oauth_client WHERE kind = 'document'")[0][0]


# Where its answers go


EVIL = "https://evil.example/back"


def test_b_aut_9_a_document_sends_nobody_anywhere_without_a_click(instance, site):
    site.changes = {"redirect_uris": [EVIL]}
    person, client = Person(instance), Client(instance, redirect=EVIL, client_id=site.origin + "/good.json?away")
    for query in (client.query(pkce()[1], response_type="token"), client.query(pkce()[1]) + "&prompt=none"):
        back = client.asked(person, query).json()
        assert back["status"] == "return" and back["location"].startswith(EVIL + "?error="), back
        assert back["goesByItself"] is False and back["destination"] == "evil.example"


def test_w_phish_1_a_document_of_one_host_that_goes_back_to_another_is_warned_of(instance, site):
    site.changes = {"redirect_uris": [EVIL, "https://localhost/back"]}
    person, client = Person(instance), Client(instance, redirect=EVIL, client_id=site.origin + "/good.json?elsewhere")
    shown = client.asked(person, client.query(pkce()[1])).json()
    assert shown["warning"] and shown["client"]["unverified"] and shown["client"]["host"] == "localhost"
    own = Client(instance, redirect="https://localhost/back", client_id=client.id)
    shown = own.asked(person, own.query(pkce()[1])).json()
    assert not shown["warning"] and not shown["client"]["unverified"], "its own host vouches for it"
    client.log_in(person)
    shown = client.asked(person, client.query(pkce()[1])).json()
    assert not shown["warning"] and shown["client"]["unverified"], "warned of once, marked always"


# Registration, in numbers


def test_b_dcr_1_a_flood_is_stopped_for_all_workers_and_nobody_else_is_affected(fresh):
    flooded = fresh(environment={"TOOLSHED_REGISTRATIONS_PER_HOUR": "180", "TOOLSHED_WORKERS": "4"}, double=False).start()
    body = {"redirect_uris": ["https://app.example/callback"]}
    # Three a minute from an address, eighteen an hour from its network.
    answers = [flooded.post("/register", json=body) for _ in range(8)]
    assert [answer.status_code for answer in answers] == [201] * 3 + [429] * 5
    assert answers[-1].headers["Retry-After"] and answers[-1].json()["error"] == "rate-limited"
    first = answers[0].json()["client_id"]
    client, person = Client(flooded, client_id=first), Person(flooded)
    client.tokens = {}
    code, verifier = client.code(person)
    granted(client.exchange(code, verifier))
    assert flooded.post("/register", json=body).status_code == 201, "what was authorized does not count"
    for _ in range(5):
        flooded.sql("UPDATE oauth_client SET created_at_ms = created_at_ms - 61000")
        for _ in range(3):
            flooded.post("/register", json=body)
    flooded.sql("UPDATE oauth_client SET created_at_ms = created_at_ms - 61000")
    assert flooded.post("/register", json=body).status_code == 429, "the network's hour"
    flooded.sql("UPDATE oauth_client SET created_at_ms = created_at_ms - 3600000")
    assert flooded.post("/register", json=body).status_code == 201


# Death


def test_kill_9_around_rotation_loses_no_client(fresh):
    instance = fresh(environment={"TOOLSHED_WORKERS": "2"}, double=False).start()
    person, client = Person(instance), Client(instance)
    client.log_in(person)
    for round in range(6):
        token, heard = client.tokens["refresh_token"], []
        asking = threading.Thread(target=lambda: heard.append(client.refresh(token)))
        asking.start()
        time.sleep(0.004 * round)
        for worker in instance.children("work"):
            instance.kill(worker)
        asking.join(30)
        instance.await_ready()
        answer = next((one for one in heard if one.status_code == 200), None) or client.refresh(token)
        client.tokens = granted(answer)
    assert client.renew().tokens
