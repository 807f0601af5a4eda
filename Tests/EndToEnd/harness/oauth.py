"""A client of our authorization server, by hand: what it sends is in the test's hands, down to the parameter."""

import base64
import hashlib
import itertools
import json
import secrets
from urllib.parse import parse_qsl, urlencode, urlsplit

import requests

from .instance import Instance
from .people import Person

_numbers = itertools.count(1)
CLI = "toolshed-cli"


def pkce() -> tuple[str, str]:
    """Verifier (as long as may be, with every kind of character) and challenge."""
    verifier = "".join(secrets.choice("abcXYZ019-._~") for _ in range(128))
    return verifier, base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")


class Client:
    """Registered by itself unless an id is given. It keeps the tokens that it got last. `hold` sees every answer."""

    def __init__(self, instance: Instance, redirect: str = "https://app.example/callback", client_id: str | None = None,
                 secret: str | None = None, hold=None, **metadata):
        self.hold = hold or (lambda reply: None)
        self.instance, self.redirect, self.id, self.secret = instance, redirect, client_id, secret
        self.resource: str | None = f"{instance.origin}/mcp"
        self.tokens: dict = {}
        if client_id is None:
            self.name = metadata.setdefault("client_name", f"Client {next(_numbers)}")
            metadata.setdefault("grant_types", ["authorization_code", "refresh_token"])
            made = self.register(redirect_uris=[redirect], **metadata)
            assert made.status_code == 201, made.text
            self.registration = made.json()
            self.id, self.secret = self.registration["client_id"], self.registration.get("client_secret")

    def register(self, **metadata) -> requests.Response:
        reply = self.instance.post("/register", json=metadata)
        self.hold(reply)
        return reply

    # The person's side

    def query(self, challenge: str, **changed) -> str:
        """The query of the authorization request; `changed` replaces parameters, None leaves one out."""
        members = {
            "response_type": "code", "client_id": self.id, "redirect_uri": self.redirect, "state": "a/b%c d~",
            "code_challenge": challenge, "code_challenge_method": "S256", "resource": self.resource, "scope": "vault:use",
        } | changed
        return urlencode([(name, value) for name, value in members.items() if value is not None])

    def asked(self, person: Person, query: str) -> requests.Response:
        return person.get(f"/api/authorize?{query}")

    def decide(self, person: Person, query: str, decision: str = "approve", **changed) -> requests.Response:
        shown = self.asked(person, query)
        assert shown.status_code == 200, shown.text
        assert shown.json()["status"] == "ready", shown.text
        body = {"decision": decision, "digest": shown.json()["digest"], "formToken": shown.json()["formToken"],
                "query": query} | changed
        return person.post("/api/authorize", body)

    def back(self, person: Person, query: str, decision: str = "approve") -> dict[str, str]:
        """The parameters that come back to the client."""
        answer = self.decide(person, query, decision)
        assert answer.status_code == 200, answer.text
        return parameters(answer.json()["location"], self.redirect)

    def code(self, person: Person, **changed) -> tuple[str, str]:
        """A code, and the verifier for it."""
        verifier, challenge = pkce()
        back = self.back(person, self.query(challenge, **changed))
        assert set(back) == {"code", "state", "iss"} and back["iss"] == self.instance.origin, back
        assert back["state"] == "a/b%c d~", "byte for byte"
        return back["code"], verifier

    # The client's side

    def post(self, path: str, data: dict | str, **more) -> requests.Response:
        """With what it authenticates by."""
        if isinstance(data, dict):
            data = {"client_id": self.id} | ({"client_secret": self.secret} if self.secret else {}) | data
            data = urlencode([(name, value) for name, value in data.items() if value is not None])
        headers = {"Content-Type": "application/x-www-form-urlencoded"} | more.pop("headers", {})
        reply = self.instance.post(path, data=data, headers=headers, **more)
        self.hold(reply)
        return reply

    def exchange(self, code: str, verifier: str, **changed) -> requests.Response:
        return self.post("/token", {
            "grant_type": "authorization_code", "code": code, "code_verifier": verifier, "redirect_uri": self.redirect,
            "resource": self.resource} | changed)

    def refresh(self, token: str | None = None, **changed) -> requests.Response:
        return self.post("/token", {"grant_type": "refresh_token", "refresh_token": token or self.tokens["refresh_token"]} | changed)

    def log_in(self, person: Person, **changed) -> "Client":
        code, verifier = self.code(person, **changed)
        self.tokens = granted(self.exchange(code, verifier))
        return self

    def renew(self) -> "Client":
        self.tokens = granted(self.refresh())
        return self

    # Without a browser

    def begin_device(self, **changed) -> requests.Response:
        return self.post("/device_authorization", changed)

    def poll(self, device_code: str, **changed) -> requests.Response:
        return self.post("/token", {"grant_type": "urn:ietf:params:oauth:grant-type:device_code",
                                    "device_code": device_code} | changed)

    def approve_device(self, person: Person, user_code: str, decision: str = "approve", **changed) -> requests.Response:
        shown = person.post("/api/device", {"userCode": user_code})
        assert shown.status_code == 200, shown.text
        reply = person.post("/api/device/decision", {
            "decision": decision, "userCode": user_code, "digest": shown.json()["digest"],
            "formToken": shown.json()["formToken"]} | changed)
        self.hold(shown)
        self.hold(reply)
        return reply

    def revoke(self, token: str, **more) -> requests.Response:
        return self.post("/revoke", {"token": token} | more)

    def is_live(self, token: str | None = None) -> bool:
        """By introspection, of a client with a secret."""
        answer = self.post("/introspect", {"token": token or self.tokens["access_token"]})
        assert answer.status_code == 200, answer.text
        return answer.json()["active"]


def command_line(instance: Instance) -> Client:
    client = Client(instance, redirect="http://127.0.0.1:39999/callback", client_id=CLI)
    client.resource = None
    return client


def parameters(location: str, redirect: str) -> dict[str, str]:
    """What came back, to where it should."""
    assert location.startswith(redirect + ("&" if "?" in redirect else "?")), location
    pairs = parse_qsl(urlsplit(location).query, keep_blank_values=True)
    assert len(pairs) == len(dict(pairs)), "each once"
    return {name: value for name, value in pairs if name not in dict(parse_qsl(urlsplit(redirect).query))}


def granted(answer: requests.Response) -> dict:
    """A token answer as B-TOK-6 wants it."""
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == "application/json"
    assert "no-store" in answer.headers["Cache-Control"] and answer.headers["Pragma"] == "no-cache"
    body = answer.json()
    assert body["token_type"] == "Bearer" and isinstance(body["expires_in"], int) and body["expires_in"] > 0
    assert isinstance(body["access_token"], str) and isinstance(body["scope"], str)
    assert None not in body.values()
    return body


def refused(answer: requests.Response, code: str, status: int = 400) -> dict:
    """An OAuth error as B-TOK-7 wants it."""
    assert answer.status_code == status, f"{answer.status_code} {answer.text}"
    assert answer.headers["Content-Type"] == "application/json", answer.headers
    assert "no-store" in answer.headers["Cache-Control"]
    body = json.loads(answer.text)
    assert body["error"] == code, body
    return body
