"""Two vaults of one person become one: docs/LINKING.md, step by step."""

import base64
import binascii
import threading

import decryptor as d
import pytest

from harness.authenticator import Authenticator
from harness.database import Database
from harness.people import SAME_ORIGIN, Bearer, Person
from harness.waiting import until

GITHUB = {"owner": "toolshed", "bridge": "github", "scope": "repo"}
SLACK = {"owner": "toolshed", "bridge": "slack", "scope": "chat:write"}
CORP = {"owner": "toolshed", "bridge": "corp", "scope": "read"}
LINK = "/api/vault/link"


@pytest.fixture
def elsewhere(person):
    return person.elsewhere()


def step(browser: Person, name: str, status: int = 200, **members) -> dict:
    reply = browser.post(LINK, {"step": name} | members)
    assert reply.status_code == status, f"{name}: {reply.status_code} {reply.text}"
    return reply.json()


def offers(browser: Person) -> list[dict]:
    reply = browser.get(LINK)
    assert reply.status_code == 200, reply.text
    return reply.json()["offers"]


def seal(first: Person, second: Person) -> str:
    """As far as the second has been given the first one's key."""
    offer = step(first, "offer", 201)
    assert step(second, "claim", code=offer["code"])["id"] == offer["id"]
    assert step(first, "seal", id=offer["id"])["status"] == "sealed"
    return offer["id"]


def link(first: Person, second: Person) -> None:
    identifier = seal(first, second)
    [offer] = offers(second)
    assert step(second, "accept", id=identifier, digest=offer["digest"])["status"] == "accepted"


def providers(browser: Person) -> dict[str, str]:
    return {connection["provider"]: connection["status"] for connection in browser.connections()}


def test_after_linking_every_holder_of_either_side_opens_everything(person, elsewhere, plugin):
    person.connect(plugin.link("github", ["repo"], user=person)["authorizationUrl"])
    elsewhere.connect(SLACK)
    keys = person.api_key("mine"), elsewhere.api_key("theirs")
    code = elsewhere.post("/api/vault/recovery", {}).json()["code"]
    link(person, elsewhere)
    for browser in (person, elsewhere):
        assert providers(browser) == {"github": "active", "slack": "active"}
        assert browser.get("/api/vault").json()["others"] == []
    for key in keys:
        assert key.token("github", ["repo"]) and key.token("slack", ["chat:write"])
        assert key.token("github", ["repo"]), "by the wrapped form, too"
    assert plugin.token("github", ["repo"], user=person)
    third = Person(person.instance, signed_in=False)
    assert third.post("/api/sign-in/recovery", {"code": code}).status_code == 200
    assert providers(third) == {"github": "active", "slack": "active"}


def test_before_accepting_the_second_sees_what_comes_from_each_side_and_who_can_use_it(person, elsewhere):
    person.connect(GITHUB)
    elsewhere.connect(SLACK)
    person.api_key("nightly report")
    seal(person, elsewhere)
    [offer] = offers(elsewhere)
    assert offer["side"] == "second" and offer["status"] == "sealed"
    assert [(c["provider"], c["account"]) for c in offer["there"]["connections"]] == [("github", "octo")]
    assert [c["provider"] for c in offer["here"]["connections"]] == ["slack"] and offer["here"]["connections"][0]["account"]
    assert {(h["kind"], h["name"]) for h in offer["there"]["holders"]} >= {("api-key", "nightly report")}
    assert [h["kind"] for h in offer["here"]["holders"]] == ["session"]
    [given] = offers(person)
    assert given["side"] == "first" and given["here"] is given["there"] is given["digest"] is None
    # Nothing has been brought together yet.
    assert providers(elsewhere)["github"] == "locked"


