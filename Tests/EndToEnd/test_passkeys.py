"""Passkeys over HTTP, with an authenticator in software: standards.md 5.6, and what keys.md says of their slots."""

import json

import pytest
import requests
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from harness.answers import assert_problem
from harness.authenticator import (ATTESTED, BACKED_UP, EDDSA, ELIGIBLE, ES256, PRESENT, RS256, VERIFIED, Authenticator, ask,
                                   raw, text)
from harness.people import SAME_ORIGIN, Person

LINK = {"owner": "toolshed", "bridge": "github", "scope": "repo"}


@pytest.fixture
def browser(instance):
    """Somebody's browser that has no session."""
    return Person(instance, signed_in=False)


@pytest.fixture
def device(person):
    """With a passkey of `person` that opens their vault."""
    made = Authenticator(person.instance)
    assert made.register(person).status_code == 201
    return made


def refused(reply: requests.Response) -> None:
    assert_problem(reply, 400, "invalid-passkey")
    assert "__Host-toolshed=" not in reply.headers.get("Set-Cookie", "")


# W-PK-2: what a good one does


@pytest.mark.parametrize("algorithm", [ES256, EDDSA, RS256])
def test_a_passkey_signs_in_and_opens_its_vault(person, browser, algorithm):
    """W-PK-3, W-PK-5: the same output at every sign-in opens the slot that it was added with."""
    person.connect(LINK)
    device = Authenticator(person.instance, algorithm)
    added = device.register(person, name="Key ring")
    assert added.status_code == 201 and added.json()["opensVault"] is True and added.json()["name"] == "Key ring"
    person.post("/api/sign-out")
    shown = device.show(browser)
    assert shown.status_code == 200, shown.text
    assert shown.json() == {"userId": person.user_id, "name": person.name, "vault": "existing"}
    assert [(c["status"], c["account"]) for c in browser.connections()] == [("active", "octo")]


def test_without_prf_it_signs_in_and_opens_nothing(person, browser):
    """W-PK-4: PRF is an additional slot, never the only way."""
    person.connect(LINK)
    device = Authenticator(person.instance, prf=False)
    assert device.register(person).json()["opensVault"] is False
    shown = device.show(browser)
    assert shown.json()["userId"] == person.user_id and shown.json()["vault"] == "new"
    assert [c["status"] for c in browser.connections()] == ["locked"]


def test_an_authenticator_that_derives_only_later_gets_its_slot_then(person, browser):
    person.connect(LINK)
    device = Authenticator(person.instance)
    assert device.register(person, prf=None).json()["opensVault"] is False
    assert device.show(person).json()["vault"] == "existing"
    assert person.get("/api/passkeys").json()["passkeys"][0]["opensVault"] is True
    assert device.show(browser).json()["vault"] == "existing"
    assert [c["status"] for c in browser.connections()] == ["active"]


def test_another_output_opens_nothing(device, browser):
    shown = device.show(browser, prf=text(b"\1" * 32))
    assert shown.json()["vault"] == "new" and shown.json()["userId"]
    # And what is stored stays: the right one still opens.
    browser.post("/api/sign-out")
    assert device.show(browser).json()["vault"] == "existing"


def test_several_passkeys_are_named_and_removed(person, browser, device):
    second = Authenticator(person.instance, EDDSA)
    assert second.register(person, name="Second").status_code == 201
    asked = person.post("/api/passkeys/options").json()
    assert {raw(each["id"]) for each in asked["excludeCredentials"]} == {device.id, second.id}
    listed = {each["name"]: each for each in person.get("/api/passkeys").json()["passkeys"]}
    assert set(listed) == {"Software", "Second"} and listed["Second"]["lastUsedAt"] is None
    assert second.show(browser).status_code == 200
    assert {each["name"] for each in person.get("/api/passkeys").json()["passkeys"] if each["lastUsedAt"]} == {"Second"}
    browser.post("/api/sign-out")
    assert person.delete(f"/api/passkeys/{listed['Second']['id']}").status_code == 204
    refused(second.show(browser))
    assert device.show(browser).status_code == 200
    assert person.delete(f"/api/passkeys/{listed['Second']['id']}").status_code == 404


def test_another_person_can_neither_see_nor_remove_it(person, other, device):
    (listed,) = person.get("/api/passkeys").json()["passkeys"]
    assert other.get("/api/passkeys").json()["passkeys"] == []
    assert_problem(other.delete(f"/api/passkeys/{listed['id']}"), 404, "not-found")
    # In their session it is somebody else's.
    assert_problem(device.show(other), 403, "not-permitted")
    assert other.get("/api/me").json()["userId"] == other.user_id


