"""F20: kill -9 just before each system call that writes, syncs or sends, in each step that must not be half done."""

import pytest
import requests
from harness.aftermath import Aftermath
from harness.flow import callback_address, page_members
from harness.injection import Injection
from harness.instance import Instance
from harness.people import Person, Plugin
from harness.waiting import until

CORP = {"owner": "toolshed", "bridge": "corp", "scope": "read"}
CALLS = ("pwrite64", "fdatasync", "sendto", "write")
# A commit writes a frame's header and its page one after another; all that differs is how much of the WAL is there.
STRIDE = {"sample": {"pwrite64": 17, "fdatasync": 2, "sendto": 3, "write": 2},
          "faults": {"pwrite64": 3, "fdatasync": 1, "sendto": 1, "write": 1},
          "full": {"pwrite64": 1, "fdatasync": 1, "sendto": 1, "write": 1}}


def answered(call) -> requests.Response | None:
    """The worker's answer, or None: nginx says 503 when there was none."""
    reply = call()
    return None if reply.status_code == 503 else reply


def persist(call, wanted: tuple[int, ...]) -> requests.Response:
    """Asks until there is an answer that is no 'try again'; it must be one that is wanted."""
    reply = until(lambda: (got := call()).status_code not in (502, 503) and [got], "an answer")[0]
    assert reply.status_code in wanted, f"{reply.status_code} {reply.text}"
    return reply


class Step:
    """One step that is interrupted: `act` once under the fault, then `verify` what its answer promised."""

    role = "work"

    def __init__(self, instance):
        self.instance, self.double = instance, instance.double
        self.double.reset()
        self.person = Person(instance)
        self.prepare()

    def prepare(self) -> None:
        pass

    def can_vend(self) -> None:
        key = self.person.api_key()
        token = persist(lambda: key.vend("corp", ["read"]), (200,)).json()["accessToken"]
        live = {one["token"] for one in self.double.get("tokens")["generic"]["access"] if one["live"]}
        assert token in live, "vended, and dead at the provider"


class Approve(Step):
    def prepare(self) -> None:
        self.body = page_members(self.person.asked(CORP).json(), CORP)

    def act(self):
        return answered(lambda: self.person.post("/api/connect", self.body))

    def verify(self, reply) -> None:
        if reply is not None:
            back = self.double.decide(self.person.login(reply.json()["location"]))
            persist(lambda: self.person.navigate(back, site="cross-site"), (303,))
        else:
            persist(lambda: self.person.asked(CORP), (200,))
            self.person.connect(CORP)
        assert [c["status"] for c in self.person.connections()] == ["active"]
        self.can_vend()


class Callback(Step):
    def prepare(self) -> None:
        self.back = callback_address(self.person, CORP)

    def act(self):
        return answered(lambda: self.person.navigate(self.back, site="cross-site"))

    def verify(self, reply) -> None:
        if reply is not None:
            assert reply.status_code == 303 and "/done" in reply.headers["Location"]
            assert len(self.person.connections()) == 1, "the answer said so"
        # Whatever the browser does now, the code is shown once.
        persist(lambda: self.person.navigate(self.back, site="cross-site"), (303,))
        assert self.double.count("generic", "exchange") <= 1
        if not persist(lambda: self.person.get("/api/connections"), (200,)).json()["connections"]:
            self.person.connect(CORP)
        assert [c["status"] for c in self.person.connections()] == ["active"]
        self.can_vend()


class Connected(Step):
    def prepare(self) -> None:
        assert self.person.connect(CORP).status_code == 303
        [connection] = self.person.connections()
        self.path = f"/api/connections/{connection['id']}"


class Remove(Connected):
    def act(self):
        return answered(lambda: self.person.delete(self.path))

    def verify(self, reply) -> None:
        if reply is not None:
            assert reply.status_code == 200
            assert persist(lambda: self.person.get("/api/connections"), (200,)).json()["connections"] == []
        persist(lambda: self.person.delete(self.path), (200, 404))
        assert self.person.connections() == []
        assert [one for one in self.double.get("tokens")["generic"]["refresh"] if one["live"]] == [] or reply is None


class Lost(Connected):
    def prepare(self) -> None:
        super().prepare()
        self.kept, self.lost = self.person.api_key(), self.person.api_key()

    def act(self):
        return answered(lambda: self.person.post("/api/vault/lost", {"holder": self.lost.id}))

    def verify(self, reply) -> None:
        if reply is not None:
            assert reply.status_code == 200 and self.lost.vend("corp", ["read"]).status_code == 401
        persist(lambda: self.person.post("/api/vault/lost", {"holder": self.lost.id}), (200, 404))
        assert self.lost.vend("corp", ["read"]).status_code == 401
        persist(lambda: self.kept.vend("corp", ["read"]), (200,))
        self.can_vend()


