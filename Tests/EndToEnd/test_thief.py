"""A thief gets every copy ever made, the configuration with ENCRYPTION_KEY, and then one old secret at a time.

docs/KEYS.md says what opens with what; each test here is one of its sentences, told by the tokens that the provider gave
out, not by what the server says about itself.
"""

import base64
import hashlib
import itertools
import os

import decryptor as d
import pytest

from harness.authenticator import Authenticator, ask
from harness.loot import Loot
from harness.oauth import Client, command_line, granted
from harness.people import Bearer, Person, Plugin
from harness.thief import OPEN_COLUMNS, SEALED_COLUMNS, Thief
from harness.waiting import until


class Story:
    """Everything that is done to keys, with a copy of the instance after every step."""

    def __init__(self, instance):
        self.instance, self.loot = instance, Loot()
        self.given: dict[str, list[str]] = {}
        self.secrets: dict[str, str] = {}
        self._known: set[str] = set()
        self.step("before anything")
        for chapter in (self.signs_out, self.withdraws_a_plugin, self.loses_a_plugin_to_the_operator, self.replaces_a_code, self.shows_a_passkey,
                        self.changes_a_plugins_key, self.has_keys_of_persons, self.refreshes_in_background, self.links_two_vaults,
                        self.loses_a_browser_that_was_offered_a_vault,
                        self.links_without_typing, self.loses_a_key, self.loses_other_holders, self.lets_a_client_in,
                        self.keeps_the_record, self.keeps_everything):
            chapter()
        self.ends_processes()
        self.rotates_the_key()

    def step(self, name: str) -> None:
        self.loot.copy(self.instance, name)

    def connect(self, name: str, person: Person, link, **choice) -> dict:
        """A consent; the tokens that the provider gave out for it are noted under `name`."""
        arrived = person.connect(link.get("authorizationUrl", link), **choice)
        assert arrived.status_code in (200, 303) and "/error" not in arrived.headers.get("Location", ""), arrived.headers
        self.note(name)
        self.step(name)
        return person.connections()[-1]

    def note(self, name: str) -> None:
        """What the provider has given out since the last time."""
        tokens = {entry["token"] for family in self.instance.double.get("tokens").values() for entry in family["access"]}
        self.given.setdefault(name, []).extend(sorted(tokens - self._known))
        self._known |= tokens

    def tokens(self, *names: str) -> set[str]:
        return {token for name in names for token in self.given[name]}

    def all_of(self, chapter: str) -> set[str]:
        return self.tokens(*(name for name in self.given if name.startswith(chapter)))

    # The chapters: one person each

    def signs_out(self) -> None:
        ada, plugin = Person(self.instance, "Ada"), Plugin(self.instance)
        self.step("signed in")
        self.connect("cookie: plugin", ada, plugin.link("github", ["repo"], user=ada, reason="ada-reason", tool="ada-tool"))
        plugin.token("github", ["repo"], user=ada, reason="ada-vend-reason")
        self.secrets["cookie"] = ada.http.cookies["__Host-toolshed"]
        code = ada.post("/api/vault/recovery", {}).json()["code"]
        assert ada.post("/api/sign-out").status_code == 204
        self.step("signed out")
        again = Person(self.instance, signed_in=False)
        assert again.post("/api/sign-in/recovery", {"code": code}).status_code == 200
        self.connect("cookie: second scope", again, plugin.link("github", ["gist"], user=ada.user_id))
        plugin.token("github", ["gist"], user=ada.user_id)
        self.step("vended by the wrapped form")

    def withdraws_a_plugin(self) -> None:
        ben, kept, gone = Person(self.instance, "Ben"), Plugin(self.instance), Plugin(self.instance)
        connection = self.connect("plugin: first", ben, kept.link("google", ["calendar"], user=ben))
        need = gone.link("google", ["calendar"], user=ben, reason="gone-reason", tool="gone-tool")
        self.connect("plugin: shared", ben, need)
        assert gone.get(f"/api/requests/{need['requestId']}").json()["status"] == "completed"
        gone.link("linear", ["read"], user=ben, account="gone-account")
        gone.token("google", ["calendar"], user=ben, reason="before-withdrawal")
        self.step("used by the second plugin")
        self.secrets["plugin"] = gone.key
        assert ben.delete(f"/api/plugins/{gone.id}").status_code == 200
        self.step("withdrawn")
        kept.token("google", ["calendar"], user=ben, reason="after-withdrawal")
        self.step("vended with the new key")
        self.connect("plugin: after", ben, {"owner": "toolshed", "bridge": "google", "scope": "calendar drive.file"})
        self.connect("plugin: another", ben, {"owner": "toolshed", "bridge": "linear", "scope": "read"})
        assert connection["id"] in {entry["id"] for entry in ben.connections()}

    def loses_a_plugin_to_the_operator(self) -> None:
        gil, plugin = Person(self.instance, "Gil"), Plugin(self.instance)
        self.connect("operator: first", gil, plugin.link("slack", ["chat:write"], user=gil))
        plugin.token("slack", ["chat:write"], user=gil, reason="before-removal")
        self.secrets["removed plugin"] = plugin.key
        self.instance.toolshedd("plugin", "remove", plugin.id)
        self.step("removed by the operator")
        assert gil.connections()
        vended = gil.post("/api/tokens/vend", {"provider": "slack", "scopes": ["chat:write"], "reason": "after-removal"})
        assert vended.status_code == 200
        self.step("its person came by")

    def replaces_a_code(self) -> None:
        cleo, elsewhere = Person(self.instance, "Cleo"), Person(self.instance, signed_in=False)
        self.connect("code: connected", cleo, {"owner": "toolshed", "bridge": "slack", "scope": "chat:write"})
        self.secrets["code"] = cleo.post("/api/vault/recovery", {}).json()["code"]
        self.step("a code was made")
        assert elsewhere.post("/api/sign-in/recovery", {"code": self.secrets["code"]}).status_code == 200
        assert cleo.post("/api/vault/recovery", {}).status_code == 201
        self.step("the code was used and replaced")
        self.secrets["invitation"] = cleo.invitation["code"]
        plugin = Plugin(self.instance)
        need = plugin.link("slack", ["chat:write"], user=cleo, reason="declined-reason")
        self.digests = [browser.asked(need["authorizationUrl"]).json()["digest"] for browser in (cleo, elsewhere, cleo)]
        assert cleo.decide(need["authorizationUrl"], "decline").status_code == 200
        assert plugin.get(f"/api/requests/{need['requestId']}").json()["status"] == "declined"
        self.step("declined")

    def shows_a_passkey(self) -> None:
        iris, elsewhere, device = Person(self.instance, "Iris"), Person(self.instance, signed_in=False), Authenticator(self.instance)
        elsewhere.sign_in_as("iris elsewhere")
        assert elsewhere.post("/api/sign-out").status_code == 204
        assert device.register(iris).status_code == 201
        self.secrets["output"] = device.derive(iris.post("/api/passkeys/options").json()["prfSalt"])
        self.connect("passkey: connected", iris, {"owner": "toolshed", "bridge": "linear", "scope": "read"})
        assert device.show(elsewhere).json()["vault"] == "existing"
        self.step("a passkey opened the vault")
        (listed,) = iris.get("/api/passkeys").json()["passkeys"]
        assert iris.delete(f"/api/passkeys/{listed['id']}").status_code == 204
        self.step("the passkey was removed")
        self.connect("passkey: after", elsewhere, {"owner": "toolshed", "bridge": "slack", "scope": "chat:write"})
        ask(Person(self.instance, signed_in=False))
        self.step("a challenge nobody answered")

    def refreshes_in_background(self) -> None:
        dora, plugin = Person(self.instance, "Dora"), Plugin(self.instance)
        self.connect("never in background", dora, {"owner": "toolshed", "bridge": "slack", "scope": "chat:write"})
        on = self.connect("background: stays on", dora, {"owner": "toolshed", "bridge": "linear", "scope": "read"})
        off = self.connect("background: on and off", dora, plugin.link("github", ["repo"], user=dora))
        for connection in (on, off):
            self._background(dora, connection, True)
        self.step("background on")
        plugin.token("github", ["repo"], user=dora, reason="while-in-background")
        self.step("vended while in background")
        self._background(dora, off, False)
        self.step("background off")
        plugin.token("github", ["repo"], user=dora, reason="after-background")
        self.connect("after background", dora, plugin.link("github", ["gist"], user=dora))
        self.connect("background: consented again", dora, {"owner": "toolshed", "bridge": "linear", "scope": "read write"})
        removed = self.connect("removed", dora, {"owner": "toolshed", "bridge": "corp", "scope": "read"})
        assert dora.delete(f"/api/connections/{removed['id']}").status_code == 200
        self.step("a connection removed")
        self.in_background = dora

    @staticmethod
    def _background(person: Person, connection: dict, on: bool) -> None:
        reply = person.call("PATCH", f"/api/connections/{connection['id']}", {"backgroundRefresh": on})
        assert reply.status_code == 204, reply.text

    def lets_a_client_in(self) -> None:
        hana = Person(self.instance, "Hana")
        self.connect("client: connected", hana, {"owner": "toolshed", "bridge": "github", "scope": "repo"})
        client = Client(self.instance)
        self.secrets["authorization code"], verifier = client.code(hana)
        self.step("a code was given")
        client.tokens = granted(client.exchange(self.secrets["authorization code"], verifier))
        self.secrets["access token"] = client.tokens["access_token"]
        self.secrets["superseded"] = client.tokens["refresh_token"]
        self.step("the code was exchanged")
        client.renew()
        self.step("renewed")
        self.secrets["refresh token"] = client.tokens["refresh_token"]
        device = command_line(self.instance)
        begun = device.begin_device().json()
        self.secrets["device code"] = begun["device_code"]
        self.step("a device waits")
        assert device.approve_device(hana, begun["user_code"]).status_code == 204
        self.step("the device is approved")
        self.secrets["command line"] = granted(device.poll(begun["device_code"]))["access_token"]
        self.step("the device is let in")
        assert client.revoke(client.tokens["refresh_token"]).status_code == 200
        self.step("the client was sent away")

    def changes_a_plugins_key(self) -> None:
        hal = Person(self.instance, "Hal")
        own = hal.own_plugin()
        self.connect("changed: first", hal, own.link("linear", ["read"], user=hal))
        own.token("linear", ["read"], user=hal)
        made = hal.post(f"/api/plugins/{own.id}/key", {"key": own.key})
        assert made.status_code == 201
        self.step("two keys of one plugin")
        assert hal.delete(f"/api/plugins/{own.id}/key").status_code == 204
        self.secrets["replaced plugin key"] = own.key
        newer = Bearer(self.instance, made.json()["key"], own.id)
        self.step("the old key ended")
        self.connect("changed: typed", hal, newer.link("keyed", ["mail.send"], user=hal), key=self.instance.double.key())
        newer.token("keyed", ["mail.send"], user=hal)
        self.step("a key that was typed")
        self.connect("not the plugin's", hal, {"owner": "toolshed", "bridge": "slack", "scope": "chat:write"})

    def has_keys_of_persons(self) -> None:
        """One plugin, two persons: one was let in before they had a key of their own, and withdraws in the end."""
        kim, leo, plugin = Person(self.instance, "Kim"), Person(self.instance, "Leo"), Plugin(self.instance)
        self.connect("own key: before", kim, plugin.link("github", ["repo"], user=kim, reason="kim-general"))
        plugin.token("github", ["repo"], user=kim, reason="kim-before")
        self.step("by the general key")
        own, others = plugin.register(kim), plugin.register(leo)
        self.step("keys of two persons")
        self.connect("own key: after", kim, own.link("linear", ["read"], user=kim, reason="kim-own"))
        for provider, scope in (("github", "repo"), ("linear", "read")):
            own.token(provider, [scope], user=kim, reason="kim-vend")
        self.connect("another person's", leo, others.link("github", ["repo"], user=leo, reason="leo-own"))
        others.token("github", ["repo"], user=leo, reason="leo-vend")
        self.connect("not let in", kim, {"owner": "toolshed", "bridge": "slack", "scope": "chat:write"})
        self.step("used by the keys of two persons")
        self.secrets["key of one person"] = own.key
        assert kim.delete(f"/api/plugins/{plugin.id}").status_code == 200
        self.step("withdrawn by one of them")
        self.connect("since withdrawn", kim, {"owner": "toolshed", "bridge": "github", "scope": "repo gist"})
        self.general_key = plugin.key

    def links_two_vaults(self) -> None:
        """Each vault has a holder that goes: before the link, with the offer open, and after it."""
        hana = Person(self.instance, "Hana")
        self.connect("first vault", hana, {"owner": "toolshed", "bridge": "slack", "scope": "chat:write"})
        elsewhere = hana.elsewhere()
        self.connect("second vault", elsewhere, {"owner": "toolshed", "bridge": "linear", "scope": "read"})
        self.secrets["gone before linking"] = (early := elsewhere.api_key()).key
        assert elsewhere.delete(f"/api/keys/{early.id}").status_code == 204
        offer = hana.post("/api/vault/link", {"step": "offer"}).json()
        assert elsewhere.post("/api/vault/link", {"step": "claim", "code": offer["code"]}).status_code == 200
        assert hana.post("/api/vault/link", {"step": "seal", "id": offer["id"]}).status_code == 200
        self.step("the key of the first vault was given to the second browser")
        digest = elsewhere.get("/api/vault/link").json()["offers"][0]["digest"]
        accepted = elsewhere.post("/api/vault/link", {"step": "accept", "id": offer["id"], "digest": digest})
        assert accepted.status_code == 200, accepted.text
        self.step("linked")
        self.connect("after linking", hana, {"owner": "toolshed", "bridge": "github", "scope": "repo"})
        assert {c["status"] for c in elsewhere.connections()} == {"active"}
        self.step("used from both")
        self.secrets["second browser"] = elsewhere.http.cookies["__Host-toolshed"]
        assert elsewhere.post("/api/sign-out").status_code == 204

    def loses_a_browser_that_was_offered_a_vault(self) -> None:
        nell = Person(self.instance, "Nell")
        self.connect("offered vault", nell, {"owner": "toolshed", "bridge": "slack", "scope": "chat:write"})
        elsewhere = nell.elsewhere()
        self.connect("vault of the offered", elsewhere, {"owner": "toolshed", "bridge": "linear", "scope": "read"})
        offer = nell.post("/api/vault/link", {"step": "offer"}).json()
        assert elsewhere.post("/api/vault/link", {"step": "claim", "code": offer["code"]}).status_code == 200
        assert nell.post("/api/vault/link", {"step": "seal", "id": offer["id"]}).status_code == 200
        self.secrets["offered browser"] = elsewhere.http.cookies["__Host-toolshed"]
        self.step("a vault was offered to a browser")
        assert elsewhere.post("/api/vault/link", {"step": "cancel", "id": offer["id"]}).status_code == 200
        holder = {"holder": elsewhere.get("/api/me").json()["sessionId"]}
        confirm = nell.post("/api/vault/lost", holder).json()["confirm"]
        assert nell.post(f"/api/vault/lost?confirm={confirm}", holder).status_code == 200
        self.connect("since the offered was lost", nell, {"owner": "toolshed", "bridge": "github", "scope": "repo"})
        self.step("the browser that was offered a vault was lost")

    def loses_a_key(self) -> None:
        ivy, plugin = Person(self.instance, "Ivy"), Plugin(self.instance)
        self.connect("lost: never renewed", ivy, {"owner": "toolshed", "bridge": "github", "scope": "repo"})
        self.connect("lost: then renewed", ivy, plugin.link("linear", ["read"], user=ivy))
        lost, kept = ivy.api_key("lost"), ivy.api_key("kept")
        lost.token("github", ["repo"], reason="before-the-loss")
        self.secrets["lost key"] = lost.key
        self.step("before it was lost")
        reply = ivy.post("/api/vault/lost", {"holder": lost.id})
        assert reply.status_code == 200, reply.text
        self.note("renewed since")
        assert self.given["renewed since"], "the provider gave out another token"
        self.step("revoked as lost")
        kept.token("github", ["repo"], reason="since-the-loss")
        self.connect("connected since", ivy, {"owner": "toolshed", "bridge": "slack", "scope": "chat:write"})
        assert plugin.token("linear", ["read"], user=ivy)

    def links_without_typing(self) -> None:
        """By a recovery code and by a passkey of the vault that stays; a key of each other vault went before."""
        kim, device = Person(self.instance, "Kim"), Authenticator(self.instance)
        self.connect("stays", kim, {"owner": "toolshed", "bridge": "slack", "scope": "chat:write"})
        code = kim.post("/api/vault/recovery", {}).json()["code"]
        assert device.register(kim).status_code == 201
        for how, provider, scope in (("code", "linear", "read"), ("passkey", "github", "repo")):
            elsewhere = kim.elsewhere()
            self.connect(f"joins by {how}", elsewhere, {"owner": "toolshed", "bridge": provider, "scope": scope})
            self.secrets[f"gone before the {how}"] = (early := elsewhere.api_key()).key
            self.step(f"before the {how}")
            assert elsewhere.delete(f"/api/keys/{early.id}").status_code == 204
            shown = (elsewhere.post("/api/vault/link", {"step": "recovery", "code": code}) if how == "code" else device.show(elsewhere))
            assert shown.status_code == 200, shown.text
            self.step(f"given the key by {how}")
            [offer] = elsewhere.get("/api/vault/link").json()["offers"]
            accepted = elsewhere.post("/api/vault/link", {"step": "accept", "id": offer["id"], "digest": offer["digest"]})
            assert accepted.status_code == 200, accepted.text
            self.step(f"linked by {how}")
            assert {c["status"] for c in elsewhere.connections()} == {"active"}

    def loses_other_holders(self) -> None:
        """A browser, an OAuth client and a passkey, one after the other; each loss brings another token."""
        jon, client = Person(self.instance, "Jon"), Client(self.instance)
        self.connect("gone: kept on", jon, {"owner": "toolshed", "bridge": "github", "scope": "repo"})
        self.connect("gone: renewed 0", jon, {"owner": "toolshed", "bridge": "linear", "scope": "read"})
        for number, kind in enumerate(("session", "client", "passkey"), 1):
            if kind == "session":
                code = jon.post("/api/vault/recovery", {}).json()["code"]
                elsewhere = Person(self.instance, signed_in=False)
                assert elsewhere.post("/api/sign-in/recovery", {"code": code}).status_code == 200
                holder = elsewhere.get("/api/me").json()["sessionId"]
                self.secrets["lost session"] = elsewhere.http.cookies["__Host-toolshed"]
            elif kind == "client":
                client.log_in(jon)
                [held] = jon.get("/api/clients").json()["clients"]
                holder, self.secrets["lost client"] = held["id"], client.tokens["refresh_token"]
            else:
                device = Authenticator(self.instance)
                assert device.register(jon).status_code == 201
                [held] = jon.get("/api/passkeys").json()["passkeys"]
                holder, self.secrets["output of the lost passkey"] = held["id"], device.derive(jon.post("/api/passkeys/options").json()["prfSalt"])
            self.step(f"before the {kind} was lost")
            reply = jon.post("/api/vault/lost", {"holder": holder})
            assert reply.status_code == 200, reply.text
            self.note(f"gone: renewed {number}")
            assert self.given[f"gone: renewed {number}"], "the provider gave out another token"
            self.step(f"the {kind} was lost")

    def keeps_the_record(self) -> None:
        """Much was said of a connection before it was taken away. One key goes before a loss, the other comes after it."""
        lea, plugin = Person(self.instance, "Lea"), Plugin(self.instance)
        gone = self.connect("record: gone", lea, plugin.link("github", ["repo"], user=lea), account="lea-at-github")
        plugin.token("github", ["repo"], user=lea, reason="lea-why", tool="lea-which")
        self.step("a connection was used")
        assert lea.delete(f"/api/connections/{gone['id']}").status_code == 200
        self.step("it was taken away")
        early, self.secrets["plugin of what is gone"] = lea.api_key("early"), plugin.key
        self.secrets["key after the removal"] = early.key
        self.step("another key for the vault")
        assert lea.post("/api/vault/lost", {"holder": early.id}).status_code == 200
        self.step("and its loss")
        since = self.connect("record: since", lea, {"owner": "toolshed", "bridge": "linear", "scope": "read"}, account="lea-at-linear")
        late = lea.api_key("late")
        late.token("linear", ["read"], reason="lea-since")
        assert lea.delete(f"/api/connections/{since['id']}").status_code == 200
        self.step("another connection came and went")
        self.secrets["key after the loss"] = late.key

    def keeps_everything(self) -> None:
        eve = Person(self.instance, "Eve")
        self.connect("live", eve, {"owner": "toolshed", "bridge": "github", "scope": "repo"})
        self.connect("live: another account", eve, {"owner": "toolshed", "bridge": "github", "scope": "repo gist"},
                     account="mallory")
        key = eve.api_key("laptop")
        key.token("github", ["repo"], reason="eve-reason")
        need = key.link("corp", ["read"], reason="eve-request", account="eve@example.org")
        self.secrets["live"], self.secrets["key"] = eve.http.cookies["__Host-toolshed"], key.key
        page = eve.asked(need["authorizationUrl"]).json()
        self.secrets["form token"] = page["formToken"]
        approved = eve.decide(need["authorizationUrl"]).json()["location"]
        self.secrets["approval"] = approved.split("approval=")[1]
        address = eve.login(approved)
        self.secrets["state"] = address.split("state=")[1].split("&")[0]
        self.step("on the way to the provider")
        eve.post("/api/sign-out")
        self.step("the live session's copy is older than this")

    def ends_processes(self) -> None:
        """kill −9 of a worker and of the keeper while people go on: what they leave behind is copied, too."""
        person, key = (someone := Person(self.instance, "Finn")), someone.api_key()
        self.connect("killed: before", person, {"owner": "toolshed", "bridge": "slack", "scope": "chat:write"})
        for role in ("work", "keep"):
            victim = self.instance.children(role)[0]
            self.instance.kill(victim)
            self.step(f"killed {role}")
            until(lambda: victim not in self.instance.children(role) and self.instance.ready(), f"another {role}")
            assert Bearer(self.instance, key.key, key.id).token("slack", ["chat:write"])
            self.step(f"after {role}")


    def rotates_the_key(self) -> None:
        self.old_key = encryption_key(self.instance)
        self.new_key = base64.b64encode(os.urandom(32)).decode()
        file = self.instance.dir / "etc/environment"
        file.write_text(file.read_text().replace(self.old_key, f"2:{self.new_key},1:{self.old_key}"))
        self.instance.stop()
        self.instance.start()
        self.step("a second key")
        done = self.instance.json("rotate-key")
        assert done["failed"] == 0 and done["rekeyed"] == 1 and done["resealed"] > 60, done
        self.step("rotated")
        self.connect("rotated", self.in_background,
                     {"owner": "toolshed", "bridge": "linear", "scope": "read write comments:create"})
        claims = [row["claim"] for row in self.loot.rows["request"]]
        assert {claim[:4] for claim in claims} == {b"\1\1\0\1", b"\1\1\0\2"}, "claims were sealed anew, too"


