"""The three client libraries and their examples, against the running service and against one that behaves badly."""

import importlib.util
import json
import os
import socketserver
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from harness.instance import BINARY, ROOT
from harness.people import Plugin
from harness.waiting import until

CLIENTS = ROOT / "clients"
EXAMPLES = {
    "python": [sys.executable, CLIENTS / "examples/issues.py"],
    "javascript": ["node", CLIENTS / "examples/issues.mjs"],
    "swift": [BINARY.parent / "example-plugin"],
}


def library():
    spec = importlib.util.spec_from_file_location("toolshed", CLIENTS / "python/toolshed.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["toolshed"] = module
    spec.loader.exec_module(module)
    return module


toolshed = library()


class Example:
    """A running example, line by line."""

    def __init__(self, language: str, **environment):
        clean = {name: value for name, value in os.environ.items() if not name.startswith("TOOLSHED_")}
        self.process = subprocess.Popen([str(part) for part in EXAMPLES[language]], env=clean | environment, text=True,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def line(self) -> str:
        return self.process.stdout.readline().rstrip("\n")

    def link(self) -> tuple[str, str]:
        opened, code = self.line(), self.line()
        assert opened.startswith("Open https://") and code.startswith("and compare the code: "), (opened, code)
        return opened[5:], code[-4:]

    def end(self) -> tuple[int, str]:
        rest = self.process.communicate(timeout=60)[0]
        return self.process.returncode, rest


@pytest.fixture
def environment(instance, double, person, plugin, tmp_path):
    key = tmp_path / "key"
    key.write_text(plugin.key + "\n")
    return {"TOOLSHED_URL": instance.origin, "TOOLSHED_KEY_FILE": str(key), "TOOLSHED_CA_FILE": instance.ca,
            "TOOLSHED_USER": person.user_id}


@pytest.mark.parametrize("language", EXAMPLES)
def test_an_example_shows_a_link_and_has_the_token_after_the_click(language, environment, person):
    example = Example(language, **environment)
    link, code = example.link()
    assert person.asked(link).json()["matchCode"] == code
    person.connect(link)
    assert example.end() == (0, "Got a token for octo, good for: repo\n")
    # From now on nobody has to click.
    assert Example(language, **environment).end() == (0, "Got a token for octo, good for: repo\n")


@pytest.mark.parametrize("language", EXAMPLES)
def test_an_example_takes_no_for_an_answer(language, environment, person):
    example = Example(language, **environment)
    link, _ = example.link()
    person.decide(link, "decline")
    assert example.end() == (1, "You said no; nothing was done.\n")


@pytest.mark.parametrize("language", EXAMPLES)
def test_a_server_with_another_authority_is_not_talked_to(language, environment, plugin):
    del environment["TOOLSHED_CA_FILE"]
    status, said = Example(language, **environment).end()
    assert status != 0 and "untrusted-certificate" in said and plugin.key not in said


# What the Python library says; the others' calls are the same


def test_what_an_error_says(instance, double, person, plugin):
    client = toolshed.Toolshed(instance.origin, plugin.key, ca_file=instance.ca)
    ctx = client.person(person.user_id)
    with pytest.raises(toolshed.AuthorizationRequired) as needed:
        ctx.auth.get_token("github", scopes=["repo"], reason="List your open issues", tool="issues.list")
    need = needed.value
    assert need.reason == "not-connected" and need.missing_scopes == ("repo",) and need.request_id.startswith("r_")
    with pytest.raises(toolshed.RequestEnded) as late:
        need.when_authorized(timeout=0.1)
    assert late.value.error == "timeout"
    need.cancel()
    with pytest.raises(toolshed.RequestEnded) as ended:
        need.when_authorized()
    assert ended.value.error == "expired"
    with pytest.raises(toolshed.ToolshedError) as unknown:
        ctx.auth.get_token("nowhere")
    assert (unknown.value.status, unknown.value.error) == (404, "unknown-provider")
    with pytest.raises(toolshed.ToolshedError) as wrong:
        toolshed.Toolshed(instance.origin, "tsp_nonsense", ca_file=instance.ca).person(person.user_id).auth.get_token("github")
    assert wrong.value.error == "invalid-token"
    person.connect({"owner": "toolshed", "bridge": "github", "scope": "repo"})
    key = person.api_key()
    own = toolshed.Toolshed(instance.origin, key.key, ca_file=instance.ca).person()
    token = own.auth.get_token("github", min_ttl=0)
    assert token.account == "octo" and token.access_token not in repr(token) and token.scopes == ("repo",)


def test_a_second_ask_after_a_no_is_declined_at_once(instance, double, person, plugin):
    ctx = toolshed.Toolshed(instance.origin, plugin.key, ca_file=instance.ca).person(person.user_id)
    with pytest.raises(toolshed.AuthorizationRequired) as needed:
        ctx.auth.get_token("github", scopes=["repo"])
    person.decide(needed.value.url, "decline")
    with pytest.raises(toolshed.Declined) as declined:
        ctx.auth.get_token("github", scopes=["repo"])
    assert declined.value.until


# A server that behaves badly


class Odd(ThreadingHTTPServer):
    """Answers by a script: for each path a list of (status, headers, body)."""

    def __init__(self):
        self.script: dict[str, list] = {}
        self.seen: list[tuple[float, str, str]] = []
        self.keys: list[tuple[str, str]] = []
        odd = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self):
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                odd.seen.append((time.monotonic(), self.command, self.path))
                odd.keys.append((self.path, self.headers["Authorization"].removeprefix("Bearer ")))
                answers = odd.script.get(self.path) or [(404, {}, {"error": "not-found"})]
                status, headers, body = answers.pop(0) if len(answers) > 1 else answers[0]
                data = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_DELETE = answer

            def log_message(self, *_):
                pass

        super().__init__(("127.0.0.1", 0), Handler)
        self.origin = f"http://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def need(self, status_url: str) -> dict:
        return {"error": "authorization-required", "reason": "not-connected", "authorizationUrl": "https://toolshed.example/connect",
                "requestId": "r_1", "statusUrl": status_url, "expiresIn": 60, "interval": 1, "matchCode": "ABCD",
                "missingScopes": ["repo"], "grantedScopes": []}


@pytest.fixture
def odd():
    server = Odd()
    yield server
    server.shutdown()
    server.server_close()


TOKEN = {"accessToken": "secret", "tokenType": "Bearer", "scopes": ["repo"], "provider": "demo",
         "connection": {"id": "c_1", "account": "octo"}, "refreshed": False}


@pytest.mark.parametrize("language", EXAMPLES)
def test_waiting_keeps_to_the_pace_that_the_server_sets(language, odd):
    odd.script = {
        "/api/tokens/vend": [(503, {"Retry-After": "1"}, {"error": "unavailable"}), (403, {}, odd.need(f"{odd.origin}/s")), (200, {}, TOKEN)],
        "/s": [(200, {}, {"status": "pending", "interval": 1}), (429, {"Retry-After": "3"}, {"error": "rate-limited", "interval": 3}),
               (200, {}, {"status": "completed", "interval": 3})],
    }
    status, said = Example(language, TOOLSHED_URL=odd.origin, TOOLSHED_KEY="tsp_x", TOOLSHED_USER="u_1").end()
    assert status == 0 and said.endswith("Got a token for octo, good for: repo\n") and "secret" not in said
    times = [at for at, _, path in odd.seen if path == "/s"]
    assert len(times) == 3 and times[2] - times[1] >= 2.9
    assert times[1] - times[0] >= 0.9


# Which key is sent

VECTOR = json.loads((ROOT / "Tests/Fixtures/vectors/person-key.json").read_text())
STRANGER = (401, {"WWW-Authenticate": "Bearer"}, {"error": "invalid-token"})
VEND, TELL = "/api/tokens/vend", "/api/person-keys"


def run(language, odd) -> tuple[int, str]:
    return Example(language, TOOLSHED_URL=odd.origin, TOOLSHED_KEY=VECTOR["plugin"], TOOLSHED_USER=VECTOR["user"]).end()


@pytest.mark.parametrize("language", EXAMPLES)
def test_the_key_of_the_person_is_sent_and_the_plugins_once_to_tell_of_it(language, odd):
    own, general = VECTOR["key"], VECTOR["plugin"]
    odd.script = {VEND: [STRANGER, (403, {}, odd.need(f"{odd.origin}/s")), (200, {}, TOKEN)], TELL: [(204, {}, b"")],
                  "/s": [(200, {}, {"status": "completed", "interval": 1})]}
    assert run(language, odd)[0] == 0
    assert odd.keys == [(VEND, own), (TELL, general), (VEND, own), ("/s", own), (VEND, own)]
    odd.keys.clear()
    odd.script[VEND] = [(200, {}, TOKEN)]
    assert run(language, odd)[0] == 0
    assert odd.keys == [(VEND, own)]


@pytest.mark.parametrize("language", EXAMPLES)
@pytest.mark.parametrize("answer", [(404, {}, {"error": "not-found"}), (405, {"Allow": "GET"}, {"error": "method-not-allowed"})])
def test_a_server_that_does_not_know_such_keys_is_asked_by_the_plugins(language, odd, answer):
    own, general = VECTOR["key"], VECTOR["plugin"]
    odd.script = {VEND: [STRANGER, (403, {}, odd.need(f"{odd.origin}/s")), (200, {}, TOKEN)], TELL: [answer],
                  "/s": [(200, {}, {"status": "completed", "interval": 1})]}
    assert run(language, odd)[0] == 0
    assert odd.keys == [(VEND, own), (TELL, general), (VEND, general), ("/s", general), (VEND, general)]


@pytest.mark.parametrize("language", EXAMPLES)
def test_a_server_that_cannot_take_it_just_now_is_told_again(language, odd):
    odd.script = {VEND: [STRANGER, STRANGER, (200, {}, TOKEN)], TELL: [(503, {"Retry-After": "1"}, {"error": "unavailable"}), (204, {}, b"")]}
    assert run(language, odd)[0] == 0
    assert [path for path, _ in odd.keys] == [VEND, TELL, VEND, TELL, VEND]


@pytest.mark.parametrize("language", EXAMPLES)
@pytest.mark.parametrize("answer, error, calls", [
    (STRANGER, "invalid-token", [VEND, TELL]), ((403, {}, {"error": "not-permitted"}), "not-permitted", [VEND, TELL]),
    ((204, {}, b""), "invalid-token", [VEND, TELL, VEND])])
def test_a_key_that_is_refused_is_refused_and_nothing_is_tried_for_ever(language, odd, answer, error, calls):
    odd.script = {VEND: [STRANGER], TELL: [answer]}
    status, said = run(language, odd)
    assert status != 0 and error in said and VECTOR["plugin"] not in said and VECTOR["key"] not in said
    assert [path for path, _ in odd.keys] == calls


@pytest.mark.parametrize("language", EXAMPLES)
def test_the_running_service_is_asked_by_the_persons_key(language, environment, person, plugin):
    for _ in range(2):
        example = Example(language, **environment)
        if not person.connections():
            person.connect(example.link()[0])
        assert example.end()[0] == 0
    kinds = lambda: [line["callerKind"] for line in person.get(f"/api/activity?caller={plugin.id}").json()["activity"]  # noqa: E731
                     if line["event"] == "vended"]
    until(lambda: kinds() == ["plugin-person"] * 2, "two vends by the key of the person")


@pytest.mark.parametrize("key, user", [("tsk_" + VECTOR["plugin"][4:], VECTOR["user"]), (VECTOR["plugin"][:-1], VECTOR["user"]),
                                       ("tsp_" + "!" * 70, VECTOR["user"])])
@pytest.mark.parametrize("language", EXAMPLES)
def test_from_what_is_no_plugins_key_none_is_derived(language, odd, key, user):
    odd.script = {VEND: [(200, {}, TOKEN)]}
    assert Example(language, TOOLSHED_URL=odd.origin, TOOLSHED_KEY=key, TOOLSHED_USER=user).end()[0] == 0
    assert odd.keys == [(VEND, key)]


@pytest.mark.parametrize("language", EXAMPLES)
@pytest.mark.parametrize("answer", [
    (302, {"Location": "http://127.0.0.1:1/elsewhere"}, b""), (200, {}, b"<html>"), (200, {}, []), (500, {}, b"\xff" * 100)])
def test_an_answer_that_is_none_is_an_error_and_nothing_more(language, odd, answer):
    odd.script = {"/api/tokens/vend": [answer]}
    status, said = Example(language, TOOLSHED_URL=odd.origin, TOOLSHED_KEY="tsp_x", TOOLSHED_USER="u_1").end()
    assert status != 0 and "Got a token" not in said and "tsp_x" not in said
    assert [path for _, _, path in odd.seen] == ["/api/tokens/vend"]


@pytest.mark.parametrize("language", EXAMPLES)
@pytest.mark.parametrize("answer", [
    (200, {}, b"<html>"), (200, {}, {"connection": {"id": "c_1"}}), (403, {}, {"error": "authorization-required"})])
def test_what_answers_in_the_servers_place_is_told_as_that(language, odd, answer):
    odd.script = {"/api/tokens/vend": [answer]}
    status, said = Example(language, TOOLSHED_URL=odd.origin, TOOLSHED_KEY="tsp_x", TOOLSHED_USER="u_1").end()
    assert status != 0 and "unexpected-answer" in said, said


class Rude(socketserver.ThreadingTCPServer):
    """Bytes that are no answer, and then one."""
    daemon_threads = True

    def __init__(self, first: bytes):
        answers = [first]
        self.calls = 0
        rude = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self):
                self.request.recv(65_536)
                rude.calls += 1
                body = json.dumps(TOKEN).encode()
                self.request.sendall(answers.pop() if answers else b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))

        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()


