"""A sign-in that is too old, confirmed in place: with the provider whom the person signed in with, and what then goes on."""

import re
import secrets
import time
from urllib.parse import parse_qsl, urlsplit

import decryptor as d
import pytest
import requests
from playwright.sync_api import Page, expect

from harness.answers import assert_problem
from harness.browsing import lend_session
from harness.canaille import Canaille
from harness.clicking import button, decide, heading
from harness.glewlwyd import Glewlwyd
from harness.instance import free_port
from harness.oauth import Client, command_line, pkce
from harness.people import SAME_ORIGIN, Person
from harness.waiting import until
from test_browser_passkeys import Device, add, part
from test_linking import offers, seal, step

GITHUB = {"owner": "toolshed", "bridge": "github", "scope": "repo"}
START, CONFIRM = "/api/sign-in/corp/start", "/api/sign-in/corp/confirm"


@pytest.fixture
def subject(double):
    """Who the provider says is there; unlike an account's number nobody else's in this run."""
    name = f"subject-{secrets.token_hex(6)}"
    double.set("generic", id_token={"sub": name})
    return name


@pytest.fixture
def grace(instance, double, subject):
    """Signed in with the provider, which is her only way, and not lately."""
    browser = Person(instance, "Grace Hopper", signed_in=False)
    came(browser, START)
    browser.user_id = browser.get("/api/me").json()["userId"]
    browser.connect(GITHUB)
    age(instance, browser)
    return browser


def age(instance, browser: Person, seconds: int = 601) -> None:
    instance.sql("UPDATE slot SET signed_in_at_ms = signed_in_at_ms - ? WHERE kind = 'session' AND person = ("
                 "SELECT person FROM slot WHERE id = ?)", seconds * 1000, session(browser))


def session(browser: Person) -> bytes:
    return d.identifier(browser.get("/api/me").json()["sessionId"])


def left(browser: Person, address: str) -> str:
    reply = browser.post(address)
    assert reply.status_code == 200, reply.text
    return reply.json()["location"]


def came(browser: Person, address: str, account: str = "octo") -> requests.Response:
    """To the provider and back; the answer is the callback's."""
    return browser.navigate(browser.instance.double.decide(left(browser, address), account=account), site="cross-site")


def makes_a_key(browser: Person) -> bool:
    reply = browser.post("/api/keys", {"name": "nightly"})
    assert reply.status_code == 201 or reply.json()["error"] == "fresh-sign-in-required", reply.text
    return reply.status_code == 201


def refused(reply: requests.Response, code: str, browser: Person) -> None:
    """Nothing is confirmed, and the session goes on as it was."""
    assert reply.status_code == 303 and reply.headers["Location"] == f"/error#{code}", reply.headers
    assert "__Host-toolshed=" not in reply.headers.get("Set-Cookie", "")
    assert browser.get("/api/me").status_code == 200 and not makes_a_key(browser)


# Over HTTP


def test_the_provider_asks_anew_and_the_session_keeps_its_vault(grace, double):
    """W-SESS-1, W-SESS-2"""
    before = grace.get("/api/me").json()
    problem = assert_problem(grace.post("/api/keys", {"name": "nightly"}), 403, "fresh-sign-in-required")
    assert problem["proofs"] == ["provider"] and problem["providers"] == [{"provider": "corp", "name": "Corp sign-on"}]
    asked = dict(parse_qsl(urlsplit(left(grace, CONFIRM)).query))
    assert asked["prompt"] == "login" and asked["max_age"] == "600" and asked["scope"] == "openid profile"
    reply = came(grace, CONFIRM)
    assert reply.status_code == 303 and reply.headers["Location"] == "/sign-in#confirmed"
    after = grace.get("/api/me").json()
    assert after["userId"] == before["userId"] and after["sessionId"] != before["sessionId"]
    assert [connection["status"] for connection in grace.connections()] == ["active"] and makes_a_key(grace)
    assert double.complaints() == []


def test_a_sign_in_does_not_ask_anew(instance, double, subject):
    asked = dict(parse_qsl(urlsplit(left(Person(instance, signed_in=False), START)).query))
    assert "prompt" not in asked and "max_age" not in asked