@pytest.fixture(scope="module")
def story(module_instance):
    return Story(module_instance)


@pytest.fixture(scope="module")
def base(story):
    """What opens with every copy and ENCRYPTION_KEY alone."""
    return Thief(story.loot, encryption_key(story.instance)).work()


@pytest.fixture
def robbed(story, base):
    """What opens when the thief has these secrets of the story, too."""
    def add(*names: str) -> Thief:
        more = base.another()
        for name in names:
            text = story.secrets[name]
            give = more.give_output if name.startswith("output") else more.give_token if text.startswith("ts") else more.give_secret
            give(text, name)
        return more.work()
    return add


def encryption_key(instance) -> str:
    lines = (instance.dir / "etc/environment").read_text().splitlines()
    return next(line.partition("=")[2] for line in lines if line.startswith("ENCRYPTION_KEY="))


IN_BACKGROUND = ("background: stays on", "background: on and off", "background: consented again", "rotated")


def test_every_column_is_known_and_every_kind_of_box_was_tried(story, base):
    columns = {f"{table}.{name}" for table, name in story.loot.columns}
    bytes_in = {f"{table}.{name}" for table, rows in story.loot.rows.items() for row in rows
                for name, value in row.items() if isinstance(value, bytes)}
    assert bytes_in <= OPEN_COLUMNS | SEALED_COLUMNS, bytes_in - OPEN_COLUMNS - SEALED_COLUMNS
    assert OPEN_COLUMNS | SEALED_COLUMNS <= columns
    tried = base.tried()
    assert set(tried) >= SEALED_COLUMNS - {"rotation_journal.credential"}, tried
    assert story.loot.states > 80 and tried["connection.credential"] > 14, (story.loot.states, tried)


