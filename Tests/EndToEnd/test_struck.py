"""kill −9 between any two writes of linking and of revoking as lost: nothing is lost, a repetition is harmless, and a thief
with every copy of before, of the moment of death and of after opens no more than if nobody had died.

What is written is counted first; `STRIKE=all` then strikes every single call, otherwise a sample of them: the first, one in
the middle and the last of each step, and the answer to one that was done already.
"""

import os

import decryptor as d
import pytest
import requests

from harness.authenticator import Authenticator
from harness.database import Database
from harness.loot import Loot
from harness.oauth import Client
from harness.people import SAME_ORIGIN, Person, Plugin
from harness.strike import Strike
from harness.thief import Thief
from harness.waiting import until
from test_thief import encryption_key

ALL = os.environ.get("STRIKE") == "all"
LINK, LOST = "/api/vault/link", "/api/vault/lost"
GITHUB = {"owner": "toolshed", "bridge": "github", "scope": "repo"}
SLACK = {"owner": "toolshed", "bridge": "slack", "scope": "chat:write"}
LINEAR = {"owner": "toolshed", "bridge": "linear", "scope": "read"}
SCOPES = {link["bridge"]: [link["scope"]] for link in (GITHUB, SLACK, LINEAR)}
# Where the transactions of a step write, are made durable, and are answered.
CALLS = ("pwrite64", "fdatasync", "sendto")


class Struck:
    """An instance whose workers are ended at chosen calls, and all that was ever stored in it."""

    def __init__(self, instance):
        self.instance, self.loot = instance, Loot()
        self.given: dict[str, set[str]] = {}
        self.secrets: dict[str, str] = {}
        self._known: set[str] = set()
        self.kills: list[str] = []
        self.counts: dict[str, dict[str, int]] = {}

    def note(self, name: str) -> None:
        """What the provider has given out since the last time belongs to `name`."""
        tokens = {entry["token"] for family in self.instance.double.get("tokens").values() for entry in family["access"]}
        self.given.setdefault(name, set()).update(tokens - self._known)
        self._known |= tokens

    def connect(self, name: str, person: Person, link: dict) -> None:
        person.connect(link)
        self.note(name)

    def count(self, step: str, person: Person, path: str, body: dict, role: str = "work") -> requests.Response:
        """The step undisturbed, and how often it makes each call."""
        with Strike(self.instance.children(role), ",".join(CALLS)) as strike:
            reply = person.post(path, body)
        self.counts[step] = strike.counts
        return reply

    def points(self, step: str, wanted: list[tuple[str, float]]) -> list[tuple[str, int]]:
        """Calls and numbers; `wanted`: which call, and how far through."""
        counted = self.counts[step]
        if ALL:
            return [(call, at) for call in CALLS for at in range(1, counted.get(call, 0) + 1)]
        return sorted({(call, max(1, round(counted[call] * part))) for call, part in wanted})

    def until_struck(self, point: tuple[str, int], act) -> None:
        """How often a call is made differs a little from one time to the next: where there were fewer, one before is struck."""
        call, at = point
        for earlier in range(5):
            before = len(self.kills)
            act((call, max(1, at - earlier)))
            if len(self.kills) > before:
                return

    def hit(self, point: tuple[str, int] | None, person: Person, path: str, body: dict, role: str = "work") -> int | None:
        """The step, struck there; its status, None where nobody lived to answer. Then everything is started again."""
        if point is None:
            return None
        call, at = point
        with Strike(self.instance.children(role), call, at) as strike:
            try:
                # Of its own: a connection of before may have ended with its worker.
                with self.instance.session() as http:
                    http.cookies.update(person.http.cookies)
                    status = http.post(self.instance.origin + path, json=body, headers=SAME_ORIGIN, timeout=30).status_code
                    # A sign-in gives another one.
                    person.http.cookies.update(http.cookies)
            except requests.RequestException:
                status = None
        if strike.killed:
            self.kills.append(f"{body.get('step', 'lost')} {call} {at}")
            self.loot.copy(self.instance, f"{len(self.kills)} struck")
            self.instance.stop()
            self.instance.start()
        return status if status and status < 500 else None

    def done(self, person: Person, path: str, body: dict, *statuses: int) -> requests.Response:
        """The step once more, as often as it is told to come again."""
        reply = until(lambda: (reply := person.post(path, body)).status_code < 500 and [reply], "an answer")[0]
        assert reply.status_code in statuses, f"{body} after {self.kills[-1:]}: {reply.text}"
        return reply

    def robbed(self):
        """A function: who has all copies, those of the moments of death too, ENCRYPTION_KEY, and the named secrets."""
        self.loot.copy(self.instance, "at the end")
        base = Thief(self.loot, encryption_key(self.instance)).work()

        def add(*names: str) -> set[str]:
            more = base.another()
            for name in names:
                more.give_token(self.secrets[name], name)
            return more.work().access_tokens()

        return add


