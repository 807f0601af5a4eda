"""Revoke as lost; the last holder; the recovery code tried; lock now."""

import base64
import re
import threading

import decryptor as d
import pytest

from harness.authenticator import Authenticator
from harness.database import Database
from harness.loot import Loot
from harness.oauth import Client, command_line
from harness.people import Bearer, Person, Plugin
from harness.thief import Thief
from harness.waiting import until

CORP = {"owner": "toolshed", "bridge": "corp", "scope": "read"}
GITHUB = {"owner": "toolshed", "bridge": "github", "scope": "repo"}
SLACK = {"owner": "toolshed", "bridge": "slack", "scope": "chat:write"}
LINEAR = {"owner": "toolshed", "bridge": "linear", "scope": "read"}
GOOGLE = {"owner": "toolshed", "bridge": "google", "scope": "calendar"}


def lose(person: Person, holder: str) -> dict:
    reply = person.post("/api/vault/lost", {"holder": holder})
    assert reply.status_code == 200, reply.text
    return reply.json()


def confidential(person: Person) -> Client:
    """An OAuth client that the person let in, and that can ask whether its tokens live."""
    return Client(person.instance, token_endpoint_auth_method="client_secret_post").log_in(person)


def key_versions(person: Person) -> dict[str, tuple[int, int]]:
    """Of each connection: the version of its key, and of its vault's."""
    rows = Database(person.instance).run("SELECT c.id, c.key_version, v.key_version FROM connection c "
                                         "JOIN vault v ON v.id = c.vault WHERE c.person = ?", d.identifier(person.user_id))
    return {bytes(row[0]).hex(): (row[1], row[2]) for row in rows}


def test_a_lost_key_is_refused_at_once_and_everybody_else_goes_on(person, plugin):
    person.connect(plugin.link("github", ["repo"], user=person)["authorizationUrl"])
    person.connect(SLACK)
    lost, kept = person.api_key("lost"), person.api_key("kept")
    code = person.post("/api/vault/recovery", {}).json()["code"]
    before = key_versions(person)
    assert lose(person, lost.id)["local"] == "done"
    after = key_versions(person)
    assert all(after[row] == (own + 1, vault + 1) for row, (own, vault) in before.items()), (before, after)
    assert lost.vend("github", ["repo"]).status_code == 401
    for _ in range(2):
        assert kept.token("github", ["repo"]) and kept.token("slack", ["chat:write"])
        assert plugin.token("github", ["repo"], user=person)
        assert {c["status"] for c in person.connections()} == {"active"}
    third = Person(person.instance, signed_in=False)
    assert third.post("/api/sign-in/recovery", {"code": code}).status_code == 200
    assert {c["status"] for c in third.connections()} == {"active"}


def test_what_can_be_renewed_is_renewed_and_the_rest_is_said_honestly(person, double):
    for link in (LINEAR, GOOGLE, GITHUB):
        person.connect(link)
    key, lost = person.api_key(), person.api_key()
    old = {provider: key.token(provider)["accessToken"] for provider in ("linear", "google", "github")}
    told = {line["provider"]: line for line in lose(person, lost.id)["connections"]}
    new = {provider: key.token(provider)["accessToken"] for provider in old}
    # Linear gives new ones; Google's refresh token stays what it was; GitHub's token has no end and no renewal.
    assert new["linear"] != old["linear"]
    assert told["linear"]["tokens"] == "replaced" or told["linear"]["tokens"].startswith("expire-at "), told
    assert told["google"]["tokens"] == "live" and told["github"]["tokens"] == "live", told
    assert new["github"] == old["github"] and "settings/connections" in told["github"]["manageUrl"]
    assert told["github"]["account"] == "octo"