class Link(Connected):
    """The last of its four steps, which moves the vault."""

    def prepare(self) -> None:
        super().prepare()
        self.elsewhere = self.person.elsewhere()
        self.theirs = self.elsewhere.api_key()
        offer = self.person.post("/api/vault/link", {"step": "offer"}).json()
        assert self.elsewhere.post("/api/vault/link", {"step": "claim", "code": offer["code"]}).status_code < 300
        assert self.person.post("/api/vault/link", {"step": "seal", "id": offer["id"]}).status_code < 300
        digest = self.elsewhere.get("/api/vault/link").json()["offers"][-1]["digest"]
        self.body = {"step": "accept", "id": offer["id"], "digest": digest}

    def act(self):
        return answered(lambda: self.elsewhere.post("/api/vault/link", self.body))

    def verify(self, reply) -> None:
        if reply is not None:
            assert reply.status_code == 200, reply.text
            assert len(self.elsewhere.connections()) == 1
        persist(lambda: self.elsewhere.post("/api/vault/link", self.body), (200,))
        persist(lambda: self.theirs.vend("corp", ["read"]), (200,))
        self.can_vend()


class NewKey(Step):
    def act(self):
        return answered(lambda: self.person.post("/api/keys", {"name": "new"}))

    def verify(self, reply) -> None:
        keys = persist(lambda: self.person.get("/api/keys"), (200,)).json()["keys"]
        assert len(keys) in ((1,) if reply is not None else (0, 1))
        if reply is not None:
            assert reply.status_code == 201
            with self.instance.session() as http:
                http.headers["Authorization"] = f"Bearer {reply.json()['key']}"
                persist(lambda: http.get(self.instance.origin + "/api/connections", timeout=30), (200, 403))


class Refresh(Step):
    """In the keeper. What the provider does with refresh tokens decides what may be lost."""

    role, refresh = "keep", "static"

    def prepare(self) -> None:
        self.plugin = Plugin(self.instance)
        self.double.set("generic", expires_in=0, refresh=self.refresh)
        self.person.connect(self.plugin.link("corp", ["read"], user=self.person)["authorizationUrl"])
        self.double.set("generic", expires_in=3600)

    def vend(self):
        return self.plugin.vend("corp", ["read"], user=self.person)

    def act(self):
        return answered(self.vend)

    def verify(self, reply) -> None:
        reply = persist(self.vend, (200,) if self.refresh != "rotate+kill" else (200, 403))
        if reply.status_code == 403:
            # The provider had taken the old token and its answer was lost with the process: said, and mended by a click.
            need = reply.json()
            assert need["reason"] == "reauthorization-required"
            assert [c["status"] for c in self.person.connections()] == ["reauthorization-required"]
            self.person.connect(need["authorizationUrl"])
        self.can_vend()


class RefreshWithGrace(Refresh):
    refresh = "rotate+grace"


class RefreshStrict(Refresh):
    refresh = "rotate+kill"


SAMPLE = [Callback, RefreshStrict]
STEPS = SAMPLE + [pytest.param(step, marks=pytest.mark.long)
                  for step in (Approve, NewKey, Remove, Lost, Link, Refresh, RefreshWithGrace)]


@pytest.fixture(scope="module")
def alone():
    """One worker with one thread, so that the Nth call is always the same."""
    made = Instance(environment={"TOOLSHED_WORKERS": "1", "TOOLSHED_THREADS": "1"})
    try:
        yield made.start()
    finally:
        made.end()


def rested(instance, kills: int) -> None:
    """The supervisor waits longer each time that its workers die five times in ten seconds."""
    if kills % 4 == 0:
        instance.stop()
        instance.start()


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.__name__)
def test_killed_before_any_call_nothing_is_half_done(alone, step, extent):
    after, points = Aftermath(alone), []
    for call in CALLS:
        number = 1
        while True:
            current = step(alone)
            [victim] = alone.children(current.role)
            with Injection(victim, call, when=str(number)) as injection:
                reply = current.act()
            if not injection.struck:
                assert reply is not None, f"{call} {number}: no fault and no answer"
            else:
                points.append((call, number))
                rested(alone, len(points))
                until(lambda: (now := alone.children(current.role)) and now != [victim], f"another {current.role}")
                alone.await_ready()
            try:
                current.verify(reply)
            except AssertionError as failure:
                raise AssertionError(f"killed before {call} number {number}: {failure}") from failure
            if not injection.struck:
                break
            number += STRIDE[extent][call]
    assert len(points) >= 3, f"hardly anything was interrupted: {points}"
    after.check()
    print(f"{step.__name__}: killed at {len(points)} points: {points}")