def test_copies_and_encryption_key_open_exactly_what_was_in_background(story, base):
    assert base.access_tokens() == story.tokens(*IN_BACKGROUND)
    assert base.key_columns() == {"connection.service_key"}
    assert base.claims() == {"while-in-background"}


def test_the_record_names_only_accounts_that_were_in_background(base):
    assert base.accounts() == {credential.account for credential in base.credentials()}
    assert not [account for account in base.accounts() if account.startswith("lea")]


def test_a_vaults_holder_opens_what_was_said_of_a_connection_that_is_gone_until_the_vault_has_another_key(story, base, robbed):
    """KEYS.md concedes it: the memory of a connection is its vault's."""
    found = robbed("key after the removal")
    assert found.claims() - base.claims() == {"lea-why", "lea-which"}
    assert {account for account in found.accounts() - base.accounts() if "lea" in account} == {
        account for account in found.accounts() if account.startswith("lea-at-github")} != set()
    found = robbed("key after the loss")
    assert found.claims() - base.claims() == {"lea-why", "lea-which", "lea-since"}


def test_a_plugin_opens_what_was_said_while_it_was_let_in_and_nothing_of_the_vault(story, base, robbed):
    found = robbed("plugin of what is gone")
    assert found.claims() - base.claims() == {"lea-why", "lea-which"}
    assert found.found("log_key.key") == base.found("log_key.key") == set()


