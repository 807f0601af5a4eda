"""A person at a browser, as far as HTTP goes; and a plugin, which only has a key."""

import itertools
import secrets
from urllib.parse import parse_qsl, urlencode, urlsplit

import decryptor
import requests

from .instance import Instance

_numbers = itertools.count(1)
SAME_ORIGIN = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"}
NAVIGATION = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", "Accept": "text/html"}
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


class Person:
    """Signed in by an invitation unless `signed_in` is false; invited here unless an invitation is given."""

    def __init__(self, instance: Instance, name: str | None = None, signed_in: bool = True,
                 invitation: dict | None = None, agent: str = FIREFOX):
        self.instance = instance
        self.name = name or f"Person {next(_numbers)}"
        self.http = instance.session()
        self.http.headers["User-Agent"] = agent
        self.invitation = invitation or instance.json("invite", self.name)
        self.user_id = self.invitation["userId"]
        if signed_in:
            self.sign_in()

    def sign_in(self) -> None:
        reply = self.post("/api/sign-in/invitation", {"code": self.invitation["code"]})
        assert reply.status_code == 200, reply.text
        assert reply.json()["userId"] == self.user_id
        assert "__Host-toolshed" in self.http.cookies

    def sign_out(self):
        """With the second yes, where the first would leave a vault that nobody opens."""
        reply = self.post("/api/sign-out")
        return self.post(f"/api/sign-out?confirm={reply.json()['confirm']}") if reply.status_code == 409 else reply

    def elsewhere(self, agent: str = FIREFOX) -> "Person":
        """The same person in another browser, to which nothing of theirs came along but their name (nginx vouches for it):
        signed in afresh, with a vault of its own. `lend_session` puts it into a real browser."""
        user = f"user-{secrets.token_hex(8)}"
        self.instance.toolshedd("identity", "add", self.user_id, "--header", user)
        twin = Person(self.instance, self.name, signed_in=False, invitation=self.invitation, agent=agent)
        twin.sign_in_as(user)
        assert twin.get("/api/me").json()["userId"] == self.user_id
        return twin

    def sign_in_as(self, user: str) -> dict:
        """As the user whom nginx's trusted header names."""
        reply = self.post("/api/sign-in/header", headers=SAME_ORIGIN | {"X-Test-User": user})
        assert reply.status_code == 200, reply.text
        self.user_id = reply.json()["userId"]
        return reply.json()

    # What the pages' scripts do

    def call(self, method: str, path: str, body=None, **more) -> requests.Response:
        more = {"timeout": 30, "allow_redirects": False, "headers": SAME_ORIGIN} | more
        return self.http.request(method, self.instance.origin + path, json=body, **more)

    def get(self, path: str, **more) -> requests.Response:
        return self.call("GET", path, **more)

    def post(self, path: str, body=None, **more) -> requests.Response:
        return self.call("POST", path, body, **more)

    def delete(self, path: str, **more) -> requests.Response:
        return self.call("DELETE", path, **more)

    def navigate(self, url: str, site: str = "none") -> requests.Response:
        """What the address bar does: a path of ours or a whole address."""
        url = url if "://" in url else self.instance.origin + url
        return self.http.get(url, headers=NAVIGATION | {"Sec-Fetch-Site": site}, timeout=30, allow_redirects=False)

    # The flow, step by step. `link` is a whole address, or a dictionary of owner, bridge, scope, request.

    def asked(self, link) -> requests.Response:
        """What the consent page gets to show."""
        return self.get("/api/connect?" + urlencode(link_members(link)))

    def decide(self, link, decision: str = "approve", scopes: list[str] | None = None, also_for: list[str] | None = None,
               **changed) -> requests.Response:
        """Reads the page and clicks. `scopes`: the ones left ticked. `changed` replaces members of the body."""
        shown = self.asked(link)
        assert shown.status_code == 200, shown.text
        shown, members = shown.json(), link_members(link)
        body = {
            "digest": shown["digest"], "decision": decision, "owner": members.get("owner"),
            "bridge": members.get("bridge"), "request": members.get("request"), "formToken": shown.get("formToken"),
            "scopes": [s["scope"] for s in shown["scopes"]] if scopes is None else scopes,
            "alsoFor": [o["id"] for o in shown.get("others") or [] if o["ticked"]] if also_for is None else also_for,
            "connection": members.get("connection"), "separate": members.get("separate") == "true",
        } | changed
        return self.post("/api/connect", body)

    def login(self, location: str) -> str:
        """From the approved login address to the provider's authorization address."""
        reply = self.navigate(location, site="same-origin")
        assert reply.status_code == 303, f"{reply.status_code} {reply.text}"
        return reply.headers["Location"]

    def connect(self, link, account: str = "octo", keep: bool = True, **decision) -> requests.Response:
        """The whole flow: approve, the provider, back. The answer is the callback's, or the approval's where no
        provider was needed. What `decide` takes is passed on; `ticked` are the scopes left ticked at the provider."""
        ticked = decision.pop("ticked", None)
        approved = self.decide(link, **decision)
        assert approved.status_code == 200, approved.text
        location = approved.json()["location"]
        if "/login" not in location:
            return approved
        authorization = self.login(location)
        choice = {"account": account} | ({"scopes": ticked} if ticked is not None else {})
        # The provider gets none of our cookies: the double is asked by a client of its own.
        callback = self.instance.double.decide(authorization, **choice)
        return self.navigate(callback, site="cross-site")

    def connections(self) -> list[dict]:
        reply = self.get("/api/connections")
        assert reply.status_code == 200, reply.text
        return reply.json()["connections"]

    def plugins(self) -> list[dict]:
        """All of them, by as many pages as it takes: the operator's are everybody's."""
        found, after = [], None
        while True:
            reply = self.get("/api/plugins", params={"limit": 500} | ({"after": after} if after else {}))
            assert reply.status_code == 200, reply.text
            found, after = found + reply.json()["plugins"], reply.json()["next"]
            if after is None:
                return found

    def own_plugin(self, name: str | None = None) -> "Bearer":
        """A plugin of this person's own."""
        reply = self.post("/api/plugins", {"name": name or f"Own {next(_numbers)} of {self.user_id[2:8]}"})
        assert reply.status_code == 201, reply.text
        return Bearer(self.instance, reply.json()["key"], reply.json()["id"])

    def api_key(self, name: str | None = None) -> "Bearer":
        reply = self.post("/api/keys", {"name": name or f"Key {next(_numbers)}"})
        assert reply.status_code == 201, reply.text
        return Bearer(self.instance, reply.json()["key"], reply.json()["id"])