@pytest.fixture
def struck(fresh):
    return Struck(fresh().start())


def vend_all(holder, *providers: str, user: Person | None = None) -> None:
    for provider in providers:
        reply = until(lambda: (reply := holder.vend(provider, SCOPES[provider], user=user)).status_code < 500 and [reply], "a vend")[0]
        assert reply.status_code == 200, f"{provider}: {reply.text}"


def opens(browser: Person) -> dict[str, str]:
    return {connection["provider"]: connection["status"] for connection in browser.connections()}


# Linking


class Pair:
    """Two browsers of one person, each with a connection and a key; a third key of the second one's went before."""

    def __init__(self, struck: Struck, how: str):
        self.struck, self.how = struck, how
        self.name = f"{how} {len(struck.given)}"
        self.first = Person(struck.instance)
        self.second = self.first.elsewhere()
        struck.connect(f"{self.name}: first", self.first, GITHUB)
        struck.connect(f"{self.name}: second", self.second, SLACK)
        self.keys = self.first.api_key(), self.second.api_key()
        early = self.second.api_key()
        struck.secrets[self.name] = early.key
        struck.loot.copy(struck.instance, f"{self.name}: while it was there")
        assert self.second.delete(f"/api/keys/{early.id}").status_code == 204
        self.device = Authenticator(struck.instance)
        if how == "passkey":
            assert self.device.register(self.first).status_code == 201
        self.code = self.first.post("/api/vault/recovery", {}).json()["code"] if how == "recovery" else None
        struck.loot.copy(struck.instance, self.name)

    def requests(self):
        """The steps as they come: who, where, what, and the statuses of success."""
        if self.how == "typed code":
            yield "offer", self.first, LINK, {"step": "offer"}, (201,)
            yield "claim", self.second, LINK, {"step": "claim", "code": self.answer["code"]}, (200,)
            yield "seal", self.first, LINK, {"step": "seal", "id": self.answer["id"]}, (200,)
        elif self.how == "recovery":
            yield "recovery", self.second, LINK, {"step": "recovery", "code": self.code}, (200,)
        else:
            # Each challenge is answered once.
            options = self.second.post("/api/sign-in/passkey/options").json()
            yield "passkey", self.second, "/api/sign-in/passkey", self.device.get(options), (200, 400)
            if not self.second.get(LINK).json()["offers"]:
                assert self.device.show(self.second).status_code == 200
        offer = self.second.get(LINK).json()["offers"][-1]
        yield "accept", self.second, LINK, {"step": "accept", "id": offer["id"], "digest": offer["digest"]}, (200,)

    def link(self, step: str | None = None, point: tuple[str, int] | None = None, counting: bool = False) -> None:
        """All steps, one of them struck."""
        for name, who, path, body, fine in self.requests():
            if counting:
                reply = self.struck.count(f"{self.how}: {name}", who, path, body)
                assert reply.status_code in fine, reply.text
            elif name == step:
                status = self.struck.hit(point, who, path, body)
                if name == "passkey" and self.second.get("/api/me").status_code == 401:
                    # The session has got another cookie, and nobody lived to say so: whoever signs in anew goes on with its vault.
                    assert status is None and self.device.show(self.second).status_code == 200
                if name != "accept":
                    self.unharmed()
                # Taken again, whether or not it was done: a challenge alone is used up by being shown.
                reply = self.struck.done(who, path, body, *fine)
                assert status in (None, *fine)
            else:
                reply = self.struck.done(who, path, body, *fine)
            if name == "offer":
                self.answer = reply.json()
        self.linked()

    def unharmed(self) -> None:
        """Before it was accepted there are two vaults, and all is as it was."""
        assert opens(self.first) == {"github": "active", "slack": "locked"}
        assert opens(self.second) == {"github": "locked", "slack": "active"}
        vend_all(self.keys[0], "github")
        vend_all(self.keys[1], "slack")

    def linked(self) -> None:
        for browser in (self.first, self.second):
            assert opens(browser) == {"github": "active", "slack": "active"}, self.struck.kills[-1:]
        for key in self.keys:
            vend_all(key, "github", "slack")
        rows = Database(self.struck.instance).run("SELECT count(*) FROM connection WHERE vault IN (SELECT vault FROM slot WHERE id = ?)",
                                                  d.identifier(self.keys[0].id))
        assert rows == [(2,)], "each once"