def test_the_options_never_say_who_exists(browser, person, device):
    """The same for a browser that nobody knows, with passkeys registered here or not."""
    asked = ask(browser)
    assert asked.pop("challenge") != ask(browser)["challenge"]
    assert asked == {"rpId": "localhost", "timeout": 300_000, "prfSalt": asked["prfSalt"], "userVerification": "required",
                     "allowCredentials": []}
    methods = browser.get("/api/sign-in/methods").json()
    assert methods["passkey"] is True and methods["header"] is None


def test_unknown_and_wrong_look_alike(instance, browser, device):
    stranger = Authenticator(instance)
    unknown = stranger.show(browser)
    wrong = device.show(browser, signature=text(b"x" * 70))
    assert unknown.status_code == wrong.status_code == 400 and unknown.json() == wrong.json()


def test_the_output_is_in_no_answer_and_in_no_file(person, browser, device):
    asked = ask(browser)
    answer = device.get(asked)
    reply = browser.post("/api/sign-in/passkey", answer)
    assert reply.status_code == 200 and answer["prf"] not in reply.text + str(reply.headers)
    for file in person.instance.dir.rglob("*"):
        if file.is_file() and file.suffix not in (".sock",):
            assert raw(answer["prf"]) not in (content := file.read_bytes()) and answer["prf"].encode() not in content, file


# What is refused


@pytest.mark.parametrize("changed", [
    {"client": {"type": "webauthn.create"}}, {"client": {"type": None}}, {"client": {"origin": "https://evil.example"}},
    {"client": {"origin": "https://localhost"}}, {"client": {"origin": None}}, {"client": {"crossOrigin": True}},
    {"client": {"crossOrigin": "no"}}, {"client": {"challenge": text(b"c" * 32)}}, {"client": {"challenge": None}},
    {"client": {"challenge": 7}}, {"rp_id": "evil.example"}, {"rp_id": "localhost:8443"},
    {"flags": PRESENT}, {"flags": VERIFIED}, {"flags": 0}, {"flags": PRESENT | VERIFIED | BACKED_UP},
    {"userHandle": text(b"somebody else 16")}, {"signature": text(b"\x30\x06\x02\x01\x01\x02\x01\x01")},
    {"authenticatorData": text(b"x" * 36)}, {"clientData": text(b"{}")}, {"clientData": text(b"\xff")}], ids=str)
def test_a_wrong_answer_is_refused_and_uses_up_its_challenge(browser, device, changed):
    """W-PK-2: type, challenge, origin, rpIdHash, presence, verification, signature, each by itself."""
    asked = ask(browser)
    refused(browser.post("/api/sign-in/passkey", device.get(asked, **changed)))
    says_challenge = "clientData" not in changed and "challenge" not in changed.get("client", {})
    again = browser.post("/api/sign-in/passkey", device.get(asked))
    assert again.status_code == (400 if says_challenge else 200)


def test_a_challenge_is_good_once(instance, person, browser, device):
    asked = ask(browser)
    answer = device.get(asked)
    assert browser.post("/api/sign-in/passkey", answer).status_code == 200
    browser.post("/api/sign-out")
    refused(browser.post("/api/sign-in/passkey", answer))
    refused(browser.post("/api/sign-in/passkey", device.get(asked)))


def test_a_challenge_is_good_for_five_minutes(instance, browser, device):
    asked = ask(browser)
    instance.sql("UPDATE challenge SET expires_at_ms = expires_at_ms - 300000")
    refused(browser.post("/api/sign-in/passkey", device.get(asked)))


def test_a_challenge_belongs_to_the_browser_that_asked(instance, browser, device):
    """A thief who makes somebody's authenticator sign the thief's challenge elsewhere gets no session for it."""
    asked = ask(browser)
    elsewhere = Person(instance, signed_in=False)
    refused(elsewhere.post("/api/sign-in/passkey", device.get(asked)))
    assert browser.post("/api/sign-in/passkey", device.get(asked)).status_code == 200


def test_a_challenge_belongs_to_its_session_and_purpose(person, other, browser, device):
    create = person.post("/api/passkeys/options").json()
    get = ask(person)
    fresh = Authenticator(person.instance)
    refused(person.post("/api/passkeys", fresh.create(create | {"challenge": get["challenge"]})))
    refused(person.post("/api/sign-in/passkey", device.get(get | {"challenge": create["challenge"]})))
    # Another person's session, another session of the same person, no session.
    theirs = other.post("/api/passkeys/options").json()
    refused(person.post("/api/passkeys", fresh.create(create | {"challenge": theirs["challenge"]})))
    twin = person.elsewhere()
    get = ask(person)
    refused(twin.post("/api/sign-in/passkey", device.get(get)))
    refused(browser.post("/api/sign-in/passkey", device.get(get)))
    assert person.post("/api/sign-in/passkey", device.get(get)).status_code == 200