class Bearer:
    """A caller with a key: an API key, or a plugin's."""

    def __init__(self, instance: Instance, key: str, identifier: str):
        self.instance, self.key, self.id = instance, key, identifier
        self.http = instance.session()
        self.http.headers["Authorization"] = f"Bearer {key}"

    def call(self, method: str, path: str, body=None, **more) -> requests.Response:
        more = {"timeout": 30, "allow_redirects": False} | more
        return self.http.request(method, self.instance.origin + path, json=body, **more)

    def get(self, path: str, **more) -> requests.Response:
        return self.call("GET", path, **more)

    def post(self, path: str, body=None, **more) -> requests.Response:
        return self.call("POST", path, body, **more)

    def vend(self, provider: str, scopes: list[str] | None = None, user: Person | str | None = None,
             **more) -> requests.Response:
        """POST /api/tokens/vend; `more` are further members of the body."""
        body: dict = {"provider": provider} | more
        if scopes is not None:
            body["scopes"] = scopes
        if user is not None:
            body["userId"] = user.user_id if isinstance(user, Person) else user
        return self.post("/api/tokens/vend", body)

    def token(self, *arguments, **more) -> dict:
        """A vend that succeeds."""
        reply = self.vend(*arguments, **more)
        assert reply.status_code == 200, reply.text
        return reply.json()

    def person_key(self, user: Person | str) -> "Bearer":
        """The key that this plugin's gives for one person, whether or not the server knows it."""
        user_id = user.user_id if isinstance(user, Person) else user
        own = decryptor.person_key(decryptor.parse_token(self.key), user_id)
        return Bearer(self.instance, decryptor.token_text(own), self.id)

    def register(self, user: Person | str) -> "Bearer":
        """The same, known to the server."""
        reply = self.post("/api/person-keys", {"userId": user.user_id if isinstance(user, Person) else user})
        assert reply.status_code == 204, reply.text
        return self.person_key(user)

    def link(self, *arguments, **more) -> dict:
        """A vend that needs a person: the whole answer, with authorizationUrl and requestId."""
        reply = self.vend(*arguments, **more)
        assert reply.status_code == 403 and reply.json()["error"] == "authorization-required", reply.text
        return reply.json()


class Plugin(Bearer):
    """Registered by the operator."""

    def __init__(self, instance: Instance, name: str | None = None, *options: str):
        self.name = name or f"Plugin {next(_numbers)}"
        added = instance.json("plugin", "add", self.name, *options)
        super().__init__(instance, added["key"], added["pluginId"])


def link_members(link) -> dict[str, str]:
    if isinstance(link, dict):
        return link
    return dict(parse_qsl(urlsplit(link).query, keep_blank_values=True))


def mistyped(credential: str) -> str:
    """The same but for its last character."""
    return credential[:-1] + ("a" if credential[-1] != "a" else "b")
