"""Authlib and requests-oauthlib as clients of our authorization server: software that others wrote and that knows nothing of
us, through code, refresh, revocation, introspection and the device grant."""

import json
import os
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from harness.instance import ROOT
from harness.oauth import Client, command_line
from harness.people import Person

LIBRARIES = ["authlib", "requests-oauthlib"]


class Library:
    def __init__(self, instance, name: str, client: Client):
        python = ROOT / ".venv-oauth/bin/python"
        assert python.exists(), "scripts/venv makes it"
        self.process = subprocess.Popen(
            [python, Path(__file__).with_name("oauth_library.py"), name, instance.origin, instance.ca],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | {"REQUESTS_CA_BUNDLE": instance.ca})
        metadata = instance.get("/.well-known/oauth-authorization-server").json()
        self.tell({"client_id": client.id, "secret": client.secret, "metadata": metadata})

    def tell(self, order: dict) -> dict:
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def do(self, action: str, *arguments):
        """What the library answers."""
        answer = self.tell({"do": action, "with": arguments})
        assert "error" not in answer, answer
        return answer["result"]

    def fails(self, action: str, *arguments) -> dict:
        answer = self.tell({"do": action, "with": arguments})
        assert "error" in answer, answer
        return answer

    def end(self) -> None:
        self.process.stdin.close()
        self.process.wait(20)


@pytest.fixture
def library(instance):
    made = []

    def make(name: str, client: Client) -> Library:
        made.append(Library(instance, name, client))
        return made[-1]

    yield make
    for one in made:
        one.end()


def approve(person: Person, client: Client, address: str) -> str:
    """The person's click; the address that the browser is sent to."""
    assert urlsplit(address).path == "/authorize"
    answer = client.decide(person, urlsplit(address).query)
    assert answer.status_code == 200, answer.text
    return answer.json()["location"]


@pytest.mark.parametrize("method", ["none", "client_secret_basic"])
@pytest.mark.parametrize("name", LIBRARIES)
def test_from_the_click_to_the_end(name, method, person, instance, library):
    client = Client(instance, token_endpoint_auth_method=method)
    theirs = library(name, client)
    location = approve(person, client, theirs.do("authorize"))
    first = theirs.do("exchange", location)
    assert first["access_token"].startswith("tsa_") and first["refresh_token"].startswith("tsf_")
    second = theirs.do("refresh")
    assert second["access_token"] != first["access_token"] and second["refresh_token"] != first["refresh_token"]
    if method != "none":
        assert theirs.do("introspect")["active"] is True
    assert theirs.do("revoke") == 200
    refused = theirs.fails("refresh")
    assert "invalid_grant" in refused["code"] + refused["text"], refused
    again = theirs.fails("exchange", location)
    assert "invalid_grant" in again["code"] + again["text"], again


# Authlib does not look for an error where it finds no code: it asks for a grant that we do not have.
@pytest.mark.parametrize("name, code", [("authlib", "unsupported_grant_type"), ("requests-oauthlib", "access_denied")])
def test_a_decline_reaches_the_library_as_an_error(name, code, person, instance, library):
    client = Client(instance)
    theirs = library(name, client)
    query = urlsplit(theirs.do("authorize")).query
    location = client.decide(person, query, "decline").json()["location"]
    refused = theirs.fails("exchange", location)
    assert code in refused["code"] + refused["text"], refused


@pytest.mark.parametrize("name", LIBRARIES)
def test_the_device_grant(name, person, instance, library):
    cli = command_line(instance)
    begun = cli.begin_device().json()
    theirs = library(name, cli)
    waiting = theirs.fails("device", begun["device_code"])
    assert "authorization_pending" in waiting["code"] + waiting["text"], waiting
    assert cli.approve_device(person, begun["user_code"]).status_code == 204
    assert theirs.do("device", begun["device_code"])["access_token"].startswith("tsc_")