@pytest.mark.parametrize("language", EXAMPLES)
@pytest.mark.parametrize("first", [
    b"", b"nonsense\r\n\r\n", b'HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{"accessT', b'HTTP/1.1 403 No\r\nContent-Length: 500\r\n\r\n{"err',
    b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{"a'], ids=["nothing", "nonsense", "cut", "cut-refusal", "cut-chunk"])
def test_an_answer_that_is_cut_is_asked_for_again(language, first):
    server = Rude(first)
    try:
        status, said = Example(language, TOOLSHED_URL=f"http://127.0.0.1:{server.server_address[1]}", TOOLSHED_KEY="tsk_x", TOOLSHED_USER="u_1").end()
        assert status == 0 and said.endswith("Got a token for octo, good for: repo\n"), said
        assert server.calls == 2
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("language", EXAMPLES)
def test_the_key_is_not_sent_to_an_address_that_is_not_the_servers(language, odd):
    other = Odd()
    odd.script = {"/api/tokens/vend": [(403, {}, odd.need(f"{other.origin}/s"))]}
    status, said = Example(language, TOOLSHED_URL=odd.origin, TOOLSHED_KEY="tsp_x", TOOLSHED_USER="u_1").end()
    other.shutdown()
    other.server_close()
    assert status != 0 and "unexpected-address" in said and other.seen == []


@pytest.mark.parametrize("language", EXAMPLES)
@pytest.mark.parametrize("url", ["http://toolshed.example", "ftp://localhost", "toolshed.example", ""])
def test_only_https_is_talked_to(language, url):
    status, said = Example(language, TOOLSHED_URL=url, TOOLSHED_KEY="tsp_x", TOOLSHED_USER="u_1").end()
    assert status != 0 and "TOOLSHED_URL" in said


# JavaScript's types


def test_the_types_hold():
    for folder in ("javascript", "examples"):
        done = subprocess.run(["tsc", "-p", CLIENTS / folder], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout


def test_a_wrong_use_of_the_types_is_found(tmp_path):
    (tmp_path / "use.ts").write_text(
        f'import {{ Toolshed }} from "{CLIENTS}/javascript/toolshed";\nconst wrong: number = new Toolshed().person("u").auth;\n'
        'new Toolshed().person("u").auth.getToken("github", { scope: "repo" });\n')
    done = subprocess.run(["tsc", "--noEmit", "--strict", "--target", "ES2022", "--moduleResolution", "node",
                           tmp_path / "use.ts"], capture_output=True, text=True)
    assert "use.ts(2," in done.stdout and "use.ts(3," in done.stdout