WAYS = {
    "typed code": {"offer": [("pwrite64", 1)], "claim": [("fdatasync", 1)], "seal": [("pwrite64", 1)],
                   "accept": [("pwrite64", 0), ("pwrite64", 0.5), ("pwrite64", 1), ("fdatasync", 1), ("sendto", 1)]},
    "recovery": {"recovery": [("pwrite64", 1), ("sendto", 1)], "accept": [("pwrite64", 0.7)]},
    "passkey": {"passkey": [("pwrite64", 1), ("fdatasync", 1)], "accept": [("pwrite64", 0.3)]},
}


@pytest.mark.parametrize("how", WAYS)
def test_linking_is_struck_between_any_two_writes_and_loses_nothing(struck, how):
    """Afterwards a key that went before opens its own old vault, and nothing of the other one."""
    Pair(struck, how).link(counting=True)
    for step, wanted in WAYS[how].items():
        for point in struck.points(f"{how}: {step}", wanted):
            struck.until_struck(point, lambda point: Pair(struck, how).link(step, point))
    assert len(struck.kills) >= sum(map(len, WAYS[how].values())) - 1, struck.kills
    robbed = struck.robbed()
    assert not robbed()
    for name in struck.secrets:
        assert robbed(name) == struck.given[f"{name}: second"], name


# Revoke as lost