def test_what_could_not_be_renewed_yet_stays_marked_and_is_renewed_later(person, double):
    person.connect(LINEAR)
    key, lost = person.api_key(), person.api_key()
    old = key.token("linear", ["read"])["accessToken"]
    double.fault("linear", "refresh", "503", times=2)
    [line] = lose(person, lost.id)["connections"]
    assert line["tokens"] == "pending", line
    # Nobody has to ask for it: the keeper goes on, and a visit hands it the key again.
    until(lambda: person.get("/api/me").status_code == 200 and key.token("linear", ["read"])["accessToken"] != old,
          "the token to be renewed", 60)


def test_a_session_is_lost_from_another_browser_and_a_locked_vault_is_done_when_it_opens(person):
    person.connect(GITHUB)
    elsewhere = person.elsewhere()
    key, twin = person.api_key(), person.api_key("in the same vault")
    done = lose(elsewhere, key.id)
    assert done == {"local": "pending", "leftOut": 0, "connections": []}
    assert key.vend("github", ["repo"]).status_code == 401
    before = key_versions(person)
    assert twin.get("/api/me").status_code == 200
    assert all(after == (own + 1, vault + 1) for after, (own, vault) in zip(key_versions(person).values(), before.values()))
    assert twin.token("github", ["repo"]) and {c["status"] for c in person.connections()} == {"active"}


@pytest.mark.parametrize("is_due", [False, True], ids=["vended", "renewed"])
def test_a_vault_that_waits_for_new_keys_gets_them_before_anything_of_it_is_given_out(person, double, is_due):
    """Nobody comes by but a key that only vends: it never reads a list or opens a page."""
    person.connect(CORP)
    kept, lost = person.api_key("kept"), person.api_key("lost")
    assert lose(person.elsewhere(), lost.id)["local"] == "pending"
    before = key_versions(person)
    if is_due:
        Database(person.instance).run(
            "UPDATE connection SET expires_at_ms = 1000, next_refresh_at_ms = 1000, obtained_at_ms = 0 WHERE person = ?",
            d.identifier(person.user_id))
    assert kept.token("corp", ["read"])["refreshed"] == is_due
    after = key_versions(person)
    assert all(after[row] == (own + 1, vault + 1) for row, (own, vault) in before.items()), (before, after)
    assert kept.token("corp", ["read"]) and key_versions(person) == after, "once"


def test_a_thief_with_a_key_that_was_lost_elsewhere_reads_nothing_that_was_renewed_since(fresh):
    instance, loot = fresh().start(), Loot()
    person = Person(instance)
    person.connect(CORP)
    kept, lost = person.api_key("kept"), person.api_key("lost")
    loot.copy(instance, "before")
    lose(person.elsewhere(), lost.id)
    Database(instance).run("UPDATE connection SET expires_at_ms = 1000, next_refresh_at_ms = 1000, obtained_at_ms = 0")
    renewed = kept.token("corp", ["read"])
    assert renewed["refreshed"]
    loot.copy(instance, "renewed")
    secret = re.search("^ENCRYPTION_KEY=(.*)$", (instance.dir / "etc/environment").read_text(), re.M)[1].strip('"')
    robbed = Thief(loot, secret).give_token(lost.key).work().access_tokens()
    assert robbed and renewed["accessToken"] not in robbed


def test_a_lost_plugin_is_withdrawn_and_its_connections_are_given_new_keys_and_tokens(person):
    lost, kept = Plugin(person.instance), Plugin(person.instance)
    for plugin in (lost, kept):
        person.connect(plugin.link("linear", ["read"], user=person)["authorizationUrl"])
    person.connect(GITHUB)
    old = kept.token("linear", ["read"], user=person)["accessToken"]
    told = lose(person, lost.id)
    assert [line["provider"] for line in told["connections"]] == ["linear"]
    assert kept.token("linear", ["read"], user=person)["accessToken"] != old
    assert lost.link("linear", ["read"], user=person)["reason"] == "plugin-not-approved"