def test_whom_a_provider_knows_has_something_to_show(grace):
    """The first passkey and code are exempt only as long as nobody could show more."""
    for path in ("/api/passkeys/options", "/api/vault/recovery"):
        assert_problem(grace.post(path), 403, "fresh-sign-in-required")


def test_somebody_else_at_the_provider_confirms_nothing(grace, double, subject):
    for other in ("stranger", subject.upper(), subject + "x"):
        double.set("generic", id_token={"sub": other})
        refused(came(grace, CONFIRM), "confirmed-by-another", grace)
    double.set("generic", id_token={"sub": subject})
    assert came(grace, CONFIRM).headers["Location"] == "/sign-in#confirmed" and makes_a_key(grace)


@pytest.mark.parametrize("when", [None, "now", 1, -601, 3600])
def test_a_provider_that_did_not_ask_anew_confirms_nothing(grace, double, subject, when):
    """OpenID Connect Core 1.0, 3.1.2.1 and 3.1.3.7: max_age makes auth_time required, and somebody has to look at it."""
    said = int(time.time()) + when if isinstance(when, int) and when != 1 else when
    double.set("generic", id_token={"sub": subject, "auth_time": said})
    refused(came(grace, CONFIRM), "not-asked-anew", grace)


def test_only_the_session_that_left_comes_back(instance, grace, double):
    """Login CSRF, and a confirmation lent to another browser."""
    callback = double.decide(left(grace, CONFIRM), account="octo")
    bystander = Person(instance)
    assert bystander.navigate(callback, site="cross-site").headers["Location"] == "/error#wrong-browser"
    refused(grace.navigate(callback, site="cross-site"), "already-used", grace)
    # The same browser, somebody else by now.
    callback = double.decide(left(grace, CONFIRM), account="octo")
    cookie = bystander.http.cookies["__Host-toolshed"]
    grace.http.cookies.set("__Host-toolshed", cookie, domain="localhost.local", path="/")
    jar = {name: value for name, value in grace.http.cookies.items() if name != "__Host-toolshed"} | {"__Host-toolshed": cookie}
    bare = requests.get(callback, cookies=jar, headers={"Sec-Fetch-Dest": "document"}, allow_redirects=False, timeout=30, verify=instance.ca)
    assert bare.headers["Location"] == "/error#session-ended"


def test_a_session_that_was_ended_meanwhile_is_not_brought_back(grace, double):
    twin = grace.elsewhere()
    callback = double.decide(left(grace, CONFIRM), account="octo")
    address = f"/api/sessions/{grace.get('/api/me').json()['sessionId']}"
    ended = twin.delete(address)
    if ended.status_code == 409:
        ended = twin.delete(f"{address}?confirm={ended.json()['confirm']}")
    assert ended.status_code == 204
    reply = grace.navigate(callback, site="cross-site")
    assert reply.headers["Location"] == "/error#already-used" and grace.get("/api/me").status_code == 401


def test_a_confirmation_is_for_minutes_once_and_leads_nowhere_else(grace, double, instance):
    callback = double.decide(left(grace, CONFIRM), account="octo")
    instance.sql("UPDATE sign_in SET expires_at_ms = expires_at_ms - 600000")
    refused(grace.navigate(callback, site="cross-site"), "expired", grace)
    callback = double.decide(left(grace, CONFIRM + "?return=https://evil.example"), account="octo")
    assert grace.navigate(callback + "&return=https://evil.example", site="cross-site").headers["Location"] == "/sign-in#confirmed"
    assert grace.navigate(callback, site="cross-site").headers["Location"] == "/error#already-used"


def test_only_a_person_whom_it_knows_goes_there_and_only_from_our_pages(instance, grace, person):
    assert_problem(person.post(CONFIRM), 404, "unknown-provider")
    assert_problem(grace.post("/api/sign-in/github/confirm"), 404, "unknown-provider")
    assert_problem(Person(instance, signed_in=False).post(CONFIRM), 401, "invalid-token")
    assert_problem(person.api_key().post(CONFIRM), 403, "not-permitted")
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}, {}):
        assert_problem(grace.post(CONFIRM, headers=headers), 403, "cross-site")