def test_an_earlier_encryption_key_opens_nothing_of_what_came_after_it(story):
    found = Thief(story.loot, story.old_key).work()
    assert found.access_tokens() == story.tokens(*IN_BACKGROUND) - story.tokens("rotated")


def test_the_present_encryption_key_opens_nothing_of_what_came_before_it(story):
    found = Thief(story.loot, f"2:{story.new_key}").work()
    assert found.access_tokens() == story.tokens("background: consented again", "rotated")


def test_without_encryption_key_copies_and_live_secrets_open_nothing(story):
    found = Thief(story.loot, None)
    assert found.locked_outside > 50
    for name in ("live", "key", "plugin"):
        found.give_token(story.secrets[name])
    assert not found.work().opened


@pytest.mark.parametrize("secret", ["live", "key"])
def test_with_a_live_secret_its_vault_opens_so_the_thief_can_open_vaults(story, base, robbed, secret):
    found = robbed(secret)
    assert found.access_tokens() - base.access_tokens() == story.all_of("live")
    accounts = {credential.account for credential in found.credentials()}
    assert any("mallory" in account for account in accounts), accounts
    assert "eve-reason" in found.claims()


@pytest.mark.parametrize("secret", ["authorization code", "device code"])
def test_what_lives_for_minutes_opens_no_copy(story, base, robbed, secret):
    assert robbed(secret).opened == base.opened