def test_the_asking_browser_itself_an_unknown_one_and_another_persons_are_refused(person, other):
    me = person.get("/api/me").json()["sessionId"]
    assert person.post("/api/vault/lost", {"holder": me}).json()["error"] == "invalid-request"
    theirs = other.api_key()
    for holder in (theirs.id, other.get("/api/me").json()["sessionId"], "s_" + "A" * 22, "p_" + "A" * 22, "g_" + "A" * 22,
                   "x", "s_" + "A" * 200):
        assert person.post("/api/vault/lost", {"holder": holder}).status_code == 404, holder
    assert theirs.get("/api/me").status_code == 200
    for body in ({}, {"holder": 3}, {"holder": "x" * 1000}, {"holder": me, "more": 1}):
        assert person.post("/api/vault/lost", body).status_code == 400, body
    assert theirs.post("/api/vault/lost", {"holder": theirs.id}).status_code == 403


def test_a_lost_passkey_neither_signs_in_nor_opens_anything_and_everybody_else_goes_on(person):
    person.connect(GITHUB)
    key, lost, kept = person.api_key(), Authenticator(person.instance), Authenticator(person.instance)
    for device in (lost, kept):
        assert device.register(person).status_code == 201
    first = person.get("/api/passkeys").json()["passkeys"][0]["id"]
    before = key_versions(person)
    assert lose(person, first)["local"] == "done"
    assert [own for own, _ in key_versions(person).values()] == [own + 1 for own, _ in before.values()]
    again = Person(person.instance, signed_in=False)
    assert lost.show(again).status_code == 400
    assert kept.show(again).status_code == 200 and again.connections()[0]["status"] == "active"
    assert key.token("github", ["repo"])


def test_a_lost_client_loses_all_that_it_was_given(person):
    person.connect(GITHUB)
    client = confidential(person)
    assert client.is_live()
    [[grant]] = Database(person.instance).run("SELECT id FROM client_grant WHERE person = ?", d.identifier(person.user_id))
    key = person.api_key()
    assert lose(person, "g_" + base64.urlsafe_b64encode(grant).decode().rstrip("="))["local"] == "done"
    assert not client.is_live() and not client.is_live(client.tokens["refresh_token"])
    assert key.token("github", ["repo"])


def test_clients_go_on_when_something_else_is_lost(person):
    person.connect(GITHUB)
    client = confidential(person)
    assert lose(person, person.api_key().id)["leftOut"] == 0
    assert client.is_live()
    client.renew()
    assert client.is_live()


def test_losing_twice_at_once_loses_nothing(person):
    person.connect(GITHUB)
    kept, lost = person.api_key(), [person.api_key() for _ in range(4)]
    replies = []

    def lose_one(identifier):
        # Overtaken by another: come again.
        until(lambda: replies.append(person.post("/api/vault/lost", {"holder": identifier}).status_code)
              or replies[-1] in (200, 404), "revoked")

    threads = [threading.Thread(target=lose_one, args=(key.id,)) for key in lost]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(replies) <= {200, 503, 404} and 200 in replies, replies
    assert kept.token("github", ["repo"]) and person.connections()[0]["status"] == "active"
    assert {key.vend("github", ["repo"]).status_code for key in lost} == {401}


# A revoked connection is never vended again


@pytest.mark.parametrize("provider, scope", [("github", "repo"), ("linear", "read")])
def test_what_was_revoked_is_never_vended_again_whatever_is_under_way(person, double, provider, scope):
    """Vends, some of which wait for a refresh, go on while it is revoked; none that began afterwards gets a token."""
    person.connect({"owner": "toolshed", "bridge": provider, "scope": scope})
    keys = [person.api_key() for _ in range(4)]
    assert keys[0].token(provider, [scope])
    connection = person.connections()[0]
    revoked, late = threading.Event(), []
    started = threading.Barrier(len(keys) + 1)

    def vend(key: Bearer) -> None:
        started.wait()
        for turn in range(40):
            began_after = revoked.is_set()
            # Every other one wants a token that lives longer than any: it waits for the keeper.
            reply = key.vend(provider, [scope], minTTL=3600 if turn % 2 else 0)
            if began_after:
                late.append(reply.status_code)

    threads = [threading.Thread(target=vend, args=(key,)) for key in keys]
    for thread in threads:
        thread.start()
    started.wait()
    assert person.delete(f"/api/connections/{connection['id']}").status_code == 200
    revoked.set()
    for thread in threads:
        thread.join()
    assert late and set(late) <= {403, 429}, late
    # Not from the keeper's memory either: nothing is refreshed that is not there.
    before = double.count(provider, "refresh")
    assert person.get("/api/me").status_code == 200 and double.count(provider, "refresh") == before