def test_an_offer_that_waits_for_a_session_goes_on_in_the_confirmed_one(grace, instance, double):
    """What was sealed to the session of before is sealed to the one that takes its place."""
    came(grace, CONFIRM)
    twin = grace.elsewhere()
    identifier = seal(twin, grace)
    age(instance, grace)
    (offer,) = offers(grace)
    assert_problem(grace.post("/api/vault/link", {"step": "accept", "id": identifier, "digest": offer["digest"]}), 403, "fresh-sign-in-required")
    came(grace, CONFIRM)
    (again,) = offers(grace)
    assert again["id"] == identifier and again["there"] == offer["there"] and again["expiresAt"] == offer["expiresAt"]
    # What was shown before was shown to another session.
    step(grace, "accept", 409, id=identifier, digest=offer["digest"])
    assert step(grace, "accept", id=identifier, digest=again["digest"])["status"] == "accepted"
    assert [connection["status"] for connection in twin.connections()] == ["active"]


def test_glewlwyd_does_not_say_when_it_asked_and_confirms_nobody(fresh):
    """Its `auth_time` is 0 whatever is asked (Debian 12's 2.7); max_age=0 it refuses altogether."""
    instance = fresh(double=False)
    provider = Glewlwyd(instance.dir / "glewlwyd", free_port(), instance.origin + "/api/auth/glewlwyd/callback")
    try:
        instance.provide("glewlwyd", provider.yaml())
        instance.start()
        browser = Person(instance, signed_in=False)
        browser.navigate(provider.decide(left(browser, "/api/sign-in/glewlwyd/start")), site="cross-site")
        age(instance, browser)
        assert not makes_a_key(browser)
        refused(browser.navigate(provider.decide(left(browser, "/api/sign-in/glewlwyd/confirm")), site="cross-site"), "not-asked-anew", browser)
    finally:
        provider.stop()


def test_canaille_asks_anew_and_the_whole_confirmation_is_done(fresh):
    """A second provider that others wrote, which says when it asked (`auth_time`, with fractions of a second)."""
    instance = fresh(double=False)
    provider = Canaille(instance.dir / "canaille", free_port(), instance.origin + "/api/auth/canaille/callback")
    try:
        instance.provide("canaille", provider.yaml("sign_in: { new_people: anyone }"))
        instance.start()
        with requests.Session() as there:
            browser = Person(instance, signed_in=False)

            def went(way: str) -> requests.Response:
                return browser.navigate(provider.decide(left(browser, f"/api/sign-in/canaille/{way}"), browser=there), site="cross-site")

            assert went("start").headers["Location"] == "/sign-in#own" and "answer" in provider.asked
            before = browser.get("/api/me").json()
            age(instance, browser)
            problem = assert_problem(browser.post("/api/keys", {"name": "nightly"}), 403, "fresh-sign-in-required")
            assert problem["proofs"] == ["provider"] and problem["providers"] == [{"provider": "canaille", "name": "Canaille"}]

            def confirmed() -> bool:
                arrived = went("confirm").headers["Location"]
                assert "password" in provider.asked, "who is signed in there is asked all the same"
                # Two tokens of one second are a 500 there; that confirms nothing, and the person tries again.
                assert arrived == "/sign-in#confirmed" or arrived == "/error#sign-in-refused" and '" 500 ' in provider.log(), arrived
                return arrived == "/sign-in#confirmed"

            until(confirmed, "to be confirmed")
            after = browser.get("/api/me").json()
            assert after["userId"] == before["userId"] and after["sessionId"] != before["sessionId"] and makes_a_key(browser)
    finally:
        provider.stop()


# In a browser


@pytest.fixture
def window(profiles, grace):
    profile = profiles()
    lend_session(profile, grace)
    return profile.new_page()


def dialog(page: Page):
    return page.get_by_role("dialog", name="Confirm that it is you")


def confirm_elsewhere(page: Page) -> None:
    dialog(page).get_by_role("button", name="Confirm with Corp sign-on").click()
    button(page, "Allow as octo").click()


