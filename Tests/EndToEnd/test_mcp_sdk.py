"""The official Python SDK of MCP, both major versions, and a person in a real browser."""

import json
import os
import select
import subprocess
from pathlib import Path

import pytest
from playwright.sync_api import expect

from harness.browsing import lend_session
from harness.clicking import allow, decide
from harness.instance import ROOT
from harness.people import Person

REVISIONS = {1: "2025-11-25", 2: "2026-07-28"}


class SDK:
    """The client as a process of its own, with what it keeps in a file."""

    def __init__(self, major: int, instance, store: Path, window):
        self.major, self.instance, self.store, self.window = major, instance, store, window
        self.opened: list[str] = []
        self.process = None

    def start(self) -> "SDK":
        python = ROOT / f".venv-mcp-{self.major}/bin/python"
        assert python.exists(), "scripts/venv installs the two versions of the SDK"
        environment = os.environ | {"SSL_CERT_FILE": self.instance.ca, "PYTHONUNBUFFERED": "1"}
        self.process = subprocess.Popen(
            [python, ROOT / "Tests/EndToEnd/harness/mcp_client.py",
             f"{self.instance.origin}/mcp", str(self.store)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
        assert self.next()["ready"] == REVISIONS[self.major]
        return self

    def stop(self) -> None:
        if self.process:
            self.process.kill()
            self.process.communicate()

    def next(self) -> dict:
        """What it says next that is not for the browser; a page that it opens is approved on the way."""
        while True:
            ready, _, _ = select.select([self.process.stdout], [], [], 60)
            assert ready, "the client says nothing"
            line = self.process.stdout.readline()
            assert line, self.process.stderr.read()
            event = json.loads(line)
            if "open" not in event:
                return event
            self.opened.append(event["open"])
            self.window.goto(event["open"])
            decide(self.window)
            self.window.wait_for_url("http://127.0.0.1:*/callback*")

    def send(self, **command) -> None:
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()

    def ask(self, **command) -> dict:
        self.send(**command)
        return self.next()

    def tool(self, name: str, **arguments) -> dict:
        answer = self.ask(tool=name, arguments=arguments)
        assert "result" in answer, answer
        assert not answer["result"].get("isError"), answer
        return answer["result"]["structuredContent"]

    def tokens(self) -> dict:
        return json.loads(self.store.read_text())["tokens"]


@pytest.fixture(params=[1, 2])
def sdk(request, module_instance, chromium, tmp_path):
    person = Person(module_instance)
    person.connect({"owner": "toolshed", "bridge": "github", "scope": "repo"})
    # The browser trusts the authority of another instance.
    context = chromium.browser.new_context(ignore_https_errors=True, locale="en-US")
    lend_session(context, person)
    made = SDK(request.param, module_instance, tmp_path / "store.json", context.new_page())
    made.person = person
    yield made
    made.stop()
    context.close()


WHO = {"provider": "github", "method": "GET", "path": "/whoami"}


def test_it_finds_registers_is_let_in_and_calls_without_holding_the_token(sdk):
    sdk.start()
    assert len(sdk.opened) == 1
    assert sdk.ask(list=True)["result"] == ["list_connections", "request_authorization", "find_api", "learn_api", "call_api"]
    assert sdk.tool("list_connections")["connections"][0]["account"] == "octo"
    called = sdk.tool("call_api", **WHO)
    assert called["status"] == 200 and called["body"]["live"] is True
    given = [token["token"] for token in sdk.instance.double.get("tokens")["github"]["access"]]
    kept = sdk.store.read_text()
    assert given and not [token for token in given if token in json.dumps(called) or token in kept]


def test_a_person_is_asked_through_the_client(sdk):
    sdk.start()
    asked = {"provider": "corp", "method": "GET", "path": "/whoami", "scopes": ["repo"], "reason": "Look around"}
    answer = sdk.ask(tool="call_api", arguments=asked)
    if sdk.major == 1:
        assert answer["error"]["code"] == -32042
        link = answer["error"]["data"]["elicitations"][0]["url"]
    else:
        link = answer["elicit"]
        assert "repo" in answer["message"]
    sdk.window.goto(link)
    expect(sdk.window.get_by_role("main")).to_contain_text("Look around")
    decide(sdk.window)
    allow(sdk.window)
    done = sdk.ask(action="accept") if sdk.major == 2 else sdk.ask(tool="call_api", arguments=asked)
    assert done["result"]["structuredContent"]["body"]["live"] is True


def test_a_token_that_ended_is_refreshed_without_anybody(sdk):
    sdk.start()
    before = sdk.tokens()
    sdk.ask(expire=True)
    assert sdk.tool("call_api", **WHO)["status"] == 200
    after = sdk.tokens()
    assert after["access_token"] != before["access_token"] and after["refresh_token"] != before["refresh_token"]
    assert len(sdk.opened) == 1


def test_a_restart_in_between_and_a_new_process_need_nobody(sdk):
    sdk.start()
    sdk.instance.stop()
    sdk.instance.start()
    assert sdk.tool("call_api", **WHO)["status"] == 200
    sdk.stop()
    again = SDK(sdk.major, sdk.instance, sdk.store, sdk.window).start()
    try:
        assert again.tool("call_api", **WHO)["status"] == 200 and again.opened == []
    finally:
        again.stop()


def test_what_was_revoked_is_asked_for_again(sdk):
    sdk.start()
    store = json.loads(sdk.store.read_text())
    revoked = sdk.instance.post("/revoke", data={"token": store["tokens"]["refresh_token"], "client_id": store["client"]["client_id"]})
    assert revoked.status_code == 200
    assert sdk.tool("call_api", **WHO)["status"] == 200
    assert len(sdk.opened) == 2, "by the person, once more"


def test_a_token_for_something_else_is_stepped_up(sdk):
    sdk.start()
    sdk.instance.sql("UPDATE client_token SET scope = 'vault:manage' WHERE kind = 'access'")
    assert sdk.tool("call_api", **WHO)["status"] == 200
    assert len(sdk.opened) == 2 and "vault%3Ause" in sdk.opened[1]


def test_a_registration_that_is_gone_is_told_to_the_person(sdk):
    sdk.start()
    store = json.loads(sdk.store.read_text())
    sdk.instance.post("/revoke", data={"token": store["tokens"]["refresh_token"], "client_id": store["client"]["client_id"]})
    sdk.instance.sql("DELETE FROM oauth_client WHERE id = ?", store["client"]["client_id"])
    sdk.send(tool="list_connections", arguments={})
    opened = json.loads(sdk.process.stdout.readline())["open"]
    sdk.window.goto(opened)
    expect(sdk.window.get_by_text("The application must register again")).to_be_visible()