@pytest.mark.parametrize("secret", ["access token", "refresh token", "superseded", "command line"])
def test_a_clients_token_opens_its_own_vault_as_a_cookie_does(story, base, robbed, secret):
    assert robbed(secret).access_tokens() == base.access_tokens() | story.all_of("client")


def test_a_revoked_cookie_opens_its_own_vault_and_nothing_else(story, base, robbed):
    found = robbed("cookie")
    assert found.access_tokens() == base.access_tokens() | story.all_of("cookie")
    # What was said for uses of the vault's connections, and of requests that its person was shown a link to.
    assert found.claims() - base.claims() == {"ada-vend-reason", "ada-reason", "ada-tool"}


def test_a_replaced_plugin_key_opens_what_its_plugin_was_given_and_nothing_else(story, base, robbed):
    found = robbed("replaced plugin key")
    assert found.access_tokens() == base.access_tokens() | story.all_of("changed")


def test_a_plugins_key_for_one_person_opens_what_that_person_approved_and_nothing_of_another(story, base, robbed):
    found = robbed("key of one person")
    assert found.access_tokens() == base.access_tokens() | story.all_of("own key")
    assert found.claims() - base.claims() == {"kim-own", "kim-before", "kim-vend"}


def test_a_plugins_general_key_opens_what_every_person_approved(story, base):
    found = base.another().give_token(story.general_key).work()
    assert found.access_tokens() == base.access_tokens() | story.all_of("own key") | story.tokens("another person's")


