"""After everything was done once, no secret stands in a file, an environment or an argument, nor in memory longer than
it was needed.

Every search is shown to find what is planted; what may be found is named with its reason.
"""

import base64
import os
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from harness.authenticator import Authenticator
from harness.canaries import Canaries, Search, files, forms, memory, processes
from harness.loot import Loot
from harness.oauth import Client, command_line, granted
from harness.people import Person, Plugin
from harness.thief import Thief

# What the operator wrote, and what the double of the providers keeps of its own.
OPERATORS = {"etc/environment", "run/credentials/ENCRYPTION_KEY", "etc/providers.d/doubles.yaml", "etc/providers.d/demo.yaml",
             "log/double.log"}
SHOWN_ONCE = {"formToken": "form token", "code": "code", "key": "key"}


class Flows:
    """Everything that has to do with secrets, done once, and every secret that came up."""

    def __init__(self, instance):
        self.instance, self.canaries, self.loot = instance, Canaries(), Loot()
        self.count = defaultdict(int)
        self.person = self.watched(Person(instance, "Ada", signed_in=False))
        self.canaries.add_token("invitation", self.person.invitation["code"])
        self.person.sign_in()
        self.plugin = Plugin(instance)
        self.canaries.add_token("plugin key", self.plugin.key)
        self.typed: set[bytes] = set()
        self.use()
        self.clients()
        self.link()
        self.loot.copy(instance, "before the losses")
        self.lose()
        self.loot.copy(instance, "after")
        self.from_the_provider()
        self.keys()

    def watched(self, person: Person) -> Person:
        person.http.hooks["response"].append(lambda reply, **_: self.note(reply))
        return person

    def note(self, reply) -> None:
        """Whatever secret this answer brought."""
        for cookie in reply.cookies:
            if cookie.name.startswith("__Host-tx-") and cookie.value:
                self.canaries.add_short_secret(self.numbered("transaction cookie"), cookie.value)
            elif cookie.value:
                self.canaries.add_token(self.numbered("session cookie"), cookie.value)
        location = reply.headers.get("Location", "")
        if "json" in reply.headers.get("Content-Type", ""):
            members = reply.json()
            location = members.get("location", location) if isinstance(members, dict) else location
            for member in SHOWN_ONCE.keys() & set(members):
                name, value = self.numbered(SHOWN_ONCE[member]), members[member]
                if len(value) < 12:
                    self.note_typed(value)
                    continue
                (self.canaries.add_token if value.startswith("ts") else self.canaries.add_short_secret)(name, value)
        for name, values in parse_qs(urlsplit(location).query).items():
            # A client's own state is its own choice, and no secret of ours.
            if name in ("approval", "state") and len(values[0]) == 43:
                self.canaries.add_short_secret(self.numbered(name), values[0])

    def note_typed(self, code: str) -> None:
        """A code for a person to type is short, so it is looked for as it is, with the hyphen and without."""
        plain = code.replace("-", "")
        assert len(plain) == 8
        self.typed |= {form.encode() for text in (plain, plain.lower()) for form in (text, f"{text[:4]}-{text[4:]}")}

    def numbered(self, name: str) -> str:
        self.count[name] += 1
        return f"{name} {self.count[name]}"

    def use(self) -> None:
        person, plugin, double = self.person, self.plugin, self.instance.double
        for text in ("canary-of-a-reason", "canary-of-a-tool", "canary-of-an-account"):
            self.canaries.add(text, text)
        double.set("github", expiring=True)
        need = plugin.link("github", ["repo"], user=person, reason="canary-of-a-reason", tool="canary-of-a-tool",
                           account="canary-of-an-account")
        plugin.get(f"/api/requests/{need['requestId']}")
        person.connect(plugin.link("github", ["repo"], user=person)["authorizationUrl"])
        person.connect(plugin.link("github", ["gist"], user=person)["authorizationUrl"])
        person.connect({"owner": "toolshed", "bridge": "google", "scope": "calendar"})
        person.connect({"owner": "toolshed", "bridge": "slack", "scope": "chat:write"})
        person.connect({"owner": "toolshed", "bridge": "corp", "scope": "read"})
        person.connect({"owner": "toolshed", "bridge": "keyed", "scope": "mail.send"}, key=double.key())
        own = person.own_plugin()
        assert person.post(f"/api/plugins/{own.id}/key", {"key": own.key}).status_code == 201
        key = person.api_key()
        for provider in ("github", "google", "slack", "corp", "keyed"):
            key.token(provider, reason="canary-of-a-reason")
        plugin.token("github", ["repo"], user=person, tool="canary-of-a-tool")
        own_key = plugin.person_key(person)
        self.canaries.add_token("key of one person", own_key.key)
        assert own_key.vend("github", ["repo"], user=person).status_code == 401
        assert plugin.register(person).token("github", ["repo"], user=person, tool="canary-of-a-tool")
        for connection in person.connections():
            person.call("PATCH", f"/api/connections/{connection['id']}", {"backgroundRefresh": True})
        code = person.post("/api/vault/recovery", {}).json()["code"]
        elsewhere = self.watched(Person(self.instance, signed_in=False))
        assert elsewhere.post("/api/sign-in/recovery", {"code": code}).status_code == 200
        assert elsewhere.post("/api/sign-out").status_code == 204
        device = Authenticator(self.instance)
        self.canaries.add_short_secret("what a passkey derived", device.derive(person.post("/api/passkeys/options").json()["prfSalt"]))
        assert device.register(person).status_code == 201 and device.show(elsewhere).status_code == 200
        assert elsewhere.post("/api/sign-out").status_code == 204
        assert person.delete(f"/api/plugins/{plugin.id}").status_code == 200
        person.delete(f"/api/connections/{person.connections()[-1]['id']}")
        # What is refused passes through the same hands.
        plugin.vend("github", ["repo"], user=person, unknown=1)
        person.post("/api/connect", {"formToken": "wrong", "digest": "wrong"})
        person.get("/api/activity")

    def clients(self) -> None:
        """OAuth clients, from registration to the end; a code and a verifier that come to nothing, too."""
        olga, client = Person(self.instance, "Olga"), Client(self.instance, token_endpoint_auth_method="client_secret_basic")
        self.canaries.add("client secret", client.secret)
        for _ in range(2):
            code, verifier = client.code(olga)
            self.canaries.add_token(self.numbered("authorization code"), code)
            self.canaries.add(self.numbered("client verifier"), verifier)
        client.tokens = granted(client.exchange(code, verifier))
        device = command_line(self.instance)
        begun = device.begin_device().json()
        self.canaries.add_token("device code", begun["device_code"])
        self.note_typed(begun["user_code"])
        assert device.approve_device(olga, begun["user_code"]).status_code == 204
        device.tokens = granted(device.poll(begun["device_code"]))
        for tokens in (client.tokens, granted(client.refresh()), device.tokens):
            for name in ("access_token", "refresh_token"):
                if name in tokens:
                    # Of our own, and so passed on by nginx; a provider's never is.
                    kind = "own access token" if name == "access_token" else "own renewal token"
                    self.canaries.add_token(self.numbered(kind), tokens[name])
        client.is_live()
        client.revoke(client.tokens["access_token"])

    def another_browser(self) -> Person:
        """Of the same person, with a vault and a connection of its own."""
        made = self.watched(self.person.elsewhere())
        self.canaries.add_token(self.numbered("session cookie"), made.http.cookies["__Host-toolshed"])
        made.connect({"owner": "toolshed", "bridge": "linear", "scope": "read"})
        return made

    def link(self) -> None:
        """In each of the three ways; and an offer whose code nobody types."""
        person, path = self.person, "/api/vault/link"
        code, device = person.post("/api/vault/recovery", {}).json()["code"], Authenticator(self.instance)
        salt = person.post("/api/passkeys/options").json()["prfSalt"]
        self.canaries.add_short_secret("what a passkey derived to link", device.derive(salt))
        assert device.register(person).status_code == 201
        for how in ("typed", "recovery code", "passkey"):
            elsewhere = self.another_browser()
            if how == "typed":
                offer = person.post(path, {"step": "offer"}).json()
                elsewhere.post(path, {"step": "claim", "code": "00000000"})
                assert elsewhere.post(path, {"step": "claim", "code": offer["code"]}).status_code == 200
                assert person.post(path, {"step": "seal", "id": offer["id"]}).status_code == 200
            elif how == "passkey":
                assert device.show(elsewhere).status_code == 200
            else:
                assert elsewhere.post(path, {"step": "recovery", "code": code}).status_code == 200
            [offer] = elsewhere.get(path).json()["offers"]
            self.loot.copy(self.instance, f"sealed by {how}")
            accepted = elsewhere.post(path, {"step": "accept", "id": offer["id"], "digest": offer["digest"]})
            assert accepted.status_code == 200, accepted.text
        assert person.post(path, {"step": "offer"}).status_code == 201
        assert {c["status"] for c in person.connections()} <= {"active", "unused"}

    def lose(self) -> None:
        """A browser, a key, a client, a passkey, a plugin: what they held, and the keys of before, are to be nowhere."""
        person, client = self.person, Client(self.instance)
        client.log_in(person)
        self.canaries.add_token(self.numbered("own renewal token"), client.tokens["refresh_token"])
        elsewhere, plugin = self.another_browser(), person.own_plugin()
        self.canaries.add_token("lost plugin key", plugin.key)
        person.connect(plugin.link("google", ["calendar"], user=person)["authorizationUrl"])
        holders = [elsewhere.get("/api/me").json()["sessionId"], person.api_key().id, plugin.id,
                   person.get("/api/clients").json()["clients"][0]["id"], person.get("/api/passkeys").json()["passkeys"][0]["id"]]
        for holder in holders:
            reply = person.post("/api/vault/lost", {"holder": holder})
            if reply.status_code == 409:
                # The browser with a vault of its own is the last that opens it: said a second time.
                reply = person.post(f"/api/vault/lost?confirm={reply.json()['confirm']}", {"holder": holder})
            assert reply.status_code == 200, reply.text
        assert person.get("/api/me").status_code == 200

    def from_the_provider(self) -> None:
        for family, tokens in self.instance.double.get("tokens").items():
            for kind in ("access", "refresh"):
                for number, entry in enumerate(tokens[kind]):
                    self.canaries.add(f"{family} {kind} token {number}", entry["token"])
        for request in self.instance.double.requests(endpoint="exchange"):
            form = dict(request["form"]) | (request["json"] or {})
            for name in ("code", "code_verifier", "client_secret"):
                if form.get(name):
                    self.canaries.add(self.numbered(f"exchange {name}"), form[name])

    def keys(self) -> None:
        """ENCRYPTION_KEY and all that can be opened with it and a live cookie: vault, connection and private keys."""
        text = encryption_key(self.instance)
        self.canaries.add("ENCRYPTION_KEY", text)
        self.canaries.add("ENCRYPTION_KEY, its bytes", base64.b64decode(text))
        thief = Thief(self.loot, text).give_token(self.person.http.cookies["__Host-toolshed"], "cookie").work()
        opened = {box.column for box in thief.opened}
        assert opened >= {"slot.vault_key", "vault.private_key", "connection.vault_key", "connection.service_key"}, opened
        for key, origin in thief.keys.items():
            if "_key by" in origin or origin == "cookie, derived" or origin.startswith("ENCRYPTION_KEY"):
                self.canaries.add(self.numbered(f"key: {origin}"), key)