def takes_over(browser: Person, page: Page) -> Person:
    """`browser` is the window's session again, which has a new id since."""
    (cookie,) = [each["value"] for each in page.context.cookies() if each["name"] == "__Host-toolshed"]
    browser.http.cookies.clear()
    browser.http.cookies.set("__Host-toolshed", cookie)
    return browser


def program(page: Page) -> list[str]:
    """Addresses of a program on this computer that the browser was sent to."""
    gone = []

    def answer(route):
        gone.append(route.request.url)
        route.fulfill(content_type="text/html", body="<!doctype html><title>App</title><p>Welcome back.")

    page.route("http://127.0.0.1:1/**", answer)
    return gone


def test_who_confirms_elsewhere_comes_back_to_what_they_typed(window, grace, look):
    page = window
    page.goto("/vault#keys")
    page.get_by_label("Name of a new key").fill("nightly report")
    page.get_by_label("Name of a new passkey").fill("tsk_not_kept_whatever_it_is")
    button(page, "Make a key").click()
    expect(dialog(page).get_by_role("button", name="Use your passkey")).to_have_count(0)
    look(page, "confirm-provider", every=True)
    confirm_elsewhere(page)
    page.wait_for_url("**/vault#keys")
    expect(page.get_by_role("status")).to_contain_text("It is confirmed that it is you")
    expect(page.get_by_label("Name of a new key")).to_have_value("nightly report")
    expect(page.get_by_label("Name of a new passkey")).not_to_have_value(re.compile("tsk_"))
    assert page.evaluate("() => sessionStorage.getItem('kept')") is None
    look(page, "confirmed-provider")
    assert takes_over(grace, page).get("/api/keys").json()["keys"] == [], "nothing goes on by itself"
    button(page, "Make a key").click()
    expect(part(page, "API keys").locator(".secret")).to_contain_text("tsk_")


def test_somebody_else_there_is_said_in_words_and_leads_back(window, double, look):
    page = window
    page.goto("/vault")
    page.get_by_label("Name of a new key").fill("nightly report")
    button(page, "Make a key").click()
    double.set("generic", id_token={"sub": "stranger"})
    confirm_elsewhere(page)
    expect(page.get_by_role("heading", name="That was somebody else")).to_be_visible()
    look(page, "confirmed-by-another", every=True)
    page.get_by_role("link", name="Back to where you were").click()
    page.wait_for_url("**/vault")
    expect(page.get_by_label("Name of a new key")).to_have_value("nightly report")
    button(page, "Make a key").click()
    expect(dialog(page)).to_be_visible()


def test_a_link_to_the_end_of_a_confirmation_confirms_nothing(window):
    page = window
    page.goto("/sign-in#confirmed")
    page.wait_for_url("**/vault")
    expect(part(page, "API keys")).to_be_visible()
    expect(page.get_by_role("status")).not_to_contain_text("confirmed")
    page.get_by_label("Name of a new key").fill("nightly report")
    button(page, "Make a key").click()
    expect(dialog(page)).to_be_visible()


def test_an_application_is_let_in_by_a_click_after_the_confirmation(window, grace, instance, look):
    """What the person reads and then approves, they approve as who they are now."""
    page = window
    gone = program(page)
    page.goto(f"/authorize?{Client(instance, redirect='http://127.0.0.1:1/cb', client_name='Notebook').query(pkce()[1])}")
    decide(page)
    confirm_elsewhere(page)
    page.wait_for_url("**/authorize?*")
    expect(page.get_by_role("status")).to_contain_text("It is confirmed that it is you")
    expect(heading(page)).to_have_text("Let Notebook in?")
    expect(button(page, "Approve")).to_be_enabled()
    look(page, "authorize-confirmed")
    assert gone == []
    decide(page)
    expect(page.get_by_text("Welcome back.")).to_be_visible()
    assert len(gone) == 1 and "code=" in gone[0]


@pytest.fixture
def stale(page, person, instance):
    """A person with a passkey, whose sign-in is too old; their window."""
    Device(page)
    person.connect(GITHUB)
    page.goto("/vault")
    add(page, "This laptop")
    takes_over(person, page)

    def make_old():
        age(instance, takes_over(person, page))

    return make_old