def test_a_replaced_recovery_code_opens_its_own_vault_and_nothing_else(story, base, robbed):
    found = robbed("code")
    assert found.access_tokens() == base.access_tokens() | story.all_of("code")


def test_what_a_removed_passkey_derived_opens_its_own_vault_and_nothing_else(story, base, robbed):
    """As with a cookie: old copies keep old locks, and the vault's key stayed the same."""
    assert robbed("output").access_tokens() == base.access_tokens() | story.all_of("passkey")


def test_a_withdrawn_plugins_key_opens_what_it_was_approved_for_and_nothing_since(story, base, robbed):
    found = robbed("plugin")
    assert found.access_tokens() == base.access_tokens() | story.tokens("plugin: first")
    asked = {"gone-reason", "gone-tool", "gone-account"}
    assert found.claims() - base.claims() == asked | {"before-withdrawal"}


def test_a_plugin_that_the_operator_removed_is_withdrawn_too(story, base, robbed):
    found = robbed("removed plugin")
    assert found.access_tokens() == base.access_tokens() | story.tokens("operator: first")
    assert found.claims() - base.claims() == {"before-removal"}


def test_a_lost_key_opens_what_was_there_before_and_nothing_since(story, base, robbed):
    found = robbed("lost key")
    assert found.access_tokens() == base.access_tokens() | story.all_of("lost: ")
    assert found.claims() - base.claims() == {"before-the-loss"}