@pytest.fixture(scope="module")
def flows(module_instance):
    return Flows(module_instance)


def test_every_kind_of_secret_came_up(flows):
    kinds = {name.rstrip("0123456789 ") for name in flows.canaries.secrets}
    for kind in ("invitation", "session cookie", "transaction cookie", "form token", "approval", "state", "code", "key",
                 "plugin key", "key of one person", "exchange code", "exchange code_verifier", "exchange client_secret", "ENCRYPTION_KEY",
                 "google refresh token", "github access token", "keyed access token", "authorization code", "client verifier",
                 "device code", "what a passkey derived to link", "lost plugin key", "own access token", "own renewal token"):
        assert kind in kinds, kinds


def test_no_file_has_a_secret(flows):
    search, found = flows.canaries.pattern(), {}
    for name, content in files(flows.instance.dir, OPERATORS):
        if names := search.within(content):
            found[name] = names
    assert not found


def test_no_file_has_a_code_that_people_type(flows):
    """Link codes and the codes of devices: hashed under a key in the database, and nowhere else."""
    assert len(flows.typed) >= 3 * 4
    planted, code = flows.instance.dir / "run/planted", sorted(flows.typed)[0]

    def found() -> set[str]:
        return {name for name, content in files(flows.instance.dir, OPERATORS) if any(code in content for code in flows.typed)}

    assert not found()
    try:
        planted.write_bytes(b"before " + code + b" after")
        assert found() == {"run/planted"}
    finally:
        planted.unlink()