def test_a_counter_that_goes_back_is_refused_noted_and_shown(person, browser, device):
    """Somebody has a copy of the authenticator, or had."""
    assert device.show(browser).status_code == 200
    browser.post("/api/sign-out")
    device.counter -= 2
    assert_problem(device.show(browser), 403, "not-permitted")
    (listed,) = person.get("/api/passkeys").json()["passkeys"]
    assert listed["suspectAt"] is not None
    device.counter += 5
    assert device.show(browser).status_code == 200


def test_a_counter_that_stays_zero_counts_nothing(person, browser):
    device = Authenticator(person.instance, counts=False)
    assert device.register(person).status_code == 201
    for _ in range(2):
        assert device.show(browser).status_code == 200
        browser.post("/api/sign-out")


@pytest.mark.parametrize("changed", [
    {"client": {"type": "webauthn.get"}}, {"client": {"origin": "https://evil.example"}}, {"rp_id": "evil.example"},
    {"client": {"challenge": text(b"c" * 32)}}, {"flags": PRESENT | ATTESTED}, {"flags": VERIFIED | ATTESTED},
    {"flags": PRESENT | VERIFIED}, {"algorithm": -35}, {"algorithm": EDDSA}, {"algorithm": RS256}, {"algorithm": 2 ** 40},
    {"id": text(b"another credential id")}, {"publicKey": text(b"\x30\x03\x02\x01\x01")}, {"publicKey": text(b"x" * 90)}], ids=str)
def test_a_wrong_registration_is_refused(person, changed):
    refused(Authenticator(person.instance).register(person, **changed))
    assert person.get("/api/passkeys").json()["passkeys"] == []


@pytest.mark.parametrize("key, algorithm", [
    (lambda: ec.generate_private_key(ec.SECP384R1()), ES256), (lambda: ec.generate_private_key(ec.SECP256K1()), ES256),
    (lambda: rsa.generate_private_key(65537, 1024), RS256)], ids=["P-384", "secp256k1", "RSA 1024"])
def test_weak_and_foreign_keys_are_refused(person, key, algorithm):
    device = Authenticator(person.instance, algorithm)
    device.key = key()
    refused(device.register(person))


def test_a_key_with_something_after_it_is_refused(person):
    device = Authenticator(person.instance)
    refused(device.register(person, publicKey=text(device.spki + b"\0")))


def test_a_credential_is_registered_once(person, other, device):
    refused(device.register(person))
    refused(device.register(other))


def test_a_synced_passkey_says_so(person):
    device = Authenticator(person.instance)
    assert device.register(person, flags=PRESENT | VERIFIED | ATTESTED | ELIGIBLE | BACKED_UP).status_code == 201
    assert person.get("/api/passkeys").json()["passkeys"][0]["synced"] is True


@pytest.mark.parametrize("member, value", [
    ("id", "="), ("id", ""), ("id", text(b"x" * 1024)), ("clientData", "not base64!"), ("clientData", text(b"x" * 2049)),
    ("signature", 7), ("signature", None), ("prf", text(b"x" * 31)), ("prf", text(b"x" * 33)), ("prf", ["x"]),
    ("userHandle", text(b"x" * 65)), ("authenticatorData", {}), ("who", "me")])
def test_a_malformed_answer_names_the_member(browser, device, member, value):
    reply = browser.post("/api/sign-in/passkey", device.get(ask(browser)) | {member: value})
    assert assert_problem(reply, 400, "invalid-request")["errors"][0]["member"] == member


@pytest.mark.parametrize("member, value", [
    ("name", ""), ("name", "x" * 81), ("name", "\u200b\u202e"), ("algorithm", "-7"), ("algorithm", None), ("algorithm", -7.5),
    ("publicKey", text(b"x" * 2049)), ("prf", text(b"x")), ("clientData", None)])
def test_a_malformed_registration_names_the_member(person, member, value):
    asked = person.post("/api/passkeys/options").json()
    reply = person.post("/api/passkeys", Authenticator(person.instance).create(asked) | {member: value})
    assert assert_problem(reply, 400, "invalid-request")["errors"][0]["member"] == member


# Sessions (W-SESS-1)