# The last holder


def test_the_last_holder_goes_only_after_what_is_lost_was_said(person):
    person.connect(GITHUB)
    first = person.post("/api/sign-out")
    assert first.status_code == 409 and first.json()["error"] == "last-holder" and first.json()["connections"] == 1
    assert person.get("/api/me").status_code == 200
    assert person.post("/api/sign-out?confirm=nonsense").status_code == 409
    again = person.post("/api/sign-out").json()["confirm"]
    assert person.post(f"/api/sign-out?confirm={again}").status_code == 204
    assert person.get("/api/me").status_code == 401


def test_a_yes_to_what_was_there_is_none_to_what_was_connected_since(person):
    person.connect(GITHUB)
    asked = person.post("/api/sign-out")
    assert asked.status_code == 409 and asked.json()["connections"] == 1
    person.connect(SLACK)
    again = person.post(f"/api/sign-out?confirm={asked.json()['confirm']}")
    assert again.status_code == 409 and again.json()["connections"] == 2
    assert person.post(f"/api/sign-out?confirm={again.json()['confirm']}").status_code == 204


def test_with_another_holder_or_nothing_to_lose_no_question_is_asked(person, other):
    person.connect(GITHUB)
    key = person.api_key()
    assert person.post("/api/sign-out").status_code == 204
    # The key is the last one now, and may say so itself.
    refused = key.call("DELETE", f"/api/keys/{key.id}")
    assert refused.status_code == 409, refused.text
    assert key.call("DELETE", f"/api/keys/{key.id}?confirm={refused.json()['confirm']}").status_code == 204
    assert other.post("/api/sign-out").status_code == 204, "nothing was in that vault"