def test_no_environment_and_no_argument_has_a_secret(flows):
    search = flows.canaries.pattern()
    for pid, role in processes(flows.instance).items():
        for part in ("environ", "cmdline"):
            with open(f"/proc/{pid}/{part}", "rb") as file:
                assert not search.within(file.read()), f"{role}: {part}"


def test_every_form_of_a_planted_secret_is_found(flows):
    secret = flows.canaries.secrets["session cookie 1, its secret"]
    search, planted = flows.canaries.pattern(), flows.instance.dir / "run/planted"
    written = forms(secret) | {base64.b64encode(prefix + secret) for prefix in (b"", b"a", b"ab")}
    assert len(written) >= 12
    try:
        for form in written:
            planted.write_bytes(b"before " + form + b" after")
            found = {name: search.within(content) for name, content in files(flows.instance.dir, OPERATORS)}
            assert found["run/planted"] == {"session cookie 1, its secret"}, form
    finally:
        planted.unlink()


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="reads the memory of processes that may not be traced")


def residue(instance, search: Search) -> dict[str, dict[str, set[str]]]:
    """Role → locked or ordinary memory → the canaries found there."""
    found = defaultdict(lambda: defaultdict(set))
    for pid, role in processes(instance).items():
        for region, content in memory(pid):
            found[role]["locked" if region.is_locked else "ordinary"] |= search.within(content)
    return found