@pytest.mark.parametrize("number, secret", list(enumerate(["lost session", "lost client", "output of the lost passkey"])))
def test_every_kind_of_holder_that_was_lost_opens_nothing_since(story, base, robbed, number, secret):
    """The token that no provider ends, and of the other the one that was good when it was lost; and its predecessor, which
    stood for a moment under the new key that the loss before had brought."""
    found = robbed(secret)
    known = {f"gone: renewed {max(number - 1, 0)}", f"gone: renewed {number}"}
    assert found.access_tokens() - base.access_tokens() == story.tokens("gone: kept on", *known)


@pytest.mark.parametrize("how", ["code", "passkey"])
def test_a_key_that_went_before_a_link_without_typing_opens_nothing_of_the_other_vault(story, base, robbed, how):
    assert robbed(f"gone before the {how}").access_tokens() - base.access_tokens() == story.tokens(f"joins by {how}")


def test_a_key_that_went_before_its_vault_was_linked_opens_nothing_of_the_other_vault(story, base, robbed):
    found = robbed("gone before linking")
    assert found.access_tokens() == base.access_tokens() | story.tokens("second vault")


def test_a_browser_whose_vault_was_linked_opens_both_vaults_and_what_came_to_them(story, base, robbed):
    """Its slot was given the key of the vault that stayed, which signing out does not change."""
    found = robbed("second browser")
    assert found.access_tokens() == base.access_tokens() | story.tokens("first vault", "second vault", "after linking")