@pytest.mark.parametrize("how", ["delete", "lose each other"])
def test_of_the_two_last_holders_that_go_at_the_same_moment_one_asks(instance, how):
    for _ in range(8):
        person = Person(instance)
        person.connect(GITHUB)
        keys = [person.api_key() for _ in range(2)]
        clients = [command_line(instance).log_in(person) for _ in range(2)] if how != "delete" else []
        started, answers = threading.Barrier(2), []

        def go(key: Bearer) -> None:
            started.wait()
            answers.append(key.call("DELETE", f"/api/keys/{key.id}"))

        elsewhere = person.elsewhere()
        if clients:
            assert all(person.delete(f"/api/keys/{key.id}").status_code == 204 for key in keys)
            grants = [grant["id"] for grant in elsewhere.get("/api/clients").json()["clients"]]
        assert person.post("/api/sign-out").status_code == 204

        def lose_one(grant: str) -> None:
            started.wait()
            answers.append(elsewhere.post("/api/vault/lost", {"holder": grant}))

        threads = [threading.Thread(target=go if how == "delete" else lose_one, args=(it,))
                   for it in (keys if how == "delete" else grants)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(answer.status_code for answer in answers)[1] == 409, [answer.status_code for answer in answers]


@pytest.mark.parametrize("kind", ["command line", "agent"])
@pytest.mark.parametrize("how", ["revoke", "revoke as lost"])
def test_a_client_that_is_the_last_holder_goes_only_after_what_is_lost_was_said(person, how, kind):
    person.connect(GITHUB)
    client = (command_line(person.instance) if kind == "command line" else Client(person.instance)).log_in(person)
    if kind == "agent":
        client.renew()
    elsewhere = person.elsewhere()
    assert person.post("/api/sign-out").status_code == 204, "the client still opens the vault"
    grant = elsewhere.get("/api/clients").json()["clients"][0]["id"]

    def ask(confirm: str = ""):
        more = f"?confirm={confirm}" if confirm else ""
        return elsewhere.delete(f"/api/clients/{grant}{more}") if how == "revoke" \
            else elsewhere.post(f"/api/vault/lost{more}", {"holder": grant})

    refused = ask()
    assert refused.status_code == 409 and refused.json()["error"] == "last-holder" and refused.json()["connections"] == 1
    assert ask("nonsense").status_code == 409
    assert len(elsewhere.get("/api/clients").json()["clients"]) == 1, "asking takes nothing away"
    assert ask(ask().json()["confirm"]).status_code == (204 if how == "revoke" else 200)
    assert elsewhere.get("/api/clients").json()["clients"] == []


def test_a_key_of_another_vault_is_lost_only_after_what_goes_with_it_was_said(person):
    person.connect(GITHUB)
    key = person.api_key()
    elsewhere = person.elsewhere()
    assert person.post("/api/sign-out").status_code == 204
    refused = elsewhere.post("/api/vault/lost", {"holder": key.id})
    assert refused.status_code == 409 and refused.json()["error"] == "last-holder"
    assert key.get("/api/me").status_code == 200
    assert elsewhere.post(f"/api/vault/lost?confirm={refused.json()['confirm']}", {"holder": key.id}).json()["local"] == "pending"
    assert key.get("/api/me").status_code == 401


def test_a_yes_to_one_loss_is_none_to_another(person):
    person.connect(GITHUB)
    elsewhere = person.elsewhere()
    elsewhere.connect(SLACK)
    mine, theirs = (browser.get("/api/me").json()["sessionId"] for browser in (person, elsewhere))
    asked = elsewhere.delete(f"/api/sessions/{mine}")
    assert asked.status_code == 409 and asked.json()["connections"] == 1
    assert elsewhere.post(f"/api/sign-out?confirm={asked.json()['confirm']}").status_code == 409
    asked = elsewhere.delete(f"/api/sessions/{mine}")
    assert elsewhere.delete(f"/api/sessions/{mine}?confirm={asked.json()['confirm']}").status_code == 204
    assert theirs and {c["provider"]: c["status"] for c in elsewhere.connections()} == {"github": "locked", "slack": "active"}


# Recovery


def test_a_recovery_code_is_tried_without_being_used(person, other):
    assert person.get("/api/vault").json()["recovery"] is None
    first = person.post("/api/vault/recovery", {}).json()["code"]
    made = person.get("/api/vault").json()["recovery"]
    assert made["createdAt"] and made["checkedAt"] is None
    code = person.post("/api/vault/recovery", {}).json()["code"]
    elsewhere = person.elsewhere()

    def opens(browser: Person, text: str) -> str:
        return browser.post("/api/vault/recovery/check", {"code": text}).json()["opens"]

    assert opens(person, first) == "nothing", "replaced"
    assert opens(person, code) == "this-vault" and opens(elsewhere, code) == "other-vault"
    assert opens(other, code) == opens(person, "tsr_x") == opens(person, person.api_key().key) == "nothing"
    assert person.get("/api/vault").json()["recovery"]["checkedAt"]
    third = Person(person.instance, signed_in=False)
    assert third.post("/api/sign-in/recovery", {"code": code}).status_code == 200, "still good"
    assert person.post("/api/vault/recovery/check", {}).status_code == 400
    assert person.api_key().post("/api/vault/recovery/check", {"code": code}).status_code == 403


def test_a_recovery_code_is_lost_like_every_other_holder(person):
    """A stolen paper: a copy of before the loss goes on being opened with it, what comes after does not."""
    person.connect(GITHUB)
    code = person.post("/api/vault/recovery", {}).json()["code"]
    key, before = person.api_key(), key_versions(person)
    recovery = person.get("/api/vault").json()["recovery"]["id"]
    lost = person.post("/api/vault/lost", {"holder": recovery})
    assert lost.status_code == 200 and lost.json()["local"] == "done", lost.text
    assert person.get("/api/vault").json()["recovery"] is None
    assert key_versions(person) == {id: (connection + 1, vault + 1) for id, (connection, vault) in before.items()}
    assert Person(person.instance, signed_in=False).post("/api/sign-in/recovery", {"code": code}).status_code == 400
    assert key.get("/api/me").status_code == 200


# Lock now


def test_lock_now_says_who_can_go_on(person, plugin):
    person.connect(plugin.link("linear", ["read"], user=person)["authorizationUrl"])
    person.connect(GITHUB)
    linear = next(c for c in person.connections() if c["provider"] == "linear")
    assert person.post("/api/vault/lock").json() == {"plugins": 1, "backgroundRefresh": 0}
    assert person.call("PATCH", f"/api/connections/{linear['id']}", {"backgroundRefresh": True}).status_code == 204
    assert person.post("/api/vault/lock").json() == {"plugins": 1, "backgroundRefresh": 1}


# The answer that never arrived


def again(person: Person, holder: str) -> dict:
    """Asked once more, for what is gone."""
    return {line["id"]: line for line in lose(person, holder)["connections"]}


def test_asked_again_it_says_the_same_again(person, double):
    for link in (LINEAR, GOOGLE, GITHUB):
        person.connect(link)
    lost = person.api_key()
    first = lose(person, lost.id)
    versions = key_versions(person)
    for _ in range(2):
        second = lose(person, lost.id)
        assert second == first and len(second["connections"]) == 3 and all(line["account"] for line in second["connections"])
    assert key_versions(person) == versions, "nothing is done twice"
    # In a vault that does not open the connections, without the account.
    assert {line["account"] for line in lose(person.elsewhere(), lost.id)["connections"]} == {None}


def test_what_could_not_be_renewed_is_pending_until_it_is(person, double):
    person.connect(LINEAR)
    key, lost = person.api_key(), person.api_key()
    (connection,) = person.connections()
    assert connection["renewalPending"] is False
    double.fault("linear", "refresh", "503", times=2)
    (line,) = lose(person, lost.id)["connections"]
    assert line["tokens"] == "pending" and again(person, lost.id)[connection["id"]]["tokens"] == "pending"
    assert person.connections()[0]["renewalPending"] is True

    def renewed() -> bool:
        key.vend("linear", ["read"])
        return person.connections()[0]["renewalPending"] is False

    until(renewed, "it to be renewed", 60)
    # What is known of it now is when the one that was known ends; nothing better is claimed.
    assert again(person, lost.id)[connection["id"]]["tokens"].startswith("expire-at ")


@pytest.mark.parametrize("kind", ["session", "passkey", "passkey without prf", "client", "plugin", "own plugin"])
def test_every_kind_of_holder_is_remembered_for_a_month(person, double, kind, plugin):
    person.connect(plugin.link("linear", ["read"], user=person)["authorizationUrl"])
    if kind == "session":
        code = person.post("/api/vault/recovery", {}).json()["code"]
        twin = Person(person.instance, signed_in=False)
        twin.post("/api/sign-in/recovery", {"code": code})
        holder = twin.get("/api/me").json()["sessionId"]
    elif kind.startswith("passkey"):
        device = Authenticator(person.instance, prf=kind == "passkey")
        assert device.register(person).status_code == 201
        holder = person.get("/api/passkeys").json()["passkeys"][0]["id"]
    elif kind == "client":
        confidential(person)
        holder = person.get("/api/clients").json()["clients"][0]["id"]
    elif kind == "plugin":
        holder = plugin.id
    else:
        holder = person.own_plugin().id
    lists = {"session": "sessions", "passkey": "passkeys", "client": "clients", "plugin": "plugins"}
    plural = next(plural for word, plural in lists.items() if word in kind)
    name = next(one["name"] for one in person.get(f"/api/{plural}?limit=500").json()[plural] if one["id"] == holder)
    first = lose(person, holder)
    assert lose(person, holder) == first
    (told,) = listed(person)
    kinds = {"client": "mcp", "own plugin": "plugin", "passkey without prf": "passkey"}
    assert (told["holder"], told["kind"], told["name"]) == (holder, kinds.get(kind, kind), name)
    person.instance.sql("UPDATE loss SET expires_at_ms = expires_at_ms - 30 * 86400000 - 1 WHERE holder = ?", holder)
    assert listed(person) == []
    over = person.post("/api/vault/lost", {"holder": holder})
    if kind == "plugin":  # the operator's is still there, and holds nothing
        assert over.status_code == 200 and over.json()["connections"] == []
    else:
        assert over.status_code == 404, over.text


def test_a_plugin_that_was_let_in_again_can_be_lost_again(person, plugin):
    for _ in range(2):
        person.connect(plugin.link("linear", ["read"], user=person)["authorizationUrl"])
        before = key_versions(person)
        assert len(lose(person, plugin.id)["connections"]) == 1
        assert key_versions(person) != before


def listed(person: Person) -> list[dict]:
    reply = person.get("/api/vault/lost")
    assert reply.status_code == 200, reply.text
    return reply.json()["losses"]


def put_away(person: Person, holder: str):
    return person.delete("/api/vault/lost", params={"holder": holder})


def test_what_a_loss_led_to_is_there_for_who_left_the_page_until_it_is_put_away(person, other):
    for link in (LINEAR, GOOGLE, GITHUB):
        person.connect(link)
    kept, lost = person.api_key("kept"), person.api_key("left in the train")
    told = lose(person, lost.id)
    (loss,) = listed(person)
    assert loss | {"holder": lost.id, "kind": "api-key", "name": "left in the train", "local": "done", "leftOut": 0, "others": 0} == loss
    by_id = lambda lines: sorted(lines, key=lambda line: line["id"])  # noqa: E731
    assert by_id(loss["connections"]) == by_id(told["connections"])
    # What is still good for somebody comes before what is not.
    ended = [line["tokens"] == "replaced" for line in loss["connections"]]
    assert ended == sorted(ended)
    assert listed(kept) == [loss], "who opens the vault reads it"
    # A connection that is gone is nothing to do any more.
    github = next(c["id"] for c in person.connections() if c["provider"] == "github")
    assert person.delete(f"/api/connections/{github}").status_code == 200
    assert {line["provider"] for line in listed(person)[0]["connections"]} == {"linear", "google"}
    assert listed(other) == [] and put_away(other, lost.id).status_code == 404
    assert kept.call("DELETE", f"/api/vault/lost?holder={lost.id}").status_code == 403, "a person's decision"
    assert put_away(person, "").status_code == person.delete("/api/vault/lost").status_code == 400
    assert put_away(person, lost.id).status_code == 204 and listed(person) == []
    assert put_away(person, lost.id).status_code == 404 and lost.vend("linear", ["read"]).status_code == 401


def test_a_loss_elsewhere_is_listed_as_waiting_until_that_vault_has_new_keys(person):
    person.connect(LINEAR)
    lost, elsewhere = person.api_key("lost"), person.elsewhere()
    assert lose(elsewhere, lost.id)["local"] == "pending"
    assert [loss["local"] for loss in listed(elsewhere)] == ["pending"]
    person.get("/api/me")
    assert [loss["local"] for loss in listed(elsewhere)] == ["later"]


def test_nobody_else_is_told(person, other):
    person.connect(LINEAR)
    lost = person.api_key()
    lose(person, lost.id)
    assert other.post("/api/vault/lost", {"holder": lost.id}).status_code == 404