def test_what_changed_after_it_was_shown_is_shown_again(person, elsewhere):
    identifier = seal(person, elsewhere)
    [before] = offers(elsewhere)
    person.api_key("a new one")
    reply = elsewhere.post(LINK, {"step": "accept", "id": identifier, "digest": before["digest"]})
    assert reply.status_code == 409 and reply.json()["error"] == "changed"
    [now] = offers(elsewhere)
    step(elsewhere, "accept", id=identifier, digest=now["digest"])


def test_each_step_may_be_repeated(person, elsewhere):
    person.connect(GITHUB)
    offer = step(person, "offer", 201)
    for _ in range(2):
        step(elsewhere, "claim", code=offer["code"])
    for _ in range(2):
        step(person, "seal", id=offer["id"])
    digest = offers(elsewhere)[0]["digest"]
    for _ in range(3):
        assert step(elsewhere, "accept", id=offer["id"], digest=digest)["status"] == "accepted"
    assert providers(elsewhere) == {"github": "active"}


def test_two_accepts_at_once_are_one(person, elsewhere):
    person.connect(GITHUB)
    elsewhere.connect(SLACK)
    identifier, digest = seal(person, elsewhere), offers(elsewhere)[0]["digest"]
    replies = []

    def accept():
        with elsewhere.instance.session() as http:
            http.cookies.update(elsewhere.http.cookies)
            replies.append(http.post(elsewhere.instance.origin + LINK, headers=SAME_ORIGIN, timeout=30, json={
                "step": "accept", "id": identifier, "digest": digest}))

    threads = [threading.Thread(target=accept) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # Who was overtaken is told to come again, or that it is done.
    assert {reply.status_code for reply in replies} <= {200, 404, 409, 503} and 200 in {r.status_code for r in replies}
    assert providers(elsewhere) == providers(person) == {"github": "active", "slack": "active"}


def test_a_code_is_typed_as_people_type_it_and_only_by_the_same_person(person, elsewhere, other):
    offer = step(person, "offer", 201)
    assert other.post(LINK, {"step": "claim", "code": offer["code"]}).status_code == 404
    unknown = other.post(LINK, {"step": "claim", "code": "00000000"})
    assert unknown.status_code == 404 and unknown.json()["error"] == "not-found"
    typed = f" {offer['code'][:4].lower()}-{offer['code'][4:].lower()} "
    assert step(elsewhere, "claim", code=typed)["id"] == offer["id"]


def test_the_fifth_wrong_code_ends_the_offer(person, elsewhere):
    offer = step(person, "offer", 201)
    wrong = "0" * 8 if offer["code"] != "0" * 8 else "1" * 8
    for _ in range(5):
        step(elsewhere, "claim", 404, code=wrong)
    step(elsewhere, "claim", 404, code=offer["code"])
    assert offers(person) == []


def test_a_code_ends_after_ten_minutes_and_what_was_sealed_after_a_day(person, elsewhere):
    offer = step(person, "offer", 201)
    person.instance.sql("UPDATE link SET expires_at_ms = expires_at_ms - 600001 WHERE person = ("
                        "SELECT person FROM slot WHERE id = from_slot)")
    step(elsewhere, "claim", 404, code=offer["code"])
    identifier, digest = seal(person, elsewhere), offers(elsewhere)[0]["digest"]
    person.instance.sql("UPDATE link SET expires_at_ms = expires_at_ms - 86400001")
    assert offers(elsewhere) == []
    step(elsewhere, "accept", 404, id=identifier, digest=digest)


def test_both_ends_want_a_fresh_sign_in(person, elsewhere):
    for browser in (person, elsewhere):
        browser.post("/api/vault/recovery", {})
    offer = step(person, "offer", 201)
    person.instance.sql("UPDATE slot SET signed_in_at_ms = signed_in_at_ms - 600001 WHERE kind = 'session'")
    for browser, members in ((person, {"step": "offer"}), (elsewhere, {"step": "claim", "code": offer["code"]})):
        reply = browser.post(LINK, members)
        assert reply.status_code == 403 and reply.json()["error"] == "fresh-sign-in-required", reply.text


def test_the_key_is_given_away_in_a_fresh_sign_in_too(person, elsewhere):
    offer = step(person, "offer", 201)
    step(elsewhere, "claim", code=offer["code"])
    code = person.post("/api/vault/recovery", {}).json()["code"]
    person.instance.sql("UPDATE slot SET signed_in_at_ms = signed_in_at_ms - 600001 WHERE kind = 'session'")
    refused = person.post(LINK, {"step": "seal", "id": offer["id"]})
    assert refused.status_code == 403 and refused.json()["error"] == "fresh-sign-in-required", refused.text
    assert offers(elsewhere)[0]["status"] == "claimed", "nothing was given"
    # The confirmation is for the same offer, under the session's new id.
    assert person.post("/api/sign-in/recovery", {"code": code}).status_code == 200
    assert step(person, "seal", id=offer["id"])["status"] == "sealed"


# What was given away, and to whom

def key_versions(person: Person) -> dict[str, int]:
    return {owner: version for owner, version in Database(person.instance).run(
        "SELECT c.provider, v.key_version FROM vault v JOIN connection c ON c.vault = v.id "
        "WHERE v.person = (SELECT id FROM person WHERE name = ?)", person.name)}


@pytest.mark.parametrize("offer_is", ["open", "declined", "over", "of a session that has confirmed since"])
def test_losing_a_browser_that_was_given_another_vaults_key_changes_that_key_too(person, elsewhere, offer_is):
    person.connect(GITHUB)
    elsewhere.connect(SLACK)
    key = person.api_key()
    identifier = seal(person, elsewhere)
    rows = Database(person.instance)
    if offer_is == "declined":
        step(elsewhere, "cancel", id=identifier)
    elif offer_is == "over":
        rows.run("DELETE FROM link")
    elif offer_is != "open":
        assert Authenticator(person.instance).register(elsewhere).status_code == 201
    before = key_versions(person)
    holder = {"holder": elsewhere.get("/api/me").json()["sessionId"]}
    asked = person.post("/api/vault/lost", holder)
    # With a passkey that opens it, it is not the last holder of its own vault.
    confirm = f"?confirm={asked.json()['confirm']}" if asked.status_code == 409 else ""
    lost = person.post(f"/api/vault/lost{confirm}", holder) if confirm else asked
    assert lost.status_code == 200, lost.text
    assert lost.json()["connections"][0]["provider"] == "github", "what it could open is said"
    assert key_versions(person)["github"] > before["github"] and key.token("github", ["repo"])
    [(pending,)] = rows.run("SELECT v.rekey_pending FROM vault v JOIN connection c ON c.vault = v.id AND c.provider = 'slack' "
                            "WHERE v.person = (SELECT id FROM person WHERE name = ?)", person.name)
    assert pending == 1, "its own vault is not open here"


def test_where_the_other_vault_is_not_open_it_gets_its_new_key_when_it_is(person, elsewhere):
    person.connect(GITHUB)
    elsewhere.connect(SLACK)
    third = person.elsewhere()
    seal(person, elsewhere)
    before = key_versions(person)
    holder = {"holder": elsewhere.get("/api/me").json()["sessionId"]}
    asked = third.post("/api/vault/lost", holder)
    assert asked.status_code == 409, "it was the last holder of its own vault"
    assert third.post(f"/api/vault/lost?confirm={asked.json()['confirm']}", holder).status_code == 200
    assert key_versions(person) == before
    assert person.get("/api/me").status_code == 200
    assert key_versions(person)["github"] > before["github"] and providers(person)["github"] == "active"


def test_a_browser_that_was_given_nothing_is_lost_without_a_change_to_the_other_vault(person, elsewhere):
    person.connect(GITHUB)
    offer = step(person, "offer", 201)
    step(elsewhere, "claim", code=offer["code"])
    before = key_versions(person)
    assert person.post("/api/vault/lost", {"holder": elsewhere.get("/api/me").json()["sessionId"]}).status_code == 200
    assert key_versions(person) == before


def test_only_the_two_sessions_take_the_steps(person, elsewhere):
    third = person.elsewhere()
    identifier, digest = seal(person, elsewhere), offers(elsewhere)[0]["digest"]
    for name in ("seal", "accept", "cancel"):
        step(third, name, 404, id=identifier, **({"digest": digest} if name == "accept" else {}))
    assert offers(third) == []
    step(person, "accept", 404, id=identifier, digest=digest)
    assert step(person, "cancel", id=identifier)["status"] == "cancelled"
    step(elsewhere, "accept", 404, id=identifier, digest=digest)


def test_a_key_or_a_plugin_links_nothing(person, plugin):
    for bearer in (person.api_key(), plugin):
        for reply in (bearer.post(LINK, {"step": "offer"}), bearer.get(LINK)):
            assert reply.status_code == 403 and reply.json()["error"] == "not-permitted"


def test_the_code_of_ones_own_vault_says_that_there_is_nothing_to_link(person):
    code = person.post("/api/vault/recovery", {}).json()["code"]
    twin = Person(person.instance, signed_in=False)
    twin.post("/api/sign-in/recovery", {"code": code})
    offer = step(person, "offer", 201)
    reply = twin.post(LINK, {"step": "claim", "code": offer["code"]})
    assert reply.status_code == 409 and reply.json()["error"] == "already-linked"
    assert person.post(LINK, {"step": "recovery", "code": code}).json()["error"] == "already-linked"


def test_the_recovery_code_of_one_vault_typed_in_the_other_links_them(person, elsewhere, other):
    person.connect(GITHUB)
    elsewhere.connect(SLACK)
    code = person.post("/api/vault/recovery", {}).json()["code"]
    step(other, "recovery", 404, code=code)
    made = step(elsewhere, "recovery", code=code)
    [offer] = offers(elsewhere)
    assert offer["id"] == made["id"] and offer["from"] == "Recovery code"
    step(elsewhere, "accept", id=made["id"], digest=offer["digest"])
    assert providers(person) == providers(elsewhere) == {"github": "active", "slack": "active"}


@pytest.mark.parametrize("how", ["recovery code", "passkey"])
def test_what_opens_another_vault_shown_to_confirm_who_it_is_offers_the_link(person, elsewhere, how):
    person.connect(GITHUB)
    elsewhere.connect(SLACK)
    if how == "passkey":
        device = Authenticator(person.instance)
        assert device.register(person).status_code == 201
        assert device.show(elsewhere).status_code == 200
    else:
        code = person.post("/api/vault/recovery", {}).json()["code"]
        assert elsewhere.post("/api/sign-in/recovery", {"code": code}).status_code == 200
    assert providers(elsewhere) == {"github": "locked", "slack": "active"}, "it keeps the vault that it has"
    [offer] = offers(elsewhere)
    assert offer["status"] == "sealed" and [c["provider"] for c in offer["there"]["connections"]] == ["github"]
    step(elsewhere, "accept", id=offer["id"], digest=offer["digest"])
    assert providers(elsewhere) == providers(person) == {"github": "active", "slack": "active"}


def test_of_the_same_account_the_larger_stays_and_the_other_goes_when_it_was_used(person, elsewhere):
    person.connect(GITHUB)
    elsewhere.connect(GITHUB | {"scope": "repo gist"})
    key = person.api_key()
    link(person, elsewhere)
    by_use = {c["unused"]: c for c in person.connections()}
    assert by_use[False]["scopes"] == ["gist", "repo"] and by_use[True]["scopes"] == ["repo"]
    assert key.token("github", ["gist"])["connection"]["id"] == by_use[False]["id"]
    until(lambda: [c["id"] for c in person.connections()] == [by_use[False]["id"]], "the other one to go")


def live(double) -> list[bool]:
    return [token["live"] for token in double.get("tokens")["generic"]["access"]]


def test_revoking_takes_back_at_the_provider_what_was_in_reserve_too(person, elsewhere, double):
    """Each browser had connected the account: at the provider there are two grants, and here one that is used."""
    for browser in (person, elsewhere):
        browser.connect(CORP)
    link(person, elsewhere)
    used, reserve = sorted(person.connections(), key=lambda c: c["unused"])
    assert reserve["supersededBy"] == used["id"]
    assert person.delete(f"/api/connections/{used['id']}").json()["provider"] == "revoked"
    assert person.connections() == [] and live(double) == [False, False]
    told = lambda: {(e["event"], e["connection"]) for e in person.get("/api/activity").json()["activity"]}  # noqa: E731
    until(lambda: {(event, c["id"]) for event in ("removed", "revoked") for c in (used, reserve)} <= told(), "both to be on record")


def test_of_two_that_go_together_the_worse_answer_of_the_provider_is_given(person, elsewhere, double):
    for browser in (person, elsewhere):
        browser.connect(CORP)
    link(person, elsewhere)
    used = next(c for c in person.connections() if not c["unused"])
    double.fault("generic", "revoke", "500", times=1)
    answer = person.delete(f"/api/connections/{used['id']}").json()
    assert (answer["local"], answer["provider"]) == ("removed", "failed") and person.connections() == []


@pytest.mark.parametrize("bridge, family, event", [("corp", "generic", "revoked"), ("linear", "linear", "revocation-not-asked")])
def test_what_was_in_reserve_is_taken_back_when_the_other_one_was_used_as_far_as_that_ends_nothing_else(
        person, elsewhere, double, bridge, family, event):
    """At Linear it would end the one that is used, so it is not told, and that is said."""
    for browser in (person, elsewhere):
        browser.connect({"owner": "toolshed", "bridge": bridge, "scope": "read"})
    link(person, elsewhere)
    used, reserve = sorted(person.connections(), key=lambda c: c["unused"])
    assert not used["sharesGrant"] and reserve["sharesGrant"] == (bridge == "linear")
    key = person.api_key()
    token = key.token(bridge, ["read"])
    assert token["connection"]["id"] == used["id"]
    until(lambda: [c["id"] for c in person.connections()] == [used["id"]], "the other one to go")
    told = lambda: {e["event"] for e in person.get("/api/activity").json()["activity"] if e["connection"] == reserve["id"]}  # noqa: E731
    until(lambda: {"removed", event} <= told(), "it to be on record")
    tokens = {t["token"]: t["live"] for t in double.get("tokens")[family]["access"]}
    assert tokens[token["accessToken"]] and list(tokens.values()).count(False) == (event == "revoked")
    assert (double.count(family, "revoke") == 0) == (bridge == "linear")


def test_different_accounts_are_both_kept_and_named_to_choose(person, elsewhere):
    person.connect(GITHUB)
    elsewhere.connect(GITHUB, account="mallory")
    elsewhere.call("PATCH", f"/api/connections/{elsewhere.connections()[-1]['id']}", {"default": True})
    key = person.api_key()
    link(person, elsewhere)
    assert not any(c["default"] for c in person.connections())
    choice = key.vend("github", ["repo"])
    assert choice.status_code == 409 and len(choice.json()["accounts"]) == 2


def test_a_consent_that_was_on_its_way_arrives_in_the_vault_that_stays(person, elsewhere, double):
    approved = elsewhere.decide(GITHUB).json()["location"]
    callback = double.decide(elsewhere.login(approved), account="octo")
    key = elsewhere.api_key()
    link(person, elsewhere)
    arrived = elsewhere.navigate(callback, site="cross-site")
    assert arrived.headers["Location"].startswith("/done#"), arrived.headers
    assert key.token("github", ["repo"]) and providers(person) == {"github": "active"}


def test_a_waiting_request_of_a_key_is_completed_after_linking(person, elsewhere):
    key = elsewhere.api_key()
    need = key.link("github", ["repo"])
    link(person, elsewhere)
    person.connect(need["authorizationUrl"])
    assert key.token("github", ["repo"]) and key.get(f"/api/requests/{need['requestId']}").json()["status"] == "completed"


@pytest.mark.parametrize("body, status", [
    ({"step": "fly"}, 400), ({}, 400), ({"step": 3}, 400), ({"step": "claim"}, 400), ({"step": "claim", "code": 7}, 400),
    ({"step": "claim", "code": "x" * 10_000}, 400), ({"step": "seal", "id": "l_short"}, 404), ({"step": "seal"}, 400),
    ({"step": "accept", "id": "l_" + "A" * 22, "digest": "?"}, 404), ({"step": "cancel", "id": "../x"}, 404),
    ({"step": "recovery", "code": "tsr_nothing"}, 404), ({"step": "unlock", "request": "r_" + "A" * 22}, 404),
    ({"step": "unlock"}, 400), ({"step": "offer", "more": 1}, 400), ({"step": "recovery", "code": "tsk_" + "A" * 70}, 404),
])
def test_bad_steps_are_refused_and_named(person, body, status):
    reply = person.post(LINK, body)
    assert reply.status_code == status and reply.headers["Content-Type"] == "application/problem+json", reply.text


# A key that no longer opens its vault


@pytest.fixture
def locked_out(person):
    """A key whose slot was left without the vault's present key."""
    person.connect(GITHUB)
    key, lost = person.api_key("nightly report"), person.api_key("lost")
    person.instance.sql("UPDATE slot SET vault_tag = randomblob(32) WHERE id = ?", d.identifier(key.id))
    done = person.post("/api/vault/lost", {"holder": lost.id})
    assert done.status_code == 200 and done.json()["leftOut"] == 1, done.text
    return key


def test_a_key_that_no_longer_opens_its_vault_gets_a_link_that_gives_it_the_key_again(person, locked_out):
    need = locked_out.link("github", ["repo"])
    assert need["reason"] == "vault-locked" and need["authorizationUrl"].endswith(f"/link?request={need['requestId']}")
    assert locked_out.get("/api/connections").status_code == 403
    shown = person.get(f"{LINK}?request={need['requestId']}").json()["request"]
    assert shown == {"name": "nightly report", "kind": "api-key", "vault": "this-vault", "over": False,
                     "matchCode": need["matchCode"]}
    for _ in range(2):
        step(person, "unlock", request=need["requestId"])
    assert locked_out.token("github", ["repo"])
    assert locked_out.get(f"/api/requests/{need['requestId']}").json()["status"] == "completed"


def test_another_vault_and_another_person_cannot_let_it_in(person, locked_out, elsewhere, other):
    need = locked_out.link("github", ["repo"])
    assert elsewhere.get(f"{LINK}?request={need['requestId']}").json()["request"]["vault"] == "other-vault"
    step(elsewhere, "unlock", 404, request=need["requestId"])
    assert other.get(f"{LINK}?request={need['requestId']}").status_code == 404
    step(other, "unlock", 404, request=need["requestId"])
    assert locked_out.link("github", ["repo"])["reason"] == "vault-locked"


def test_a_wrong_secret_is_nobody_and_not_locked_out(person, locked_out):
    secret = d.parse_token(person.api_key().key).secret
    body = "tsk_" + base64.urlsafe_b64encode(d.identifier(locked_out.id) + secret).decode()
    checksum, digits = binascii.crc32(body.encode()), ""
    for _ in range(6):
        checksum, digit = divmod(checksum, 62)
        digits = d.BASE62[digit] + digits
    forged = Bearer(person.instance, body + digits, "")
    assert d.parse_token(forged.key).slot == d.identifier(locked_out.id)
    assert forged.vend("github", ["repo"]).status_code == 401