def test_a_browser_that_was_offered_a_vault_and_lost_opens_nothing_that_came_since(story, base, robbed):
    found = robbed("offered browser")
    assert found.access_tokens() == base.access_tokens() | story.tokens("offered vault", "vault of the offered")


def test_a_used_state_opens_its_verifier_and_other_one_time_secrets_open_nothing(story, base, robbed):
    found = robbed("invitation", "form token", "approval")
    assert found.opened == base.opened
    assert found.keys.keys() > base.keys.keys()
    with_state = robbed("state")
    assert {box.column for box in with_state.opened.keys() - base.opened.keys()} == {"authorization.verifier"}


def test_account_names_can_be_neither_found_nor_guessed(story, base):
    """What is stored of a request is made from texts that can be guessed; only the caller's key makes it again."""
    accounts = ("", "gone-account", "eve@example.org", "octo", "mallory")
    for row in story.loot.rows["request"]:
        vault = "v_" + base64.urlsafe_b64encode(row["vault"]).decode().rstrip("=") if row["vault"] else ""
        for account, separator in itertools.product(accounts, ("\0", "\n")):
            guess = separator.join([vault, row["provider"], row["scopes"], account]).encode()
            assert hashlib.sha256(guess).digest() != row["need_hash"], f"need_hash is made from {guess}"


def test_what_two_browsers_were_shown_cannot_be_compared(story):
    """The digest of a consent page is stored, and the account's name is in it."""
    first, second, first_again = story.digests
    assert first == first_again != second