def test_adding_and_confirming_give_the_session_a_new_id(person, device):
    person.connect(LINK)
    ids = [person.get("/api/me").json()["sessionId"]]
    cookie = person.http.cookies["__Host-toolshed"]
    for act, made in ((lambda: Authenticator(person.instance).register(person), 201), (lambda: device.show(person), 200)):
        assert act().status_code == made
        ids.append(person.get("/api/me").json()["sessionId"])
    assert len(set(ids)) == 3 and len(person.get("/api/sessions").json()["sessions"]) == 1
    assert [c["status"] for c in person.connections()] == ["active"], "the vault is the same"
    # The one before is nobody's any more.
    with person.instance.session() as old:
        old.headers["Cookie"] = f"__Host-toolshed={cookie}"
        assert old.get(person.instance.origin + "/api/me").status_code == 401


def test_a_consent_under_way_survives_a_confirmation(person, device):
    """What began in the session that is replaced goes on in the one that replaces it."""
    approved = person.decide(LINK)
    authorization = person.login(approved.json()["location"])
    assert device.show(person).status_code == 200
    callback = person.instance.double.decide(authorization, account="octo")
    assert "/done#" in person.navigate(callback, site="cross-site").headers["Location"]
    assert [c["account"] for c in person.connections()] == ["octo"]


def test_only_our_own_pages_may_ask_or_answer(instance, browser, device):
    """W-LOGIN-1, W-CSRF-1"""
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Origin": "https://evil.example"}, {}):
        for path in ("/api/sign-in/passkey/options", "/api/sign-in/passkey"):
            assert_problem(browser.post(path, {}, headers=headers), 403, "cross-site")


def test_a_key_may_look_and_remove_and_never_add(person, device):
    key = person.api_key()
    assert_problem(key.post("/api/passkeys/options"), 403, "not-permitted")
    assert_problem(key.post("/api/passkeys", {}), 403, "not-permitted")
    (listed,) = key.get("/api/passkeys").json()["passkeys"]
    assert key.call("DELETE", f"/api/passkeys/{listed['id']}").status_code == 204


def test_signing_in_as_somebody_else_wants_a_sign_out_first(person, other, device):
    before = other.get("/api/me").json()
    assert_problem(device.show(other), 403, "not-permitted")
    assert other.get("/api/me").json() == before


def test_the_activity_tells_of_passkeys(person, browser, device):
    from harness.waiting import until
    device.show(browser)
    device.counter -= 1
    device.show(Person(person.instance, signed_in=False))
    (listed,) = person.get("/api/passkeys").json()["passkeys"]
    person.delete(f"/api/passkeys/{listed['id']}")
    wanted = {"passkey-added", "passkey-suspect", "passkey-removed"}
    until(lambda: wanted <= {line["event"] for line in person.get("/api/activity").json()["activity"]}, "the activity to tell")


def test_rubbish_is_never_a_server_error(instance, browser):
    for body in (b"", b"{", b"[]", b"null", json.dumps({"id": "A" * 15_000}).encode(), b'{"id":"AA","id":"AA"}'):
        reply = instance.post("/api/sign-in/passkey", data=body, headers=SAME_ORIGIN | {"Content-Type": "application/json"})
        assert 400 <= reply.status_code < 500


# Its name


def test_a_passkey_gets_another_name_as_the_holder_that_it_is_too(person, device):
    address = "/api/passkeys/" + person.get("/api/passkeys").json()["passkeys"][0]["id"]
    assert person.call("PATCH", address, {"name": "Work laptop"}).status_code == 204
    assert [each["name"] for each in person.get("/api/passkeys").json()["passkeys"]] == ["Work laptop"]
    person.connect(LINK)
    twin = person.elsewhere()
    assert "Work laptop" in str(twin.get("/api/vault").json()["others"])
    browser = Person(person.instance, signed_in=False)
    assert device.show(browser).json()["vault"] == "existing", "the name is no part of what it opens"


def test_a_name_is_given_by_its_person_in_their_browser(person, other, device, instance):
    address = "/api/passkeys/" + person.get("/api/passkeys").json()["passkeys"][0]["id"]
    before = person.get("/api/passkeys").json()
    assert_problem(other.call("PATCH", address, {"name": "mine"}), 404, "not-found")
    assert_problem(person.call("PATCH", "/api/passkeys/w_" + "A" * 22, {"name": "x"}), 404, "not-found")
    assert_problem(person.api_key().call("PATCH", address, {"name": "x"}), 403, "not-permitted")
    assert_problem(Person(instance, signed_in=False).call("PATCH", address, {"name": "x"}), 401, "invalid-token")
    assert_problem(person.call("PATCH", address, {"name": "x"}, headers={"Sec-Fetch-Site": "cross-site"}), 403, "cross-site")
    for body in ({}, {"name": ""}, {"name": "x" * 81}, {"name": 7}, {"name": "x", "slot": "y"}, []):
        assert_problem(person.call("PATCH", address, body), 400, "invalid-request")
    assert person.get("/api/passkeys").json() == before