@needs_root
def test_memory_of_idle_processes_has_no_more_than_their_own_keys(flows):
    """Everything that is freed is overwritten, so this needs no minute of waiting."""
    found = residue(flows.instance, flows.canaries.pattern())
    for role in ("supervise", "keep", "work"):
        assert not found[role]["ordinary"], (role, found[role]["ordinary"])
    own = {"key: ENCRYPTION_KEY 1 outer", "key: ENCRYPTION_KEY 1 tags"}
    service = {"key: ENCRYPTION_KEY 1 service"}
    # Found by the same search, which therefore finds.
    assert kinds(found["supervise"]["locked"]) == own | service
    assert kinds(found["work"]["locked"]) - {"exchange client_secret"} == own
    service_keys, warm = "key: connection.service_key by ENCRYPTION_KEY 1 service", "key: connection.vault_key by slot.vault_key by cookie, derived"
    held = kinds(found["keep"]["locked"]) - {"exchange client_secret"} - own - service
    assert held == {service_keys, warm}, "connection keys in use, nothing else"
    # "Lock now": what only the person's own secret opens is forgotten at once.
    assert flows.person.post("/api/vault/lock").status_code == 200
    found = residue(flows.instance, flows.canaries.pattern())
    assert warm not in kinds(found["keep"]["locked"]) and not found["keep"]["ordinary"], found["keep"]


@needs_root
def test_memory_of_nginx_has_at_most_what_it_passes_on(flows):
    """Not ours to overwrite: nginx frees a request's memory as it is (docs/KEYS.md "Memory")."""
    found = kinds(residue(flows.instance, flows.canaries.pattern())["nginx"]["ordinary"])
    never = {name for name in found if name.startswith(("key:", "ENCRYPTION_KEY", "exchange code_verifier")) or "refresh" in name}
    assert not never


@needs_root
def test_the_search_finds_what_lies_in_ordinary_memory(flows):
    """Each process has the path of its state folder; a process that never frees keeps the token it was sent."""
    path = str(flows.instance.dir / "state").encode()
    found = residue(flows.instance, Search({path: "path"}))
    assert all("path" in found[role]["ordinary"] for role in ("supervise", "keep", "work"))
    secret = flows.canaries.secrets["session cookie 1"]
    with subprocess.Popen([sys.executable, "-c", "import sys; kept = sys.stdin.buffer.read(); print(flush=True); sys.stdin = 0; "
                           "import time; time.sleep(60)"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as keeper:
        try:
            keeper.stdin.write(b"cookie: " + secret)
            keeper.stdin.close()
            keeper.stdout.readline()
            assert {name for _, content in memory(keeper.pid) for name in flows.canaries.pattern().within(content)}
        finally:
            keeper.kill()


@needs_root
def test_encryption_key_from_the_environment_leaves_no_trace(fresh):
    """Where no folder of credentials is used, the kernel's copy of the environment is overwritten, too."""
    instance = fresh(double=False)
    wrapper, key = instance.dir / "bin/toolshedd", encryption_key(instance)
    lines = [line for line in wrapper.read_text().splitlines() if "credentials" not in line]
    lines.insert(lines.index("set -eu") + 1, f'set -a; . "{instance.dir}/etc/environment"; set +a')
    wrapper.write_text("\n".join(lines) + "\n")
    instance.start()
    search = Canaries({"text": key.encode(), "bytes": base64.b64decode(key)}).pattern()
    for pid in processes(instance):
        assert not search.within(Path(f"/proc/{pid}/environ").read_bytes())
    assert not any(names for places in residue(instance, search).values() for names in places.values())


def kinds(names: set[str]) -> set[str]:
    """Without their running numbers."""
    return {re.sub(r" \d+$", "", name) for name in names}


def encryption_key(instance) -> str:
    lines = (instance.dir / "etc/environment").read_text().splitlines()
    return next(line.partition("=")[2] for line in lines if line.startswith("ENCRYPTION_KEY="))