def confirm_here(page: Page) -> None:
    dialog(page).get_by_role("button", name="Use your passkey").click()
    expect(dialog(page)).to_be_hidden()
    expect(page.get_by_role("status")).to_contain_text("It is confirmed that it is you. Nothing was decided yet")


def test_approve_is_clicked_again_after_a_passkey_too(page, person, instance, stale, look):
    gone = program(page)
    page.goto(f"/authorize?{Client(instance, redirect='http://127.0.0.1:1/cb', client_name='Notebook').query(pkce()[1])}")
    stale()
    decide(page)
    confirm_here(page)
    look(page, "authorize-anew", every=True)
    assert gone == []
    decide(page)
    expect(page.get_by_text("Welcome back.")).to_be_visible()
    assert len(gone) == 1 and "code=" in gone[0]


def test_a_device_is_let_in_by_a_click_after_the_confirmation(page, person, instance, stale, look):
    cli = command_line(instance)
    begun = cli.begin_device().json()
    page.goto("/device")
    page.get_by_label("Code").fill(begun["user_code"])
    button(page, "Continue").click()
    expect(button(page, "Approve")).to_be_enabled()
    stale()
    decide(page)
    confirm_here(page)
    assert cli.poll(begun["device_code"]).json()["error"] == "authorization_pending"
    expect(heading(page)).to_have_text("Let Toolshed command line in?")
    look(page, "device-anew")
    decide(page)
    expect(heading(page)).to_have_text("Let in")


def test_a_device_is_declined_without_confirming(page, person, instance, stale):
    """Taking away, or not giving, needs no proof."""
    begun = command_line(instance).begin_device().json()
    page.goto("/device")
    page.get_by_label("Code").fill(begun["user_code"])
    button(page, "Continue").click()
    expect(button(page, "Decline")).to_be_enabled()
    stale()
    decide(page, "Decline")
    expect(heading(page)).to_have_text("Declined")


def test_the_code_of_a_device_is_still_there_after_confirming_elsewhere(window, grace, instance):
    page = window
    begun = command_line(instance).begin_device().json()
    page.goto("/device")
    page.get_by_label("Code").fill(begun["user_code"])
    button(page, "Continue").click()
    confirm_elsewhere(page)
    page.wait_for_url("**/device")
    expect(page.get_by_role("status")).to_contain_text("It is confirmed that it is you")
    expect(page.get_by_label("Code")).to_have_value(begun["user_code"])
    button(page, "Continue").click()
    expect(heading(page)).to_have_text("Let Toolshed command line in?")


def test_two_vaults_are_linked_by_a_click_after_the_confirmation(page, person, instance, stale, look):
    """keys.md: both ends are browser sessions signed in less than ten minutes ago, also when the second accepts."""
    twin = person.elsewhere()
    seal(twin, person)
    page.goto("/link")
    expect(heading(page)).to_have_text("Link these two vaults?")
    stale()
    button(page, "Link").click()
    confirm_here(page)
    expect(heading(page)).to_have_text("Link these two vaults?")
    assert [connection["status"] for connection in twin.connections()] == ["locked"]
    look(page, "link-anew", every=True)
    button(page, "Link").click()
    expect(heading(page)).to_have_text("Linked")
    assert [connection["status"] for connection in twin.connections()] == ["active"]


def test_a_key_is_given_back_by_a_click_after_the_confirmation(page, person, instance, stale):
    key, lost = person.api_key("Nightly"), person.api_key("lost")
    instance.sql("UPDATE slot SET vault_tag = randomblob(32) WHERE id = ?", d.identifier(key.id))
    assert person.post("/api/vault/lost", {"holder": lost.id}).json()["leftOut"] == 1
    asked = key.link("github", ["repo"])
    assert asked["reason"] == "vault-locked"
    page.goto(asked["authorizationUrl"])
    expect(button(page, "Give it the key")).to_be_visible()
    stale()
    button(page, "Give it the key").click()
    confirm_here(page)
    assert key.vend("github", ["repo"]).status_code == 403
    button(page, "Give it the key").click()
    expect(page.get_by_text("It can open your vault again.")).to_be_visible()
    assert key.token("github", ["repo"])