class Losing:
    """Somebody with connections that are renewed and that are not, a key that stays, and what is lost again and again."""

    def __init__(self, struck: Struck, kind: str):
        self.struck, self.kind, self.turn = struck, kind, 0
        self.person = Person(struck.instance)
        self.kept, self.plugin = self.person.api_key(), Plugin(struck.instance)
        self.person.connect(self.plugin.link("linear", ["read"], user=self.person)["authorizationUrl"])
        struck.note(f"{kind}: linear 0")
        struck.connect(f"{kind}: github", self.person, GITHUB)

    def something(self) -> tuple[str, callable]:
        """Something new that can be lost: its id, and whether it is still good for anything."""
        self.turn += 1
        name = f"{self.kind} {self.turn}"
        if self.kind == "session":
            code = self.person.post("/api/vault/recovery", {}).json()["code"]
            lost = Person(self.struck.instance, signed_in=False)
            assert lost.post("/api/sign-in/recovery", {"code": code}).status_code == 200
            self.struck.secrets[name] = lost.http.cookies["__Host-toolshed"]
            # The code goes with its sheet of paper, or it would open all the same.
            self.person.post("/api/vault/recovery", {})
            return lost.get("/api/me").json()["sessionId"], lambda: lost.get("/api/me").status_code == 200
        if self.kind == "key":
            lost = self.person.api_key()
            self.struck.secrets[name] = lost.key
            return lost.id, lambda: lost.vend("github", ["repo"]).status_code == 200
        if self.kind == "client":
            client = Client(self.struck.instance, token_endpoint_auth_method="client_secret_post").log_in(self.person)
            self.struck.secrets[name] = client.tokens["refresh_token"]
            [held] = self.person.get("/api/clients").json()["clients"]
            return held["id"], client.is_live
        self.struck.secrets[name] = self.plugin.key
        lost, self.plugin = self.plugin, Plugin(self.struck.instance)
        # The one that comes in its place has the same connection.
        return lost.id, lambda: lost.vend("linear", ["read"], user=self.person).status_code == 200

    def lose(self, point: tuple[str, int] | None, role: str = "work", counting: bool = False) -> None:
        if self.kind == "plugin" and self.turn:
            self.person.connect(self.plugin.link("linear", ["read"], user=self.person)["authorizationUrl"])
            self.struck.note(f"{self.kind}: linear {self.turn}")
        holder, is_good = self.something()
        assert is_good()
        old = self.kept.token("linear", ["read"])["accessToken"]
        self.struck.loot.copy(self.struck.instance, f"{self.kind} {self.turn}: before")
        if counting:
            assert self.struck.count(f"lost {self.kind}, {role}", self.person, LOST, {"holder": holder}, role).status_code == 200
        else:
            self.struck.hit(point, self.person, LOST, {"holder": holder}, role)
            # Done before it died: there is no such holder any more. An operator's plugin is always there.
            self.struck.done(self.person, LOST, {"holder": holder}, 200, 404)
        assert not is_good()
        # What the lost one may have read is renewed, whoever died in between.
        until(lambda: self.person.get("/api/me").status_code == 200
              and self.kept.token("linear", ["read"])["accessToken"] != old, f"another token, {self.struck.kills[-1:]}", 60)
        self.struck.note(f"{self.kind}: linear {self.turn}")
        for _ in range(2):
            vend_all(self.kept, "github", "linear")
            assert opens(self.person) == {"github": "active", "linear": "active"}
        if self.kind != "plugin":
            vend_all(self.plugin, "linear", user=self.person)
        self.struck.loot.copy(self.struck.instance, f"{self.kind} {self.turn}: after")


LOSSES = {
    ("session", "work"): [("pwrite64", 0.5), ("fdatasync", 1)],
    ("key", "work"): [("pwrite64", 0), ("pwrite64", 1), ("sendto", 1)],
    ("key", "keep"): [("fdatasync", 0), ("pwrite64", 1)],
    ("client", "work"): [("pwrite64", 0.3), ("pwrite64", 1)],
    ("plugin", "work"): [("fdatasync", 0), ("pwrite64", 0.5), ("fdatasync", 1)],
}


@pytest.mark.parametrize("kind", dict.fromkeys(kind for kind, _ in LOSSES))
def test_revoking_as_lost_is_struck_between_any_two_writes_and_loses_nothing(struck, kind):
    """Afterwards what was lost opens what was there before it was, and nothing since."""
    wanted = 0
    losing = Losing(struck, kind)
    for (of, role), points in LOSSES.items():
        if of == kind:
            losing.lose(None, role, counting=True)
            for point in struck.points(f"lost {kind}, {role}", points):
                wanted += 1
                struck.until_struck(point, lambda point: losing.lose(point, role))
    assert len(struck.kills) >= wanted - 1, struck.kills
    robbed = struck.robbed()
    assert not robbed()
    for turn in range(1, losing.turn + 1):
        found = robbed(f"{kind} {turn}")
        since = set().union(*(struck.given[f"{kind}: linear {later}"] for later in range(turn, losing.turn + 1)))
        assert struck.given[f"{kind}: linear {turn - 1}"] <= found and not found & since, f"{kind} {turn}"
